"""The dispatcher over a real SQLite store and the real engine; workers are scripted and really write."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.card import Card
from models.catalog import Catalog
from models.errors import StoreUnavailable
from models.gpus import load_gpus
from models.types import Objective, Priority
from policies.engine import Engine
from policies.profile import load_profiles
from router.dispatch import MAX_FAULTS
from router.fakes import FakePool, Play, ScriptedLauncher
from router.jobs.records import AttemptStatus, JobStatus
from router.jobs.sql import SqlJobStore
from router.media import photograph_key
from tests.unit.router.dispatching import BOTH, Bench, calls, is_now, record, until

# --- order and place -------------------------------------------------------------------------------------


async def test_jobs_run_by_priority_then_by_due_time(bench: Bench) -> None:
    late = await bench.submit(deadline_s=900.0)
    soon = await bench.submit(deadline_s=300.0)
    urgent = await bench.submit(deadline_s=900.0, priority=Priority.HIGH)
    never_mind = await bench.submit(deadline_s=100.0, priority=Priority.LOW)
    launcher = ScriptedLauncher(bench.store, FakePool(record("fake-i2v")))
    dispatcher = bench.dispatcher(launcher)
    await until(is_now(bench, never_mind, JobStatus.COMPLETED), dispatcher)
    assert calls(launcher) == [urgent, soon, late, never_mind]


async def test_claims_go_no_further_than_the_room(bench: Bench) -> None:
    for _ in range(6):
        await bench.submit()
    launcher = ScriptedLauncher(bench.store, FakePool(record("fake-i2v", max_replicas=3), ready=3, held=True))
    dispatcher = bench.dispatcher(launcher)
    assert await dispatcher.tick() == 3
    assert await dispatcher.tick() == 0
    assert len(await bench.store.queued()) == 3
    await launcher.change("fake-i2v", held=False)
    await until(lambda: dispatcher.in_flight == 0 and len(launcher.calls) == 6, dispatcher)
    assert len(set(calls(launcher))) == 6
    await dispatcher.close()


@pytest.mark.parametrize("ready", [0, 1, 2])
async def test_exactly_one_call_waits_in_a_pool_that_may_still_grow(bench: Bench, ready: int) -> None:
    for _ in range(6):
        await bench.submit()
    pool = FakePool(record("fake-i2v", max_replicas=3), ready=ready, held=True)
    launcher = ScriptedLauncher(bench.store, pool)
    dispatcher = bench.dispatcher(launcher)
    for _ in range(3):
        await dispatcher.tick()
        await asyncio.sleep(0.02)
    assert len(launcher.calls) == ready + 1
    assert pool.waiting == 1
    await dispatcher.close()


async def test_a_job_waits_for_its_full_pool_and_goes_to_the_one_that_frees_first(bench: Bench) -> None:
    first, second = (FakePool(record(name), held=True) for name in BOTH)
    launcher = ScriptedLauncher(bench.store, first, second)
    dispatcher = bench.dispatcher(launcher)
    for model in BOTH:
        await bench.submit(model=model)
    assert await dispatcher.tick() == 2
    waiting = await bench.submit(model="auto", allow=BOTH)
    assert await dispatcher.tick() == 0
    assert (await bench.job(waiting)).status is JobStatus.QUEUED
    assert await bench.statuses(waiting) == [], "nothing is bound before there is room"
    await launcher.change("fake-second-i2v", held=False)
    await until(is_now(bench, waiting, JobStatus.COMPLETED), dispatcher)
    (attempt,) = await bench.store.attempts(waiting)
    assert attempt.pool == "fake-second-i2v"
    await dispatcher.close()


async def test_two_dispatchers_place_every_job_exactly_once(bench: Bench, tmp_path: Path) -> None:
    jobs = [await bench.submit() for _ in range(20)]
    other = SqlJobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    await other.open()
    one, two = (
        ScriptedLauncher(store, FakePool(record("fake-i2v", max_replicas=2), ready=2))
        for store in (bench.store, other)
    )
    pair = bench.dispatcher(one), bench.dispatcher(two, other)

    async def completed() -> bool:
        await asyncio.gather(*(dispatcher.tick() for dispatcher in pair))
        return (await bench.store.counts())["completed"] == len(jobs)

    await until(completed)
    assert sorted(calls(one) + calls(two)) == sorted(jobs)
    for job_id in jobs:
        assert await bench.statuses(job_id) == ["completed"]
    await other.close()


# --- what goes wrong with a worker -----------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["dies", "dies_before"])
async def test_a_job_whose_worker_dies_runs_again(bench: Bench, ending: Any) -> None:
    job_id = await bench.submit()
    pool = FakePool(record("fake-i2v"))
    pool.plays.append(Play(ending, "the node burnt down"))
    dispatcher = bench.dispatcher(ScriptedLauncher(bench.store, pool))
    await until(is_now(bench, job_id, JobStatus.COMPLETED), dispatcher)
    lost, done = await bench.store.attempts(job_id)
    assert (lost.status, done.status) == (AttemptStatus.LOST, AttemptStatus.COMPLETED)
    assert lost.error is not None
    assert "burnt" in lost.error["message"]
    assert (await bench.job(job_id)).attempts == 2


async def test_a_job_that_is_turned_away_is_given_back_and_not_counted(bench: Bench) -> None:
    job_id = await bench.submit()
    pool = FakePool(record("fake-i2v"))
    pool.plays.extend([Play("turns_away", "it is being replaced")] * 2)
    launcher = ScriptedLauncher(bench.store, pool)
    await until(is_now(bench, job_id, JobStatus.COMPLETED), bench.dispatcher(launcher))
    job = await bench.job(job_id)
    assert job.attempts == 1, "only the attempt that was taken counts"
    assert len(launcher.calls) == 3


async def test_a_pool_that_always_turns_jobs_away_rests_and_others_are_used(bench: Bench) -> None:
    first, second = (FakePool(record(name), ready=1) for name in BOTH)
    first.plays.extend([Play("turns_away")] * 1000)
    launcher = ScriptedLauncher(bench.store, first, second)
    dispatcher = bench.dispatcher(launcher)
    stuck = await bench.submit(model="fake-i2v")
    free = await bench.submit(model="auto", allow=BOTH)
    loop = asyncio.create_task(dispatcher.run())
    await until(is_now(bench, free, JobStatus.COMPLETED))
    for _ in range(100):
        dispatcher.nudge()
        await asyncio.sleep(0.005)
    # Rests of 0.5, 1, 2, ... s: a handful of calls in these seconds, not one for each nudge.
    assert len([call for call in launcher.calls if call.pool == "fake-i2v"]) < 8
    assert (await bench.job(stuck)).status is JobStatus.QUEUED
    loop.cancel()
    await dispatcher.close()


async def test_a_refusal_falls_back_to_the_next_offer(bench: Bench) -> None:
    first, second = (FakePool(record(name)) for name in BOTH)
    for pool in (first, second):
        pool.plays.append(Play("refuses", "too many faces"))
    launcher = ScriptedLauncher(bench.store, first, second)
    dispatcher = bench.dispatcher(launcher)
    job_id = await bench.submit(model="auto", allow=BOTH)
    await until(is_now(bench, job_id, JobStatus.FAILED), dispatcher)
    job = await bench.job(job_id)
    assert sorted(job.excluded) == ["fake-i2v/local", "fake-second-i2v/local"]
    assert job.error is not None
    assert job.error["code"] == "no_route"
    for refused in job.excluded:
        assert refused in job.error["message"]
    assert {attempt.pool for attempt in await bench.store.attempts(job_id)} == set(BOTH)
    assert len(launcher.calls) == 2


async def test_a_refusal_by_one_ends_with_the_other(bench: Bench) -> None:
    first, second = (FakePool(record(name)) for name in BOTH)
    dispatcher = bench.dispatcher(ScriptedLauncher(bench.store, first, second))
    first.plays.append(Play("refuses"))
    second.plays.append(Play("refuses"))
    job_id = await bench.submit(model="auto", allow=BOTH)
    await until(lambda: len(first.plays) + len(second.plays) == 1, dispatcher)
    (first if first.plays else second).plays.clear()
    await until(is_now(bench, job_id, JobStatus.COMPLETED), dispatcher)
    assert await bench.statuses(job_id) == ["failed", "completed"]


async def test_failures_end_the_job_after_max_attempts(bench: Bench) -> None:
    pool = FakePool(record("fake-i2v"))
    pool.plays.extend([Play("fails", "the fan stopped")] * 10)
    dispatcher = bench.dispatcher(ScriptedLauncher(bench.store, pool))
    job_id = await bench.submit()
    await until(is_now(bench, job_id, JobStatus.FAILED), dispatcher)
    job = await bench.job(job_id)
    assert job.attempts == job.max_attempts == 5
    assert job.error is not None
    assert "the fan stopped" in job.error["message"]


# --- what goes wrong with a pool -------------------------------------------------------------------------


async def test_a_job_waits_for_a_sick_pool_and_runs_once_it_is_healed(bench: Bench) -> None:
    well = record("fake-i2v")
    pool = FakePool(replace(well, healthy=False, reason="application is DEPLOY_FAILED"))
    launcher = ScriptedLauncher(bench.store, pool)
    dispatcher = bench.dispatcher(launcher)
    job_id = await bench.submit()
    for _ in range(3):
        assert await dispatcher.tick() == 0
    assert (await bench.job(job_id)).status is JobStatus.QUEUED
    await launcher.change("fake-i2v", record=well)
    await until(is_now(bench, job_id, JobStatus.COMPLETED), dispatcher)
    assert await bench.statuses(job_id) == ["completed"]


async def test_a_pool_whose_weights_are_missing_is_no_reason_to_wait(bench: Bench) -> None:
    pool = FakePool(record("fake-i2v", min_replicas=1), state="broken")
    launcher = ScriptedLauncher(bench.store, pool)
    dispatcher = bench.dispatcher(launcher)
    job_id = await bench.submit()
    await until(is_now(bench, job_id, JobStatus.FAILED), dispatcher)
    job = await bench.job(job_id)
    assert job.error is not None
    assert job.error["code"] == "no_route"
    assert "not healthy: as scripted" in job.error["message"]
    assert launcher.calls == []


@pytest.mark.parametrize("fate", ["sick", "deleted"])
async def test_a_job_that_waits_in_a_pool_which_fails_is_taken_back_uncounted(
    bench: Bench, fate: str
) -> None:
    first, second = FakePool(record("fake-i2v"), ready=0), FakePool(record("fake-second-i2v"), ready=0)
    launcher = ScriptedLauncher(bench.store, first, second)
    dispatcher = bench.dispatcher(launcher)
    job_id = await bench.submit(model="auto", allow=BOTH)
    assert await dispatcher.tick() == 1
    taken = launcher.calls[0].pool
    other = next(name for name in BOTH if name != taken)
    await until(lambda: launcher.fleet[taken].waiting == 1)
    if fate == "sick":
        sick = replace(launcher.fleet[taken].record, healthy=False, reason="it failed to deploy")
        await launcher.change(taken, record=sick)
        gone = launcher.fleet[taken]
    else:
        gone = launcher.fleet.pop(taken)
    await launcher.change(other, ready=1)
    await until(is_now(bench, job_id, JobStatus.COMPLETED), dispatcher)
    attempts = await bench.store.attempts(job_id)
    assert [attempt.pool for attempt in attempts] == [taken, other]
    assert (await bench.job(job_id)).attempts == 1
    assert gone.waiting == 0, "the call was withdrawn"


async def test_a_clip_that_runs_is_left_alone_when_its_application_is_deleted(bench: Bench) -> None:
    pool = FakePool(record("fake-i2v"), held=True)
    launcher = ScriptedLauncher(bench.store, pool)
    dispatcher = bench.dispatcher(launcher)
    job_id = await bench.submit()
    await until(is_now(bench, job_id, JobStatus.IN_PROGRESS), dispatcher)
    pool.record = replace(pool.record, healthy=False, reason="application is DELETING")
    for _ in range(3):
        dispatcher._kept_house = float("-inf")
        await dispatcher.tick()
    await launcher.change("fake-i2v", held=False)
    await until(is_now(bench, job_id, JobStatus.COMPLETED))
    assert await bench.statuses(job_id) == ["completed"]
    await dispatcher.close()


# --- time ------------------------------------------------------------------------------------------------


async def test_a_deadline_that_became_hopeless_still_runs(bench: Bench) -> None:
    pool = FakePool(record("fake-i2v"), held=True)
    launcher = ScriptedLauncher(bench.store, pool)
    dispatcher = bench.dispatcher(launcher)
    job_id = await bench.submit(deadline_s=1.5, objective=Objective.SPEED)
    await asyncio.sleep(1.6)
    await launcher.change("fake-i2v", held=False)
    await until(is_now(bench, job_id, JobStatus.COMPLETED), dispatcher)


async def test_the_lease_is_kept_while_a_cold_start_lasts(bench: Bench) -> None:
    bench.lease_s = 0.6
    pool = FakePool(record("fake-i2v"), ready=0)
    launcher = ScriptedLauncher(bench.store, pool)
    dispatcher = bench.dispatcher(launcher)
    loop = asyncio.create_task(dispatcher.run())
    job_id = await bench.submit()
    dispatcher.nudge()
    await until(lambda: pool.waiting == 1)
    first = (await bench.store.running())[0].lease_until
    assert first is not None
    await asyncio.sleep(3 * bench.lease_s)
    (held,) = await bench.store.running()
    assert held.lease_until is not None
    assert held.lease_until > first + bench.lease_s
    await launcher.change("fake-i2v", ready=1)
    await until(is_now(bench, job_id, JobStatus.COMPLETED))
    assert await bench.statuses(job_id) == ["completed"]
    loop.cancel()


async def test_a_cold_start_may_not_outlast_the_job(bench: Bench) -> None:
    pool = FakePool(record("fake-i2v"), ready=0)
    dispatcher = bench.dispatcher(ScriptedLauncher(bench.store, pool))
    job_id = await bench.submit(ttl_s=1.0)
    assert await dispatcher.tick() == 1
    await until(is_now(bench, job_id, JobStatus.EXPIRED), dispatcher)
    assert pool.waiting == 0


async def test_a_cancel_during_a_cold_start_withdraws_the_call(bench: Bench) -> None:
    pool = FakePool(record("fake-i2v"), ready=0)
    dispatcher = bench.dispatcher(ScriptedLauncher(bench.store, pool))
    job_id = await bench.submit()
    assert await dispatcher.tick() == 1
    await until(lambda: pool.waiting == 1)
    await bench.store.cancel(job_id)
    await until(lambda: pool.waiting == 0 and dispatcher.in_flight == 0, dispatcher)
    assert (await bench.job(job_id)).status is JobStatus.CANCELLED


async def test_a_router_that_dies_between_claim_and_launch_loses_nothing(bench: Bench) -> None:
    bench.lease_s = 0.4
    job_id = await bench.submit()

    class Dying(ScriptedLauncher):
        async def launch(self, pool: str, job_id: str, fence: int) -> Any:
            await asyncio.Event().wait()

    dead = bench.dispatcher(Dying(bench.store, FakePool(record("fake-i2v"))))
    assert await dead.tick() == 1
    await dead.close()
    alive = bench.dispatcher(ScriptedLauncher(bench.store, FakePool(record("fake-i2v"))))
    await until(is_now(bench, job_id, JobStatus.COMPLETED), alive)
    assert await bench.statuses(job_id) == ["lost", "completed"]


# --- the store, the queue and the media ------------------------------------------------------------------


class Flaky:
    """A store that is away as long as `away` is true."""

    def __init__(self, store: SqlJobStore) -> None:
        self._store = store
        self.away = False
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        if self.away:

            async def refuse(*_: object, **__: object) -> None:
                self.refused += 1
                raise StoreUnavailable("away, as scripted")

            return refuse
        return getattr(self._store, name)


async def test_the_loop_survives_a_store_that_is_away(bench: Bench) -> None:
    flaky = Flaky(bench.store)
    launcher = ScriptedLauncher(bench.store, FakePool(record("fake-i2v")))
    dispatcher = bench.dispatcher(launcher, flaky)
    loop = asyncio.create_task(dispatcher.run())
    flaky.away = True
    job_id = await bench.submit()
    for _ in range(MAX_FAULTS + 5):
        dispatcher.nudge()
        await asyncio.sleep(0.03)
    assert flaky.refused > 3
    assert not loop.done()
    flaky.away = False
    await until(is_now(bench, job_id, JobStatus.COMPLETED))
    loop.cancel()


async def test_a_lease_that_ran_out_while_the_store_was_away_is_not_held_against_its_worker(
    bench: Bench,
) -> None:
    bench.lease_s = 1.0
    flaky = Flaky(bench.store)
    pool = FakePool(record("fake-i2v"), held=True)
    launcher = ScriptedLauncher(bench.store, pool, lease_s=1.0)
    dispatcher = bench.dispatcher(launcher, flaky)
    job_id = await bench.submit()
    await until(is_now(bench, job_id, JobStatus.IN_PROGRESS), dispatcher)
    flaky.away = True
    with pytest.raises(StoreUnavailable):
        await dispatcher.tick()
    await asyncio.sleep(1.2)
    flaky.away = False
    dispatcher._kept_house = float("-inf")
    await dispatcher.tick()
    assert (await bench.job(job_id)).status is JobStatus.IN_PROGRESS
    await bench.store.beat(job_id, 1, 60.0)
    await launcher.change("fake-i2v", held=False)
    await until(is_now(bench, job_id, JobStatus.COMPLETED), dispatcher)
    assert await bench.statuses(job_id) == ["completed"]


async def test_pools_that_cannot_be_seen_stay_as_last_seen(bench: Bench) -> None:
    launcher = ScriptedLauncher(bench.store, FakePool(record("fake-i2v")))
    dispatcher = bench.dispatcher(launcher)
    await dispatcher.tick()
    launcher.away = True
    job_id = await bench.submit()
    dispatcher._kept_house = float("-inf")
    await until(is_now(bench, job_id, JobStatus.COMPLETED), dispatcher)


async def test_a_job_that_cannot_be_decided_does_not_stop_those_behind_it(
    bench: Bench, catalog: Catalog
) -> None:
    unknown = await bench.submit(model="fake-second-i2v", priority=Priority.HIGH)
    sound = await bench.submit(model="fake-i2v")
    smaller = Catalog.of([card for card in catalog if card.id != "fake-second-i2v"])
    bench.engine = Engine(smaller, load_gpus(), load_profiles())
    dispatcher = bench.dispatcher(ScriptedLauncher(bench.store, FakePool(record("fake-i2v"))))
    await until(is_now(bench, sound, JobStatus.COMPLETED), dispatcher)
    job = await bench.job(unknown)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error["code"] == "unknown_model"


async def test_an_undeclared_fault_that_stays_ends_the_loop(bench: Bench) -> None:
    class Wrong(ScriptedLauncher):
        async def pools(self) -> Any:
            raise ZeroDivisionError("a bug")

    dispatcher = bench.dispatcher(Wrong(bench.store))

    async def nudged() -> None:
        while True:
            dispatcher._kept_house = float("-inf")
            dispatcher.nudge()
            await asyncio.sleep(0.005)

    nudging = asyncio.create_task(nudged())
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(dispatcher.run(), 30)
    nudging.cancel()


async def test_garbage_is_removed_from_the_media_store(bench: Bench) -> None:
    job_id = await bench.submit()
    key = photograph_key("up1")
    bench.media.put_bytes(key, b"pixels", "image/jpeg")
    await bench.store.delete(job_id)
    assert list(await bench.store.garbage()) == [key]
    dispatcher = bench.dispatcher(ScriptedLauncher(bench.store, FakePool(record("fake-i2v"))))
    await dispatcher.tick()
    await until(lambda: not bench.media.exists(key))

    async def forgotten() -> bool:
        return not await bench.store.garbage()

    await until(forgotten)
    await dispatcher.close()


async def test_no_flight_is_left_behind_after_many_jobs(bench: Bench) -> None:
    pool = FakePool(record("fake-i2v", max_replicas=8), ready=8)
    pool.plays.extend([Play("dies"), Play("turns_away"), Play("fails")] * 3)
    launcher = ScriptedLauncher(bench.store, pool)
    dispatcher = bench.dispatcher(launcher)
    jobs = [await bench.submit() for _ in range(30)]

    async def all_done() -> bool:
        return (await bench.store.counts())["completed"] == len(jobs)

    await until(all_done, dispatcher)
    await until(lambda: dispatcher.in_flight == 0)
    leftovers = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.sleep(0.05)
    assert [task for task in leftovers if not task.done() and "renew" in task.get_name()] == []


def test_the_fake_card_is_what_these_tests_take_it_for(catalog: Catalog) -> None:
    cards: list[Card] = [catalog.get(name) for name in BOTH]
    assert {card.offers[0].id for card in cards} == {"local"}
