"""The clock, the servers and the order of events: policies start runs, the yard plays them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Literal, Protocol

from policies.simulate.world import draw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from policies.base import Pool
    from policies.simulate.world import Arrival, World

Kind = Literal["production", "baseline", "ablation"]

MOST_ATTEMPTS = 3
"""Attempts of one job before it fails for good (as the job store has it)."""
OUTAGE_ANSWER_S = 2.0
"""How soon a provider that is down says so. Our choice."""
REVIEW_S = 30.0
"""A policy that keeps a queue looks at all of it this often, in simulated seconds."""


@dataclass(frozen=True, slots=True)
class Order:
    """A run that a policy wants: where, and what was said of it."""

    pool: str
    gpus: int
    formula_s: float
    """The cost model's seconds, before calibration."""
    predicted_s: float
    sigma: float
    """Spread that was told with the prediction."""
    usd: float | None
    samples: int = 0
    """Runs that the prediction had learned from."""
    gpu_seconds: float = 0.0
    """Predicted; 0 on somebody else's machines."""


@dataclass(slots=True)
class Run:
    """One clip on one server."""

    job: Arrival
    order: Order
    server: int
    began: float
    ends: float
    """When it ends, one way or the other."""
    fails: bool = False


@dataclass(slots=True)
class Tale:
    """What became of one job."""

    job: Arrival
    promised: float | None = None
    """Chance to be on time that admission told; None: nothing was told."""
    rejected: bool = False
    finished: float | None = None
    model: str = ""
    usd: float | None = None
    runs: list[Run] = field(default_factory=list)


class Policy(Protocol):
    """Routes jobs. Told of everything that happens, it calls `yard.start` when it wants a run."""

    name: str
    kind: Kind
    decisions: int
    """Taken so far."""

    def arrive(self, job: Arrival, yard: Yard) -> None:
        """A job came in. Reject it with `yard.reject`, start it, or keep it."""
        ...

    def ended(self, run: Run, yard: Yard) -> None:
        """A run is over; its clip is there unless `run.fails`."""
        ...

    def again(self, run: Run, yard: Yard) -> None:
        """The run's job must run again."""
        ...

    def room(self, pool: str, yard: Yard) -> None:
        """A server of the pool may have become free."""
        ...

    def review(self, yard: Yard) -> None:
        """Some time has passed."""
        ...

    def voted(self, job: Arrival, card_id: str, like: bool) -> None:
        """The person said whether the clip is any good."""
        ...


