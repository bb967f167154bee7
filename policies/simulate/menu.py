"""What could make a job's clip at all: one option a pool, priced and timed, whatever the load.

Baselines choose from it, so that all policies share the hard filters, the geometry and the cost model.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp
from typing import TYPE_CHECKING, NamedTuple

from models.types import Priority
from policies.base import Fleet
from policies.candidates import on_time
from policies.simulate.events import Order

if TYPE_CHECKING:
    from policies.base import Pool, RouteRequest
    from policies.engine import Engine
    from policies.simulate.world import Arrival, World


class Option(NamedTuple):
    """One pool and what it would take there."""

    pool: Pool
    gpus: int
    seconds: float
    """The cost model's median."""
    sigma: float
    usd: float | None
    elo: float
    quality: float
    """Preference at the card's rating, against the world's reference."""

    @property
    def mean_seconds(self) -> float:
        """Expected seconds of a lognormal run."""
        return self.seconds * exp(self.sigma**2 / 2.0)

    def order(self) -> Order:
        """The run."""
        return Order(self.pool.name, self.gpus, self.seconds, self.seconds, self.sigma, self.usd)


class Menu:
    """Options by request, remembered by what they depend on."""

    def __init__(self, world: World, engine: Engine) -> None:
        self._world = world
        self._engine = engine
        self._fleet = Fleet(tuple(lane.pool for lane in world.lanes.values()))
        self._kept: dict[RouteRequest, tuple[Option, ...]] = {}

    def capable(self, job: Arrival) -> tuple[Option, ...]:
        """Options that can do what is asked, whatever they cost and however long they take."""
        key = replace(
            job.request, deadline_s=None, max_cost_usd=None, draw=None, tenant="", priority=Priority.NORMAL
        )
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._options(key)
        return found

    def affordable(self, job: Arrival) -> tuple[Option, ...]:
        """Capable options within the budget; all capable ones where none is."""
        capable = self.capable(job)
        return self.in_budget(job) or capable

    def in_budget(self, job: Arrival) -> tuple[Option, ...]:
        """Capable options within the budget; those of unknown price are not."""
        limit = job.request.max_cost_usd
        if limit is None:
            return self.capable(job)
        return tuple(o for o in self.capable(job) if o.usd is not None and o.usd <= limit)

    def in_time(self, job: Arrival) -> tuple[float, ...]:
        """Chances to be on time of the options within the budget, on an idle fleet."""
        left = job.request.deadline_s
        return tuple(1.0 if left is None else on_time(left, o.seconds, o.sigma) for o in self.in_budget(job))

    def _options(self, request: RouteRequest) -> tuple[Option, ...]:
        decision = self._engine.decide(request, self._fleet, counter_offers=False)
        best: dict[str, Option] = {}
        for scored in decision.candidates:
            made = scored.candidate
            name = made.pool.name
            if name not in best:
                best[name] = Option(
                    made.pool,
                    made.gpus,
                    made.prediction.seconds,
                    self._world.lanes[name].sigma,
                    made.prediction.usd,
                    made.card.quality.rating[0],
                    self._world.rated(made.card.id),
                )
        return tuple(best[name] for name in self._world.lanes if name in best)
