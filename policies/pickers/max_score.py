"""The plain picker: the weighted mean of all scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from policies.ordering import best_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import RouteRequest, Scored


@dataclass(frozen=True, slots=True)
class MaxScore:
    """Utility = sum of weight x score / sum of weights. Ties are ordered by the candidate's key."""

    name: ClassVar[str] = "max_score"

    def order(self, request: RouteRequest, scored: Sequence[Scored]) -> list[Scored]:
        """All of `scored`, best first."""
        del request
        return best_first(s._replace(utility=_mean(s)) for s in scored)


def _mean(scored: Scored) -> float:
    weights = sum(column.weight for column in scored.columns)
    if weights == 0:
        return 0.0
    total = sum(v * column.weight for v, column in zip(scored.values, scored.columns, strict=True))
    return total / weights
