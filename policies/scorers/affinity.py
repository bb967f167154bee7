"""Warm and idle replicas first: a cold start is paid by everyone behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.words import seconds_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, Pool, RouteRequest

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Affinity:
    """1 for an idle warm replica, `busy` when all are at work, `cold` when none is up."""

    name: ClassVar[str] = "affinity"

    busy: Share = 0.8
    """Every replica is at work."""
    cold: Share = 0.5
    """No replica is up."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        del request
        return [self._value(pool) for pool in [c.pool for c in candidates]]

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """How the pool stands."""
        del request
        pool = candidate.pool
        if pool.replicas <= 0:
            return f"0 replicas are up; one must start, in {seconds_word(pool.cold_start_s)}"
        if _idle(pool):
            return "a warm replica is idle" if pool.gang_size == 1 else "a warm replica has idle GPUs"
        if pool.gang_size > 1:
            of = pool.replicas * pool.gang_size
            return f"{pool.gpus_at_work} of {of} GPUs of warm replicas are at work, {_queue(pool)} wait"
        return f"{len(pool.busy_seconds)} of {pool.replicas} warm replicas are at work, {_queue(pool)} wait"

    def _value(self, pool: Pool) -> float:
        if pool.replicas <= 0:
            return self.cold
        return 1.0 if _idle(pool) else self.busy


def _idle(pool: Pool) -> bool:
    if pool.queued_seconds > 0 or pool.waiting:
        return False
    if pool.gang_size > 1:
        return pool.replicas * pool.gang_size > pool.gpus_at_work
    return pool.replicas > len(pool.busy_seconds)


def _queue(pool: Pool) -> str:
    queued = f"{seconds_word(pool.queued_seconds)} of work" if pool.queued_seconds > 0 else ""
    jobs = f"{len(pool.waiting)} jobs" if pool.waiting or not queued else ""
    return " and ".join(part for part in (jobs, queued) if part)
