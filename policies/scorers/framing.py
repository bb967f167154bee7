"""How much of the photograph stays in the picture, and how much of the picture it fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.types import Fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Framing:
    """Kept share x filled share: cropping and bars cost what they take."""

    name: ClassVar[str] = "framing"

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        del request
        return [laid.kept * laid.filled for laid in [c.plan.framing for c in candidates]]

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """What is cut off or left empty."""
        del request
        laid = candidate.plan.framing
        if laid.fit is Fit.EXACT:
            return "the whole photograph fills the frame"
        if laid.fit is Fit.CROP:
            return f"cropped: {laid.kept:.0%} of the photograph stays visible"
        return f"padded: the photograph fills {laid.filled:.0%} of the frame"
