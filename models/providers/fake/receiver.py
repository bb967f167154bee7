"""The other end of webhooks for tests: a server that takes messages down, or refuses the first few."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.providers.fake.server import serving


@dataclass(frozen=True, slots=True)
class Message:
    """One request, as it came."""

    path: str
    """With its query."""
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """What arrived."""

    refuse: int = 0
    """So many messages are answered with 500 first."""
    url: str = ""
    messages: list[Message] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at every message."""

    async def take(self, request: Request) -> Response:
        """Write a message down."""
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.messages.append(Message(path, dict(request.headers), await request.body()))
        self.arrived.set()
        return Response(status_code=500 if len(self.messages) <= self.refuse else 204)


@asynccontextmanager
async def receiving(refuse: int = 0) -> AsyncIterator[Receiver]:
    """Take messages at any path as long as the block lasts."""
    receiver = Receiver(refuse)
    application = Starlette(routes=[Route("/{path:path}", receiver.take, methods=["POST"])])
    async with serving(application, "127.0.0.1", 0) as url:
        receiver.url = url
        yield receiver
