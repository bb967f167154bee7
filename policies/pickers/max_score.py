"""The plain picker: the weighted mean of all scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from policies.base import Scored
from policies.ordering import best_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import RouteRequest


@dataclass(frozen=True, slots=True)
class MaxScore:
    """Utility = sum of weight x score / sum of weights. Equal utilities are ordered by the candidate's key."""

    name: ClassVar[str] = "max_score"

    def order(self, request: RouteRequest, scored: Sequence[Scored]) -> list[Scored]:
        """All of `scored`, best first."""
        del request
        return best_first(Scored(s.candidate, _mean(s), s.scores) for s in scored)


def _mean(scored: Scored) -> float:
    weights = sum(weight for _, weight in scored.scores.values())
    if weights == 0:
        return 0.0
    return sum(score.value * weight for score, weight in scored.scores.values()) / weights
