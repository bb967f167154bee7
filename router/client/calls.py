"""What the clients send: each method of the API as one request, ready to be sent as often as needed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Literal, TypedDict
from urllib.parse import quote
from uuid import uuid4

from models.errors import InvalidRequest

ImageSource = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes themselves, or an open binary file."""
Variant = Literal["video", "thumbnail", "spritesheet", "preview"]
Order = Literal["asc", "desc"]


class ClipOptions(TypedDict, total=False):
    """Everything that may be asked beside photograph and prompt; names and limits are the server's."""

    model: str
    """A card id, or `auto`."""
    size: str
    """`WIDTHxHEIGHT` in pixels."""
    resolution: str
    aspect_ratio: str
    seconds: float
    fps: float
    prefer: str
    objective: str
    deadline_s: float
    max_cost_usd: float
    camera: Sequence[str]
    """Moves, each `MOVE` or `MOVE:required`."""
    motion: str
    residency: str
    allow: Sequence[str]
    deny: Sequence[str]
    seed: int
    priority: str
    negative_prompt: str
    generate_audio: bool
    tags: Sequence[str]


class FinalOptions(TypedDict, total=False):
    """What a final may be asked with; all else is the preview's."""

    model: str
    deadline_s: float
    max_cost_usd: float
    priority: str
    residency: str
    allow: Sequence[str]
    deny: Sequence[str]


Drivers = Mapping[str, ImageSource | None]
"""What drives the clip, by field: `driving_video`, `audio`."""
NO_DRIVERS: Drivers = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Call:
    """One request, ready to be sent as often as needed."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str | list[str]] | None = None
    files: Mapping[str, tuple[str, bytes]] | None = None
    json: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def create_call(
    image: ImageSource,
    prompt: str,
    options: ClipOptions,
    *,
    last_image: ImageSource | None,
    idempotency_key: str | None,
    drivers: Drivers = NO_DRIVERS,
) -> Call:
    """`POST /v1/videos`; without a key one is drawn, so that a repeated send is one job."""
    return Call(
        "POST",
        "/v1/videos",
        form=_form(prompt, options),
        files=_files(image, last_image, drivers),
        headers={"Idempotency-Key": idempotency_key or str(uuid4())},
    )


def route_call(
    image: ImageSource | None,
    prompt: str,
    options: ClipOptions,
    *,
    last_image: ImageSource | None,
    drivers: Drivers,
    image_size: str | None,
    fleet: Literal["live", "all"],
) -> Call:
    """`POST /v1/route`."""
    form = {**_form(prompt, options), "fleet": fleet}
    if image_size is not None:
        form["image_size"] = image_size
    return Call("POST", "/v1/route", form=form, files=_files(image, last_image, drivers))


def remix_call(video_id: str, prompt: str, options: ClipOptions, idempotency_key: str | None) -> Call:
    """`POST /v1/videos/{id}/remix`."""
    key = {"Idempotency-Key": idempotency_key or str(uuid4())}
    return Call("POST", video_path(video_id, "remix"), json={"prompt": prompt, **options}, headers=key)


def finalize_call(video_id: str, options: FinalOptions, idempotency_key: str | None) -> Call:
    """`POST /v1/videos/{id}/finalize`."""
    key = {"Idempotency-Key": idempotency_key or str(uuid4())}
    return Call("POST", video_path(video_id, "finalize"), json={**options}, headers=key)


def feedback_call(video_id: str, rating: int | None, better_than: str | None, comment: str) -> Call:
    """`POST /v1/videos/{id}/feedback`."""
    given = {"rating": rating, "better_than": better_than, "comment": comment or None}
    word = {name: value for name, value in given.items() if value is not None}
    return Call("POST", video_path(video_id, "feedback"), json=word)


def list_call(after: str | None, page_size: int, order: Order, status: str | None) -> Call:
    """`GET /v1/videos`."""
    asked = {"after": after, "limit": str(page_size), "order": order, "status": status}
    return Call("GET", "/v1/videos", params={name: value for name, value in asked.items() if value})


def events_call(video_id: str, last_event_id: int) -> Call:
    """`GET /v1/videos/{id}/events`, from the event after `last_event_id`."""
    headers = {"Accept": "text/event-stream"}
    if last_event_id:
        headers["Last-Event-ID"] = str(last_event_id)
    return Call("GET", video_path(video_id, "events"), headers=headers)


def content_call(video_id: str, variant: Variant, headers: Mapping[str, str] | None = None) -> Call:
    """`GET /v1/videos/{id}/content`."""
    return Call("GET", video_path(video_id, "content"), params={"variant": variant}, headers=headers or {})


def model_call(model_id: str) -> Call:
    """`GET /v1/models/{id}`."""
    return Call("GET", f"/v1/models/{quote(model_id, safe='')}")


def video_path(video_id: str, tail: str = "") -> str:
    """The path of a job; an id is one segment, whatever it holds."""
    return f"/v1/videos/{quote(video_id, safe='')}" + (f"/{tail}" if tail else "")


def _form(prompt: str, options: ClipOptions) -> dict[str, str | list[str]]:
    """Form fields: lists as `name[]`, booleans as `true`, as the OpenAI client writes them."""
    form: dict[str, str | list[str]] = {"prompt": prompt} if prompt else {}
    for name, value in options.items():
        if isinstance(value, bool):
            form[name] = "true" if value else "false"
        elif isinstance(value, list | tuple):
            form[f"{name}[]"] = [str(element) for element in value]
        elif value is not None:
            form[name] = str(value)
    return form


def _files(
    image: ImageSource | None, last_image: ImageSource | None, drivers: Drivers
) -> dict[str, tuple[str, bytes]]:
    given = {"input_reference": image, "last_image": last_image, **drivers}
    return {name: _file(source) for name, source in given.items() if source is not None}


def _file(source: ImageSource) -> tuple[str, bytes]:
    """File name and bytes, read at once so that the request can be sent again."""
    if isinstance(source, bytes):
        return "upload", source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.exists() and not path.is_file():
            raise InvalidRequest(f"{path} is not a regular file", param="image")
        return path.name, path.read_bytes()
    return "upload", source.read()
