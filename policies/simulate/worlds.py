"""The worlds that can be simulated, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import InvalidRequest
from policies.simulate.shipped import shipped_world
from policies.simulate.toy import toy_jobs, toy_world
from policies.simulate.wishes import mixed_jobs
from policies.simulate.world import Failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.simulate.world import Arrival, World


@dataclass(frozen=True, slots=True)
class Scene:
    """A world's name, and what is usual there."""

    name: str
    summary: str
    load: float
    """Jobs per second."""
    hours: float
    """For how long they come."""


SCENES = {
    "toy": Scene("toy", "nine models, steady arrivals, taste that nobody knows", 0.16, 2.0),
    "catalog": Scene("catalog", "every shipped card, a day's rhythm, mixed wishes", 0.30, 0.2),
}

TROUBLE = {
    "toy": Failures(
        server_mtbf_s=4 * 3600.0,
        error_rate=0.02,
        outages=(("kling-v3-pro", 1800.0, 3000.0),),
    ),
    "catalog": Failures(server_mtbf_s=4 * 3600.0, error_rate=0.02),
}
"""What breaks where failures are asked for: each server once in four hours, one run in fifty, and in the toy
the best hosted account for twenty minutes. Our choice; 1.5 % of the image trace named in
`policies.simulate.users` failed."""


def scene(name: str) -> Scene:
    """The scene of that name.

    Raises:
        InvalidRequest: there is none; lists those there are.
    """
    if name not in SCENES:
        raise InvalidRequest(
            f"no world is called {name!r}; known: {', '.join(SCENES)}", param="world", allowed=list(SCENES)
        )
    return SCENES[name]


def staged(
    name: str, load: float, hours: float, seed: int, *, failures: bool = False
) -> tuple[World, Sequence[Arrival]]:
    """The world with its jobs.

    Raises:
        InvalidRequest: the name is not known, or there is no job at all.
    """
    scene(name)
    breaks = TROUBLE[name] if failures else Failures()
    jobs: Sequence[Arrival]
    if name == "toy":
        world, jobs = toy_world(seed, failures=breaks), toy_jobs(load, hours, seed)
    else:
        world, jobs = shipped_world(seed, failures=breaks), mixed_jobs(load, hours, seed)
    if not jobs:
        raise InvalidRequest(
            f"no job comes in {hours:g} h at {load:g} a second; take a longer time or a higher load",
            param="load",
        )
    return world, jobs
