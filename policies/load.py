"""How long a pool makes a new clip wait, and what its GPU seconds are worth to those who wait.

A pool's work in hand is rolled forward once: jobs that wait are put on its replicas in the order in which
they will be served (bands, then the nearest deadline, with hold-back), each on the one that is free first.
What is kept of it is when a further job could start behind the first k of them, so that asking is a
bisection.

A replica of several GPUs (a gang) serves as many clips as have room on its GPUs: a clip of g GPUs starts when
that many of one gang are free, and holds them to its end. The gang itself does better: it takes the next step
of whoever is most urgent, so nothing is held back there, and lends idle GPUs to clips that were planned for
fewer. What is predicted here is therefore late rather than early.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from models.types import Priority
from policies.fairness import BANDS, room

if TYPE_CHECKING:
    from policies.base import Pool

HORIZON_S = 600.0
"""Seconds of work in hand for each replica at which a pool counts as fully used. Our choice: nobody
likes to wait for longer."""
MOST_UTILISATION = 2.0
"""Above it the price rises no further. Our choice: the curve was fitted to roads, which hold no more."""


class Backlog(NamedTuple):
    """A pool's work in hand, rolled forward. Compiled once for a pool, asked for each candidate."""

    places: tuple[tuple[int, float], ...]
    """(band, due) of each job that waits, in the order of service."""
    starts: tuple[tuple[tuple[float, ...], ...], ...]
    """By band: seconds until a job of that band could start behind the first k waiting jobs, on 1, 2, 4 ...
    GPUs, as far as the pool's gangs reach."""
    congestion: float
    """Price factor of its GPU seconds (see `congestion`)."""

    def waits(self, due: float, band: int) -> tuple[float, ...]:
        """Seconds until a new job of this band, due in `due` seconds, could start; behind its equals.

        The n-th figure is for 2^n GPUs.
        """
        starts = self.starts[band]
        return starts[bisect_right(self.places, (band, due))] if self.places else starts[0]


def roll_forward(pool: Pool) -> Backlog:
    """The work in hand of `pool` as it will be served if nothing else comes."""
    queue = sorted((BANDS[job.priority], job.due, job.seconds, job.gpus) for job in pool.waiting)
    return Backlog(
        tuple([(band, due) for band, due, _, _ in queue]),
        _on_gangs(pool, queue) if pool.gang_size > 1 else _on_replicas(pool, queue),
        max(1.0, pool.congestion) * congestion(utilisation(pool)),
    )


Queue = list[tuple[int, float, float, int]]
"""Band, due, seconds and GPUs of each job that waits, in the order of service."""
Starts = tuple[tuple[tuple[float, ...], ...], ...]


def _on_replicas(pool: Pool, queue: Queue) -> Starts:
    """`Backlog.starts` where each replica runs one clip at a time."""
    free = _free_times(pool)
    # In an account places fall free all the time: nothing is held back there.
    rooms = [len(free) if pool.gpu == "hosted" else room(priority, len(free)) for priority in BANDS]
    # A job of a band that may keep k replicas busy starts when all but k - 1 of them are free.
    at = [len(free) - most for most in rooms]
    starts: list[list[tuple[float, ...]]] = [[(free[index],)] for index in at]
    for band, _, seconds, _ in queue:
        # A job that must wait for room leaves the replicas that are free before it to those above its band.
        insort(free, free.pop(at[band]) + max(0.0, seconds))
        for found, index in zip(starts, at, strict=True):
            found.append((free[index],))
    return tuple([tuple(found) for found in starts])


