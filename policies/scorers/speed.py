"""How soon the clip is there, wait and all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.base import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Speed:
    """1 for at once, 0.5 at `half_at_s` seconds, falling towards 0."""

    name: ClassVar[str] = "speed"

    half_at_s: Annotated[float, Field(gt=0)] = 60.0
    """Wait and run in seconds that score one half."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        del request
        half = self.half_at_s
        words = []
        for c in candidates:
            p = c.prediction
            wait = p.wait_seconds
            told = f"{p.seconds:.3g} s" if wait <= 0 else f"{p.seconds:.3g} s after a wait of {wait:.3g} s"
            words.append(Score(half / (half + p.seconds + wait), told))
        return words
