"""How much of the photograph stays in the picture, and how much of the picture it fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.types import Fit
from policies.base import Score
from policies.sharing import once_per_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.types import ClipPlan
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
        return once_per_plan(candidates, _word)


def _word(plan: ClipPlan) -> Score:
    laid = plan.framing
    return EXACT if laid.fit is Fit.EXACT else Score(laid.kept * laid.filled, _told, laid)


def _told(laid: Laid) -> str:
    if laid.fit is Fit.CROP:
        return f"cropped: {laid.kept:.0%} of the photograph stays visible"
    return f"padded: the photograph fills {laid.filled:.0%} of the frame"
