"""The production policy with one part taken out: what each part is worth, the useless ones too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from models.catalog import Catalog
from policies.engine import Engine
from policies.pickers.expected_utility import ExpectedUtility
from policies.simulate.production import Production, Switches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from policies.profile import Profile
    from policies.simulate.world import World

    Profiles = Mapping[str, Profile]
    Make = Callable[[World, Profiles], Production]


def ablations() -> dict[str, Make]:
    """How to make each, by name."""
    return {
        "oracle_wait": _switched(Switches(waits="true")),
        "no_queue_prediction": _switched(Switches(waits="none")),
        "no_late_binding": _switched(Switches(late_binding=False)),
        "no_queue_prediction_no_late_binding": _switched(Switches(waits="none", late_binding=False)),
        "no_on_time_term": _reprofiled(_without_on_time),
        "no_use_case_quality": _without_strengths,
        "no_congestion_price": _reprofiled(_without_congestion),
        "no_calibration": _switched(Switches(calibrate=False)),
        "no_learning": _switched(Switches(learn=False)),
        "no_fairness": _switched(Switches(fair=False)),
        "no_deadline_order": _switched(Switches(deadlines=False)),
        "cost_weight_0": _reprofiled(lambda profile: _weighing(profile, 0.0)),
        "cost_weight_0.1": _reprofiled(lambda profile: _weighing(profile, 0.1)),
        "cost_weight_0.3": _reprofiled(lambda profile: _weighing(profile, 0.3)),
    }


def production(world: World, profiles: Profiles) -> Production:
    """All of it, as shipped."""
    return Production(world, Engine(world.catalog, world.gpus, profiles))


def _switched(switches: Switches) -> Make:
    def make(world: World, profiles: Profiles) -> Production:
        return Production(world, Engine(world.catalog, world.gpus, profiles), switches=switches)

    return make


def _reprofiled(change: Callable[[Profile], Profile]) -> Make:
    def make(world: World, profiles: Profiles) -> Production:
        changed = {name: change(profile) for name, profile in profiles.items()}
        return Production(world, Engine(world.catalog, world.gpus, changed))

    return make


def _without_strengths(world: World, profiles: Profiles) -> Production:
    """Ratings alone: what is said of models in one use or another is not read."""
    plain = Catalog.of([card.model_copy(update={"strengths": ()}) for card in world.catalog])
    return Production(world, Engine(plain, world.gpus, profiles))


def _without_on_time(profile: Profile) -> Profile:
    """Neither scored nor filtered by the deadline."""
    return replace(
        profile,
        scorers=tuple(column for column in profile.scorers if column.scorer.name != "on_time"),
        candidate_filters=tuple(row for row in profile.candidate_filters if row[0] != "deadline"),
    )


def _without_congestion(profile: Profile) -> Profile:
    return _repicked(profile, lambda picker: replace(picker, congested=False))


def _weighing(profile: Profile, cost_weight: float) -> Profile:
    return _repicked(profile, lambda picker: replace(picker, cost_weight=cost_weight))


def _repicked(profile: Profile, change: Callable[[ExpectedUtility], ExpectedUtility]) -> Profile:
    picker = profile.picker
    return replace(profile, picker=change(picker)) if isinstance(picker, ExpectedUtility) else profile
