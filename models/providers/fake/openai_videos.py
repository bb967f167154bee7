"""Fakes of vLLM-Omni, SGLang, TensorRT-LLM and FastVideo, with all that is odd about each of them.

What they share: a table of jobs in the process, one clip at a time in the order of arrival (FastVideo alone
takes all at once), no idempotency. Clips are as large as asked, with exactly the frames.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from models.providers.fake.calls import Call, Ending, Status
from models.providers.fake.core import Fake, used
from models.providers.fake.desk import Desk, Refusal
from models.providers.fake.engine_forms import BadField, EngineName, parsed
from models.providers.fake.engine_line import ARRIVED, DELETED, known, line_up, listed
from models.providers.fake.engine_records import RECORDS, failed_with
from models.providers.fake.render import Clips
from models.providers.fake.uploads import Facts, inspected

SERVED = "Wan-AI/Wan2.2-I2V-A14B-Diffusers"
"""The one model that a fake serves."""
AT_THE_DOOR = frozenset({"sglang", "fastvideo", "trtllm"})
"""Engines that look at the picture before they take a job; vLLM-Omni's jobs fail at it."""


class Speech:
    """How an engine checks keys and words its refusals."""

    def __init__(self, engine: EngineName, key: str | None) -> None:
        self._engine = engine
        self._key = key

    def authorised(self, request: Request) -> bool:
        """What vLLM calls `--api-key`; in front of the others a proxy may ask."""
        return self._key is None or request.headers.get("authorization") == f"Bearer {self._key}"

    def refuse(self, refusal: Refusal) -> Response:
        """A refusal that all fakes know."""
        headers = {} if refusal.retry_after_s is None else {"retry-after": f"{refusal.retry_after_s:g}"}
        if refusal.kind == "wrong_key":
            return JSONResponse({"error": "Unauthorized"}, refusal.status)
        if refusal.kind == "unavailable" and self._engine == "sglang":
            return JSONResponse({"error": "the scheduler has stopped"}, refusal.status)
        if refusal.kind == "forgotten":
            return self.say(404, "Video not found")
        if refusal.kind == "broken":
            return Response("Internal Server Error", 500, media_type="text/plain")
        said = {"retired": "Not Found", "rate_limited": "Too many requests"}.get(refusal.kind, refusal.kind)
        answer = self.say(refusal.status, said)
        answer.headers.update(headers)
        return answer

    def say(self, status: int, told: str) -> Response:
        """An error in the engine's shape: FastAPI's, or the flat one of TensorRT-LLM."""
        if self._engine == "trtllm":
            kind = {404: "NotFoundError", 500: "InternalServerError"}.get(status, "BadRequestError")
            flat = {"object": "error", "message": told, "type": kind, "param": None, "code": status}
            return JSONResponse(flat, status)
        return JSONResponse({"detail": told}, status)

    def bad(self, field: str, kind: str, told: str) -> Response:
        """A field that the form refuses; pydantic repeats what it was given."""
        if self._engine == "trtllm":
            return self.say(400, told)
        if field == "prompt" and self._engine != "vllm-omni":
            return self.say(400, told)
        return JSONResponse({"detail": [{"type": kind, "loc": ["body", field], "msg": told}]}, 422)


