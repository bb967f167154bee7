"""A fake of LightX2V's server: tasks by the client's own id, ten at most, one at a time."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from models.providers.fake.calls import Call, Ending, Status
from models.providers.fake.core import Fake, used
from models.providers.fake.desk import Desk, Refusal
from models.providers.fake.engine_line import ARRIVED, line_up
from models.providers.fake.render import Clips, Shape, even, shaped
from models.providers.fake.uploads import Facts, inspected

QUEUE = 10
"""`LIGHTX2V_MAX_QUEUE_SIZE`, waiting and running together."""
AREA = 480 * 832
"""What `resize_mode: adaptive` makes of a photograph, in its shape."""
WORDS = {
    Status.QUEUED: "pending",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
FAILURES = {
    "refuses_input": "Invalid image: cannot be decoded",
    "refuses_content": "the prompt failed the safety check",
}


class Task(BaseModel):
    """What the server reads of a task; other fields are ignored without a word."""

    model_config = ConfigDict(extra="ignore")

    task_id: str
    prompt: str = ""
    negative_prompt: str = ""
    image_path: str = ""
    last_frame_path: str = ""
    infer_steps: int = 5
    seed: int = Field(default=42, ge=0, lt=2**32)
    target_video_length: int = Field(default=81, ge=1)
    target_fps: int = Field(default=16, ge=1)
    target_shape: list[int] = Field(default_factory=list)
    resize_mode: str = "adaptive"


class Speech:
    """No key; FastAPI's `detail`."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def authorised(self, request: Request) -> bool:
        """A proxy in front may ask for a key."""
        return self._key is None or request.headers.get("authorization") == f"Bearer {self._key}"

    def refuse(self, refusal: Refusal) -> Response:
        """Its one way to say that there is too much work is a full queue, without `Retry-After`."""
        if refusal.kind == "rate_limited":
            return say(503, f"Task queue is full (max {QUEUE} tasks)")
        if refusal.kind == "forgotten":
            return say(404, "Task not found")
        return say(refusal.status, refusal.kind)


class Server:
    """The routes."""

    def __init__(self, fake: Fake) -> None:
        fake.clips = Clips(full_size=True)
        self._fake = fake

    def routes(self) -> list[BaseRoute]:
        """Tasks, and what tells that the server is up."""
        desk = Desk(self._fake, Speech(self._fake.settings.key))
        return [
            desk.route("/v1/service/status", "GET", "check", self._service),
            desk.route("/v1/tasks/video/", "POST", "submit", self._submit),
            desk.route("/v1/tasks/", "GET", "list", self._list),
            desk.route("/v1/tasks/{id}/status", "GET", "look", self._status),
            desk.route("/v1/tasks/{id}/result", "GET", "download", self._result),
            desk.route("/v1/tasks/{id}", "DELETE", "cancel", self._stop),
        ]

    async def _service(self, _: Request) -> Response:
        return JSONResponse({"service_status": "idle", "queue_size": QUEUE})

    async def _submit(self, request: Request) -> Response:
        raw = await request.json()
        fault = self._fake.fault(request)
        if fault is not None and fault.name == "schema_changed":
            used(request)
            place = ["body", fault.field or list(raw)[-1]]
            return JSONResponse({"detail": [{"type": "extra_forbidden", "loc": place, "msg": "Extra"}]}, 422)
        try:
            task = Task.model_validate(raw)
        except ValidationError as error:
            detail = [{"type": part["type"], "loc": ["body", *part["loc"]]} for part in error.errors()]
            return JSONResponse({"detail": detail}, 422)
        if task.image_path.startswith("http"):
            return say(400, "Image URL is not accessible")
        self._line_up()
        if self._fake.calls.get(task.task_id) is not None:
            return say(503, f"Task ID {task.task_id} already exists")
        now = self._fake.now()
        if sum(not call.status(now).over for call in self._fake.calls.oldest_first()) >= QUEUE:
            return say(503, f"Task queue is full (max {QUEUE} tasks)")
        facts = _picture(task.image_path)
        call = self._fake.accept(
            request,
            endpoint="/v1/tasks/video/",
            body={
                **raw,
                **{name: _short(raw[name]) for name in ("image_path", "last_frame_path") if name in raw},
            },
            shape=_shape(task, facts),
            call_id=task.task_id,
            ending=Ending("refuses_input") if facts is None or facts.width is None else None,
        )
        call.tags[ARRIVED] = call.begun
        self._line_up()
        told = {"task_id": call.id, "task_status": "pending", "save_result_path": call.id}
        return JSONResponse(told)

    async def _list(self, _: Request) -> Response:
        self._line_up()
        return JSONResponse({call.id: self._told(call) for call in self._fake.calls.oldest_first()})

    async def _status(self, request: Request) -> Response:
        self._line_up()
        call = self._fake.calls.get(request.path_params["id"])
        return say(404, "Task not found") if call is None else JSONResponse(self._told(call))

    async def _result(self, request: Request) -> Response:
        self._line_up()
        call = self._fake.calls.get(request.path_params["id"])
        if call is None or call.status(self._fake.now()) is not Status.SUCCEEDED:
            return say(404, "Task not found" if call is None else "Task not completed")
        return await self._fake.deliver(request, call, name=f"{call.id}.mp4")

    async def _stop(self, request: Request) -> Response:
        self._line_up()
        call = self._fake.calls.get(request.path_params["id"])
        if call is None or call.status(self._fake.now()).over:
            return JSONResponse(
                {"stop_status": "do_nothing", "reason": "Task not found or already completed."}
            )
        self._fake.cancel(request, call)
        self._line_up()
        return JSONResponse({"stop_status": "success", "reason": "Task stopped successfully."})

    def _line_up(self) -> None:
        line_up(self._fake.calls, self._fake.now())

    def _told(self, call: Call) -> dict[str, Any]:
        status = call.status(self._fake.now())
        moment = call.accepted_at - call.tags[ARRIVED]
        start = call.starts if call.started(self._fake.now()) else call.tags[ARRIVED]
        failed = status is Status.FAILED
        return {
            "task_id": call.id,
            "status": WORDS[status],
            "start_time": _clock(moment + start),
            "end_time": _clock(moment + call.ends) if status.over else None,
            "error": FAILURES.get(call.why.kind, "CUDA error: device-side assert triggered")
            if failed
            else None,
            "save_result_path": call.id,
        }


def say(status: int, told: str) -> Response:
    """An error."""
    return JSONResponse({"detail": told}, status)


def _clock(unix: float) -> str:
    """The server's own local time, without a zone."""
    return datetime.fromtimestamp(unix).isoformat()


def _picture(text: str) -> Facts | None:
    try:
        content = base64.b64decode(text.rpartition("base64,")[2], validate=True)
    except binascii.Error:
        return None
    return inspected(content, "image", "") if content else None


def _short(text: object) -> str:
    return f"<{len(str(text))} characters>"


def _shape(task: Task, facts: Facts | None) -> Shape:
    if task.resize_mode == "fixed_shape" and len(task.target_shape) == 2:
        height, width = task.target_shape
        return Shape(even(width), even(height), float(task.target_fps), task.target_video_length)
    aspect = facts.width / facts.height if facts is not None and facts.width and facts.height else 832 / 480
    return shaped(AREA, aspect, float(task.target_fps), frames=task.target_video_length)


def routes(fake: Fake) -> list[BaseRoute]:
    """All routes of the server."""
    return Server(fake).routes()
