"""The latency scorer of the llm-d router (llm-d/llm-d-router, 2026-08), as described."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.simulate.baselines.base import Load
    from policies.simulate.menu import Option
    from policies.simulate.world import Arrival


class Headroom:
    """Deadline less predicted latency: the least that is positive (it packs), else the most.

    Its latency is predicted from the load: run time, and a turn for each job in hand per server.
    """

    name: ClassVar[str] = "llm_d_headroom"
    filters_budget: ClassVar[bool] = True

    def choose(self, job: Arrival, options: Sequence[Option], load: Load) -> Option:
        """The tightest that fits."""
        deadline = job.request.deadline_s
        if deadline is None:
            return min(options, key=lambda option: _latency(option, load))
        rooms = [deadline - _latency(option, load) for option in options]
        positive = [room for room in rooms if room > 0.0]
        return options[rooms.index(min(positive) if positive else max(rooms))]


def _latency(option: Option, load: Load) -> float:
    return option.mean_seconds * (1.0 + load.per_server(option))
