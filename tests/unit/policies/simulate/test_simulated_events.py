"""What must hold of any run, whatever the policy."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.simulate.baselines import Forwarding, rules
from policies.simulate.events import MOST_ATTEMPTS, Yard
from policies.simulate.experience import Experience
from policies.simulate.production import Switches
from policies.simulate.toy import Row, toy_jobs
from policies.simulate.world import Failures

ONE = Row("one", 1200, 10.0, 0.05, 1, 0.02, camera=False, long=True, hosted=False)
TWO = Row("two", 1300, 40.0, 0.05, 2, 0.20, camera=True, long=True, hosted=False)
NAMES = ["production", *(rule.name for rule in rules())]
BROKEN = Failures(
    server_mtbf_s=900.0, repair_s=60.0, error_rate=0.1, outages=(("kling-v3-pro", 300.0, 600.0),)
)

JOBS = st.lists(
    st.tuples(
        st.floats(0.0, 300.0),
        st.sampled_from([30.0, 120.0, 900.0]),
        st.sampled_from([0.1, 2.0]),
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
)


def policy_of(play, world, name):
    if name == "production":
        return play.production(world)
    rule = next(rule for rule in rules() if rule.name == name)
    return Forwarding(rule, play.menu(world))


def spans(tales):
    """(began, ended) of all runs by pool and server."""
    found = {}
    for tale in tales:
        for run in tale.runs:
            found.setdefault((run.order.pool, run.server), []).append((run.began, run.ends))
    return {server: sorted(times) for server, times in found.items()}


@pytest.mark.parametrize("failures", [Failures(), BROKEN], ids=["calm", "broken"])
@pytest.mark.parametrize("name", NAMES)
def test_no_server_runs_two_clips_and_every_job_has_one_end(play, name, failures):
    world = play.world(failures=failures)
    jobs = toy_jobs(0.16, 0.5, 3)
    tales = play.run(world, jobs, policy_of(play, world, name))
    assert [tale.job for tale in tales] == jobs
    for (pool, server), times in spans(tales).items():
        assert server < world.lanes[pool].pool.replicas
        assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(times))
    for tale in tales:
        assert tale.rejected != (tale.finished is not None)
        assert len(tale.runs) <= MOST_ATTEMPTS
        assert all(run.began >= tale.job.at for run in tale.runs)
        if tale.finished is not None:
            assert tale.finished == tale.runs[-1].ends
            assert not tale.runs[-1].fails


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_run(play, name):
    def told():
        world = play.world(failures=BROKEN)
        tales = play.run(world, toy_jobs(0.16, 0.3, 1), policy_of(play, world, name))
        return [(tale.model, tale.finished, tale.rejected) for tale in tales]

    assert told() == told()


@settings(max_examples=40, deadline=None)
@given(JOBS)
def test_production_keeps_no_server_idle_while_its_queue_has_a_job(play, drawn):
    """Work conservation: whenever something happens, a free server means that nobody waits for that pool."""
    world = play.world(ONE, TWO)
    policy = play.production(world)
    jobs = [
        play.job(index, at, deadline=deadline, budget=budget, camera=camera)
        for index, (at, deadline, budget, camera) in enumerate(sorted(drawn))
    ]
    yard = Yard(world, policy)
    seen = []

    def check(hook):
        def checked(*args):
            hook(*args)
            seen.append([(yard.free(name), len(line)) for name, line in policy.lines().items()])

        return checked

    for hook in ("arrive", "room", "review"):
        setattr(policy, hook, check(getattr(policy, hook)))
    yard.play(jobs)
    assert seen
    assert not [state for states in seen for state in states if min(state) > 0]


@settings(max_examples=25, deadline=None)
@given(JOBS, st.integers(0, 5))
def test_more_servers_never_make_a_first_come_queue_slower(play, drawn, seed):
    """Of one pool with one service order; with choices in between, Braess's paradox is allowed."""
    jobs = [play.job(index, at) for index, (at, *_) in enumerate(sorted(drawn))]

    def ends(servers):
        world = play.world(ONE._replace(servers=servers), seed=seed)
        rule = next(rule for rule in rules() if rule.name == "static_best")
        return [tale.finished for tale in play.run(world, jobs, Forwarding(rule, play.menu(world)))]

    assert all(more <= less + 1e-6 for more, less in zip(ends(3), ends(2), strict=True))


