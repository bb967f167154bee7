"""The default picker: what the clip is expected to be worth, less what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.base import Scored
from policies.ordering import best_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import RouteRequest


@dataclass(frozen=True, slots=True)
class ExpectedUtility:
    """Utility = product of score ** weight over all scorers - `cost_weight` x USD.

    The product is value x quality x P(on time): each scorer says which share of the worth is left, its
    weight how much that matters (0.5 takes the root). An unknown price counts as the dearest known one.
    Equal utilities are ordered by the candidate's key.
    """

    name: ClassVar[str] = "expected_utility"

    cost_weight: Annotated[float, Field(ge=0)] = 0.1
    """Utility that one USD is worth (lambda)."""

    def order(self, request: RouteRequest, scored: Sequence[Scored]) -> list[Scored]:
        """All of `scored`, best first."""
        del request
        if not scored:
            return []
        dearest = max(s.candidate.prediction.usd or 0.0 for s in scored)
        worths = [1.0] * len(scored)
        by_scorer = zip(*[s.values for s in scored], strict=True)
        for values, (_, weight) in zip(by_scorer, scored[0].columns, strict=True):
            if min(values) == 1.0:
                continue
            if weight == 1.0:
                worths = [worth * value for worth, value in zip(worths, values, strict=True)]
            else:
                worths = [worth * value**weight for worth, value in zip(worths, values, strict=True)]
        valued = []
        for worth, (candidate, _, values, columns, asked) in zip(worths, scored, strict=True):
            usd = candidate.prediction.usd
            utility = worth - self.cost_weight * (dearest if usd is None else usd)
            valued.append(Scored(candidate, utility, values, columns, asked))
        return best_first(valued)
