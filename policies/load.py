"""How long a pool makes a new clip wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.base import Pool


def wait_seconds(pool: Pool) -> float:
    """Predicted seconds until a replica of the pool is free for one more clip.

    Queued work is poured over the replicas like water, each first filled up to the time at which it is free:
    the wait is the level reached. With no replica up, one starts cold.
    """
    if pool.replicas <= 0:
        return pool.cold_start_s + sum(pool.busy_seconds) + max(0.0, pool.queued_seconds)
    busy = sorted(pool.busy_seconds)
    idle = pool.replicas - len(busy)
    work = pool.queued_seconds
    if idle < 0:
        # More runs than replicas are known (one has just been lost): the excess runs again.
        work += sum(busy[pool.replicas :])
        busy, idle = busy[: pool.replicas], 0
    if work <= 0:
        return 0.0 if idle > 0 else busy[0]
    level, filled = (0.0, idle) if idle > 0 else (busy[0], 0)
    for free_at in busy:
        if filled and work <= (free_at - level) * filled:
            break
        work -= (free_at - level) * filled
        level, filled = free_at, filled + 1
    return level + work / filled
