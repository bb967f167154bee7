from __future__ import annotations

from collections import deque

import pytest

from policies.simulate.baselines import rules
from policies.simulate.baselines.base import Load
from policies.simulate.baselines.scales import high_is_good, low_is_good
from policies.simulate.events import Yard
from policies.simulate.menu import Option
from policies.simulate.toy import ROWS
from policies.simulate.world import draw

RULES = {rule.name: type(rule) for rule in rules()}


def bench(play, queued=None):
    """Options of the nine models for an easy job, and the load that `queued` makes."""
    world = play.world()
    yard = Yard(world, play.production(world))
    queues = {name: deque() for name in world.lanes}
    for name, count in (queued or {}).items():
        queues[name].extend([None] * count)
    return play.menu(world), Load(yard, queues, draw("test"))


def choice(play, name, queued=None, **wants):
    menu, load = bench(play, queued)
    job = play.job(0, 0.0, **({"deadline": 600.0, "budget": 2.0} | wants))
    rule = RULES[name]()
    options = menu.affordable(job) if rule.filters_budget else menu.capable(job)
    return rule.choose(job, options, load).pool.name


@pytest.mark.parametrize(
    ("name", "wants", "expected"),
    [
        ("static_best", {"budget": 0.1}, "kling-v3-pro"),
        ("static_best_in_budget", {"budget": 0.3}, "hailuo-2.3"),
        ("static_best_in_budget", {"budget": 0.1, "camera": True}, "kling-v3-pro"),  # none is in budget
        ("best_quality_in_time", {"deadline": 115.0}, "wan2.6-i2v"),
        ("best_quality_in_time", {"deadline": 20.0}, "wan-fast-480p"),  # none is in time
        ("round_robin", {}, "wan22-720p-sp4"),  # the first
        ("litellm_cost", {}, "wan-fast-480p"),
        ("litellm_adaptive", {}, "kling-2.6-pro"),  # .7 x .557 + .3 x .577 = .563; hailuo-2.3 .555
        ("vllm_sr_multi_factor", {}, "wan-fast-480p"),  # .137 + 1 + 1 + 1; ltx-2 3.10
        ("vllm_sr_multi_factor_slo", {"deadline": 100.0, "camera": True, "long": True}, "runway-gen4-turbo"),
        ("vllm_sr_multi_factor_slo", {"deadline": 20.0}, "wan-fast-480p"),  # under no ceiling: the cheapest
        ("llm_d_headroom", {}, "wan22-720p-sp4"),
        ("llm_d_headroom", {"deadline": 100.0}, "hailuo-2.3"),
        ("llm_d_headroom", {"deadline": 20.0}, "wan-fast-480p"),  # all are late: the least late
    ],
)
def test_idle_choices(play, name, wants, expected):
    assert choice(play, name, **wants) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("least_outstanding", "ltx-2"),
        ("litellm_least_busy", "wan22-480p-sp4"),
        ("power_of_two_choices", None),
    ],
)
def test_loaded_choices(play, name, expected):
    # Jobs in hand: 8 everywhere, 3 on the four servers of ltx-2, 2 on one of the four of wan22-480p.
    queued = dict.fromkeys([row.id for row in ROWS], 8) | {"ltx-2": 2, "wan22-480p-sp4": 2}
    if name == "least_outstanding":
        queued["wan22-480p-sp4"] = 3
    if name == "litellm_least_busy":
        queued["ltx-2"] = 3
    found = choice(play, name, queued)
    assert found == expected or expected is None


def test_headroom_counts_who_is_there(play):
    assert choice(play, "llm_d_headroom", {"wan22-720p-sp4": 10}) != "wan22-720p-sp4"


def test_round_robin_goes_round(play):
    menu, load = bench(play)
    rule, job = RULES["round_robin"](), play.job(0, 0.0, budget=2.0)
    options = menu.affordable(job)
    seen = [rule.choose(job, options, load).pool.name for _ in range(2 * len(options))]
    assert sorted(seen) == sorted([row.id for row in ROWS] * 2)


def test_latency_follows_what_was_completed(play):
    menu, load = bench(play)
    rule, job = RULES["litellm_latency"](), play.job(0, 0.0, budget=2.0)
    for row in ROWS:
        load.latencies[row.id] = deque([row.seconds])
    load.latencies["wan-fast-480p"].append(900.0)
    assert rule.choose(job, menu.affordable(job), load).pool.name == "runway-gen4-turbo"
    del load.latencies["kling-v3-pro"]  # one that has completed nothing counts as instant
    assert rule.choose(job, menu.affordable(job), load).pool.name == "kling-v3-pro"


def test_two_choices_takes_the_less_loaded_of_two(play):
    menu, load = bench(play, {"kling-v3-pro": 50})
    rule, job = RULES["power_of_two_choices"](), play.job(0, 0.0, budget=2.0)
    seen = {rule.choose(job, menu.affordable(job), load).pool.name for _ in range(200)}
    assert "kling-v3-pro" not in seen
    assert len(seen) > 4


def test_scales():
    assert low_is_good([1.0, 3.0, 2.0, None]) == [1.0, 0.0, 0.5, 0.0]
    assert low_is_good([2.0, 2.0]) == [1.0, 1.0]
    assert low_is_good([None, None]) == [1.0, 1.0]
    assert high_is_good([1.0, 3.0]) == [0.0, 1.0]


def test_options_are_those_of_the_policy_itself(play):
    menu, _ = bench(play)
    job = play.job(0, 0.0, camera=True, long=True, budget=0.3, deadline=1.0)
    assert {o.pool.name for o in menu.capable(job)} == {"hailuo-2.3", "kling-v3-pro", "runway-gen4-turbo"}
    assert {o.pool.name for o in menu.in_budget(job)} == {"hailuo-2.3", "runway-gen4-turbo"}
    cheap = play.job(1, 0.0, camera=True, long=True, budget=0.1)
    assert menu.in_budget(cheap) == ()
    assert menu.affordable(cheap) == menu.capable(cheap)
    option = next(o for o in menu.capable(job) if o.pool.name == "hailuo-2.3")
    assert isinstance(option, Option)
    assert option.mean_seconds == pytest.approx(95.0, rel=0.01)
