"""Models that keep every pixel still win on consistency and lose the person who asked for motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from models.types import Intensity
from policies.sharing import once_per_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.card import Card
    from policies.base import Candidate, RouteRequest

Share = Annotated[float, Field(ge=0, le=1)]

TARGETS = {
    Intensity.SUBTLE: 0.1,
    Intensity.GENTLE: 0.25,
    Intensity.MODERATE: 0.45,
    Intensity.DYNAMIC: 0.65,
    Intensity.EXTREME: 0.85,
}
"""Wished VBench dynamic degree by intensity word: an even spread over the 0.085-0.94 that models reach on
the VBench-I2V and WBench boards of 2026-08; the mapping itself is a choice."""


@dataclass(frozen=True, slots=True)
class MotionFit:
    """1 - |dynamic degree - target|; `unknown` where nobody measured the model."""

    name: ClassVar[str] = "motion_fit"

    unknown: Share = 0.7
    """Value of a model without a published dynamic degree."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        intensity = _asked(request)
        if intensity is None:
            return [1.0] * len(candidates)
        target = TARGETS[intensity]
        return once_per_card(candidates, lambda card: self._value(card, target))

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """What was asked and how much the model's clips move."""
        intensity = _asked(request)
        if intensity is None:
            return "the words do not say how much should move"
        degree = candidate.card.quality.dynamic_degree
        wished = intensity.name.lower()
        if degree is None:
            return f"{wished} motion asked; how much this model moves was not measured"
        return f"{wished} motion asked; {degree:.0%} of its clips really move"

    def _value(self, card: Card, target: float) -> float:
        degree = card.quality.dynamic_degree
        return self.unknown if degree is None else 1 - abs(degree - target)


def _asked(request: RouteRequest) -> Intensity | None:
    return request.motion if request.motion is not None else request.features.prompt.intensity
