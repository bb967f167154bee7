"""What the blocking and the async client share: where the server is, when to send again, how long to wait."""

from __future__ import annotations

import os
import random
import time
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from models.errors import InvalidRequest
from router.client.answers import Video
from router.client.calls import Call
from router.client.failures import ApiError, ClientError, ServerUnreachable, WaitTimeout

DEFAULT_SERVER = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
"""Above the slowest answer that is not a stream: a 25 MB upload over 5 Mbit/s."""
RETRIES = 2
RETRIED_STATUSES = frozenset({408, 429, 502, 503, 504})
"""The request was not taken, or may be sent again: every call of the clients is idempotent."""
BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 8.0
LONGEST_RETRY_AFTER_S = 30.0
"""A server that asks for more patience than this is told of instead of waited for."""
LOST_CONNECTIONS = 10
"""Connections that may be lost in a row while a job is followed, before the server counts as gone."""
POLL_S = (0.1, 5.0)
"""Bounds of the pace at which a wait asks."""
DEFAULT_POLL_S = 1.0
A = TypeVar("A", bound=BaseModel)


class Connection:
    """The server's address and the policy of retries; no sockets."""

    def __init__(self, server: str | None, api_key: str | None, retries: int) -> None:
        address = (server or os.environ.get("I2V_SERVER") or DEFAULT_SERVER).rstrip("/").removesuffix("/v1")
        if not address.startswith(("http://", "https://")):
            raise InvalidRequest(
                f"server must be an http:// or https:// address; got {address!r}", param="server"
            )
        self.server = address
        self.retries = retries
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def unreachable(self, error: httpx.TransportError) -> ServerUnreachable:
        """The error for a connection that was lost or never made."""
        return ServerUnreachable(self.server, str(error) or type(error).__name__)

    def pause_before_retry(self, attempt: int, outcome: httpx.Response | httpx.TransportError) -> float:
        """Seconds until the next send, after send `attempt` (from 0) ended so.

        Raises:
            ServerUnreachable, ApiError: it is not sent again.
        """
        if isinstance(outcome, httpx.TransportError):
            if attempt >= self.retries:
                raise self.unreachable(outcome) from outcome
            return backoff_seconds(attempt)
        asked = retry_after_seconds(outcome)
        patient = asked is None or asked <= LONGEST_RETRY_AFTER_S
        if attempt >= self.retries or outcome.status_code not in RETRIED_STATUSES or not patient:
            raise ApiError.of(outcome)
        return asked if asked is not None else backoff_seconds(attempt)


def request_arguments(call: Call) -> dict[str, Any]:
    """A call as the arguments of httpx's `request` and `stream`."""
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.params),
        "data": call.form,
        "files": call.files,
        "json": call.json,
        "headers": dict(call.headers),
    }


def read(shape: type[A], response: httpx.Response) -> A:
    """An answer as its type; raises `ClientError` when the server speaks another language."""
    try:
        return shape.model_validate_json(response.content)
    except ValueError as error:
        raise ClientError(
            f"{response.request.url} did not answer like an i2v server ({response.status_code}): {error}"
        ) from error


def read_mapping(response: httpx.Response) -> dict[str, Any]:
    """An answer that is kept as JSON; raises `ClientError` when it is none."""
    try:
        return dict(response.json())
    except (ValueError, TypeError) as error:
        raise ClientError(
            f"{response.request.url} did not answer like an i2v server ({response.status_code}): {error}"
        ) from error


def backoff_seconds(attempt: int) -> float:
    """How long to wait after send `attempt` (from 0) failed.

    Full jitter, as in Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """
    return random.uniform(0, min(LONGEST_BACKOFF_S, BACKOFF_S * 2**attempt))  # noqa: S311 - not a secret


def retry_after_seconds(response: httpx.Response) -> float | None:
    """`Retry-After` in seconds; its form with a date is not used by this API."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


class Patience:
    """How a wait goes on: its deadline, its pace, and how many lost connections it bears."""

    def __init__(self, timeout: float | None, poll: float | None) -> None:
        self._timeout = timeout
        self._poll = poll
        self._until = time.monotonic() + timeout if timeout is not None else None
        self._video: Video | None = None
        self._lost = 0

    def pause(self, video: Video, response: httpx.Response) -> float:
        """Seconds until the next read; raises `WaitTimeout` when there is no time left."""
        self._video, self._lost = video, 0
        advised = response.headers.get("openai-poll-after-ms", "")
        pace = int(advised) / 1000 if advised.isdecimal() else DEFAULT_POLL_S
        low, high = POLL_S
        return self._bounded(self._poll if self._poll is not None else min(max(pace, low), high))

    def bear(self, error: ServerUnreachable | ApiError) -> float:
        """Seconds until the next try after a lost connection or a refusal for now.

        A server that never answered is not waited for, and one that is gone for long neither.
        """
        self._lost += 1
        passing = isinstance(error, ServerUnreachable) or error.status in RETRIED_STATUSES
        if not passing or self._video is None or self._lost > LOST_CONNECTIONS:
            raise error
        return self._bounded(backoff_seconds(self._lost))

    def _bounded(self, pause: float) -> float:
        if self._until is None or self._timeout is None:
            return pause
        left = self._until - time.monotonic()
        if left <= 0 and self._video is not None:
            raise WaitTimeout(self._video, self._timeout)
        return min(pause, max(left, 0.0))
