"""A request body into fields and images, in either notation (JSON or form)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from fastapi import Request
from starlette.datastructures import UploadFile

from models.errors import InvalidImage, InvalidRequest
from models.types import Size
from policies.base import Features
from router.api.context import GatewayContext
from router.api.uploads import save, save_data_uri
from router.drivers import limit_of, too_large
from router.engine import DRIVERS
from router.features import read_features
from router.images import content_type_of, encode_photograph, load_photograph
from router.multipart import expand
from router.schemas import CreateVideo, parse
from router.settings import Settings

C = TypeVar("C", bound=CreateVideo)

FORMS = frozenset({"multipart/form-data", "application/x-www-form-urlencoded"})
IMAGE_FIELDS = frozenset({"input_reference", "last_image"})
FILE_FIELDS = IMAGE_FIELDS | set(DRIVERS)
MAX_FORM_FIELDS = 200
MAX_FORM_FILES = 8
BIG_JSON = 256 * 1024
"""A longer body is parsed in a thread: it holds an image, and the event loop serves others meanwhile."""


@dataclass(frozen=True, slots=True)
class Body:
    """What came: fields of text and numbers, and files by field name."""

    fields: Mapping[str, Any]
    files: Mapping[str, bytes]
    """Photographs."""
    drivers: Mapping[str, Path] = field(default_factory=dict)
    """Driving video and sound, in files that go with the body."""


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


@asynccontextmanager
async def reading(request: Request, shape: type[C]) -> AsyncIterator[tuple[Body, C]]:
    """The body of `request` and its fields checked against `shape`; its drivers' files go at the end.

    Raises:
        InvalidRequest: it is no JSON object and no form, or a field is wrong.
        InvalidMedia: a driver's data: URI cannot be read.
        PayloadTooLarge: it passed a limit while it was read.
    """
    context: GatewayContext = request.app.state.context
    announced = request.headers.get("content-length", "")
    async with AsyncExitStack() as stack:
        if not announced.isdecimal() or int(announced) > context.settings.max_upload_bytes:
            await stack.enter_async_context(context.large_bodies)
        # Ours alone, and gone with the request, whatever becomes of it.
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="i2v-upload-")))
        body = await _read_body(request, scratch, context.settings)
        wishes = parse(shape, body.fields)
        drivers = dict(body.drivers)
        for name in DRIVERS:
            address = getattr(wishes, name)
            if address is not None:
                limit = limit_of(name, context.settings)
                drivers[name] = scratch / name
                await asyncio.to_thread(save_data_uri, address, drivers[name], name, limit)
        yield replace(body, drivers=drivers), wishes


async def _read_body(request: Request, scratch: Path, settings: Settings) -> Body:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in FORMS:
        return await _read_form(request, scratch, settings)
    if kind == "application/json" or not kind:
        return Body(await read_json(request), {})
    raise InvalidRequest(
        f"Content-Type {kind[:80]!r} is not supported",
        param="Content-Type",
        allowed=["application/json", "multipart/form-data"],
    )


async def read_json(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """A JSON object (an empty body is an empty one if `optional`); anything else raises `InvalidRequest`."""
    raw = await request.body()
    if optional and not raw.strip():
        return {}
    try:
        parsed = await asyncio.to_thread(json.loads, raw) if len(raw) > BIG_JSON else json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRequest(f"the body is not valid JSON{where}", param="body") from None
    if not isinstance(parsed, dict):
        raise InvalidRequest("the body must be a JSON object", param="body")
    return parsed


async def _read_form(request: Request, scratch: Path, settings: Settings) -> Body:
    # A data: URI in a form field may be as large as a file would be: the body's own limit bounds both.
    async with request.form(
        max_files=MAX_FORM_FILES, max_fields=MAX_FORM_FIELDS, max_part_size=settings.max_body_bytes
    ) as form:
        texts: list[tuple[str, str]] = []
        files: dict[str, bytes] = {}
        drivers: dict[str, Path] = {}
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                await _take_file(files, drivers, name, value, scratch, settings)
            elif value != "":
                texts.append((name, value))
    fields = expand(texts)
    # The OpenAI client sends an empty file beside a bracketed reference: the reference is meant.
    files = {name: content for name, content in files.items() if content or name not in fields}
    for name in (*files, *drivers):
        if name in fields:
            raise InvalidRequest(f"{name} is given both as a file and as a field", param=name)
    return Body(fields, files, drivers)


async def _take_file(
    files: dict[str, bytes],
    drivers: dict[str, Path],
    name: str,
    upload: UploadFile,
    scratch: Path,
    settings: Settings,
) -> None:
    if name not in FILE_FIELDS:
        raise InvalidRequest(
            f"{name[:80]} does not take a file", param=name[:80], allowed=sorted(FILE_FIELDS)
        )
    if name in DRIVERS:
        if name in drivers:
            raise InvalidRequest(f"{name} is given more than once", param=name)
        drivers[name] = scratch / name
        await asyncio.to_thread(save, upload.file, drivers[name], name, limit_of(name, settings))
        return
    if upload.size is not None and upload.size > settings.max_upload_bytes:
        raise too_large(name, settings.max_upload_bytes)
    content = await upload.read()
    if files.get(name):
        if content:
            raise InvalidRequest(f"{name} is given more than once", param=name)
        return
    files[name] = content


async def images_of(
    body: Body, wishes: CreateVideo, limit: int
) -> tuple[tuple[str, bytes] | None, tuple[str, bytes] | None]:
    """(field, bytes) of the photograph and of the last frame, from files or `data:` addresses.

    Raises:
        InvalidRequest: one is given twice, or by a web address.
        InvalidImage: an address is not base64.
        PayloadTooLarge: one has more than `limit` bytes.
    """
    images = await _image(body, wishes, "input_reference"), await _image(body, wishes, "last_image")
    for image in images:
        if image is not None and len(image[1]) > limit:
            raise too_large(image[0], limit)
    return images


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
