"""A request body into fields and images, in either notation (JSON or form)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from models.errors import InvalidImage, InvalidRequest
from models.types import Size
from policies.base import Features
from router.features import read_features
from router.images import content_type_of, encode_photograph, load_photograph
from router.multipart import expand
from router.schemas import CreateVideo

FORMS = frozenset({"multipart/form-data", "application/x-www-form-urlencoded"})
FILE_FIELDS = frozenset({"input_reference", "last_image"})
MAX_FORM_FIELDS = 200
MAX_FORM_FILES = 8
BIG_JSON = 256 * 1024
"""A longer body is parsed in a thread: it holds an image, and the event loop serves others meanwhile."""


@dataclass(frozen=True, slots=True)
class Body:
    """What came: fields of text and numbers, and files by field name."""

    fields: Mapping[str, Any]
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A photograph that passed every check, re-encoded without metadata."""

    content: bytes
    content_type: str
    sha256: str
    """Of the bytes that the client sent."""
    size: Size
    features: Features
    notes: tuple[str, ...]


async def read_body(request: Request) -> Body:
    """Read the body of `request`.

    Raises:
        InvalidRequest: it is no JSON object and no form, or a field's name is malformed.
        PayloadTooLarge: it passed the limit while it was read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in FORMS:
        return await _read_form(request)
    if kind == "application/json" or not kind:
        return Body(await read_json(request), {})
    raise InvalidRequest(
        f"Content-Type {kind[:80]!r} is not supported",
        param="Content-Type",
        allowed=["application/json", "multipart/form-data"],
    )


async def read_json(request: Request) -> dict[str, Any]:
    """A JSON object; raises `InvalidRequest` when the body is anything else."""
    raw = await request.body()
    try:
        parsed = await asyncio.to_thread(json.loads, raw) if len(raw) > BIG_JSON else json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRequest(f"the body is not valid JSON{where}", param="body") from None
    if not isinstance(parsed, dict):
        raise InvalidRequest("the body must be a JSON object", param="body")
    return parsed


async def _read_form(request: Request) -> Body:
    # A data: URI in a form field may be as large as a file would be: the body's own limit bounds both.
    limit = int(request.app.state.context.settings.max_upload_bytes)
    async with request.form(
        max_files=MAX_FORM_FILES, max_fields=MAX_FORM_FIELDS, max_part_size=limit
    ) as form:
        texts: list[tuple[str, str]] = []
        files: dict[str, bytes] = {}
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                await _take_file(files, name, value)
            elif value != "":
                texts.append((name, value))
    fields = expand(texts)
    # The OpenAI client sends an empty file beside a bracketed reference: the reference is meant.
    files = {name: content for name, content in files.items() if content or name not in fields}
    for name in files:
        if name in fields:
            raise InvalidRequest(f"{name} is given both as a file and as a field", param=name)
    return Body(fields, files)


async def _take_file(files: dict[str, bytes], name: str, upload: UploadFile) -> None:
    if name not in FILE_FIELDS:
        raise InvalidRequest(
            f"{name[:80]} does not take a file", param=name[:80], allowed=sorted(FILE_FIELDS)
        )
    content = await upload.read()
    if files.get(name):
        if content:
            raise InvalidRequest(f"{name} is given more than once", param=name)
        return
    files[name] = content


async def images_of(
    body: Body, wishes: CreateVideo
) -> tuple[tuple[str, bytes] | None, tuple[str, bytes] | None]:
    """(field, bytes) of the photograph and of the last frame, from files or `data:` addresses."""
    return await _image(body, wishes, "input_reference"), await _image(body, wishes, "last_image")


async def _image(body: Body, wishes: CreateVideo, name: str) -> tuple[str, bytes] | None:
    found = wishes.image_url("first_frame" if name == "input_reference" else "last_frame")
    if name in body.files:
        if found is not None:
            raise InvalidRequest(f"{name} is given twice: as a file and as {found[0]}", param=name)
        return name, body.files[name]
    if found is None:
        return None
    field, address = found
    return field, await asyncio.to_thread(decode_data_uri, address, field)


def decode_data_uri(address: str, field: str) -> bytes:
    """Bytes of a `data:…;base64,` address, or of bare base64. Raises `InvalidRequest` for web addresses."""
    scheme = address[:8].lower()
    if scheme.startswith(("http:", "https:")):
        raise InvalidRequest(
            f"{field}: remote image addresses are not enabled on this server; "
            "send the photograph as a file or as a data: URI",
            param=field,
        )
    payload = address
    if scheme.startswith("data:"):
        header, comma, payload = address.partition(",")
        if not comma or not header.lower().endswith(";base64"):
            raise InvalidImage(f"{field}: a data: URI must be base64 (data:image/png;base64,…)", param=field)
    try:
        return base64.b64decode("".join(payload.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidImage(
            f"{field}: neither a data: URI nor base64; send a file, or data:image/png;base64,…", param=field
        ) from None


def prepare(sent: bytes, prompt: str, *, field: str, max_pixels: int) -> Prepared:
    """Check, decode, read and re-encode one photograph. CPU work: run it in a thread."""
    photograph = load_photograph(sent, max_pixels=max_pixels, param=field)
    content = encode_photograph(photograph)
    return Prepared(
        content=content,
        content_type=content_type_of(content),
        sha256=photograph.sha256,
        size=Size(photograph.width, photograph.height),
        features=read_features(photograph, prompt),
        notes=tuple(photograph.notes),
    )
