"""The gang's simulator: its latency model, its clock and rules, and figures known from many runs."""

from __future__ import annotations

from math import inf
from random import Random
from statistics import fmean

import pytest

from models.errors import InvalidRequest
from policies.gang import Block, Need, Start
from policies.gang_scheduler import GangScheduler
from policies.simulate.gang.baselines import Fixed, Greedy, Program, Static
from policies.simulate.gang.contest import chosen, compete, entrants
from policies.simulate.gang.metrics import measure
from policies.simulate.gang.notes import NotesPlanner
from policies.simulate.gang.pool import Pool
from policies.simulate.gang.workload import MEAN_WORK, SHAPES, Job, Shape, Workload

QUICK = Shape("quick", 1.0, 4, {1: 8.0, 2: 4.0, 4: 2.0, 8: 1.0}, 3.0)


def job(name: str = "a", at: float = 0.0, **over) -> Job:
    return Job(**{"id": name, "at": at, "due": at + 1000.0, "shape": QUICK, "factor": 1.0} | over)


@pytest.mark.parametrize(
    ("name", "step_s", "decode_s", "seconds", "efficient"),
    [
        ("fast480x81", (3.9455, 2.0111, 1.0151, 0.5100), 11.32, (27.10, 19.37, 15.38, 13.36), 1),
        ("fast720x121", (23.5641, 11.9127, 5.9890, 3.0027), 39.03, (133.29, 86.68, 62.99, 51.04), 1),
        ("q480x81", (7.8911, 4.0222, 2.0303, 1.0199), 11.32, (326.97, 172.21, 92.53, 52.12), 4),
        ("q480x161", (19.9984, 10.1489, 5.1119, 2.5653), 22.50, (822.44, 428.46, 226.98, 125.12), 8),
        ("q720x81", (25.6629, 13.0084, 6.5484, 3.2853), 26.13, (1052.64, 546.46, 288.06, 157.54), 8),
        ("q720x161", (74.5582, 37.6246, 18.8987, 9.4709), 51.93, (3034.26, 1556.92, 807.88, 430.77), 8),
    ],
)
def test_shapes_take_what_the_fitted_model_says(name, step_s, decode_s, seconds, efficient):
    shape = next(shape for shape in SHAPES if shape.name == name)
    assert tuple(round(shape.step_s[k], 4) for k in (1, 2, 4, 8)) == step_s
    assert round(shape.decode_s, 2) == decode_s
    assert tuple(round(shape.seconds(k), 2) for k in (1, 2, 4, 8)) == seconds
    assert shape.efficient == efficient


def test_the_mix_is_the_published_one():
    assert round(MEAN_WORK, 2) == 344.32
    assert sum(shape.share for shape in SHAPES) == pytest.approx(1.0)


