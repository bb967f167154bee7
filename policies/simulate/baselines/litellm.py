"""The strategies of LiteLLM (package litellm 1.109.1: router_strategy, auto_router), as described."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from policies.simulate.baselines.scales import low_is_good

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.simulate.baselines.base import Load
    from policies.simulate.menu import Option
    from policies.simulate.world import Arrival

QUALITY_WEIGHT, COST_WEIGHT = 0.7, 0.3
"""Of the adaptive router's score."""


class LeastBusy:
    """least-busy: the fewest calls in flight."""

    name: ClassVar[str] = "litellm_least_busy"
    filters_budget: ClassVar[bool] = True

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The fewest in flight, equals by lot."""
        del job
        return min(options, key=lambda option: (load.outstanding(option), load.random.random()))


class LatencyBased:
    """latency-based: the lowest mean of the last completed calls; one without any counts as 0."""

    name: ClassVar[str] = "litellm_latency"
    filters_budget: ClassVar[bool] = True

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The lowest, equals by lot."""
        del job
        means = {}
        for option in options:
            seen = load.latencies.get(option.pool.name)
            means[option.pool.name] = sum(seen) / len(seen) if seen else 0.0
        return min(options, key=lambda option: (means[option.pool.name], load.random.random()))


class CostBased:
    """cost-based: the cheapest; an unknown price is the dearest."""

    name: ClassVar[str] = "litellm_cost"
    filters_budget: ClassVar[bool] = True

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The cheapest, equals by lot."""
        del job
        return min(options, key=lambda o: (float("inf") if o.usd is None else o.usd, load.random.random()))


class Adaptive:
    """adaptive: 0.7 quality + 0.3 (1 - cost), here with the quality known from the start."""

    name: ClassVar[str] = "litellm_adaptive"
    filters_budget: ClassVar[bool] = True

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The highest score."""
        del job, load
        costs = low_is_good([option.usd for option in options])
        scores = [
            QUALITY_WEIGHT * option.quality + COST_WEIGHT * cost
            for option, cost in zip(options, costs, strict=True)
        ]
        return options[scores.index(max(scores))]