def _on_gangs(pool: Pool, queue: Queue) -> Starts:
    """`Backlog.starts` where the GPUs of each replica are shared by several clips; the same for each band.

    Which gang a clip really runs on is not known. But of R gangs one has g GPUs free as soon as R (g - 1) + 1
    are free in all, so that is when a clip of g GPUs starts; of a single gang it is when g are.
    """
    size, gangs = pool.gang_size, max(1, pool.replicas)
    free = [pool.cold_start_s if pool.replicas <= 0 else 0.0] * (size * gangs)
    widths = pool.busy_gpus or (1,) * len(pool.busy_seconds)
    # The widest first, so that they fit where they must have fitted.
    for gpus, seconds in sorted(zip(widths, pool.busy_seconds, strict=True), reverse=True):
        _put(free, min(gpus, size), gangs, seconds)
    if pool.queued_seconds > 0:
        free = _poured(free, pool.queued_seconds)
    wanted = [gangs * ((1 << n) - 1) for n in range(size.bit_length())]
    starts = [tuple([free[index] for index in wanted])]
    for _, _, seconds, gpus in queue:
        _put(free, min(gpus, size), gangs, seconds)
        starts.append(tuple([free[index] for index in wanted]))
    return (tuple(starts),) * len(BANDS)


def _put(free: list[float], gpus: int, gangs: int, seconds: float) -> None:
    """Let a clip run as soon as some gang surely has room; GPUs that are free before are left to others."""
    last = gangs * (gpus - 1)
    begin = free[last]
    free[last - gpus + 1 : last + 1] = [begin + max(0.0, seconds)] * gpus
    free.sort()


def wait_seconds(pool: Pool, due: float = inf, priority: Priority = Priority.NORMAL, gpus: int = 1) -> float:
    """Predicted seconds until a new clip could start on the pool.

    Args:
        pool: With its load. Of a hosted account the replicas are the calls that it may have in flight.
        due: Seconds from now until the clip must be there; inf when it need not.
        priority: Its band.
        gpus: GPUs of one replica that it is to run on: 1, 2, 4 ... up to `pool.gang_size`.
    """
    return roll_forward(pool).waits(due, BANDS[priority])[gpus.bit_length() - 1]


def utilisation(pool: Pool) -> float:
    """Predicted seconds of work in hand over what the GPUs do in `HORIZON_S`. 0: idle, 1: fully used."""
    if pool.busy_gpus:
        work = sum([left * gpus for left, gpus in zip(pool.busy_seconds, pool.busy_gpus, strict=True)])
    else:
        work = sum(pool.busy_seconds)
    work += max(0.0, pool.queued_seconds)
    if pool.waiting:
        work += sum([job.seconds * job.gpus for job in pool.waiting])
    return work / (max(1, pool.replicas) * pool.gang_size * HORIZON_S)


def congestion(used: float) -> float:
    """What a second on a pool is worth while others wait for it, as a factor, from its utilisation.

    The volume-delay curve 1 + 0.15 u^4 of the US Bureau of Public Roads (Traffic Assignment Manual, 1964):
    flat while there is room, steep once there is none.
    """
    return float(1.0 + 0.15 * min(max(0.0, used), MOST_UTILISATION) ** 4)


def _free_times(pool: Pool) -> list[float]:
    """When each replica is free, soonest first, before any of `waiting` runs.

    Queued work without particulars is poured over the replicas like water, each first filled up to the time
    at which it is free. With no replica up, one starts cold.
    """
    if pool.replicas <= 0:
        return [pool.cold_start_s + sum(pool.busy_seconds) + max(0.0, pool.queued_seconds)]
    busy = sorted(pool.busy_seconds)
    idle = pool.replicas - len(busy)
    work = pool.queued_seconds
    if idle < 0:
        # More runs than replicas are known (one has just been lost): the excess runs again.
        work += sum(busy[pool.replicas :])
        busy, idle = busy[: pool.replicas], 0
    free = [0.0] * idle + busy
    return _poured(free, work) if work > 0 else free


def _poured(free: list[float], work: float) -> list[float]:
    level, filled = free[0], 0
    for free_at in free:
        if filled and work <= (free_at - level) * filled:
            break
        work -= (free_at - level) * filled
        level, filled = free_at, filled + 1
    return [level + work / filled] * filled + free[filled:]
