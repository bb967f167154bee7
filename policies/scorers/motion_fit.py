"""Models that keep every pixel still win on consistency and lose the person who asked for motion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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

FIELD = (0.682, 0.529, 0.486, 0.529, 0.488, 0.552, 0.474, 0.085, 0.222, 0.332, 0.261, 0.524, 0.432)
"""Dynamic degrees of the image-to-video models of the VBench-I2V board, as retrieved on 2026-08-04: what is
expected of a model that is not on it."""


@dataclass(frozen=True, slots=True)
class MotionFit:
    """1 - |dynamic degree - target|: a frozen clip is as wrong as a wild one.

    Where motion is named but not how much, only too little of it counts, against `unsaid`. A model without a
    published degree has the mean value of those that have one.
    """

    name: ClassVar[str] = "motion_fit"

    unsaid: Share = TARGETS[Intensity.GENTLE]
    """Dynamic degree that named motion needs at least."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        intensity = _asked(request)
        if intensity is None and not _named(request):
            return [1.0] * len(candidates)

        def value(card: Card) -> float:
            degree = card.quality.dynamic_degree
            return _of_field(intensity, self.unsaid) if degree is None else self._value(degree, intensity)

        return once_per_card(candidates, value)

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """What was asked and how much the model's clips move."""
        intensity = _asked(request)
        if intensity is None and not _named(request):
            return "the words do not say how much should move"
        degree = candidate.card.quality.dynamic_degree
        wished = (
            f"motion asked (at least {self.unsaid:.0%} of clips should really move)"
            if intensity is None
            else f"{intensity.name.lower()} motion asked ({TARGETS[intensity]:.0%} of clips should move)"
        )
        if degree is None:
            return f"{wished}; how many of this model's do was not measured: the mean of {len(FIELD)} others"
        return f"{wished}; {degree:.0%} of this model's do"

    def _value(self, degree: float, intensity: Intensity | None) -> float:
        return _match(degree, intensity, self.unsaid)


def _match(degree: float, intensity: Intensity | None, unsaid: float) -> float:
    if intensity is None:
        return 1.0 - max(0.0, unsaid - degree)
    return 1.0 - abs(degree - TARGETS[intensity])


@lru_cache(maxsize=64)
def _of_field(intensity: Intensity | None, unsaid: float) -> float:
    """The mean value of the models that were measured."""
    return sum(_match(degree, intensity, unsaid) for degree in FIELD) / len(FIELD)


def _asked(request: RouteRequest) -> Intensity | None:
    return request.motion if request.motion is not None else request.features.prompt.intensity


def _named(request: RouteRequest) -> bool:
    prompt = request.features.prompt
    return bool(prompt.subject_motion or prompt.environment_motion)
