"""Load balancers: they know how much is where, and nothing of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.simulate.baselines.base import Load
    from policies.simulate.menu import Option
    from policies.simulate.world import Arrival


class RoundRobin:
    """One after the other."""

    name: ClassVar[str] = "round_robin"
    filters_budget: ClassVar[bool] = True

    def __init__(self) -> None:
        self._turn = -1

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The next."""
        del job, load
        self._turn += 1
        return options[self._turn % len(options)]


class LeastOutstanding:
    """The fewest jobs in hand for each server; equals by lot."""

    name: ClassVar[str] = "least_outstanding"
    filters_budget: ClassVar[bool] = True

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The least loaded."""
        del job
        return min(options, key=lambda option: (load.per_server(option), load.random.random()))


class TwoChoices:
    """Two by lot, of which the less loaded (Mitzenmacher 2001; Ray Serve 2.60 chooses replicas so)."""

    name: ClassVar[str] = "power_of_two_choices"
    filters_budget: ClassVar[bool] = True

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The less loaded of two."""
        del job
        drawn = load.random.sample(list(options), min(2, len(options)))
        return min(drawn, key=load.per_server)
