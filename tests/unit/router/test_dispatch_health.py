"""The dispatcher and sick offers; what it binds an attempt to; jobs beyond the first page."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import pytest

from models.types import Objective
from policies.calibration import slice_of
from router.binding import draw_of
from router.fakes import FakePool, Play, ScriptedLauncher
from router.jobs.records import AttemptStatus, Ended, JobStatus
from router.jobs.sql import SqlJobStore
from tests.unit.router.dispatching import BOTH, Bench, is_now, record, until


class Remembering:
    """A store that also remembers attempts which ended a while ago."""

    def __init__(self, store: SqlJobStore, *ended: Ended) -> None:
        self._store = store
        self._ended = ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def ended(self, within_s: float, limit: int = 2000) -> list[Ended]:
        del within_s, limit
        return list(self._ended)


def faults(model: str, ago_s: float, count: int = 5) -> list[Ended]:
    """`count` jobs that failed in a row, the last one `ago_s` seconds ago."""
    last = time.time() - ago_s
    return [
        Ended(f"vid_{n}", model, "local", last - 2.0 * (count - 1 - n), AttemptStatus.FAILED, "rank_lost")
        for n in range(count)
    ]


async def test_an_open_circuit_sends_work_elsewhere_and_makes_named_jobs_wait(bench: Bench) -> None:
    pools = [FakePool(record(name)) for name in BOTH]
    launcher = ScriptedLauncher(bench.store, *pools)
    named = await bench.submit(model="fake-i2v")
    free = await bench.submit(model="auto", allow=BOTH)
    store = Remembering(bench.store, *faults("fake-i2v", ago_s=1.0))
    dispatcher = bench.dispatcher(launcher, store)
    await until(is_now(bench, free, JobStatus.COMPLETED), dispatcher)
    assert {call.pool for call in launcher.calls} == {"fake-second-i2v"}
    assert (await bench.job(named)).status is JobStatus.QUEUED
    await dispatcher.close()


async def test_an_offer_on_probation_is_tried_with_one_job(bench: Bench) -> None:
    pool = FakePool(record("fake-i2v", max_replicas=3), ready=3, held=True)
    launcher = ScriptedLauncher(bench.store, pool)
    for _ in range(3):
        await bench.submit()
    dispatcher = bench.dispatcher(launcher, Remembering(bench.store, *faults("fake-i2v", ago_s=40.0)))
    for _ in range(3):
        await dispatcher.tick()
    assert len(launcher.calls) == 1
    await dispatcher.close()


async def test_a_job_that_stalled_runs_elsewhere_first(bench: Bench) -> None:
    pools = [FakePool(record(name), plays=deque([Play("fails", code="stalled")])) for name in BOTH]
    launcher = ScriptedLauncher(bench.store, *pools)
    job_id = await bench.submit(model="auto", allow=BOTH)
    dispatcher = bench.dispatcher(launcher)
    await until(is_now(bench, job_id, JobStatus.COMPLETED), dispatcher)
    first, second, third = [call.pool for call in launcher.calls]
    assert first != second, "elsewhere"
    assert third == first, "there is nowhere else: it may have recovered"
    await dispatcher.close()


# --- what an attempt is bound to -------------------------------------------------------------------------


async def test_an_attempt_keeps_its_slice_and_the_speed_that_its_time_was_told_with(bench: Bench) -> None:
    launcher = ScriptedLauncher(bench.store, FakePool(record("fake-i2v")))
    job_id = await bench.submit(objective=Objective.SPEED)
    dispatcher = bench.dispatcher(launcher)
    await until(is_now(bench, job_id, JobStatus.COMPLETED), dispatcher)
    (attempt,) = await bench.store.attempts(job_id)
    assert attempt.decision["learning"] == slice_of(draw_of(job_id), Objective.SPEED)
    assert attempt.decision["speed"] == 1.0
    await dispatcher.close()


async def test_a_previews_final_estimate_stays_when_the_job_is_dispatched(bench: Bench) -> None:
    launcher = ScriptedLauncher(bench.store, FakePool(record("fake-i2v")))
    job_id = await bench.submit(objective=Objective.PREVIEW)
    assert (await bench.job(job_id)).routing["final_estimate"] is None
    dispatcher = bench.dispatcher(launcher)
    await until(is_now(bench, job_id, JobStatus.COMPLETED), dispatcher)
    assert "final_estimate" in (await bench.job(job_id)).routing
    await dispatcher.close()


def test_draws_are_spread_evenly_and_stay() -> None:
    draws = [draw_of(f"vid_{n}") for n in range(4000)]
    assert draws == [draw_of(f"vid_{n}") for n in range(4000)]
    assert all(0.0 <= draw < 1.0 for draw in draws)
    for low in (0.0, 0.25, 0.5, 0.75):
        assert 0.22 < sum(low <= draw < low + 0.25 for draw in draws) / len(draws) < 0.28


# --- beyond the first page -------------------------------------------------------------------------------


async def test_a_job_behind_a_full_pools_long_row_is_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.queue.PAGE", 3)
    launcher = ScriptedLauncher(
        bench.store, FakePool(record("fake-i2v"), ready=0), FakePool(record("fake-second-i2v"))
    )
    for _ in range(8):
        await bench.submit(model="fake-i2v")
    last = await bench.submit(model="fake-second-i2v")
    dispatcher = bench.dispatcher(launcher)
    await until(is_now(bench, last, JobStatus.COMPLETED), dispatcher)
    await dispatcher.close()
