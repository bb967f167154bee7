"""Small worlds for tests of the simulator."""

from __future__ import annotations

import pytest

from policies.engine import Engine
from policies.profile import load_profiles
from policies.simulate.events import Yard
from policies.simulate.menu import Menu
from policies.simulate.production import Production
from policies.simulate.toy import ROWS, Row, toy_request, toy_world
from policies.simulate.world import Arrival, Failures


class Play:
    """Builds worlds and plays them."""

    profiles = load_profiles()

    def world(self, *rows: Row, seed: int = 0, failures: Failures | None = None):
        return toy_world(seed, rows=rows or ROWS, failures=failures)

    def job(self, index: int, at: float, **wants) -> Arrival:
        return Arrival(index, at, toy_request(**wants))

    def engine(self, world) -> Engine:
        return Engine(world.catalog, world.gpus, self.profiles)

    def menu(self, world) -> Menu:
        return Menu(world, self.engine(world))

    def production(self, world, **over) -> Production:
        return Production(world, self.engine(world), **over)

    def run(self, world, jobs, policy=None):
        policy = policy or self.production(world)
        return Yard(world, policy).play(jobs)


@pytest.fixture(scope="session")
def play() -> Play:
    return Play()
