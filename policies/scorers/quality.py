"""How good the clips of a model look: its rating, as the chance to be preferred over a reference model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from policies.base import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.card import Quality as Rating
    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Quality:
    """The predicted preference of the candidate (see `policies.quality`)."""

    name: ClassVar[str] = "quality"

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        del request
        return [_word(c.prediction.quality, *_facts(c.card.quality)) for c in candidates]


def _facts(rating: Rating) -> tuple[float, float, str, bool]:
    return rating.elo, rating.sd, rating.board, rating.inferred


@lru_cache(maxsize=4096)
def _word(preference: float, elo: float, sd: float, board: str, inferred: bool) -> Score:
    known = "inferred" if inferred else "rated"
    return Score(preference, f"{known} Elo {elo:.0f} ± {sd:.0f} ({board}): preferred in {preference:.0%}")
