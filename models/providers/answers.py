"""A provider's answer, read whole and bounded."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from models.providers.waits import retry_after_s


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the provider; neither headers nor body show in its `repr`."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Lower-case names."""
    body: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text, for tables of known phrases; never for messages or logs."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The parsed body; None when it is no JSON."""
        try:
            return jsonlib.loads(self.body)
        except ValueError:
            return None

    def fields(self) -> dict[str, Any]:
        """The parsed body when it is a JSON object, else nothing."""
        parsed = self.json()
        return parsed if isinstance(parsed, dict) else {}

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which the provider wants to be asked again, in a header or in words."""
        return retry_after_s(self.headers, self.text[:4096], time.time())


class TooLarge(httpx.HTTPError):
    """An answer that goes on beyond what any status or listing needs."""


async def read_answer(response: httpx.Response, limit: int) -> Answer:
    """Read a streamed response to its end; it is closed in any case.

    Raises:
        TooLarge: it is longer than `limit` bytes.
        httpx.HTTPError: it broke off.
    """
    body = bytearray()
    try:
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > limit:
                raise TooLarge(f"answer above {limit} bytes")
    finally:
        await response.aclose()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, bytes(body))
