"""How much of the photograph stays in the picture, and how much of the picture it fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.types import Fit
from policies.base import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.types import Framing as Laid
    from policies.base import Candidate, RouteRequest

EXACT = Score(1.0, "the whole photograph fills the frame")


@dataclass(frozen=True, slots=True)
class Framing:
    """Kept share x filled share: cropping and bars cost what they take."""

    name: ClassVar[str] = "framing"

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        del request
        return [
            EXACT if f.fit is Fit.EXACT else Score(f.kept * f.filled, _told, f)
            for f in [c.plan.framing for c in candidates]
        ]


def _told(laid: Laid) -> str:
    if laid.fit is Fit.CROP:
        return f"cropped: {laid.kept:.0%} of the photograph stays visible"
    return f"padded: the photograph fills {laid.filled:.0%} of the frame"
