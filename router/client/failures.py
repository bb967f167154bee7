"""What the clients raise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from router.client.answers import Video


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
