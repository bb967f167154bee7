"""What one tick of the dispatcher knows: the fleet, the room of each pool, and which pools are broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from policies.base import Fleet, Pool
from router.jobs.records import Attempt, PoolRecord, Worker


def free_slots(
    pools: Sequence[PoolRecord], workers: Sequence[Worker], running: Sequence[Attempt], *, waiting: int
) -> Counter[str]:
    """How many more jobs each pool may be handed now. Pure.

    Ready slots less attempts in hand; one more while the pool may still grow and no call of ours waits in it,
    since Serve scales on calls that wait (from zero, and upwards when all replicas are busy).
    """
    slots: Counter[str] = Counter()
    live: Counter[str] = Counter()
    for worker in workers:
        if worker.state == "ready":
            slots[worker.pool] += worker.slots
        live[worker.pool] += 1
    held: Counter[str] = Counter(attempt.pool for attempt in running)
    room: Counter[str] = Counter()
    for pool in pools:
        free = slots[pool.name] - held[pool.name]
        grows = live[pool.name] < pool.max_replicas and held[pool.name] <= slots[pool.name]
        room[pool.name] = max(free, 1 if grows and waiting else 0, 0)
    return room


def broken_pools(workers: Sequence[Worker]) -> frozenset[str]:
    """Pools all of whose workers are up but cannot work (their weights are not to be had). Pure.

    Waiting does not mend such a pool; an operator does.
    """
    states: dict[str, set[str]] = {}
    for worker in workers:
        states.setdefault(worker.pool, set()).add(worker.state)
    return frozenset(pool for pool, seen in states.items() if seen == {"broken"})


@dataclass(slots=True)
class Board:
    """Changes as jobs are placed, so that each decision of a tick sees the ones before it."""

    fleet: Fleet
    room: Counter[str]
    broken: frozenset[str] = frozenset()

    @property
    def full(self) -> bool:
        """True when no pool has room."""
        return not any(self.room.values())

    @property
    def healed(self) -> Fleet:
        """The fleet as it would be if every pool that may recover had."""
        return replace(
            self.fleet,
            pools=tuple(
                pool if pool.name in self.broken else replace(pool, healthy=True) for pool in self.fleet.pools
            ),
        )

    def rest(self, resting: Mapping[str, str]) -> None:
        """Pools that turned a job away a moment ago are not asked now."""

        def rested(pool: Pool) -> Pool:
            return replace(pool, healthy=False, reason=resting[pool.name])

        for name in resting:
            self._change(name, rested)

    def occupy(self, name: str, seconds: float) -> None:
        """A job was handed to the pool."""
        self.room[name] -= 1
        self._change(name, lambda pool: replace(pool, busy_seconds=(*pool.busy_seconds, seconds)))

    def promise(self, name: str, seconds: float) -> None:
        """A job waits for the pool."""
        self._change(name, lambda pool: replace(pool, queued_seconds=pool.queued_seconds + seconds))

    def _change(self, name: str, change: Callable[[Pool], Pool]) -> None:
        pools = tuple(change(pool) if pool.name == name else pool for pool in self.fleet.pools)
        self.fleet = replace(self.fleet, pools=pools)
