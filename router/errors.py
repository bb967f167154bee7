"""The one place where an error becomes an HTTP answer: RFC 9457 and OpenAI's envelope in a single body."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import I2VError, InvalidRequest, NoRoute
from policies.base import Decision
from policies.render import decision_json

logger = logging.getLogger("router.gateway")

PROBLEM_TYPE = "application/problem+json"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""What a client may send as its own request id: nothing that could forge a log line."""
ECHOED = 60
"""Longest offending value that an error repeats; prompts and images are never repeated."""
SECRET_FIELDS = frozenset(
    {"prompt", "negative_prompt", "comment", "image_url", "input_reference", "last_image"}
    | {"driving_video", "audio"}
)
MAX_LISTED = 8
RETRYABLE = frozenset({408, 429})
"""Client-side statuses that the OpenAI client retries rightly; it would also retry 409, see `problem`."""


class ErrorEnvelope(BaseModel):
    """What OpenAI clients read."""

    message: str
    type: str
    param: str | None = None
    code: str


class Problem(BaseModel):
    """RFC 9457 members beside OpenAI's `error`; a code may add members (`allowed`, `decision`)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    error: ErrorEnvelope


def problem(
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    request_id: str,
    param: str | None = None,
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build the error answer.

    `x-should-retry: false` goes with every client error that will fail again: the OpenAI client (3.52,
    `_base_client.py`) otherwise retries 408, 409, 429 and 5xx, a POST included.
    """
    body = {
        "type": f"urn:i2v:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
        "error": {"message": detail, "type": _openai_type(status), "param": param, "code": code},
        **(members or {}),
    }
    out = dict(headers or {})
    if 400 <= status < 500 and status not in RETRYABLE:
        out["x-should-retry"] = "false"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        out.setdefault("Retry-After", "1")
    return Response(json.dumps(body), status, headers=out, media_type=PROBLEM_TYPE)


def _openai_type(status: int) -> str:
    if status >= 500:
        return "server_error"
    return {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error"
    )


def i2v_problem(error: I2VError, request_id: str) -> Response:
    """The answer to one of the product's own errors."""
    members: dict[str, Any] = {}
    if error.allowed is not None:
        members["allowed"] = error.allowed
    if isinstance(error, NoRoute) and isinstance(error.decision, Decision):
        members["decision"] = decided = decision_json(error.decision)
        # What to send instead, without the candidates' scores: each patch is laid over the request.
        members["counter_offers"] = [
            {name: offer[name] for name in ("change", "patch", "saves") if name in offer}
            for offer in decided["counter_offers"]
        ]
    return problem(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.message,
        request_id=request_id,
        param=error.param,
        members=members,
    )


def field_name(location: Sequence[str | int]) -> str:
    """`("camera", 0, "move")` as clients write it: `camera[0].move`."""
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else (f".{part}" if name else str(part))
    return name or "body"


def invalid_request(
    errors: Sequence[Mapping[str, Any]], allowed_fields: Sequence[str] = ()
) -> InvalidRequest:
    """One error out of what pydantic found: names each field, what was given and what is allowed."""
    unknown = [field_name(e["loc"]) for e in errors if e["type"] == "extra_forbidden"]
    lines = [_line(error) for error in errors if error["type"] != "extra_forbidden"]
    if unknown:
        listed = ", ".join(map(repr, unknown[:MAX_LISTED]))
        close = sorted({match for name in unknown for match in get_close_matches(name, allowed_fields, 1)})
        hint = f"; did you mean {', '.join(map(repr, close))}?" if close else ""
        lines.insert(0, f"unknown field{'s' if len(unknown) > 1 else ''} {listed}{hint}")
    param = unknown[0] if unknown else field_name(errors[0]["loc"])
    allowed: object = list(allowed_fields) or None if unknown else _allowed(errors[0])
    return InvalidRequest("; ".join(lines[:MAX_LISTED]), param=param, allowed=allowed)


def _line(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    text = f"{field_name(error['loc'])}: {message[:1].lower()}{message[1:]}"
    given = error.get("input")
    if SECRET_FIELDS.isdisjoint(map(str, error["loc"])) and isinstance(given, str | int | float):
        try:
            shown = repr(given)
        except ValueError:  # an integer of more digits than Python prints
            return text
        if len(shown) <= ECHOED and shown not in text:
            text += f"; got {shown}"
    return text


def _allowed(error: Mapping[str, Any]) -> object:
    context = error.get("ctx", {})
    bounds = {
        key: context[key] for key in ("gt", "ge", "lt", "le", "max_length", "min_length") if key in context
    }
    return bounds or context.get("expected")


def request_id_of(request: Request) -> str:
    """The identity that `ProblemBoundary` gave this request."""
    return str(getattr(request.state, "request_id", "req_unknown"))


def install(app: FastAPI) -> None:
    """Map every error that a route can raise."""

    @app.exception_handler(I2VError)
    async def _(request: Request, error: I2VError) -> Response:
        if error.status >= 500:
            logger.error("%s: %s", error.code, error.message, extra={"request_id": request_id_of(request)})
        return i2v_problem(error, request_id_of(request))

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        # The first part of a location says `query`, `path` or `header`: clients know the name alone.
        errors = [{**e, "loc": tuple(e["loc"][1:])} for e in error.errors()]
        return i2v_problem(invalid_request(errors), request_id_of(request))

    @app.exception_handler(ValidationError)
    async def _(request: Request, error: ValidationError) -> Response:
        # A wire type that failed outside `parse` is our fault, not the client's.
        logger.error("response shape: %s", error.title, extra={"request_id": request_id_of(request)})
        return internal_error(request_id_of(request))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        codes = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}
        return problem(
            status=error.status_code,
            code=codes.get(error.status_code, status.phrase.lower().replace(" ", "_")),
            title=status.phrase,
            detail=str(error.detail),
            request_id=request_id_of(request),
            headers=error.headers,
        )


def internal_error(request_id: str) -> Response:
    """The answer when nobody knows what happened; says nothing of the inside."""
    return problem(
        status=500,
        code="internal_error",
        title="Internal error",
        detail=f"Something went wrong on our side. Quote request {request_id} when you report it.",
        request_id=request_id,
    )


class ProblemBoundary:
    """Outermost ASGI layer: every request gets an id, and what nobody caught becomes a problem.

    The traceback is logged without the exception's text, which can carry a prompt (a database driver
    repeats its parameters there).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else f"req_{uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def identified(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, identified)
        except ClientDisconnect:
            logger.info("client left before its request was read", extra={"request_id": request_id})
        except Exception as error:
            frames = "".join(traceback.format_tb(error.__traceback__))
            logger.error("unhandled %s\n%s", type(error).__name__, frames, extra={"request_id": request_id})
            if started:
                raise
            await internal_error(request_id)(scope, receive, identified)
