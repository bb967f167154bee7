"""The default picker: what the clip is expected to be worth, less what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.base import Scored
from policies.calibration import EXPLORE_MARGIN
from policies.ordering import best_first, explored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import RouteRequest


_new = tuple.__new__
"""Makes named tuples by the hundred: their own constructors take twice as long."""


@dataclass(frozen=True, slots=True)
class ExpectedUtility:
    """Utility = product of score ** weight over all scorers - `cost_weight` x USD x congestion.

    The product is value x quality x P(on time): each scorer says which share of the worth is left, its
    weight how much that matters (0.5 takes the root). An unknown price counts as the dearest known one. GPU
    seconds of a crowded pool weigh more than they cost, so that load moves to lighter models.
    Equal utilities are ordered by least headroom, then by the candidate's key.
    """

    name: ClassVar[str] = "expected_utility"

    cost_weight: Annotated[float, Field(ge=0)] = 0.1
    """Utility that one USD is worth (lambda)."""
    explore_margin: Annotated[float, Field(ge=0)] = EXPLORE_MARGIN
    """By how much utility the candidates that exploring requests try may be behind; 0: only equals."""
    congested: bool = True
    """Whether congestion weighs on the cost."""

    def order(self, request: RouteRequest, scored: Sequence[Scored]) -> Sequence[Scored]:
        """All of `scored`, best first."""
        if not scored:
            return []
        predictions = [made.prediction for made, _, _, _, _ in scored]
        prices = [predicted.usd for predicted in predictions]
        dearest = max([usd or 0.0 for usd in prices])
        worths = [1.0] * len(scored)
        by_scorer = zip(*[values for _, _, values, _, _ in scored], strict=True)
        for values, (_, weight) in zip(by_scorer, scored[0].columns, strict=True):
            if min(values) == 1.0:
                continue
            if weight == 1.0:
                worths = [worth * value for worth, value in zip(worths, values, strict=True)]
            else:
                worths = [worth * value**weight for worth, value in zip(worths, values, strict=True)]
        valued = []
        rate = self.cost_weight
        costs = [dearest if usd is None else usd for usd in prices]
        if self.congested:
            costs = [usd * predicted.congestion for usd, predicted in zip(costs, predictions, strict=True)]
        for worth, usd, (candidate, _, values, columns, asked) in zip(worths, costs, scored, strict=True):
            valued.append(_new(Scored, (candidate, worth - rate * usd, values, columns, asked)))
        return explored(request, best_first(valued), self.explore_margin)
