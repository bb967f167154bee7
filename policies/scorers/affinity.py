"""Warm and idle replicas first: a cold start is paid by everyone behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.base import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, Pool, RouteRequest

Share = Annotated[float, Field(ge=0, le=1)]

IDLE = Score(1.0, "a warm replica is idle")


@dataclass(frozen=True, slots=True)
class Affinity:
    """1 for an idle warm replica, `busy` when all are at work, `cold` when none is up."""

    name: ClassVar[str] = "affinity"

    busy: Share = 0.8
    """Every replica is at work."""
    cold: Share = 0.5
    """No replica is up."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        del request
        cold = Score(self.cold, "no replica is up; one must start")
        busy = Score(self.busy, "every warm replica is at work")
        return [_word(c.pool, busy, cold) for c in candidates]


def _word(pool: Pool, busy: Score, cold: Score) -> Score:
    if pool.replicas <= 0:
        return cold
    return IDLE if pool.replicas > len(pool.busy_seconds) and pool.queued_seconds <= 0 else busy
