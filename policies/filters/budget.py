"""Money: nothing dearer than the client allows, and nothing of unknown price under a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from policies.words import usd_word

if TYPE_CHECKING:
    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Budget:
    """Rejects candidates above `max_cost_usd`."""

    name: ClassVar[str] = "budget"

    def applies(self, request: RouteRequest) -> bool:
        """False when nothing can be rejected for this request."""
        return request.max_cost_usd is not None

    def reject(self, request: RouteRequest, candidate: Candidate) -> str | None:
        """Why this candidate is no answer, or None."""
        limit = request.max_cost_usd
        if limit is None:
            return None
        usd = candidate.prediction.usd
        if usd is None:
            return f"its price is not known, and the budget is {usd_word(limit)}"
        if usd > limit:
            return f"costs {usd_word(usd)}, above the budget of {usd_word(limit)}"
        return None
