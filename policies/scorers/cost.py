"""Money, on a scale of its own: for profiles that add scores up instead of paying for utility."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.base import Score
from policies.words import usd_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest

UNKNOWN = Score(0.0, "its price is not known")


@dataclass(frozen=True, slots=True)
class Cost:
    """1 for a free clip, 0.5 at `half_at_usd`, falling towards 0; an unknown price scores 0."""

    name: ClassVar[str] = "cost"

    half_at_usd: Annotated[float, Field(gt=0)] = 0.10
    """Price in USD that scores one half."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        del request
        half = self.half_at_usd
        words = []
        for c in candidates:
            usd = c.prediction.usd
            words.append(UNKNOWN if usd is None else Score(half / (half + usd), _told, usd))
        return words


def _told(usd: float) -> str:
    return f"{usd_word(usd)} a clip"
