"""What baselines share: a choice when the job comes, and one first-come queue for each pool behind it.

That is how their sources route: a request is forwarded at once and waits at the backend.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar, Protocol

from policies.simulate.world import draw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from policies.simulate.events import Kind, Run, Yard
    from policies.simulate.menu import Menu, Option
    from policies.simulate.world import Arrival


class Rule(Protocol):
    """How a baseline chooses."""

    name: ClassVar[str]
    filters_budget: ClassVar[bool]
    """False: it sees every capable model, whatever it costs."""

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """One of the options; there is at least one."""
        ...


class Load:
    """What a rule may know of the backends."""

    def __init__(self, yard: Yard, queues: dict[str, deque[tuple[Arrival, Option]]], random: Random) -> None:
        self._yard = yard
        self._queues = queues
        self.random = random
        """For rules that draw lots."""
        self.latencies: dict[str, deque[float]] = {}
        """Of the last completed jobs by pool, in seconds from arrival to clip."""

    def outstanding(self, option: Option) -> int:
        """Jobs sent to the pool and not back yet."""
        name = option.pool.name
        return len(self._yard.runs[name]) + len(self._queues[name])

    def per_server(self, option: Option) -> float:
        """The same for each server."""
        return self.outstanding(option) / max(1, self._yard.servers(option.pool.name))


REMEMBERED = 10
"""Completed jobs whose latency is averaged (LiteLLM 1.109.1, lowest_latency: the last ten)."""


class Forwarding:
    """A rule at work."""

    kind: Kind = "baseline"

    def __init__(self, rule: Rule, menu: Menu) -> None:
        self.name = rule.name
        self.decisions = 0
        self._rule = rule
        self._menu = menu
        self._queues: dict[str, deque[tuple[Arrival, Option]]] = {}
        self._load: Load | None = None

    def arrive(self, job: Arrival, yard: Yard) -> None:
        """Choose and forward."""
        filtered = self._rule.filters_budget
        options = self._menu.affordable(job) if filtered else self._menu.capable(job)
        if not options:
            yard.reject(job)
            return
        self.decisions += 1
        self._forward(job, self._rule.choose(job, options, self._seen(yard)), yard)

    def ended(self, run: Run, yard: Yard) -> None:
        """Remember how long it took."""
        if not run.fails:
            kept = self._seen(yard).latencies.setdefault(run.order.pool, deque(maxlen=REMEMBERED))
            kept.append(yard.now - run.job.at)

    def again(self, run: Run, yard: Yard) -> None:
        """Failed: choose again."""
        self.arrive(run.job, yard)

    def room(self, pool: str, yard: Yard) -> None:
        """First come, first served."""
        self._seen(yard)
        queue = self._queues[pool]
        while queue and yard.free(pool) > 0:
            job, option = queue.popleft()
            yard.start(job, option.order())

    def review(self, yard: Yard) -> None:
        """Nothing: what was forwarded stays forwarded."""

    def voted(self, job: Arrival, card_id: str, like: bool) -> None:
        """Nothing is learned."""

    def _forward(self, job: Arrival, option: Option, yard: Yard) -> None:
        self._queues[option.pool.name].append((job, option))
        self.room(option.pool.name, yard)

    def _seen(self, yard: Yard) -> Load:
        if self._load is None:
            self._queues = {name: deque() for name in yard.runs}
            self._load = Load(yard, self._queues, draw(yard.world.seed, "rule", self.name))
        return self._load
