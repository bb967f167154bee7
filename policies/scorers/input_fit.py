"""A driving video or an audio file: models made to follow it beat models that take it on the side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.sharing import once_per_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.card import Card
    from policies.base import Candidate, RouteRequest

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class InputFit:
    """What is given to drive the clip, against what the model is made for.

    A model that cannot run without the input is made to follow it. One that takes it on the side may merely
    lay the sound under the clip: no vendor publishes how well the motion follows.
    """

    name: ClassVar[str] = "input_fit"

    side: Share = 0.4
    """A model that takes the input on the side. Our choice: motion that ignores what drives it is not what
    was asked, so it must outweigh the 200 Elo by which the models that take audio on the side lead the one
    that is made for it (arena.ai image-to-video, 16 April 2026)."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        if not (request.has_audio or request.has_driving_video):
            return [1.0] * len(candidates)
        return once_per_card(candidates, lambda card: self.side if _beside(request, card) else 1.0)

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """What drives the clip, for how long, and whether the model is made for it."""
        given = _given(request, candidate.card)
        if not given:
            return "no driving video or audio file given"
        named = " and ".join(f"{what} of {seconds}" for what, seconds, _ in given)
        if _beside(request, candidate.card):
            return f"takes the {named} on the side; whether its motion follows is not published"
        return f"made to follow the {named}"


def _given(request: RouteRequest, card: Card) -> list[tuple[str, str, str]]:
    """What drives the clip, how long it is, and how the model takes it."""
    controls = card.controls
    given: list[tuple[str, str, str]] = []
    if request.has_driving_video:
        given.append(("driving video", _length(request.driving_seconds), controls.driving_video))
    if request.has_audio:
        given.append(("audio file", _length(request.audio_seconds), controls.audio_in))
    return given


def _length(seconds: float | None) -> str:
    return "unread length" if seconds is None else f"{seconds:.3g} s"


def _beside(request: RouteRequest, card: Card) -> bool:
    return all(need != "required" for _, _, need in _given(request, card))
