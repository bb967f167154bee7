"""LightX2V: a task queue of its own over HTTP, ten deep, one clip at a time.

Read in ModelTC/LightX2V `lightx2v/server` (`api/tasks`, `task_manager.py`, `schema.py`), 2026. The task id is
ours: a submission is found by it for certain, and the same one sent twice is refused. Guidance and flow shift
are set where the engine is started (its configuration file), not in a request.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from models.errors import Cancelled, InputRefused, OutcomeUnknown, ProviderFault, ProviderUnavailable
from models.providers.answers import Answer
from models.providers.base import (
    Abilities,
    Account,
    Attachment,
    Downloaded,
    Json,
    Phase,
    Prepared,
    Provider,
    Role,
    Sighting,
    Ticket,
    Wanted,
)
from models.providers.engine_bodies import engine_prompt, one_shot, sampling_of, takes_only, whole
from models.providers.engine_errors import WORDS, failure, refusal, words_of
from models.providers.engine_quirks import PHASES
from models.providers.openai_videos import engine_api
from models.providers.registry import ProviderSpec

NAME: Final = "lightx2v"
ROUTE: Final = "v1/tasks/video/"
PICTURES: Final[Mapping[Role, str]] = {"image": "image_path", "last_image": "last_frame_path"}
"""Fields that take a picture as base64, whatever they are called."""


class LightX2V:
    """One running engine."""

    def __init__(self, account: Account) -> None:
        """Connect nothing yet.

        Raises:
            ConfigError: the account names no URL.
        """
        self.name = NAME
        self.abilities = Abilities(finds="reference", cancels=True, uploads=False, paid=False)
        self._api = engine_api(account)

    async def check(self) -> None:
        """Ask whether the queue works."""
        answer = await self._api.ask("GET", "v1/service/status")
        if not answer.ok:
            raise _cannot_say(answer)

    async def upload(self, attachment: Attachment) -> str:
        """Not needed: pictures travel in the body."""
        raise ProviderFault(f"{self.name} takes no uploads; {attachment.content_type} travels in the body")

    def prepare(
        self, wanted: Wanted, inputs: Mapping[Role, str], files: Mapping[Role, Attachment]
    ) -> Prepared:
        """The task, pictures in it as base64."""
        body = task_body(wanted, {*inputs, *files})
        for role, field in PICTURES.items():
            if role in files:
                body[field] = base64.b64encode(files[role].content).decode("ascii")
        return Prepared(wanted.reference, ROUTE, body, marker={"task_id": wanted.reference})

    async def submit(self, prepared: Prepared) -> Ticket:
        """Send the task, once; that it exists already is as good as accepted."""
        answer = await self._api.send_once(prepared.route, json=prepared.body, words=WORDS)
        if answer.ok:
            task_id = answer.fields().get("task_id")
            if task_id != prepared.reference:
                raise OutcomeUnknown(f"{self.name} answered a submission with another task id")
            return Ticket(prepared.reference)
        if answer.status == 503 and "already exists" in words_of(answer.fields()):
            return Ticket(prepared.reference)
        raise refusal(self.name, answer)

    async def look(self, ticket: Ticket) -> Sighting:
        """The task's status."""
        answer = await self._status(ticket.id)
        if answer is None:
            gone = ProviderFault(f"{self.name} knows the task no more; was it restarted?")
            return Sighting(Phase.LOST, error=gone)
        phase = PHASES.get(str(answer.get("status")), Phase.RUNNING)
        sighting = Sighting(phase, run_seconds=_worked(answer) if phase is Phase.SUCCEEDED else None)
        if phase is Phase.SUCCEEDED:
            return replace(sighting, result=f"{_task(ticket.id)}/result")
        if phase is Phase.FAILED:
            return replace(sighting, error=failure(self.name, None, words_of(answer)), billed=False)
        if phase is Phase.CANCELLED:
            return replace(sighting, error=Cancelled(f"{self.name} stopped the task"), billed=False)
        return sighting

    async def find(
        self, reference: str, marker: Mapping[str, Any], since: float, known: Collection[str]
    ) -> Ticket | None:
        """By our own id: what the engine does not know it never took, or lost with all it had made."""
        del marker, since, known
        return None if await self._status(reference) is None else Ticket(reference)

    async def cancel(self, ticket: Ticket) -> None:
        """Stop the task; a running one ends at its next step."""
        answer = await self._api.ask("DELETE", _task(ticket.id))
        if not answer.ok or answer.fields().get("stop_status") == "error":
            raise _cannot_say(answer)

    async def download(self, sighting: Sighting, ticket: Ticket, to: Path, limit: int) -> Downloaded:
        """The clip."""
        return await self._api.download(sighting.result or f"{_task(ticket.id)}/result", to, limit)

    async def close(self) -> None:
        """Give back connections."""
        await self._api.close()

    async def _status(self, task_id: str) -> dict[str, Any] | None:
        """The engine's own record; None when it has none."""
        answer = await self._api.ask("GET", f"{_task(task_id)}/status")
        fields = answer.fields()
        if answer.ok and fields.get("task_id") == task_id:
            return fields
        if answer.status == 404:
            return None
        raise _cannot_say(answer)


def task_body(wanted: Wanted, given: Collection[Role]) -> Json:
    """The task without its pictures.

    Args:
        wanted: A clip that the planner planned for this offer and mode.
        given: Roles of the inputs at hand.

    Raises:
        InputRefused: the engine cannot say what is wanted; `param` names the field.
        ConfigError: the offer has no sampling block.
    """
    one_shot(wanted)
    takes_only(wanted, given, PICTURES.keys())
    if wanted.generate_audio:
        raise InputRefused(f"{NAME} cannot be asked for sound", param="generate_audio")
    native = wanted.plan.native
    return {
        "task_id": wanted.reference,
        "prompt": engine_prompt(wanted),
        "negative_prompt": wanted.negative_prompt,
        "infer_steps": sampling_of(wanted).steps,
        "seed": wanted.seed % 2**32,
        "target_video_length": native.num_frames,
        "target_fps": whole(native.fps, "fps", wanted),
        "target_shape": [native.height, native.width],
        # Else the size follows the photograph, and `target_shape` is not looked at.
        "resize_mode": "fixed_shape",
    }


def _cannot_say(answer: Answer) -> Exception:
    if answer.status in (401, 403, 429, 503):
        return refusal(NAME, answer)
    return ProviderUnavailable(f"{NAME} answers {answer.status}", retry_after_s=answer.retry_after_s)


def _task(task_id: str) -> str:
    return f"v1/tasks/{quote(task_id, safe='')}"


def _worked(task: Mapping[str, Any]) -> float | None:
    """Seconds from the start of the work to its end, both in the engine's own clock."""
    try:
        start, end = (datetime.fromisoformat(str(task.get(name))) for name in ("start_time", "end_time"))
        seconds = (end - start).total_seconds()
    except (TypeError, ValueError):
        return None
    return seconds if seconds >= 0 else None


def _connect(account: Account) -> Provider:
    return LightX2V(account)


SPEC: Final = ProviderSpec(NAME, "engine", connect=_connect, key_needed=False)
