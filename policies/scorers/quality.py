"""How good the clips of a model look: its rating, as the chance to be preferred over a reference model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Quality:
    """The predicted preference of the candidate (see `policies.quality`)."""

    name: ClassVar[str] = "quality"

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        del request
        return [c.prediction.quality for c in candidates]

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """The rating, where it is from and what it comes to."""
        del request
        rating = candidate.card.quality
        elo, sd = rating.rating
        known = "inferred" if rating.inferred else "rated"
        chance = candidate.prediction.quality
        return f"{known} Elo {elo:.0f} ± {sd:.0f} ({rating.board}): preferred in {chance:.0%}"