def test_arrivals_repeat_and_come_at_the_load():
    work = Workload(load=0.7)
    assert work.jobs(3) == work.jobs(3)
    assert fmean(work.realised(work.jobs(seed)) for seed in range(40)) == pytest.approx(0.706, abs=0.0006)
    rushed = Workload(load=0.7, bursty=True).jobs(1)
    odd = sum(int(job.at // 1800) % 2 for job in rushed)
    assert odd > 2 * (len(rushed) - odd)
    with pytest.raises(InvalidRequest, match="take more hours"):
        Workload(load=0.01, hours=0.01).jobs(0)


# Means over seeds 0 to 3 as an earlier, independent implementation has them (three digits; ties in placing
# are broken otherwise here, hence the tolerance).
@pytest.mark.parametrize(
    ("make", "load", "slo"),
    [
        (lambda: Fixed(1, "fifo"), 0.7, 0.622),
        (lambda: Fixed(4, "edf"), 0.7, 0.729),
        (lambda: Fixed(8, "edf"), 1.0, 0.033),
        (lambda: Static("edf"), 0.85, 0.475),
        (Program, 0.7, 0.757),
        (NotesPlanner, 0.7, 0.944),
        (lambda: NotesPlanner(floor=None), 0.7, 0.873),
        (lambda: NotesPlanner(preempts=False), 0.7, 0.833),
        (lambda: NotesPlanner(changes_degree=False), 0.7, 0.917),
        (lambda: NotesPlanner(smallest=False), 0.7, 0.909),
    ],
)
def test_known_figures_come_out_again(make, load, slo):
    found = [measure(Pool((8,), make()).play(Workload(load).jobs(seed))).slo_attainment for seed in range(4)]
    assert fmean(found) == pytest.approx(slo, abs=0.004)


@pytest.mark.parametrize("load", [0.7, 1.0])
def test_production_is_ahead_of_others_and_of_itself_before(load):
    rows = compete(
        Workload(load).jobs(11), (8,), chosen(["production", "ddit_greedy", "tridentserve_ilp", "notes"])
    )
    leads = {row["policy"]: row["lead_points"] for row in rows[1:]}
    assert leads["tridentserve_ilp"] > 15
    assert leads["ddit_greedy"] > 10
    assert leads["notes"] > 1


def everything(seed: int, degrees: tuple[int, ...]) -> list[Job]:
    """Chains, encodings, clips that cannot pause, best effort, bands, tenants."""
    rng = Random(seed)
    jobs = []
    for number in range(60):
        base = rng.choice(SHAPES[:3])
        shape = Shape("x", 1.0, rng.choice((0, 4, 9)), {k: base.step_s[k] for k in degrees}, base.decode_s)
        at = number * 10.0
        jobs.append(
            Job(
                f"{number:03}", at, rng.choice((at + 60.0, at + 600.0, inf)), shape, rng.uniform(0.9, 1.1),
                rng.randrange(3), rng.choice("ab"), 1 if not shape.steps else rng.randrange(1, 4),
                rng.choice((0.0, 2.0)) if shape.steps else 0.0,
            )
        )  # fmt: skip
    return jobs


@pytest.mark.parametrize(
    ("nodes", "degrees"),
    [((1,), (1, 2)), ((2,), (2,)), ((4,), (1, 4)), ((8,), (1, 2, 4, 8)), ((8, 8), (2, 8))],
)
def test_production_finishes_all_kinds_and_breaks_no_rule(nodes, degrees):
    tales = Pool(nodes, GangScheduler()).play(everything(sum(nodes), degrees))
    for tale in tales:
        shape, chained = tale.job.shape, tale.job.segments
        least = shape.steps * chained * min(shape.step_s.values()) * 0.9 + shape.decode_s * chained
        assert tale.finished >= tale.job.at + least * 0.99


def test_late_work_is_bounded():
    """Without a second promise the largest clips wait until everybody else is done."""
    jobs = Workload(1.0).jobs(5)
    bounded = measure(Pool((8,), GangScheduler()).play(jobs))
    starved = measure(Pool((8,), GangScheduler(patience_s=1e6)).play(jobs))
    assert bounded.latency_max < 0.7 * starved.latency_max


def test_a_clip_alone_takes_its_steps_and_its_decoding():
    (tale,) = Pool((8,), GangScheduler()).play([job(factor=1.1)])
    assert tale.finished == pytest.approx(4 * 1.1 + 0.3 + 3.0), "one move: from eight GPUs to one"
    assert tale.reconfigurations == 1
    assert tale.gpu_seconds == pytest.approx(8 * 4 * 1.1 + 3.3)


def test_policies_never_see_what_steps_really_take():
    class Watch:
        def __init__(self):
            self.untils = []

        def decide(self, now, ready, running, nodes):
            self.untils += [run.until for run in running]
            return NotesPlanner().decide(now, ready, running, nodes)

    watch = Watch()
    Pool((8,), watch).play([job(factor=1.5), job("b", at=0.5)])
    assert 1.0 in watch.untils, "one step on eight GPUs by the prediction, not 1.5"


def test_rounds_decide_at_their_multiples_only():
    class Clock(NotesPlanner):
        def __init__(self):
            super().__init__(round_s=5.0)
            self.times = []

        def decide(self, now, ready, running, nodes):
            self.times.append(now)
            return super().decide(now, ready, running, nodes)

    clock = Clock()
    (tale,) = Pool((8,), clock, 5.0).play([job(at=2.0)])
    assert clock.times == [5.0, 10.0]
    assert tale.finished == pytest.approx(10.0 + 0.3 + 3.0)


@pytest.mark.parametrize(
    ("starts", "told"),
    [
        ([Start("z", Block(0, 0, 1), 1)], "z does not wait"),
        ([Start("a", Block(0, 1, 2), 1)], "no aligned block"),
        ([Start("a", Block(0, 0, 4), 1), Start("b", Block(0, 2, 2), 1)], "is not free for b"),
        ([Start("a", Block(0, 0, 8), 9)], "cannot do 9 steps"),
        ([], "wait for ever"),
    ],
)
def test_a_policy_that_breaks_the_rules_is_told(starts, told):
    class Broken:
        def decide(self, now, ready, running, nodes):
            return starts

    with pytest.raises(ValueError, match=told):
        Pool((8,), Broken()).play([job(), job("b")])


def test_nobody_is_interrupted_and_greedy_promotes_at_boundaries():
    seen = []

    class Watch(Greedy):
        def decide(self, now, ready, running, nodes):
            found = super().decide(now, ready, running, nodes)
            seen.extend((now, start.clip, start.block.size) for start in found)
            return found

    star = Shape("star", 1.0, 40, {1: 8.0, 2: 4.0, 4: 2.0, 8: 1.0}, 0.1)
    Pool((8,), Watch()).play([job("a", shape=star), job("b", shape=star), job("c", shape=star, at=1.5)])
    degrees = {name: [size for _, clip, size in seen if clip == name] for name in "abc"}
    assert set(degrees["a"][:-1]) == {8}, "b waits, though it came at the same time"
    assert degrees["c"][0] == 2, "what a decoding clip and b leave"
    assert max(degrees["c"]) == 4, "promoted when the decoding is done"
    assert degrees["c"][:-1] == sorted(degrees["c"][:-1])


def test_the_integer_program_solves_its_objective():
    tales = Pool((8,), Program()).play([job(name, due=20.0) for name in "abcd"])
    assert [tale.finished for tale in tales] == [19.0] * 4, "two GPUs each; on one all would be late"


def test_entrants_are_distinct_and_known():
    names = [entrant.name for entrant in entrants()]
    assert len(names) == len(set(names))
    assert {entrant.kind for entrant in chosen(["baselines"])} == {"baseline"}
    assert [entrant.name for entrant in chosen(["notes", "production"])] == ["production", "notes"]
    with pytest.raises(InvalidRequest, match="tridentserve_ilp"):
        chosen(["nonsense"])
    assert chosen(None) == chosen(["all"]) or len(chosen(None)) == len(chosen(["all"]))


def test_needs_follow_each_other_in_a_chain():
    needs = []

    class Watch(GangScheduler):
        def decide(self, now, ready, running, nodes):
            needs.extend(clip.need for clip in ready)
            return super().decide(now, ready, running, nodes)

    Pool((1,), Watch()).play([job(segments=2, encode_s=1.0, shape=Shape("y", 1.0, 1, {1: 2.0}, 3.0))])
    assert needs == [Need.ENCODE, Need.DENOISE, Need.DECODE, Need.DENOISE, Need.DECODE]
