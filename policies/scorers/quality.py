"""How good the clips of a model look: its rating, as the chance to be preferred over a reference model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from policies.base import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Quality:
    """The predicted preference of the candidate (see `policies.quality`)."""

    name: ClassVar[str] = "quality"

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        del request
        return [Score(c.prediction.quality, _told, c) for c in candidates]


def _told(candidate: Candidate) -> str:
    rating = candidate.card.quality
    known = "inferred" if rating.inferred else "rated"
    chance = candidate.prediction.quality
    return f"{known} Elo {rating.elo:.0f} ± {rating.sd:.0f} ({rating.board}): preferred in {chance:.0%}"
