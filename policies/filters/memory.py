"""Clips that do not fit the GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Memory:
    """Rejects candidates whose predicted peak exceeds the usable memory of one GPU."""

    name: ClassVar[str] = "memory"

    def reject(self, request: RouteRequest, candidate: Candidate) -> str | None:
        """Why this candidate is no answer, or None."""
        del request
        prediction = candidate.prediction
        if prediction.fits:
            return None
        plan = candidate.plan.native
        return (
            f"{plan.num_frames} frames of {plan.size} peak at {prediction.memory_bytes / 2**30:.1f} GiB "
            f"a GPU, more than a {candidate.pool.gpu} can give"
        )
