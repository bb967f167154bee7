"""Refuse a body that is too large before it is in memory: by its announced length first, then by counting."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import PayloadTooLarge
from router.errors import i2v_problem

DRAIN_FACTOR = 16
"""A refused body is read on (and thrown away) up to this many of the usual limits, so that a client which
reads only after it has sent everything still sees the answer and not a reset connection."""
DRAIN_SECONDS = 10.0


class BodyLimit:
    """ASGI layer that raises `PayloadTooLarge` out of `receive` when the body passes its limit in bytes.

    `larger` are the limits of paths that take more than the usual `limit`.
    """

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.limit = limit
        self.larger = dict(larger or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.larger.get(scope["path"], self.limit)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await self._refuse(scope, receive, send, limit, int(announced))
            return
        seen = 0
        ended = False

        async def counted() -> Message:
            nonlocal seen, ended
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                ended = not message.get("more_body", False)
                if seen > limit:
                    raise _error(limit, None)
            return message

        async def drained(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if last and seen > limit and not ended:
                await send({**message, "more_body": True})
                await _drain(receive, limit + DRAIN_FACTOR * self.limit, seen)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await send(message)

        await self.app(scope, counted, drained)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, limit: int, announced: int) -> None:
        request_id = str(scope.get("state", {}).get("request_id", "req_unknown"))
        response = i2v_problem(_error(limit, announced), request_id)
        response.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": 413, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": bytes(response.body), "more_body": True})
        await _drain(receive, DRAIN_FACTOR * self.limit, 0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive, most: int, seen: int) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while seen <= most:
                message = await receive()
                seen += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return


def _error(limit: int, announced: int | None) -> PayloadTooLarge:
    given = f"{announced} bytes" if announced is not None else "more"
    return PayloadTooLarge(
        f"the request body may have at most {limit} bytes; got {given}", allowed={"max_bytes": limit}
    )
