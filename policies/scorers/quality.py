"""How good a model's clips look for this use: its rating, as the chance to be preferred over a reference.

What is said of the model's strengths and what votes have taught are in the rating (see `policies.quality`),
and nowhere else in the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from policies.calibration import OFFSET_SD
from policies.quality import adapted, evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest

WIDE_SD = 50.0
"""Elo from which a rating is called uncertain: the widest published interval of the arena.ai image-to-video
board of 16 April 2026 is +- 19 (95 %), families' priors begin at 60."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The predicted preference of the candidate (see `policies.quality`)."""

    name: ClassVar[str] = "quality"

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        del request
        return [c.prediction.quality for c in candidates]

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """The rating and where it is from, each claim and vote that moves it, and what it comes to."""
        card, rating = candidate.card, candidate.prediction.rating
        elo, sd = card.quality.rating
        known = "inferred" if card.quality.inferred else "rated"
        told = [f"{known} Elo {elo:.0f} ± {sd:.0f} ({card.quality.board})"]
        if adapted(candidate.offer):
            told.append(f"its adapter {adapted(candidate.offer):+.0f}")
        seen = evidence(request)
        told += [
            f"{s.tag} {OFFSET_SD * s.weight * seen[s.tag]:+.0f}" for s in card.strengths if s.tag in seen
        ]
        if rating is not None and rating.votes:
            told.append(f"{rating.votes} votes {rating.learned:+.0f}")
        unsure = ", so uncertain that it counts nearer to a draw" if sd >= WIDE_SD else ""
        return f"{', '.join(told)}{unsure}: preferred in {candidate.prediction.quality:.0%}"