class Yard:
    """Servers and clock. Policies read it; only `start` and `reject` change it."""

    def __init__(self, world: World, policy: Policy) -> None:
        self.world = world
        self.now = 0.0
        self.runs: dict[str, dict[int, Run]] = {name: {} for name in world.lanes}
        """By pool and job, in the order in which they began."""
        self.tales: dict[int, Tale] = {}
        self.attempts: dict[int, int] = {}
        self._idle: dict[str, list[int]] = {
            name: list(range(lane.pool.replicas)) for name, lane in world.lanes.items()
        }
        self._down: dict[str, set[int]] = {name: set() for name in world.lanes}
        self._policy = policy
        self._events: list[tuple[float, int, str, object]] = []
        self._count = 0
        self._left = 0
        self._chance: Random = draw(world.seed, "failures")

    # --- what policies ask ------------------------------------------------------------------------

    def servers(self, pool: str) -> int:
        """How many servers are up."""
        return self.world.lanes[pool].pool.replicas - len(self._down[pool])

    def free(self, pool: str) -> int:
        """How many servers are up and idle."""
        return len(self._idle[pool])

    def template(self, pool: str) -> Pool:
        """The pool as it stands when idle."""
        return self.world.lanes[pool].pool

    def start(self, job: Arrival, order: Order) -> Run:
        """Begin a run now.

        Raises:
            ValueError: the pool has no free server, or the job runs already.
        """
        idle = self._idle[order.pool]
        if not idle or any(job.index in runs for runs in self.runs.values()):
            raise ValueError(f"job {job.index} cannot start on {order.pool}")
        server = min(idle)
        idle.remove(server)
        attempt = self.attempts[job.index] = self.attempts.get(job.index, 0) + 1
        seconds = self.seconds(job, order, attempt)
        failures = self.world.failures
        fails = False
        if failures.error_rate > 0.0:
            chance = draw(self.world.seed, "error", job.index, order.pool, attempt)
            if chance.random() < failures.error_rate:
                fails, seconds = True, seconds * chance.random()
        if self._is_out(order.pool):
            fails, seconds = True, min(seconds, OUTAGE_ANSWER_S)
        run = Run(job, order, server, self.now, self.now + seconds, fails)
        self.runs[order.pool][job.index] = run
        self._push(run.ends, "end", run)
        tale = self.tales[job.index]
        tale.runs.append(run)
        return run

    def seconds(self, job: Arrival, order: Order, attempt: int = 1) -> float:
        """How long that run would really take. Only an oracle may ask."""
        pool = self.template(order.pool)
        return self.world.seconds(job, pool, order.gpus, order.formula_s, attempt)

    def reject(self, job: Arrival) -> None:
        """The job is not taken."""
        self.tales[job.index].rejected = True
        self._left -= 1

    # --- what happens -----------------------------------------------------------------------------

    def play(self, jobs: Sequence[Arrival]) -> list[Tale]:
        """All that happens to these jobs, to the end; in their order."""
        self._left = len(jobs)
        self._events = [(job.at, index, "arrive", job) for index, job in enumerate(jobs)]
        heapify(self._events)
        self._count = len(jobs)
        for job in jobs:
            self.tales[job.index] = Tale(job)
        self._push(REVIEW_S, "review", None)
        if self.world.failures.server_mtbf_s > 0.0:
            for pool in self.runs:
                self._push_loss(pool)
        while self._left > 0 and self._events:
            self.now, _, kind, what = heappop(self._events)
            getattr(self, f"_{kind}")(what)
        return [self.tales[job.index] for job in jobs]

    def _push(self, at: float, kind: str, what: object) -> None:
        heappush(self._events, (at, self._count, kind, what))
        self._count += 1

    def _arrive(self, job: Arrival) -> None:
        self._policy.arrive(job, self)

    def _review(self, _: None) -> None:
        self._policy.review(self)
        self._push(self.now + REVIEW_S, "review", None)

    def _end(self, run: Run) -> None:
        pool = run.order.pool
        if self.runs[pool].get(run.job.index) is not run:
            return  # lost with its server
        del self.runs[pool][run.job.index]
        self._idle[pool].append(run.server)
        self._policy.ended(run, self)
        if run.fails:
            self._again(run)
        else:
            self._delivered(run)
        self._policy.room(pool, self)

    def _delivered(self, run: Run) -> None:
        job, card_id = run.job, self.template(run.order.pool).model
        tale = self.tales[job.index]
        tale.finished, tale.model, tale.usd = self.now, card_id, run.order.usd
        self._left -= 1
        if self.world.feedback > 0.0:
            taste = draw(self.world.seed, "vote", job.index, card_id)
            if taste.random() < self.world.feedback:
                self._policy.voted(job, card_id, taste.random() < self.world.quality(job, card_id))

    def _again(self, run: Run) -> None:
        if self.attempts[run.job.index] >= MOST_ATTEMPTS:
            self.tales[run.job.index].rejected = True
            self._left -= 1
            return
        self._policy.again(run, self)

    def _is_out(self, pool: str) -> bool:
        return any(name == pool and a <= self.now < b for name, a, b in self.world.failures.outages)

    def _push_loss(self, pool: str) -> None:
        rate = max(1, self.servers(pool)) / self.world.failures.server_mtbf_s
        self._push(self.now + self._chance.expovariate(rate), "loss", pool)

    def _loss(self, pool: str) -> None:
        """One server of the pool goes down, with what runs on it."""
        up = sorted(set(range(self.world.lanes[pool].pool.replicas)) - self._down[pool])
        if up:
            server = self._chance.choice(up)
            self._down[pool].add(server)
            self._push(
                self.now + self._chance.expovariate(1.0 / self.world.failures.repair_s),
                "repair",
                (pool, server),
            )
            hit = next((run for run in self.runs[pool].values() if run.server == server), None)
            if hit is None:
                self._idle[pool].remove(server)
            else:
                del self.runs[pool][hit.job.index]
                hit.ends, hit.fails = self.now, True
                self._policy.ended(hit, self)
                self._again(hit)
        self._push_loss(pool)

    def _repair(self, which: tuple[str, int]) -> None:
        pool, server = which
        self._down[pool].discard(server)
        self._idle[pool].append(server)
        self._policy.room(pool, self)
