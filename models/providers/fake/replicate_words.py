"""Replicate's JSON: predictions, models and their OpenAPI schemas, errors as problem+json."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.providers.fake.calls import Call, Status
from models.providers.fake.checking import Problem
from models.providers.fake.core import Fake
from models.providers.fake.desk import Refusal
from models.providers.fake.schema import FieldSpec, ModelSpec

RETENTION_S = 3600.0
"""Inputs and outputs of predictions made through the API are deleted after one hour."""
ERRORS = {
    "fails": "Prediction failed: an unknown error occurred (E1000)",
    "refuses_input": "E006 invalid input: {reason} (E006)",
    "refuses_content": "The input or output was flagged as sensitive. Please try again. (E005)",
}


class ReplicateDialect:
    """Bearer keys and problem+json."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def authorised(self, request: Request) -> bool:
        """`Authorization: Bearer …`, or the older `Token …`."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme in ("Bearer", "Token") and bool(key) and (self._key is None or key == self._key)

    def refuse(self, refusal: Refusal) -> Response:
        """A problem document, or bare text where a gateway answers."""
        match refusal.kind:
            case "wrong_key":
                return problem(401, "Unauthenticated", "You did not pass a valid authentication token")
            case "rate_limited":
                return _throttled(refusal.retry_after_s or 1.0)
            case "no_quota":
                return problem(
                    402,
                    "Insufficient credit",
                    "You have insufficient credit to run this model. Go to "
                    "https://replicate.com/account/billing to purchase credit.",
                )
            case "retired" | "forgotten":
                return problem(404, "Not found", "The requested resource could not be found.")
            case _:
                return problem(refusal.status, "Internal server error", "Something went wrong on our side.")


def problem(status: int, title: str, detail: str) -> Response:
    """One problem document (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": None}
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


def _throttled(seconds: float) -> Response:
    """Replicate's 429 says the time in words too."""
    body = {
        "title": "Too many requests",
        "status": 429,
        "detail": f"Request was throttled. Your rate limit resets in ~{max(round(seconds), 1)}s.",
        "retry_after": round(seconds, 3),
    }
    headers = {"retry-after": f"{max(round(seconds), 0)}", "ratelimit-remaining": "0"}
    return JSONResponse(body, status_code=429, headers=headers, media_type="application/problem+json")


def problem_detail(found: Problem) -> str:
    """One line of a 422's `detail`, which names the field."""
    *parents, name = found.where
    inside = ".".join(map(str, ("input", *parents)))
    whole = f"{inside}.{name}"
    words = {
        "missing": f"{inside}: {name} is required",
        "unknown": f"{inside}: Additional property {name} is not allowed",
        "type": f"{whole}: Invalid type. Expected: {_expected(found.limit)}, given: {found.given}",
        "one_of": f"{whole}: {whole} must be one of the following: {_listed(found.limit)}",
        "too_small": f"{whole}: Must be greater than or equal to {found.limit:g}" if _number(found) else "",
        "too_large": f"{whole}: Must be less than or equal to {found.limit:g}" if _number(found) else "",
        "too_long": f"{whole}: String length must be less than or equal to {found.limit}",
        "too_few": f"{whole}: Array must have at least {found.limit} items",
        "too_many": f"{whole}: Array must have at most {found.limit} items",
        "media": f"{whole}: Does not match format 'uri' ({found.limit})",
    }
    return f"- {words[found.kind]}\n"


def _number(found: Problem) -> bool:
    return isinstance(found.limit, int | float)


def _expected(kind: object) -> str:
    return {"media": "string", "list": "array"}.get(str(kind), str(kind))


def _listed(values: object) -> str:
    items = values if isinstance(values, list) else []
    return ", ".join(f'"{item}"' if isinstance(item, str) else str(item) for item in items)


# --- predictions -----------------------------------------------------------------------------


def prediction_json(fake: Fake, call: Call) -> dict[str, Any]:
    """A prediction, as `GET` and webhooks show it."""
    now = fake.now()
    status = call.status(now)
    removed = status.over and now > call.ends + RETENTION_S
    output = fake.result_url(call) if status is Status.SUCCEEDED and not removed else None
    base = f"{fake.url}/v1/predictions/{call.id}"
    return {
        "id": call.id,
        "model": call.tags["model"],
        "version": call.tags["version"],
        "input": {} if removed else call.body["input"],
        "logs": "",
        "output": output,
        "data_removed": removed,
        "error": _error(call) if status is Status.FAILED else None,
        "status": status_word(call, now),
        "source": "api",
        "created_at": _iso(call.accepted_at),
        "started_at": _iso(call.unix(call.starts)) if call.started(now) else None,
        "completed_at": _iso(call.unix(call.ends)) if status.over else None,
        "deadline": _iso(call.unix(call.deadline)) if call.deadline is not None else None,
        "metrics": _metrics(call) if status is Status.SUCCEEDED else {},
        "urls": {
            "get": base,
            "cancel": f"{base}/cancel",
            "web": f"https://replicate.com/p/{call.id}",
        },
    }


def status_word(call: Call, now: float) -> str:
    """Replicate's word; `aborted` is a deadline that passed before the start."""
    status = call.status(now)
    if status is Status.CANCELLED:
        return "canceled" if call.started(now) or not call.timed_out else "aborted"
    return {
        Status.QUEUED: "starting",
        Status.RUNNING: "processing",
        Status.SUCCEEDED: "succeeded",
        Status.FAILED: "failed",
    }[status]


def _error(call: Call) -> str:
    reason = call.why.reason or "the model cannot use this input"
    return ERRORS[call.why.kind].format(reason=reason)


def _metrics(call: Call) -> dict[str, float]:
    return {
        "predict_time": round(call.ends - call.starts, 6),
        "total_time": round(call.ends - call.begun, 6),
    }


def _iso(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")


# --- models ----------------------------------------------------------------------------------


def version_of(name: str, model: ModelSpec) -> str:
    """The newest version of a model: 64 hex digits that begin as far as it is known."""
    rest = hashlib.sha256(name.encode()).hexdigest()
    return (model.version_prefix + rest)[:64]


def model_json(name: str, model: ModelSpec) -> dict[str, Any]:
    """A model with its newest version and live schema."""
    owner, _, short = name.partition("/")
    schemas: dict[str, dict[str, Any]] = {}
    properties: dict[str, dict[str, Any]] = {}
    for order, (field, spec) in enumerate(model.fields.items()):
        properties[field] = _property(field, spec, order)
        if spec.enum:
            kind = "integer" if isinstance(spec.enum[0], int) else "string"
            schemas[field] = {"enum": list(spec.enum), "type": kind, "title": field}
    required = [field for field, spec in model.fields.items() if spec.required]
    schemas["Input"] = {
        "type": "object",
        "title": "Input",
        "properties": properties,
        **({"required": required} if required else {}),
    }
    schemas["Output"] = {"type": "string", "title": "Output", "format": "uri"}
    return {
        "url": f"https://replicate.com/{name}",
        "owner": owner,
        "name": short,
        "visibility": "public",
        "is_official": not model.community,
        "latest_version": {
            "id": version_of(name, model),
            "created_at": "2026-05-01T00:00:00Z",
            "openapi_schema": {
                "openapi": "3.0.2",
                "info": {"title": "Cog", "version": "0.1.0"},
                "components": {"schemas": schemas},
            },
        },
    }


def _property(field: str, spec: FieldSpec, order: int) -> dict[str, Any]:
    """A property as cog writes it: enums as a reference of their own."""
    told: dict[str, Any] = {"x-order": order}
    if spec.enum:
        told["allOf"] = [{"$ref": f"#/components/schemas/{field}"}]
    else:
        told |= {"type": _expected(spec.type), "title": field.replace("_", " ").capitalize()}
    if spec.type == "media":
        told["format"] = "uri"
    if spec.items is not None:
        told["items"] = {"type": _expected(spec.items.type)}
    limits = {
        "default": spec.default,
        "minimum": spec.min,
        "maximum": spec.max,
        "maxLength": spec.max_chars,
        "maxItems": spec.max_items,
    }
    return told | {key: value for key, value in limits.items() if value is not None}
