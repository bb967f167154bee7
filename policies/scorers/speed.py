"""How soon the clip is there, wait and all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.words import seconds_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Speed:
    """1 for at once, 0.5 at `half_at_s` seconds, falling towards 0."""

    name: ClassVar[str] = "speed"

    half_at_s: Annotated[float, Field(gt=0)] = 60.0
    """Wait and run in seconds that score one half."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        del request
        half = self.half_at_s
        return [half / (half + p.seconds + p.wait_seconds) for p in [c.prediction for c in candidates]]

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """Run and wait."""
        del request
        predicted = candidate.prediction
        told = f"takes {seconds_word(predicted.seconds)}"
        if predicted.wait_seconds > 0:
            told = f"{told} after a wait of {seconds_word(predicted.wait_seconds)}"
        return f"{told}; {seconds_word(self.half_at_s)} would be worth half"
