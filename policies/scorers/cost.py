"""Money, on a scale of its own: for profiles that add scores up instead of paying for utility."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.words import usd_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Cost:
    """1 for a free clip, 0.5 at `half_at_usd`, falling towards 0; an unknown price scores 0."""

    name: ClassVar[str] = "cost"

    half_at_usd: Annotated[float, Field(gt=0)] = 0.10
    """Price in USD that scores one half."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        del request
        half = self.half_at_usd
        return [0.0 if usd is None else half / (half + usd) for usd in [c.prediction.usd for c in candidates]]

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """The price."""
        del request
        usd = candidate.prediction.usd
        return "its price is not known" if usd is None else f"costs {usd_word(usd)} a clip"
