"""fal's JSON: errors as a `detail` list, results, and the headers that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.providers.fake.calls import Call
from models.providers.fake.checking import Problem, Unfit
from models.providers.fake.desk import Refusal

DOCS = "https://docs.fal.ai/errors#"
Json = dict[str, Any]


class FalDialect:
    """`Authorization: Key …`, and errors of the gateway as one sentence in `detail`."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def authorised(self, request: Request) -> bool:
        """`Key`, and nothing else."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme == "Key" and bool(key) and (self._key is None or key == self._key)

    def refuse(self, refusal: Refusal) -> Response:
        """The gateway's words; an empty account is a 403 that says so."""
        status, words = refusal.status, "Internal Server Error"
        match refusal.kind:
            case "wrong_key":
                words = "Authentication is required to access this application. Use a valid API key."
            case "rate_limited":
                words = "Too many requests. Please try again later."
            case "no_quota":
                status = 403
                words = (
                    "User is locked. Reason: Exhausted balance. "
                    "Top up your balance at fal.ai/dashboard/billing."
                )
            case "retired":
                words = "Application not found"
            case "forgotten":
                words = "Request not found"
            case "unavailable":
                words = "Service Unavailable"
        headers = {} if refusal.retry_after_s is None else {"retry-after": f"{refusal.retry_after_s:g}"}
        return JSONResponse({"detail": words}, status_code=status, headers=headers)


def entry(where: Sequence[str | int], kind: str, message: str, ctx: Mapping[str, Any] | None = None) -> Json:
    """One entry of a `detail` list."""
    told: Json = {"loc": ["body", *where], "msg": message, "type": kind, "url": f"{DOCS}{kind}"}
    return told | ({"ctx": dict(ctx)} if ctx else {})


def refused(status: int, entries: list[Json], headers: Mapping[str, str] | None = None) -> Response:
    """A refusal by field."""
    return JSONResponse(
        {"detail": entries}, status_code=status, headers={"x-fal-retryable": "false", **(headers or {})}
    )


_TYPE_NAMES = {
    "string": "string",
    "media": "string",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "list": "list",
    "object": "dict",
}
_PROBLEMS: Mapping[str, tuple[str, str, str | None]] = {
    "unknown": ("extra_forbidden", "Extra inputs are not permitted", None),
    "missing": ("missing", "Field required", None),
    "one_of": ("one_of", "Input is not one of the expected values", "expected"),
    "too_small": ("greater_than_equal", "Input should be greater than or equal to the minimum", "ge"),
    "too_large": ("less_than_equal", "Input should be less than or equal to the maximum", "le"),
    "too_long": ("string_too_long", "String is too long", "max_length"),
    "too_few": ("sequence_too_short", "The sequence is too short", "min_length"),
    "too_many": ("sequence_too_long", "The sequence is too long", "max_length"),
    "media": ("file_download_error", "Failed to download the file. The URL", None),
}


def problem_entry(problem: Problem) -> Json:
    """What a schema refuses, as an entry."""
    if problem.kind == "type":
        name = _TYPE_NAMES[problem.limit]
        return entry(problem.where, f"{name}_type", f"Input should be a valid {name}")
    kind, message, key = _PROBLEMS[problem.kind]
    if problem.kind == "media":
        message = f"{message} {problem.limit}"
    return entry(problem.where, kind, message, None if key is None else {key: problem.limit})


_FAILURES: Mapping[str, tuple[int, str, bool]] = {
    "internal_server_error": (500, "Internal server error", True),
    "face_detection_error": (422, "Could not detect a face in the image", False),
    "content_policy_violation": (
        422,
        "The content could not be processed because it was flagged by a content checker.",
        False,
    ),
    "client_cancelled": (499, "The request was cancelled", False),
    "request_timeout": (504, "The request did not start in time", False),
}
"""Status, words and whether another try may help, by type."""


def result_of(
    call: Call, kind: str | None, broken: Unfit | None, url: str
) -> tuple[int, Json, dict[str, str]]:
    """The result of a request that is over: status, body and headers."""
    if kind is None:
        video = {"url": url, "content_type": "video/mp4", "file_name": "output.mp4", "file_size": None}
        seed = call.body.get("seed", 0)
        return 200, {"video": video, "seed": seed}, {}
    if broken is not None and kind == "face_detection_error":
        return 422, {"detail": [_unfit_entry(broken)]}, {"x-fal-retryable": "false"}
    status, words, retryable = _FAILURES[kind]
    headers = {"x-fal-retryable": str(retryable).lower(), "x-fal-error-type": kind}
    if kind == "request_timeout":
        headers["x-fal-request-timeout-type"] = "user"
    if kind in ("client_cancelled", "request_timeout"):
        return status, {"detail": words, "error_type": kind}, headers
    where = ("image_url",) if kind == "face_detection_error" else ()
    return status, {"detail": [entry(where, kind, words)]}, headers


def _unfit_entry(broken: Unfit) -> Json:
    """What a runner found: fal's own type where there is one, else a value error."""
    kind = "value_error" if broken.reason in ("joint_limit", "aspect") else broken.reason
    if broken.limit is None:
        return entry((broken.where,), kind, broken.says)
    bound = "min" if kind.endswith(("_small", "_short")) else "max"
    return entry((broken.where,), kind, broken.says, {bound: broken.limit, "provided": broken.provided})
