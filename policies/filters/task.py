"""What is given beside the photograph must be what the model takes, no more and no less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.types import TaskType

if TYPE_CHECKING:
    from models.card import Card, Controls, Offer
    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Task:
    """Rejects models that cannot take an input that is given, or need one that is not.

    A model that reads no words is no answer to a prompt, unless the client asked for that very model or
    the model has a camera interface through which camera words still act.
    """

    name: ClassVar[str] = "task"

    def reject_offer(self, request: RouteRequest, card: Card, offer: Offer) -> str | None:
        """Why this offer is no answer, or None."""
        del offer
        controls = card.controls
        task, tasks = request.task, card.tasks
        if task not in tasks and not (
            (task is TaskType.TI2V or task is TaskType.I2V)
            and (TaskType.I2V in tasks or TaskType.TI2V in tasks)
        ):
            return f"does {', '.join(tasks)} only, not {task}"
        reason = _inputs(request, controls)
        if reason is not None:
            return reason
        if request.generate_audio and controls.audio_out == "none":
            return "makes no sound, and sound was asked for"
        unread = not controls.prompt and request.features.prompt.words > 0
        if unread and request.model != card.id and not controls.camera.explicit:
            return "reads no words, so the prompt would have no effect"
        return None

    def reject(self, request: RouteRequest, candidate: Candidate) -> str | None:
        """Why this mode of the offer is no answer, or None."""
        mode = candidate.mode
        if not mode.needs and not mode.excludes:
            return None
        given = {
            "last_image": request.has_last_image,
            "driving_video": request.has_driving_video,
            "audio": request.has_audio,
        }
        for need in mode.needs:
            if not given[need]:
                return f"this mode needs {need.replace('_', ' ')}, and none was given"
        for excluded in mode.excludes:
            if given[excluded]:
                return f"this mode takes no {excluded.replace('_', ' ')}"
        return None


def _inputs(request: RouteRequest, controls: Controls) -> str | None:
    """An input that is refused or missing."""
    if (
        controls.last_image == controls.driving_video == controls.audio_in == "none"
        and not request.has_last_image
        and not request.has_driving_video
        and not request.has_audio
    ):
        return None
    for article, what, need, given in (
        ("a", "last image", controls.last_image, request.has_last_image),
        ("a", "driving video", controls.driving_video, request.has_driving_video),
        ("an", "audio file", controls.audio_in, request.has_audio),
    ):
        if given and need == "none":
            return f"takes no {what}"
        if need == "required" and not given:
            return f"needs {article} {what}, and none was given"
    return None
