"""Routes for whoever directs the fake: the ledger, the script and the settings. They ask for no key."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from models.providers.fake.core import Fake
from models.providers.fake.desk import Desk, Refusal


class ScriptBody(BaseModel):
    """`POST /_fake/script`; see `faults.Fault`."""

    model_config = ConfigDict(extra="forbid")

    fault: str
    times: int = Field(default=1, ge=1)
    operation: str | None = None
    endpoint: str | None = None
    retry_after_s: float = 1.0
    seconds: float = 1.0
    status: int | None = None
    field: str | None = None
    bytes: int | None = None
    declared: bool = True


class SettingsBody(BaseModel):
    """`POST /_fake/settings`."""

    model_config = ConfigDict(extra="forbid")

    latency_s: float = Field(ge=0)


def control_routes(fake: Fake) -> list[BaseRoute]:
    """`/_fake/…`, and the results at `/_delivery/…`."""

    async def ledger(_: Request) -> Response:
        return JSONResponse(
            {
                "calls": fake.ledger,
                "requests": dict(fake.requests),
                "peak_per_second": fake.peak_per_second,
                "peak_open": fake.calls.peak_open(),
                "pending_faults": fake.faults.pending,
            }
        )

    async def script(request: Request) -> Response:
        try:
            told = ScriptBody.model_validate_json(await request.body())
            fake.script(
                told.fault,
                told.times,
                operation=told.operation,
                endpoint=told.endpoint,
                retry_after_s=told.retry_after_s,
                seconds=told.seconds,
                status=told.status,
                field=told.field,
                bytes=told.bytes,
                declared=told.declared,
            )
        except (ValidationError, ValueError) as error:
            return _refused(error)
        return JSONResponse({"pending_faults": fake.faults.pending})

    async def settings(request: Request) -> Response:
        try:
            told = SettingsBody.model_validate_json(await request.body())
        except ValidationError as error:
            return _refused(error)
        fake.set_latency(told.latency_s)
        return JSONResponse({"latency_s": fake.latency_s})

    async def result(request: Request) -> Response:
        call = fake.calls.get(request.path_params["call"])
        if call is None or call.status(fake.now()) != "succeeded":
            return JSONResponse({"detail": "Not Found"}, status_code=404)
        return await fake.deliver(request, call, name=request.path_params["name"])

    open_desk = Desk(fake, _Open())
    return [
        Route("/_fake/ledger", ledger, methods=["GET"]),
        Route("/_fake/script", script, methods=["POST"]),
        Route("/_fake/settings", settings, methods=["POST"]),
        open_desk.route("/_delivery/{call}/{name}", "GET", "download", result, key=False),
    ]


def _refused(error: Exception) -> Response:
    body: dict[str, Any] = {"detail": str(error)}
    return JSONResponse(body, status_code=422)


class _Open:
    """The dialect of a file store: no key, short answers."""

    def authorised(self, request: Request) -> bool:
        return True

    def refuse(self, refusal: Refusal) -> Response:
        return JSONResponse({"detail": refusal.kind}, status_code=refusal.status)
