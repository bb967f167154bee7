"""The chance that the clip is there by the deadline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from policies.base import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest

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
        words = []
        for c in candidates:
            p = c.prediction
            total = p.seconds + p.wait_seconds
            words.append(Score(p.on_time, f"{total:.3g} s in all against {deadline:.4g} s: {p.on_time:.0%}"))
        return words
