"""What no policy can exceed: everyone served by the best model in time, with and without limits of capacity.

Tastes of single jobs are hidden from everyone, so that a clip is worth its expected preference. Without
limits of capacity, each job takes the model of the highest preference x P(on time) at an idle pool. With
them, the Lagrangian dual of the fluid problem bounds every policy, even one that foresees all arrivals: for
any prices p >= 0 of a server second,

    sum over jobs of max(0, max over m of q_m P_m - p_m T_m) + sum over m of p_m x servers_m x time
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from policies.candidates import on_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from policies.simulate.menu import Menu
    from policies.simulate.world import Arrival, World

ROUNDS = 400
"""Steps of the descent; any stop gives a valid bound, more steps a tighter one."""
STEP = 0.5

Chance = tuple[str, float, float]
"""Pool, worth if it is started at once, expected server seconds."""


def chances(job: Arrival, menu: Menu) -> tuple[Chance, ...]:
    """The worth of each capable option within the budget, started the moment the job comes."""
    left = job.request.deadline_s
    return tuple(
        (
            o.pool.name,
            o.quality * (1.0 if left is None else on_time(left, o.seconds, o.sigma)),
            o.mean_seconds,
        )
        for o in menu.in_budget(job)
    )


def without_queues(jobs: Sequence[Arrival], menu: Menu) -> float:
    """Mean worth when nobody ever waits."""
    return sum(max((worth for _, worth, _ in chances(job, menu)), default=0.0) for job in jobs) / len(jobs)


def with_capacity(jobs: Sequence[Arrival], menu: Menu, world: World) -> float:
    """Mean worth that the servers allow at most.

    A clip in time is made between the first arrival and the last deadline, so servers have that long.
    """
    groups = Counter(chances(job, menu) for job in jobs)
    span = max((job.due for job in jobs if job.due < float("inf")), default=jobs[-1].at) - jobs[0].at
    supply = {name: lane.pool.replicas * span for name, lane in world.lanes.items()}
    prices = dict.fromkeys(supply, 0.0)
    # Worth of a server second at most: prices move in steps of that size.
    scale = dict.fromkeys(supply, 0.0)
    for options in groups:
        for name, worth, seconds in options:
            scale[name] = max(scale[name], worth / seconds)
    best = float("inf")
    for turn in range(ROUNDS):
        bound, spare = _dual(groups, prices, supply)
        best = min(best, bound)
        for name in prices:
            step = STEP * scale[name] / (1.0 + 0.1 * turn)
            prices[name] = max(0.0, prices[name] - step * spare[name] / supply[name])
    return best / len(jobs)


def _dual(
    groups: Mapping[tuple[Chance, ...], int], prices: Mapping[str, float], supply: Mapping[str, float]
) -> tuple[float, dict[str, float]]:
    spare = dict(supply)
    bound = sum(prices[name] * seconds for name, seconds in supply.items())
    for options, count in groups.items():
        gain, taken = 0.0, None
        for option in options:
            name, worth, seconds = option
            net = worth - prices[name] * seconds
            if net > gain:
                gain, taken = net, option
        bound += gain * count
        if taken is not None:
            spare[taken[0]] -= taken[2] * count
    return bound, spare
