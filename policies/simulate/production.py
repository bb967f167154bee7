"""The dispatcher of the simulation: the production engine over a queue that is bound late.

A job is decided when it comes (nothing fits: it is refused, with counter-offers in real life), and again when
a server of the pool it waits for is free. In between only the jobs at the head of that pool's queue are
decided again, and now and then all of them. The live dispatcher decides the whole queue at every tick.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Literal

from policies.base import Fleet, Pool, Waiting
from policies.breaker import Circuit, Outcome, verdict
from policies.fairness import BANDS, Claim, charged, order, room, settled
from policies.simulate.events import Order
from policies.simulate.experience import Experience

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from policies.base import RouteRequest, Scored
    from policies.engine import Engine
    from policies.simulate.events import Kind, Run, Yard
    from policies.simulate.world import Arrival, World


@dataclass(frozen=True, slots=True)
class Switches:
    """What an ablation turns off."""

    waits: Literal["predicted", "none", "true"] = "predicted"
    """From the load; as if every pool were idle; or an oracle's, who sees the future of each run."""
    calibrate: bool = True
    learn: bool = True
    fair: bool = True
    """False: bands and deadlines alone."""
    late_binding: bool = True
    """False: a job stays with the pool that it was promised at admission."""
    deadlines: bool = True
    """False: oldest first instead of the nearest deadline."""


MOST_REVIEWED = 32
"""How many heads of the queue a review decides anew. The live dispatcher decides up to 500 a tick while there
is room anywhere; behind the first few dozen nothing starts before the next review."""
MOST_TOLD = 200
"""Jobs of one pool's line that are rolled forward one by one; those behind count as a lump."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A job that waits, and the run that it is promised."""

    job: Arrival
    order: Order
    late: bool = False
    """Its deadline cannot be met any more: it goes last."""


