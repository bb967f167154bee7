"""Models that keep every pixel still win on consistency and lose the person who asked for motion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from models.types import Intensity
from policies.base import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

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

NOTHING_ASKED = Score(1.0, "the words do not say how much should move")


@dataclass(frozen=True, slots=True)
class MotionFit:
    """1 - |dynamic degree - target|; `unknown` where nobody measured the model."""

    name: ClassVar[str] = "motion_fit"

    unknown: Share = 0.7
    """Score of a model without a published dynamic degree."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        intensity = request.motion if request.motion is not None else request.features.prompt.intensity
        if intensity is None:
            return [NOTHING_ASKED] * len(candidates)
        return [_word(c.card.quality.dynamic_degree, intensity, self.unknown) for c in candidates]


@lru_cache(maxsize=4096)
def _word(degree: float | None, intensity: Intensity, unknown: float) -> Score:
    wished = intensity.name.lower()
    if degree is None:
        return Score(unknown, f"{wished} motion asked; how much this model moves was not measured")
    target = TARGETS[intensity]
    return Score(1 - abs(degree - target), f"{wished} motion asked; {degree:.0%} of its clips really move")
