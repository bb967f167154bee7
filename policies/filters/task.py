"""What is given beside the photograph must be what the model takes, no more and no less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.card import LEAST_PROMPT_LIMIT
from models.types import TaskType

if TYPE_CHECKING:
    from collections.abc import Hashable

    from models.card import Card, Controls, FollowsInput, Mode, Offer
    from policies.base import Candidate, RouteRequest

SLACK_S = 0.1
"""Containers round the playing time of sound and pictures to whole packets and frames."""


@dataclass(frozen=True, slots=True)
class Task:
    """Rejects models that cannot take an input that is given, or need one that is not.

    A model that reads no words is no answer to a prompt, unless the client asked for that very model or
    the model has a camera interface through which camera words still act.
    """

    name: ClassVar[str] = "task"

    def reads(self, request: RouteRequest) -> Hashable:
        """All of the request that the answer depends on."""
        return (
            request.task,
            request.model,
            request.has_last_image,
            request.has_driving_video,
            request.has_audio,
            request.generate_audio,
            request.features.prompt.words > 0,
            _long(request.features.prompt.chars),
        )

    def reject_offer(self, request: RouteRequest, card: Card, offer: Offer) -> str | None:
        """Why this offer is no answer, or None."""
        del offer
        controls = card.controls
        task, tasks = request.task, card.tasks
        reason = _inputs(request, controls)
        if reason is not None:
            return reason
        if task not in tasks and not (
            (task is TaskType.TI2V or task is TaskType.I2V)
            and (TaskType.I2V in tasks or TaskType.TI2V in tasks)
        ):
            return f"does {', '.join(tasks)} only, not {task}"
        if request.generate_audio and controls.audio_out == "none":
            return "makes no sound, and sound was asked for"
        return _words(request, card)

    def silent_on_mode(self, mode: Mode) -> bool:
        """True when no candidate of the mode can be rejected."""
        return not mode.needs and not mode.excludes and mode.length.kind != "follows"

    def reject(self, request: RouteRequest, candidate: Candidate) -> str | None:
        """Why this mode of the offer is no answer, or None."""
        mode = candidate.mode
        if self.silent_on_mode(mode):
            return None
        given = {
            "last_image": request.has_last_image,
            "driving_video": request.has_driving_video,
            "audio": request.has_audio,
            "camera": any(wish.required for wish in request.camera),
            # As of models that read no words: who asks for this very model takes it without.
            "prompt": request.features.prompt.words > 0 and request.model != candidate.card.id,
        }
        for need in mode.needs:
            if not given[need]:
                return f"this mode needs {need.replace('_', ' ')}, and none was given"
        if mode.length.kind == "follows":
            beyond = _beyond(request, mode.length)
            if beyond is not None:
                return beyond
        for excluded in mode.excludes:
            # A loop is a wish: advice tells that this mode closes none.
            if given.get(excluded):
                return f"this mode takes no {excluded.replace('_', ' ')}"
        return None


def _words(request: RouteRequest, card: Card) -> str | None:
    """A prompt that is missing, too long, or would have no effect."""
    controls, prompt = card.controls, request.features.prompt
    if controls.prompt_required and request.task is TaskType.I2V:
        return "needs a motion prompt, and none was given"
    if controls.prompt_max_chars is not None and prompt.chars > controls.prompt_max_chars:
        return f"reads {controls.prompt_max_chars} characters at most; the prompt has {prompt.chars}"
    unread = not controls.prompt and prompt.words > 0
    if unread and request.model != card.id and not controls.camera.explicit:
        return "reads no words, so the prompt would have no effect"
    return None


def _long(chars: int) -> int:
    """The length of a prompt where it may matter, so that the many short ones are one kind of request."""
    return chars if chars >= LEAST_PROMPT_LIMIT else 0


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


def _beyond(request: RouteRequest, length: FollowsInput) -> str | None:
    """A driving video or audio file that is shorter or longer than the model takes; providers refuse it."""
    seconds = request.driving_seconds if length.of == "driving_video" else request.audio_seconds
    if seconds is None or length.min - SLACK_S <= seconds <= length.max + SLACK_S:
        return None
    what = length.of.replace("_", " ")
    return f"the {what} lasts {seconds:.4g} s; this mode takes {length.min:g} to {length.max:g} s"