def test_first_come_on_one_server_is_the_textbook_recursion(play):
    world = play.world(ONE)
    jobs = [play.job(index, at) for index, at in enumerate([0.0, 1.0, 2.0, 100.0])]
    rule = next(rule for rule in rules() if rule.name == "round_robin")
    tales = play.run(world, jobs, Forwarding(rule, play.menu(world)))
    free = 0.0
    for tale in tales:
        run = tale.runs[0]
        assert run.began == pytest.approx(max(tale.job.at, free))
        free = run.ends
        seconds = world.seconds(tale.job, world.lanes["one"].pool, 1, run.order.formula_s, 1)
        assert run.ends - run.began == pytest.approx(seconds)


def test_a_lost_server_gives_its_job_back(play):
    world = play.world(ONE, TWO, failures=Failures(server_mtbf_s=30.0, repair_s=5.0))
    tales = play.run(world, [play.job(index, 10.0 * index, deadline=900.0) for index in range(40)])
    again = [tale for tale in tales if len(tale.runs) > 1]
    assert again
    assert all(run.fails for tale in again for run in tale.runs[:-1])


def test_during_an_outage_jobs_go_elsewhere(play):
    world = play.world(
        ONE._replace(servers=4), TWO._replace(servers=4), failures=Failures(outages=(("two", 0.0, 600.0),))
    )
    jobs = [play.job(index, 10.0 * index, deadline=900.0) for index in range(50)]
    tales = play.run(world, jobs)
    assert all(tale.finished is not None for tale in tales)
    assert {tale.model for tale in tales} == {"one"}
    tried = sum(run.order.pool == "two" for tale in tales for run in tale.runs)
    assert 0 < tried < len(jobs)  # the circuit opens, so that not every job pays for finding out


def test_a_policy_cannot_overfill_a_pool(play):
    world = play.world(ONE)
    policy = play.production(world)
    yard = Yard(world, policy)
    first, second = play.job(0, 0.0), play.job(1, 0.0)
    yard.play([replace(first, at=0.0)])
    yard.tales[1] = yard.tales[0]
    order = yard.tales[0].runs[0].order
    yard.start(second, order)
    with pytest.raises(ValueError, match="cannot start"):
        yard.start(first, order)


def test_what_is_learned_is_kept_and_what_harms_is_dropped(play):
    world = play.world(ONE, TWO)
    experience = Experience(world)
    job = play.job(0, 0.0, draw=0.5)
    for _ in range(50):
        experience.voted(job, "one", True)
    assert experience.beliefs["one", "other"].offset > 20.0
    # The hold-out slice likes everything, the learned one nothing: beliefs are set aside.
    held = play.job(1, 0.0, draw=0.99)
    for _ in range(200):
        experience.voted(held, "one", True)
        experience.voted(job, "one", False)
    assert experience.ledger.rolled_back
    assert experience.beliefs == {}


def test_nothing_is_learned_where_that_is_switched_off(play):
    world = play.world(ONE)
    experience = Experience(world, calibrate=False, learn=False)
    job = play.job(0, 0.0)
    experience.voted(job, "one", True)
    tales = play.run(world, [job], play.production(world, switches=Switches(calibrate=False, learn=False)))
    experience.ran(tales[0].runs[0])
    assert experience.beliefs == {}
    assert experience.fits == {}
    assert experience.pools["one"] == world.lanes["one"].pool


def test_a_pool_learns_its_speed_from_its_runs(play):
    world = play.world(ONE)
    policy = play.production(world)
    play.run(world, [play.job(index, 100.0 * index) for index in range(30)], policy)
    pool = policy.experience.pools["one"]
    assert policy.experience.samples(pool, 1) == 30
    assert pool.speed == pytest.approx(1.0, abs=0.04)  # the toy's formula is right
    assert 0.02 < pool.sigma < 0.08
