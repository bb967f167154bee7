"""Replicate's files: inputs that were uploaded by multipart, kept for a day."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from models.providers.fake.core import Fake
from models.providers.fake.desk import Desk
from models.providers.fake.replicate_words import problem
from models.providers.fake.uploads import Upload, inspected

KEPT_S = 24 * 3600.0
LARGEST = 100 * 1024 * 1024
"""Bytes of one file."""


def file_routes(fake: Fake, desk: Desk, prefix: str) -> list[BaseRoute]:
    """`POST /files`, `GET` and `DELETE /files/{id}`."""

    async def create(request: Request) -> Response:
        async with request.form(max_part_size=LARGEST) as form:
            content = form.get("content")
            if not isinstance(content, UploadFile):
                return problem(400, "Bad request", "The form field content must hold a file.")
            metadata = form.get("metadata")
            if isinstance(metadata, str) and not _is_object(metadata):
                return problem(400, "Bad request", "The form field metadata must be a JSON object.")
            name = form.get("filename")
            kind = form.get("type")
            facts = inspected(
                await content.read(),
                name if isinstance(name, str) else content.filename or "file",
                kind if isinstance(kind, str) else content.content_type or "application/octet-stream",
            )
        file_id = str(uuid.uuid4())
        now = time.time()
        upload = Upload(file_id, f"{fake.url}/v1/files/{file_id}", facts, now, now + KEPT_S)
        fake.uploads.add(upload)
        return JSONResponse(_told(upload), status_code=201)

    async def get(request: Request) -> Response:
        upload = fake.uploads.by_id(request.path_params["id"])
        return _missing() if upload is None else JSONResponse(_told(upload))

    async def delete(request: Request) -> Response:
        return Response(status_code=204) if fake.uploads.remove(request.path_params["id"]) else _missing()

    return [
        desk.route(f"{prefix}/files", "POST", "upload", create),
        desk.route(f"{prefix}/files/{{id}}", "GET", "file", get),
        desk.route(f"{prefix}/files/{{id}}", "DELETE", "file", delete),
    ]


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _missing() -> Response:
    return problem(404, "Not found", "The requested file could not be found.")


def _told(upload: Upload) -> dict[str, Any]:
    facts = upload.facts
    return {
        "id": upload.id,
        "name": facts.name,
        "content_type": facts.content_type,
        "size": facts.bytes,
        "etag": facts.sha256[:32],
        "checksums": {"sha256": facts.sha256},
        "metadata": {},
        "created_at": datetime.fromtimestamp(upload.created_at, UTC).isoformat().replace("+00:00", "Z"),
        "expires_at": datetime.fromtimestamp(upload.expires_at, UTC).isoformat().replace("+00:00", "Z"),
        "urls": {"get": upload.url},
    }
