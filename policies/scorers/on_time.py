"""The chance that the clip is there by the deadline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from policies.words import seconds_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class OnTime:
    """The predicted probability itself."""

    name: ClassVar[str] = "on_time"

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        if request.deadline_s is None:
            return [1.0] * len(candidates)
        return [c.prediction.on_time for c in candidates]

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """Wait and run against the deadline."""
        if request.deadline_s is None:
            return "no deadline"
        predicted = candidate.prediction
        total = seconds_word(predicted.seconds + predicted.wait_seconds)
        return f"{total} in all against {request.deadline_s:.4g} s: {predicted.on_time:.0%}"
