"""What the client sends and gets, without a connection: requests, answers, errors, server-sent events."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypedDict
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, ConfigDict

ImageSource = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes themselves, or an open binary file."""
Variant = Literal["video", "thumbnail", "spritesheet", "preview"]
Order = Literal["asc", "desc"]

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "expired"})
LAST_EVENTS = FINAL_STATUSES | {"deleted"}
"""Events after which nothing follows."""
RETRIED_STATUSES = frozenset({408, 429, 502, 503, 504})
"""The request was not taken, or may be sent again: every call of this client is idempotent."""
BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 8.0
LONGEST_RETRY_AFTER_S = 30.0
"""A server that asks for more patience than this is told of instead of waited for."""


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


# --- errors ----------------------------------------------------------------------------------


class ClientError(Exception):
    """Base of what the client raises."""


class ServerUnreachable(ClientError):
    """No answer: nothing listens, or the connection broke and did not come back."""

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"{server} cannot be reached: {reason}")
        self.server = server
        self.reason = reason


class WaitTimeout(ClientError):
    """The job did not end in the time that the caller wanted to wait; it goes on."""

    def __init__(self, video: Video, timeout: float) -> None:
        super().__init__(f"{video.id} is still {video.status} after {timeout:g} s")
        self.video = video


class ApiError(ClientError):
    """The server answered with an error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        request_id: str | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status."""
        self.code = code
        self.message = message
        self.param = param
        """The offending field of the request."""
        self.request_id = request_id
        self.body: Mapping[str, Any] = body or {}
        """The whole answer: `allowed` values, or the `decision` of a request that nothing fits."""

    @classmethod
    def of(cls, response: httpx.Response) -> ApiError:
        """Read an answer, the server's own or one that a proxy put in its place."""
        request_id = response.headers.get("x-request-id")
        try:
            body = response.json()
            error = body["error"]
            return cls(
                response.status_code,
                str(error["code"]),
                str(error["message"]),
                error.get("param"),
                body.get("request_id", request_id),
                body,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            text = response.text.strip()[:200] or response.reason_phrase
            message = f"HTTP {response.status_code}: {text}"
            return cls(response.status_code, f"http_{response.status_code}", message, None, request_id)


# --- answers ---------------------------------------------------------------------------------


class Answer(BaseModel):
    """Base of all answers: a field that a newer server adds is kept, not refused."""

    model_config = ConfigDict(extra="allow")


class VideoError(Answer):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None
    type: str | None = None


class Shape(Answer):
    """A clip's shape; None where the router may choose."""

    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    seconds: float | None = None


class Geometries(Answer):
    """As asked, and as delivered (before the end: as planned)."""

    requested: Shape
    effective: Shape | None = None


class ProgressDetail(Answer):
    """Where a job is."""

    stage: str
    step: int = 0
    steps: int = 0
    queue_position: int | None = None
    eta_seconds: float | None = None
    heartbeat_age_seconds: float | None = None
    attempt: int = 0


class Attempt(Answer):
    """One run of the job."""

    attempt: int
    status: str
    model: str
    offer: str
    gpus: int
    pool: str | None = None
    worker: str | None = None
    error: dict[str, Any] | None = None


class Video(Answer):
    """A job and, at its end, its clip."""

    id: str
    status: str
    created_at: int
    progress: int = 0
    model: str
    prompt: str | None = None
    seconds: str = ""
    size: str = ""
    completed_at: int | None = None
    expires_at: int | None = None
    remixed_from_video_id: str | None = None
    error: VideoError | None = None
    served_model: str | None = None
    seed: int | None = None
    tags: list[str] = []
    geometry: Geometries | None = None
    progress_detail: ProgressDetail | None = None
    usage: dict[str, Any] | None = None
    advice: list[str] = []
    routing: dict[str, Any] | None = None
    """The decision; absent in listings."""
    attempts: list[Attempt] | None = None

    @property
    def final(self) -> bool:
        """True when nothing can change it any more."""
        return self.status in FINAL_STATUSES


class VideoPage(Answer):
    """One page of a listing."""

    data: list[Video]
    has_more: bool = False
    last_id: str | None = None


class Model(Answer):
    """One card, as the server lists it."""

    id: str
    owned_by: str = ""
    title: str = ""
    family: str = ""
    status: str = ""
    makes: str = ""
    tasks: list[str] = []
    licence: str = ""
    summary: str = ""
    replacement: str | None = None
    readiness: str = ""


class ModelPage(Answer):
    """All cards."""

    data: list[Model]


class Health(Answer):
    """Whether the server can take work, and why not."""

    status: str
    checks: dict[str, Any] = {}

    @property
    def ready(self) -> bool:
        """True when every check passed."""
        return self.status == "ready"


class VideoEvent(Answer):
    """One entry of a job's history."""

    id: str
    type: str
    seq: int = 0
    at: float = 0.0
    data: dict[str, Any] = {}


# --- requests --------------------------------------------------------------------------------


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
) -> Call:
    """`POST /v1/videos`; without a key one is drawn, so that a repeated send is one job."""
    return Call(
        "POST",
        "/v1/videos",
        form=_form(prompt, options),
        files=_files(image, last_image),
        headers={"Idempotency-Key": idempotency_key or str(uuid4())},
    )