class Engine:
    """The routes of one engine."""

    def __init__(self, fake: Fake, engine: EngineName) -> None:
        fake.clips = Clips(full_size=True)
        self._fake = fake
        self._engine = engine
        self._speech = Speech(engine, fake.settings.key)
        self._record = RECORDS[engine]

    def routes(self) -> list[BaseRoute]:
        """`/v1/videos` and what tells that the engine is up."""
        desk = Desk(self._fake, self._speech)
        return [
            desk.route("/health", "GET", "check", self._health, key=False),
            desk.route("/v1/models", "GET", "model", self._models),
            desk.route("/v1/videos", "POST", "submit", self._submit),
            desk.route("/v1/videos", "GET", "list", self._lined(self._list)),
            desk.route("/v1/videos/{id}", "GET", "look", self._lined(self._look)),
            desk.route("/v1/videos/{id}", "DELETE", "cancel", self._lined(self._delete)),
            desk.route("/v1/videos/{id}/content", "GET", "download", self._lined(self._content)),
        ]

    def _lined(
        self, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            self._line_up()
            return await endpoint(request)

        return answer

    def _line_up(self) -> None:
        if self._engine != "fastvideo":
            line_up(self._fake.calls, self._fake.now())

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": SERVED, "object": "model"}]})

    async def _submit(self, request: Request) -> Response:
        fault = self._fake.fault(request)
        form, facts = await _read(request)
        if fault is not None and fault.name == "schema_changed":
            used(request)
            field = fault.field or list(form)[-1]
            return JSONResponse(
                {"detail": [{"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs"}]}, 422
            )
        try:
            read = parsed(self._engine, form)
        except BadField as error:
            return self._speech.bad(error.field, error.kind, str(error))
        model = read.values.get("model")
        if self._engine == "vllm-omni" and model not in (None, SERVED):
            told = f"Model mismatch: request specifies '{model}' but server is running '{SERVED}'."
            return self._speech.say(400, told)
        refused = fault is not None and fault.name == "refuses_input"
        unreadable = facts is not None and facts.width is None
        if self._engine in AT_THE_DOOR and (refused or unreadable):
            used(request)
            return self._speech.say(400, "Failed to process image source: it cannot be read")
        call = self._fake.accept(
            request,
            endpoint="/v1/videos",
            body={**form, "input_reference": None if facts is None else facts.sha256},
            shape=read.shape,
            call_id=f"video_gen_{uuid.uuid4().hex}" if self._engine == "vllm-omni" else uuid.uuid4().hex,
            ending=Ending("refuses_input") if facts is None or unreadable else None,
        )
        call.tags |= {ARRIVED: call.begun, "values": dict(read.values), "served": SERVED}
        self._line_up()
        return JSONResponse(self._told(call), 202 if self._engine == "trtllm" else 200)

    async def _list(self, request: Request) -> Response:
        calls = listed(self._fake)
        if self._engine == "trtllm":
            return JSONResponse({"object": "list", "data": [self._told(call) for call in calls]})
        default = 20 if self._engine == "sglang" else 100
        query = request.query_params
        limit = int(query.get("limit", default))
        if not 1 <= limit <= 100:
            return self._speech.bad("limit", "less_than_equal", "Input should be less than or equal to 100")
        # A stable sort by whole seconds, newest first: of the same second the oldest comes first.
        calls.sort(key=lambda call: int(call.accepted_at), reverse=query.get("order", "desc") == "desc")
        if (after := query.get("after")) is not None:
            ids = [call.id for call in calls]
            calls = calls[ids.index(after) + 1 :] if after in ids else []
        page = [self._told(call) for call in calls[:limit]]
        body: dict[str, Any] = {"object": "list", "data": page}
        if self._engine != "fastvideo":
            ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
            body |= {"first_id": None, "last_id": None, **ends, "has_more": len(calls) > limit}
        return JSONResponse(body)

    async def _look(self, request: Request) -> Response:
        call = known(self._fake, request.path_params["id"])
        if call is None:
            return self._speech.say(404, "Video not found")
        told = self._told(call)
        failed = self._engine == "vllm-omni" and told["status"] == "failed"
        return JSONResponse(told, failed_with(call)[0] if failed else 200)

    async def _delete(self, request: Request) -> Response:
        call = known(self._fake, request.path_params["id"])
        if call is None:
            return self._speech.say(404, "Video not found")
        fault = self._fake.fault(request)
        race = fault is not None and fault.name == "cancel_race"
        if self._engine == "vllm-omni" or race:
            self._fake.cancel(request, call)
            self._line_up()
        if self._engine == "vllm-omni" and race:
            return self._speech.say(409, "Video output not yet available. Please try again later.")
        call.tags[DELETED] = True
        if self._engine == "vllm-omni":
            return JSONResponse({"id": call.id, "deleted": True, "object": "video.deleted"})
        if self._engine == "trtllm":
            return JSONResponse({"deleted": True})
        return JSONResponse({**self._told(call), "status": "deleted"})

    async def _content(self, request: Request) -> Response:
        call = known(self._fake, request.path_params["id"])
        if call is None:
            return self._speech.say(404, "Video not found")
        status = call.status(self._fake.now())
        if status is Status.FAILED:
            code = {"vllm-omni": 422, "fastvideo": 500, "trtllm": 400}.get(self._engine, 404)
            return self._speech.say(code, "Video generation failed. Check job status for error details.")
        if status is not Status.SUCCEEDED:
            return self._speech.say(
                400 if self._engine == "trtllm" else 404, "Generation is still in-progress"
            )
        if self._engine == "sglang":
            if call.tags.get("cloud"):
                where = self._fake.result_url(call)
                return self._speech.say(400, f"Video has been uploaded to cloud storage: {where}")
            variant = request.query_params.get("variant", "0")
            if not variant.isdigit() or int(variant):
                return self._speech.say(404, f"Video variant {variant} not found")
        return await self._fake.deliver(request, call, name=f"{call.id}.mp4")

    def _told(self, call: Call) -> dict[str, Any]:
        url = self._fake.result_url(call) if call.tags.get("cloud") else None
        return self._record(call, self._fake.now(), url)


async def _read(request: Request) -> tuple[dict[str, str], Facts | None]:
    """The text fields of a form, and what its picture is."""
    async with request.form() as form:
        text = {name: value for name, value in form.items() if isinstance(value, str)}
        picture = form.get("input_reference")
        if not isinstance(picture, UploadFile):
            return text, None
        content = await picture.read()
        return text, inspected(content, picture.filename or "", picture.content_type or "")


def routes(engine: EngineName, fake: Fake) -> list[BaseRoute]:
    """All routes of one engine."""
    return Engine(fake, engine).routes()


vllm_omni = partial(routes, "vllm-omni")
sglang = partial(routes, "sglang")
trtllm = partial(routes, "trtllm")
fastvideo = partial(routes, "fastvideo")