class Production:
    """The engine, what it has learned, and its queue."""

    def __init__(
        self,
        world: World,
        engine: Engine,
        *,
        name: str = "production",
        kind: Kind = "production",
        switches: Switches | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.decisions = 0
        self._do = switches or Switches()
        self.experience = Experience(world, calibrate=self._do.calibrate, learn=self._do.learn)
        self._engine = engine
        self._lines: dict[str, dict[int, Queued]] = {name: {} for name in world.lanes}
        """Who waits, by pool and job."""
        self._built: dict[str, tuple[float, Pool]] = {}
        """Pools with their load as last looked at, while that holds."""
        self._ended: dict[str, list[Outcome]] = {name: [] for name in world.lanes}
        """How runs ended since the first fault, for the circuit breaker."""
        self._excluded: dict[int, frozenset[str]] = {}
        self._shares: Mapping[str, float] = {}

    # --- what happens -----------------------------------------------------------------------------

    def arrive(self, job: Arrival, yard: Yard) -> None:
        """Admission: the decision that the client is told."""
        chosen = self._decide(job, yard)
        if chosen is None:
            yard.reject(job)
            return
        yard.tales[job.index].promised = chosen.candidate.prediction.on_time
        self._place(Queued(job, self._order(chosen)), yard)

    def ended(self, run: Run, yard: Yard) -> None:
        """Learn how long it took, and whether the offer works."""
        pool = run.order.pool
        self._built.pop(pool, None)
        fault = "run failed" if run.fails else None
        if fault or self._ended[pool]:
            self._ended[pool].append(Outcome(yard.now, str(run.job.index), fault))
        if not run.fails:
            self.experience.ran(run)

    def again(self, run: Run, yard: Yard) -> None:
        """An attempt failed: its offer is not asked again for this job while there is another."""
        job, pool = run.job, yard.template(run.order.pool)
        refused = self._excluded.get(job.index, frozenset()) | {f"{pool.model}/{pool.offer}"}
        self._excluded[job.index] = refused
        queued = self._decided(job, yard)
        if queued is None:
            self._excluded[job.index] = frozenset()
            queued = self._decided(job, yard)
        if queued is None:
            yard.reject(job)
        else:
            self._place(queued, yard)

    def room(self, pool: str, yard: Yard) -> None:
        """Start the heads of the pool's queue, deciding them again: they may have found a better pool."""
        self._built.pop(pool, None)
        for head in self._in_order(self._lines[pool].values()):
            if yard.free(pool) <= 0:
                return
            self._again(head, yard)

    def review(self, yard: Yard) -> None:
        """Those who wait are decided again, in order."""
        waiting = [queued for line in self._lines.values() for queued in line.values()]
        for queued in self._in_order(waiting)[:MOST_REVIEWED]:
            self._again(queued, yard)

    def voted(self, job: Arrival, card_id: str, like: bool) -> None:
        """A thumb."""
        self.experience.voted(job, card_id, like)

    def lines(self) -> Mapping[str, Mapping[int, Queued]]:
        """Who waits, by pool and job."""
        return self._lines

    # --- one job ----------------------------------------------------------------------------------

    def _again(self, queued: Queued, yard: Yard) -> None:
        del self._lines[queued.order.pool][queued.job.index]
        self._built.pop(queued.order.pool, None)
        anew = self._decided(queued.job, yard, late=queued.late) if self._do.late_binding else queued
        if anew is None:  # every pool that could is sick: wait
            self._lines[queued.order.pool][queued.job.index] = queued
        else:
            self._place(anew, yard)

    def _decided(self, job: Arrival, yard: Yard, *, late: bool = False) -> Queued | None:
        """In time, or else late: promised in good faith, late is better than never."""
        chosen = None if late else self._decide(job, yard)
        if chosen is None:
            late, chosen = True, self._decide(job, yard, late=True)
        return None if chosen is None else Queued(job, self._order(chosen), late)

    def _decide(self, job: Arrival, yard: Yard, *, late: bool = False) -> Scored | None:
        asked = job.request
        if late:
            asked = replace(asked, deadline_s=None)
        elif asked.deadline_s is not None:
            left = job.due - yard.now
            if left <= 0.0:
                return None
            asked = replace(asked, deadline_s=left)
        self.decisions += 1
        excluded = self._excluded.get(job.index, frozenset())
        return self._engine.decide(asked, self._fleet(yard), counter_offers=False, exclude=excluded).chosen

    def _order(self, chosen: Scored) -> Order:
        made = chosen.candidate
        return Order(
            made.pool.name,
            made.gpus,
            made.prediction.seconds / made.pool.speed,
            made.prediction.seconds,
            made.pool.sigma,
            made.prediction.usd,
            self.experience.samples(made.pool, made.gpus),
            made.prediction.gpu_seconds,
        )

    def _place(self, queued: Queued, yard: Yard) -> None:
        """Start it where there is room for its band; else it waits for that pool."""
        pool, request = queued.order.pool, queued.job.request
        most = room(request.priority, yard.servers(pool))
        self._built.pop(pool, None)
        if yard.free(pool) > 0 and len(yard.runs[pool]) < most:
            yard.start(queued.job, queued.order)
            self._shares = charged(self._shares, request.tenant, queued.order.gpu_seconds)
        else:
            self._lines[pool][queued.job.index] = queued

    # --- the queue and the fleet ------------------------------------------------------------------

    def _in_order(self, waiting: Iterable[Queued]) -> list[Queued]:
        queue = sorted(waiting, key=lambda queued: queued.job.at)
        if not self._do.deadlines:
            return queue
        late = [queued for queued in queue if queued.late]
        queue = [queued for queued in queue if not queued.late]
        if not self._do.fair:
            return sorted(queue, key=_by_deadline) + late
        claims = [_claim(queued) for queued in queue]
        self._shares = settled(self._shares, {claim.tenant for claim in claims})
        by_id = {claim.id: queued for claim, queued in zip(claims, queue, strict=True)}
        return [by_id[claim.id] for claim in order(claims, self._shares)] + late

    def _fleet(self, yard: Yard) -> Fleet:
        pools = []
        for name, idle in self.experience.pools.items():
            found = self._built.get(name)
            if found is None or found[0] != yard.now:
                found = self._built[name] = (yard.now, self._loaded(idle, yard))
            pools.append(found[1])
        return Fleet(tuple(pools), now=yard.now, beliefs=self.experience.beliefs)

    def _loaded(self, idle: Pool, yard: Yard) -> Pool:
        name = idle.name
        runs, line, up = yard.runs[name], self._lines[name], yard.servers(name)
        if self._ended[name]:
            idle = self._judged(idle, yard)
        if self._do.waits == "none" or not (runs or line or up != idle.replicas):
            return idle
        now, true = yard.now, self._do.waits == "true"
        busy = [(run.ends if true else run.began + run.order.predicted_s) - now for run in runs.values()]
        return replace(
            idle,
            replicas=up,
            busy_seconds=tuple(sorted(max(0.0, left) for left in busy)),
            queued_seconds=sum(queued.order.predicted_s for queued in islice(line.values(), MOST_TOLD, None)),
            waiting=tuple(self._waiting(queued, yard) for queued in islice(line.values(), MOST_TOLD)),
            cold_start_s=yard.world.failures.repair_s if up == 0 else 0.0,
        )

    def _judged(self, idle: Pool, yard: Yard) -> Pool:
        """The pool as its circuit breaker leaves it: on probation it takes one run at a time."""
        found = verdict(self._ended[idle.name], yard.now)
        probing = found.circuit is Circuit.HALF_OPEN and bool(yard.runs[idle.name])
        if found.circuit is Circuit.OPEN or probing:
            return replace(idle, healthy=False, reason=found.reason)
        return idle

    def _waiting(self, queued: Queued, yard: Yard) -> Waiting:
        job, ordered = queued.job, queued.order
        seconds = yard.seconds(job, ordered) if self._do.waits == "true" else ordered.predicted_s
        # Oldest first: whoever waits is served before whoever comes.
        due = job.due - yard.now if self._do.deadlines else -inf
        if queued.late:
            due = inf
        return Waiting(due, job.request.priority, seconds)


def _by_deadline(queued: Queued) -> tuple[int, float]:
    return BANDS[queued.job.request.priority], queued.job.due


def _claim(queued: Queued) -> Claim:
    request: RouteRequest = queued.job.request
    return Claim(
        str(queued.job.index), request.tenant, request.priority, queued.job.due, queued.order.gpu_seconds
    )
