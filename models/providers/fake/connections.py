"""Connections that can be cut: what a crash or a lost cable looks like to the other side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_PEERS: dict[object, asyncio.Transport] = {}
"""Open connections of this process by (server, client) address, which ASGI tells of every request."""


class CuttableProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, whose connection a `Cut` finds again."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the connection."""
        super().connection_made(transport)
        _PEERS[(self.server, self.client)] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        _PEERS.pop((self.server, self.client), None)
        super().connection_lost(exc)


class Cut(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the connection on which the request came."""
        await cut(scope, receive, reset=True)


class CutInTheMiddle(Response):
    """An answer whose head promises more bytes than come before the connection ends."""

    def __init__(self, content: bytes, promised: int, headers: Mapping[str, str]) -> None:
        super().__init__(content, headers={**headers, "content-length": str(promised)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what there is, then end the connection."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await cut(scope, receive, reset=False)


async def cut(scope: Scope, receive: Receive, *, reset: bool) -> None:
    """End the connection of a request, at once or after what was written; returns when it is gone."""
    transport = _PEERS[(tuple(scope["server"]), tuple(scope["client"]))]
    if reset:
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
