"""The multi_factor selection of vLLM Semantic Router (vllm-project/semantic-router, 2026-08)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from policies.simulate.baselines.scales import high_is_good, low_is_good

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.simulate.baselines.base import Load
    from policies.simulate.menu import Option
    from policies.simulate.world import Arrival


class MultiFactor:
    """The sum of quality, latency, cost and load, each on its min-max scale, with equal weights."""

    name: ClassVar[str] = "vllm_sr_multi_factor"
    filters_budget: ClassVar[bool] = True

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The highest sum."""
        del job
        columns = (
            high_is_good([option.quality for option in options]),
            low_is_good([option.mean_seconds for option in options]),
            low_is_good([option.usd for option in options]),
            low_is_good([float(load.outstanding(option)) for option in options]),
        )
        sums = [sum(row) for row in zip(*columns, strict=True)]
        return options[sums.index(max(sums))]


class MultiFactorCeilings(MultiFactor):
    """The same behind a latency ceiling: models slower than the deadline are out, else the cheapest."""

    name: ClassVar[str] = "vllm_sr_multi_factor_slo"

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The highest sum of those under the ceiling."""
        deadline = job.request.deadline_s
        under = [o for o in options if deadline is None or o.mean_seconds <= deadline]
        if not under:
            return min(options, key=lambda o: float("inf") if o.usd is None else o.usd)
        return super().choose(job, under, load)
