"""The gang's scheduler: what starts, where, and what waits."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from random import Random

import pytest

from policies.gang import Block, GangClip, Need, Running
from policies.gang_promises import Terms, outlook
from policies.gang_scheduler import GangScheduler
from policies.simulate.gang.workload import SHAPES

SCALED = {1: 8.0, 2: 4.1, 4: 2.1, 8: 1.1}
NODE = (8,)


def clip(name: str = "a", **over) -> GangClip:
    made = GangClip(
        id=name, arrived=0.0, due=1000.0, band=1, tenant="t", need=Need.DENOISE, steps_left=10,
        segment_steps_left=10, step_s=SCALED, encode_s=1.0, decode_s=10.0,
    )  # fmt: skip
    return replace(made, **over)


def other(until: float) -> Running:
    block = Block(0, 4, 4)
    return Running(clip("running", block=block), block, until)


def starts(*ready: GangClip, now: float = 0.0, running=(), nodes=NODE, policy: GangScheduler | None = None):
    chosen = (policy or GangScheduler()).decide(now, ready, running, nodes)
    return {start.clip: (start.block, start.steps) for start in chosen}


@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
def test_a_clip_alone_gets_the_whole_node(gpus):
    assert starts(clip(), nodes=(gpus,)) == {"a": (Block(0, 0, gpus), 1)}


def test_best_effort_grows_into_idle_gpus_too():
    assert starts(clip(due=inf)) == {"a": (Block(0, 0, 8), 1)}


def test_degrees_that_the_clip_cannot_have_are_not_given():
    block, _ = starts(clip(step_s={1: 8.0, 2: 4.0}))["a"]
    assert block.size == 2


def test_inefficient_degrees_serve_only_who_would_be_late_without():
    poor = {1: 8.0, 2: 4.0, 4: 3.9, 8: 3.0}
    assert starts(clip(step_s=poor))["a"][0].size == 2
    assert starts(clip(step_s=poor, due=44.0))["a"][0].size == 8


def test_a_clip_for_a_larger_node_is_refused_in_words():
    with pytest.raises(ValueError, match=r"a runs on \[8\] GPUs, nodes have at most 4"):
        starts(clip(step_s={8: 1.0}), nodes=(4,))


@pytest.mark.parametrize("need", [Need.ENCODE, Need.WHOLE])
def test_encoding_and_clips_that_cannot_pause_take_one_gpu(need):
    assert starts(clip(need=need, whole_s=30.0)) == {"a": (Block(0, 0, 1), 0)}


def test_the_nearest_promise_goes_first():
    assert set(starts(clip("a", due=500.0), clip("b", due=400.0))) == {"b"}


def test_two_clips_share_two_nodes():
    found = starts(clip("a"), clip("b"), nodes=(8, 8))
    assert {block.node for block, _ in found.values()} == {0, 1}
    assert {block.size for block, _ in found.values()} == {8}


def test_a_long_step_does_not_hold_up_the_node():
    largest = clip(step_s=SHAPES[-1].step_s, due=5000.0)  # 18.9 s a step on four GPUs
    assert starts(largest, running=[other(until=5.0)]) == {}
    assert starts(largest, running=[other(until=18.0)])["a"][0] == Block(0, 0, 4)
    assert starts(largest, running=[other(until=5.0)], policy=GangScheduler(overhang_s=20.0))


def test_a_shorter_step_goes_where_a_long_one_would_not():
    largest = clip("a", step_s=SHAPES[-1].step_s, due=2000.0)
    found = starts(largest, clip("b", due=5000.0), running=[other(until=5.0)])
    assert set(found) == {"b"}


def test_a_decode_waits_for_company_unless_in_a_hurry():
    ready = clip("d", need=Need.DECODE, steps_left=0, segment_steps_left=0, block=Block(0, 0, 8))
    assert set(starts(ready, clip("a"))) == {"a"}
    assert starts(ready)["d"][0].size == 1, "nobody else wants GPUs"
    assert "d" in starts(replace(ready, due=25.0), clip("a"))
    assert {"d", "e"} <= set(starts(ready, replace(ready, id="e"), clip("a")))
    fits = starts(ready, clip("a"), running=[other(until=9.0)])
    assert "d" in fits, "it ends with what runs anyway"


def test_short_steps_fill_a_quantum_up_to_the_segments_end():
    quick = dict.fromkeys(SCALED, 0.1)
    assert starts(clip(step_s=quick))["a"][1] == 5
    assert starts(clip(step_s=quick, segment_steps_left=3))["a"][1] == 3
    assert starts(clip(step_s={1: 0.0}))["a"][1] == 1, "nothing is known of its steps"


def test_when_not_all_can_be_in_time_the_dearest_waits():
    large = clip("large", steps_left=40, segment_steps_left=40, due=60.0)
    small = clip("small", steps_left=20, segment_steps_left=20, due=61.0)
    assert set(starts(large, small)) == {"small"}
    assert set(starts(large, small, policy=GangScheduler(rescues=False))) == {"large"}


def test_late_work_is_promised_again_and_gets_dearer_to_put_off():
    terms = Terms(patience_s=100.0, insistence=1.5, margin=1.0, floor=0.6)
    late = clip(due=50.0)  # 21 s of work on eight GPUs
    on_time = outlook(late, 0.0, 8, terms)
    assert (on_time.promise, on_time.worth) == (50.0, 1 / 16)
    for now, promise, missed in ((30.0, 150.0, 1), (129.0, 150.0, 1), (129.1, 250.0, 2), (1e6, None, 200)):
        seen = outlook(late, now, 8, terms)
        assert promise is None or seen.promise == promise
        assert seen.worth == pytest.approx(1.5**missed / 16)
        assert seen.promise - seen.seconds >= now


def test_an_old_late_clip_is_served_before_fresh_ones():
    def fresh(now):
        return [
            clip(f"f{n}", arrived=now, due=now + 60.0, steps_left=40, segment_steps_left=40) for n in range(9)
        ]

    large = clip("old", steps_left=60, segment_steps_left=60, due=30.0)
    assert "old" not in starts(large, *fresh(600.0), now=600.0)
    assert any(set(starts(large, *fresh(now), now=now)) == {"old"} for now in range(5000, 5500, 20))
    never = GangScheduler(insistence=1.0)
    assert not any(
        "old" in starts(large, *fresh(now), now=now, policy=never) for now in range(5000, 5500, 20)
    )


def test_the_higher_band_is_kept():
    low = clip("low", band=2, steps_left=20, segment_steps_left=20, due=60.0)
    high = clip("high", band=0, steps_left=40, segment_steps_left=40, due=61.0)
    assert set(starts(low, high)) == {"high"}
    assert set(starts(replace(low, band=0), high)) == {"low"}


def test_a_flood_does_not_starve_another_tenant():
    flood = [clip(f"f{n:03}", tenant="flood", due=100.0 + n) for n in range(60)]
    one = clip("one", tenant="other", steps_left=30, segment_steps_left=30, due=90.0)
    assert set(starts(*flood, one)) == {"one"}
    assert "one" not in starts(*flood, replace(one, tenant="flood"))


def test_equal_calls_get_equal_answers_whatever_the_order():
    rng = Random(3)
    ready = [
        clip(
            f"c{n}", due=rng.choice((20.0, 60.0, 300.0, inf)), tenant=rng.choice("ab"), band=rng.randrange(3),
            need=rng.choice((Need.DENOISE, Need.DENOISE, Need.DECODE, Need.ENCODE)),
        )
        for n in range(40)
    ]  # fmt: skip
    policy = GangScheduler()
    first = policy.decide(5.0, ready, [other(9.0)], (8, 8))
    assert policy.decide(5.0, ready, [other(9.0)], (8, 8)) == first
    rng.shuffle(ready)
    assert GangScheduler().decide(5.0, ready, [other(9.0)], (8, 8)) == first


def test_no_node_no_start():
    assert starts(clip(), nodes=()) == {}
    assert starts(clip(), nodes=(0,)) == {}


def test_a_lost_node_changes_the_degrees():
    policy = GangScheduler()
    a = clip()
    assert starts(a, policy=policy)["a"][0].size == 8
    assert starts(a, nodes=(4,), policy=policy)["a"][0].size == 4


def test_what_is_gone_is_forgotten():
    policy = GangScheduler()
    for number in range(500):
        starts(clip(f"c{number}"), policy=policy)
    assert len(policy._seen) < 100
