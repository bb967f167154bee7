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
        # A weight of 1 needs no power.
        plain = [at for at, (_, weight) in enumerate(scored[0].columns) if weight == 1.0]
        powers = [(at, weight) for at, (_, weight) in enumerate(scored[0].columns) if weight != 1.0]
        valued = []
        for candidate, _, marks, columns in scored:
            worth = 1.0
            for at in plain:
                worth *= marks[at][0]
            for at, weight in powers:
                value = marks[at][0]
                if value != 1.0:
                    worth *= value**weight
            usd = candidate.prediction.usd
            utility = worth - self.cost_weight * (dearest if usd is None else usd)
            valued.append(Scored(candidate, utility, marks, columns))
        return best_first(valued)
