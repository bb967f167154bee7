"""Hopeless deadlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from models.card import HOSTED
from policies.words import seconds_word

if TYPE_CHECKING:
    from policies.base import Candidate, RouteRequest


@dataclass(frozen=True, slots=True)
class Deadline:
    """Rejects candidates that meet the deadline with less than `hopeless` probability."""

    name: ClassVar[str] = "deadline"

    hopeless: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Below this chance a candidate is no answer."""

    def applies(self, request: RouteRequest) -> bool:
        """False when nothing can be rejected for this request."""
        return request.deadline_s is not None

    def reject(self, request: RouteRequest, candidate: Candidate) -> str | None:
        """Why this candidate is no answer, or None."""
        deadline = request.deadline_s
        prediction = candidate.prediction
        if deadline is None or prediction.on_time >= self.hopeless:
            return None
        wait = (
            f" after a wait of {seconds_word(prediction.wait_seconds)}" if prediction.wait_seconds > 0 else ""
        )
        backend = candidate.offer.backend
        where = f"at {backend}" if backend in HOSTED else f"on {candidate.gpus} {candidate.pool.gpu}"
        return f"takes {seconds_word(prediction.seconds)}{wait} {where}; the deadline is {deadline:.4g} s"
