"""The chance that the clip is there by the deadline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from policies.base import Score
from policies.words import seconds_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, Prediction, RouteRequest

NO_DEADLINE = Score(1.0, "no deadline")


@dataclass(frozen=True, slots=True)
class OnTime:
    """The predicted probability itself."""

    name: ClassVar[str] = "on_time"

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        deadline = request.deadline_s
        if deadline is None:
            return [NO_DEADLINE] * len(candidates)
        return [Score(p.on_time, _told, (p, deadline)) for p in [c.prediction for c in candidates]]


def _told(about: tuple[Prediction, float]) -> str:
    prediction, deadline_s = about
    total = seconds_word(prediction.seconds + prediction.wait_seconds)
    return f"{total} in all against {deadline_s:.4g} s: {prediction.on_time:.0%}"
