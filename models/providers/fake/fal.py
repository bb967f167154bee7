"""A fake of fal's queue (queue.fal.run) with the storage and key set of rest.fal.ai on the same base URL.

Fields that the schema refuses answer 422 at the submission; what a runner finds out (joint limits, files that
it cannot use) makes the request COMPLETED with a 422 for its result. fal documents both shapes and not where
each field is checked (inferred). A cancelled request is COMPLETED too, with `client_cancelled` and 499.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from models.providers.fake.calls import Call, Ending, Status
from models.providers.fake.checking import Unfit, checked, unfit
from models.providers.fake.core import Fake, used
from models.providers.fake.desk import Desk
from models.providers.fake.fal_hooks import Signer, tell
from models.providers.fake.fal_storage import storage_routes
from models.providers.fake.fal_words import FalDialect, entry, problem_entry, refused, result_of
from models.providers.fake.schema import schemas
from models.providers.fake.shaping import Fetcher, clip_shape

DEEP = frozenset({"workflows", "comfy"})
"""Namespaces whose applications have three path segments instead of two."""


def routes(fake: Fake) -> list[BaseRoute]:
    """The queue at the root; storage and keys at the root and under `/rest`."""
    signer = Signer()
    api = _Queue(fake, signer)
    desk = Desk(fake, FalDialect(fake.settings.key))
    app = "/{app:path}/requests/{id}"
    return [
        *storage_routes(fake, desk, signer),
        desk.route(f"{app}/status", "GET", "look", api.status),
        desk.route(f"{app}/cancel", "PUT", "cancel", api.cancel),
        desk.route(app, "GET", "result", api.result),
        desk.route("/{endpoint:path}", "POST", "submit", api.submit),
    ]


def application(endpoint: str) -> str:
    """The part of an endpoint's path that its requests are asked for under."""
    parts = endpoint.split("/")
    return "/".join(parts[: 3 if parts[0] in DEEP else 2])


class _Queue:
    def __init__(self, fake: Fake, signer: Signer) -> None:
        self._fake = fake
        self._signer = signer
        self._models = schemas("fal")

    async def submit(self, request: Request) -> Response:
        """`POST /{endpoint}[?fal_webhook=…]`."""
        endpoint = request.path_params["endpoint"]
        model = self._models.get(endpoint)
        if model is None:
            return JSONResponse({"detail": f"Application '{endpoint}' not found"}, status_code=404)
        try:
            given = json.loads(await request.body())
        except ValueError:
            given = None
        if not isinstance(given, dict):
            return refused(422, [entry((), "json_invalid", "JSON decode error")])
        fault = self._fake.fault(request)
        if fault is not None and fault.name == "schema_changed":
            used(request)
            field = fault.field or (list(given) or ["prompt"])[-1]
            return refused(422, [entry((field,), "extra_forbidden", "Extra inputs are not permitted")])
        seen = checked(model, given, Fetcher(self._fake.uploads, self._fake.url))
        if seen.problems:
            return refused(422, [problem_entry(problem) for problem in seen.problems])
        broken = unfit(model, seen)
        call = self._fake.accept(
            request,
            endpoint=endpoint,
            body=given,
            shape=clip_shape(model, seen),
            call_id=str(uuid.uuid4()),
            webhook=request.query_params.get("fal_webhook"),
            ending=Ending("refuses_input", broken.reason) if broken else None,
            stops_after_s=self._start_timeout(request),
        )
        call.tags["unfit"] = broken
        if call.webhook is not None:
            self._fake.spawn(tell(self._fake, call, self._signer, lambda: self._outcome(call)))
        return JSONResponse({**self._named(call), "queue_position": self._fake.calls.waiting_before(call)})

    def _start_timeout(self, request: Request) -> float | None:
        """`X-Fal-Request-Timeout` ends a request that has not started by then."""
        try:
            seconds = float(request.headers.get("x-fal-request-timeout", ""))
        except ValueError:
            return None
        return seconds if seconds < self._fake.queue_s else None

    def _named(self, call: Call) -> dict[str, Any]:
        base = f"{self._fake.url}/{application(call.endpoint)}/requests/{call.id}"
        return {
            "request_id": call.id,
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }

    def _found(self, request: Request) -> Call | None:
        call = self._fake.calls.get(request.path_params["id"])
        if call is None or application(call.endpoint) != request.path_params["app"]:
            return None
        return call

    async def status(self, request: Request) -> Response:
        """`GET …/status[?logs=1]`; the word for over is COMPLETED, whatever happened."""
        call = self._found(request)
        if call is None:
            return _missing()
        now = self._fake.now()
        status = call.status(now)
        told = {"status": "IN_QUEUE", **self._named(call)}
        if status is Status.QUEUED:
            return JSONResponse(
                {**told, "queue_position": self._fake.calls.waiting_before(call)}, status_code=202
            )
        logs: list[str] | None = [] if request.query_params.get("logs") == "1" else None
        if status is Status.RUNNING:
            return JSONResponse({**told, "status": "IN_PROGRESS", "logs": logs}, status_code=202)
        spent = {"inference_time": call.ends - call.starts} if call.started(now) else {}
        told = {**told, "status": "COMPLETED", "logs": logs, "metrics": spent}
        kind = _error_type(call, status)
        if kind is not None:
            told |= {"error": "Request failed", "error_type": kind}
        return JSONResponse(told)

    async def result(self, request: Request) -> Response:
        """`GET …/requests/{id}`: the output, or how the run failed."""
        call = self._found(request)
        if call is None:
            return _missing()
        if not call.status(self._fake.now()).over:
            return JSONResponse({"detail": "Request is still in progress"}, status_code=400)
        status, body, headers = self._outcome(call)
        return JSONResponse(body, status_code=status, headers=dict(headers))

    def _outcome(self, call: Call) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        status = call.status(self._fake.now())
        broken: Unfit | None = call.tags["unfit"]
        kind = _error_type(call, status)
        return result_of(call, kind, broken, self._fake.result_url(call))

    async def cancel(self, request: Request) -> Response:
        """`PUT …/cancel`."""
        call = self._found(request)
        if call is None:
            return JSONResponse({"status": "NOT_FOUND"}, status_code=404)
        if self._fake.cancel(request, call).over:
            return JSONResponse({"status": "ALREADY_COMPLETED"}, status_code=400)
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, status_code=202)


def _missing() -> Response:
    return JSONResponse({"detail": "Request not found"}, status_code=404)


def _error_type(call: Call, status: Status) -> str | None:
    """What fal calls the way in which a request ended without a clip."""
    if status is Status.CANCELLED:
        return "request_timeout" if call.timed_out else "client_cancelled"
    return {
        "succeeds": None,
        "fails": "internal_server_error",
        "refuses_input": "face_detection_error",
        "refuses_content": "content_policy_violation",
    }[call.why.kind]
