"""What lies on rest.fal.ai and fal's content network: uploads in both ways of fal's clients, and the key set.

Python's client: `POST /storage/auth/token` gives a bearer token, with which `POST {base_url}/files/upload`
takes the bytes and answers `access_url`. JavaScript's: `POST /storage/upload/initiate` gives `upload_url` and
`file_url`; the bytes go by `PUT` to the first. Which fields the answers have is inferred from those clients.
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from models.providers.fake.core import Fake
from models.providers.fake.desk import Desk
from models.providers.fake.fal_hooks import Signer
from models.providers.fake.uploads import Upload, inspected

KEPT_S = 7 * 24 * 3600.0
TOKEN_S = 3600.0


PREFIXES = ("", "/rest")


def storage_routes(fake: Fake, desk: Desk, signer: Signer) -> list[BaseRoute]:
    """All routes, at the root and under `/rest`."""
    storage = _Storage(fake)

    async def jwks(_: Request) -> Response:
        return JSONResponse(signer.jwks())

    made: list[BaseRoute] = []
    for prefix in PREFIXES:
        made += [
            desk.route(f"{prefix}/.well-known/jwks.json", "GET", "jwks", jwks, key=False),
            desk.route(f"{prefix}/storage/auth/token", "POST", "token", storage.token),
            desk.route(f"{prefix}/storage/upload/initiate", "POST", "initiate", storage.initiate),
            desk.route(f"{prefix}/_storage/{{id}}/{{name}}", "PUT", "upload", storage.put, key=False),
            desk.route(f"{prefix}/files/upload", "POST", "upload", storage.post, key=False),
        ]
    return made


class _Storage:
    def __init__(self, fake: Fake) -> None:
        self._fake = fake
        self._tokens: set[str] = set()
        self._places: dict[str, str] = {}
        """File names by upload id, of uploads that were announced."""

    async def token(self, _: Request) -> Response:
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + TOKEN_S))
        return JSONResponse(
            {"token": token, "token_type": "Bearer", "base_url": self._fake.url, "expires_at": expires}
        )

    async def initiate(self, request: Request) -> Response:
        try:
            told = json.loads(await request.body())
        except ValueError:
            told = None
        if not isinstance(told, dict) or not isinstance(told.get("content_type"), str):
            return _bad("content_type is required")
        name = str(told.get("file_name") or "file")
        upload_id = uuid.uuid4().hex
        self._places[upload_id] = name
        tail = f"{upload_id}/{quote(name, safe='')}"
        return JSONResponse(
            {
                "upload_url": f"{self._fake.url}/_storage/{tail}?signature=fake",
                "file_url": f"{self._fake.url}/files/{tail}",
            }
        )

    async def put(self, request: Request) -> Response:
        """The signed URL needs no key."""
        upload_id = request.path_params["id"]
        name = self._places.get(upload_id)
        if name is None or "signature" not in request.query_params:
            return JSONResponse({"detail": "Forbidden"}, status_code=403)
        await self._keep(request, upload_id, name)
        return Response(status_code=200)

    async def post(self, request: Request) -> Response:
        """The content network, with a token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self._tokens:
            return JSONResponse({"detail": "Unauthorized"}, status_code=401)
        name = request.headers.get("x-fal-file-name", "file")
        upload = await self._keep(request, uuid.uuid4().hex, name)
        return JSONResponse({"access_url": upload.url})

    async def _keep(self, request: Request, upload_id: str, name: str) -> Upload:
        kind = request.headers.get("content-type", "application/octet-stream")
        facts = inspected(await request.body(), name, kind)
        now = time.time()
        url = f"{self._fake.url}/files/{upload_id}/{quote(name, safe='')}"
        upload = Upload(upload_id, url, facts, now, now + KEPT_S)
        self._fake.uploads.add(upload)
        return upload


def _bad(words: str) -> Response:
    told: dict[str, Any] = {"detail": words}
    return JSONResponse(told, status_code=400)