def route_call(
    image: ImageSource | None,
    prompt: str,
    options: ClipOptions,
    *,
    last_image: ImageSource | None,
    image_size: str | None,
    fleet: Literal["live", "all"],
) -> Call:
    """`POST /v1/route`."""
    form = {**_form(prompt, options), "fleet": fleet}
    if image_size is not None:
        form["image_size"] = image_size
    return Call("POST", "/v1/route", form=form, files=_files(image, last_image))


def remix_call(video_id: str, prompt: str, options: ClipOptions, idempotency_key: str | None) -> Call:
    """`POST /v1/videos/{id}/remix`."""
    key = {"Idempotency-Key": idempotency_key or str(uuid4())}
    return Call("POST", video_path(video_id, "remix"), json={"prompt": prompt, **options}, headers=key)


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


def content_call(video_id: str, variant: Variant) -> Call:
    """`GET /v1/videos/{id}/content`."""
    return Call("GET", video_path(video_id, "content"), params={"variant": variant})


def video_path(video_id: str, tail: str = "") -> str:
    """The path of a job; an id is one segment, whatever it holds."""
    return f"/v1/videos/{quote(video_id, safe='')}" + (f"/{tail}" if tail else "")


def backoff_seconds(attempt: int, retry_after: str | None = None) -> float | None:
    """How long to wait before send `attempt + 1`; None when the server wants more patience than we have.

    Full jitter, as in Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """
    if retry_after is not None and retry_after.isdecimal():
        asked = float(retry_after)
        return asked if asked <= LONGEST_RETRY_AFTER_S else None
    return random.uniform(0, min(LONGEST_BACKOFF_S, BACKOFF_S * 2**attempt))  # noqa: S311 - not a secret


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


def _files(image: ImageSource | None, last_image: ImageSource | None) -> dict[str, tuple[str, bytes]]:
    given = {"input_reference": image, "last_image": last_image}
    return {name: _file(source) for name, source in given.items() if source is not None}


def _file(source: ImageSource) -> tuple[str, bytes]:
    """File name and bytes, read at once so that the request can be sent again."""
    if isinstance(source, bytes):
        return "upload", source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return path.name, path.read_bytes()
    return "upload", source.read()


# --- server-sent events ----------------------------------------------------------------------


class EventReader:
    """Lines of a stream into events (WHATWG HTML, "Interpreting an event stream"); remembers where it is."""

    def __init__(self, last_event_id: int = 0) -> None:
        self.last_event_id = last_event_id
        self.retry_s = 1.0
        self.ended = False
        """True when the last event that a job can have was seen."""
        self._lines: list[str] = []

    def restart(self) -> None:
        """Forget a half event: the connection broke."""
        self._lines = []

    def feed(self, line: str) -> VideoEvent | None:
        """Take the next line; returns an event when it completes one."""
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                self._lines.append(value)
            elif name == "retry" and value.isdecimal():
                self.retry_s = int(value) / 1000
            return None
        lines, self._lines = self._lines, []
        if not lines:
            return None
        event = VideoEvent.model_validate(json.loads("\n".join(lines)))
        self.last_event_id = max(self.last_event_id, event.seq)
        self.ended = event.type in LAST_EVENTS
        return event
