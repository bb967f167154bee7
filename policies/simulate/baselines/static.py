"""One answer for everyone: the best model there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.simulate.baselines.base import Load
    from policies.simulate.menu import Option
    from policies.simulate.world import Arrival


class StaticBest:
    """The highest rating among those that can do it, whatever it costs."""

    name: ClassVar[str] = "static_best"
    filters_budget: ClassVar[bool] = False

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The best rated."""
        del job, load
        return max(options, key=lambda option: option.elo)


class StaticBestInBudget(StaticBest):
    """The same within the budget."""

    name: ClassVar[str] = "static_best_in_budget"
    filters_budget: ClassVar[bool] = True


class BestInTime:
    """The best rated whose usual run time is within the deadline; the load is not looked at."""

    name: ClassVar[str] = "best_quality_in_time"
    filters_budget: ClassVar[bool] = True

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The best rated of those; the quickest where there is none."""
        del load
        deadline = job.request.deadline_s
        in_time = [o for o in options if deadline is None or o.mean_seconds <= deadline]
        if not in_time:
            return min(options, key=lambda option: option.seconds)
        return max(in_time, key=lambda option: option.elo)
