"""Pools that cannot take work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from policies.base import Candidate, Pool, RouteRequest


@dataclass(frozen=True, slots=True)
class Health:
    """Rejects candidates whose pool is unhealthy or may hold no replica at all."""

    name: ClassVar[str] = "health"

    def silent_on_pool(self, pool: Pool) -> bool:
        """True when no candidate of the pool can be rejected."""
        return pool.healthy and (pool.replicas > 0 or pool.max_replicas > 0)

    def reject(self, request: RouteRequest, candidate: Candidate) -> str | None:
        """Why this candidate is no answer, or None."""
        del request
        pool = candidate.pool
        if not pool.healthy:
            return f"pool {pool.name} is not healthy: {pool.reason or 'no reason given'}"
        if pool.replicas <= 0 and pool.max_replicas <= 0:
            return f"pool {pool.name} has no replica and may start none"
        return None
