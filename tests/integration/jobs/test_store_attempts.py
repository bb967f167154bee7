"""What the Router and the workers do, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import math

import pytest

from models.errors import Disposition, JobNotFound, StaleFence
from router.jobs.records import AttemptStatus, JobStatus, Observation, PoolRecord, Progress, Worker
from router.jobs.retry import Backoff
from router.jobs.sql import SqlJobStore

ERROR = {"code": "runner_error", "message": "the rank stopped"}


async def test_one_job_from_claim_to_clip(store, steps):
    job = await steps.create()
    attempt = await steps.claim(job.id)
    assert attempt in await store.running()
    dispatched = await store.get(job.id)
    assert (dispatched.status, dispatched.fence, dispatched.attempts) == (JobStatus.QUEUED, 1, 1)
    assert dispatched.routing == {"chosen": {"model": "parallax"}}
    begun = await store.start(job.id, attempt.fence, "worker-1", 30.0)
    assert (begun.status, begun.progress) == (JobStatus.IN_PROGRESS, 0)
    shown = []
    for stage, step in (("loading", 0), ("denoising", 2), ("denoising", 1), ("denoising", 4), ("storing", 0)):
        assert not (await store.beat(job.id, attempt.fence, 30.0, Progress(stage, step, 4))).cancel
        shown.append((await store.get(job.id)).progress)
    assert shown == [1, 45, 45, 85, 97]
    done = await steps.complete(job.id, attempt.fence)
    assert (done.status, done.progress, done.usage) == (JobStatus.COMPLETED, 100, {"gpu_seconds": 2.0})
    assert done == await store.get(job.id)
    assert await store.running() == ()
    (only,) = await store.attempts(job.id)
    assert (only.status, only.worker, only.gpu_seconds) == (AttemptStatus.COMPLETED, "worker-1", 2.0)
    assert await steps.types(job.id) == ["queued", "dispatched", "started", *["progress"] * 5, "completed"]
    assert [event.seq for event in await store.events(job.id, after=7)] == [8, 9]
    assert [event.seq for event in await store.events(job.id, after=2, limit=2)] == [3, 4]


async def test_a_beat_with_no_news_makes_no_event(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    await store.beat(job.id, run.fence, 30.0, Progress("denoising", 1, 4, eta_seconds=9.0))
    await store.beat(job.id, run.fence, 30.0, Progress("denoising", 1, 4, eta_seconds=8.0))
    await store.beat(job.id, run.fence, 30.0)
    assert (await steps.types(job.id)).count("progress") == 1
    assert (await store.get(job.id)).progress_detail.eta_seconds == 8.0


async def test_one_of_many_claims_wins(store, make_store, make_steps, steps):
    job = await steps.create()
    second = make_store()
    await second.open()
    try:
        other = make_steps(second)
        claims = await asyncio.gather(*(each.claim(job.id) for each in [steps, other] * 4))
    finally:
        await second.close()
    assert [claim for claim in claims if claim is not None] == list(await store.running())


async def test_what_cannot_be_claimed(store, steps):
    expired = await steps.create(expires_in_s=0.0)
    cancelled = await steps.create()
    await store.cancel(cancelled.id)
    assert await steps.claim(expired.id) is None
    assert await steps.claim(cancelled.id) is None
    assert await store.queued() == ()
    with pytest.raises(JobNotFound):
        await steps.claim("vid_nothing")


async def test_the_queue_is_ordered_by_priority_then_due(store, steps):
    late = await steps.create(due_in_s=900.0)
    soon = await steps.create(due_in_s=60.0)
    low = await steps.create(priority=0, due_in_s=1.0)
    high = await steps.create(priority=2, due_in_s=5000.0)
    order = [high.id, soon.id, late.id, low.id]
    assert [job.id for job in await store.queued()] == order
    assert [job.id for job in await store.queued(limit=2)] == order[:2]
    assert [await store.queue_position(each) for each in order] == [1, 2, 3, 4]
    await steps.claim(high.id)
    assert [await store.queue_position(each) for each in order] == [1, 1, 2, 3]
    await store.start(high.id, 1, "w", 30.0)
    assert await store.queue_position(high.id) is None
    assert await store.queue_position("vid_nothing") is None
    counts = await store.counts()
    assert (counts["queued"], counts["in_progress"], counts["failed"]) == (3, 1, 0)


async def test_a_retry_waits_with_growing_jitter(database_url, make_steps):
    waits = []

    def longest(low: float, high: float) -> float:
        waits.append((low, high))
        return high

    store = SqlJobStore(database_url, backoff=Backoff(base_s=100.0, cap_s=150.0, uniform=longest))
    await store.open()
    try:
        job = await make_steps(store).create()
        run = await make_steps(store).run(job.id)
        await store.beat(job.id, run.fence, 30.0, Progress("denoising", 3, 4))
        again = await store.fail(job.id, run.fence, error=ERROR, disposition=Disposition.RETRY)
        assert (again.status, again.progress, again.attempts) == (JobStatus.QUEUED, 0, 1)
        assert again.progress_detail is None
        assert again.not_before > again.created_at + 99.0
        assert await make_steps(store).claim(job.id) is None
        assert await store.queued() == ()
        assert waits == [(0.0, 100.0)]
    finally:
        await store.close()


async def test_attempts_are_exhausted_with_the_last_error_inside(store, steps):
    job = await steps.create(max_attempts=2)
    for fence, ends in ((1, JobStatus.QUEUED), (2, JobStatus.FAILED)):
        run = await steps.run(job.id)
        assert run.fence == fence
        after = await store.fail(job.id, fence, error=ERROR, disposition=Disposition.RETRY, gpu_seconds=1.0)
        assert after.status is ends
    assert after.error["code"] == "attempts_exhausted"
    assert after.error["last_error"] == ERROR
    assert after.retain_until is not None
    assert [each.status for each in await store.attempts(job.id)] == [AttemptStatus.FAILED] * 2
    assert (await steps.types(job.id))[-4:] == ["retrying", "dispatched", "started", "failed"]


async def test_a_fallback_excludes_its_offer_and_uses_up_no_retry(store, steps):
    job = await steps.create(max_attempts=1)
    run = await steps.run(job.id, offer="big")
    after = await store.fail(job.id, run.fence, error=ERROR, disposition=Disposition.FALLBACK)
    assert (after.status, after.excluded) == (JobStatus.QUEUED, ("parallax/big",))
    assert [each.id for each in await store.queued()] == [job.id]
    run = await steps.run(job.id, offer="small")
    done = await store.fail(job.id, run.fence, error=ERROR, disposition=Disposition.FAIL)
    assert (done.status, done.error) == (JobStatus.FAILED, ERROR)
    types = await steps.types(job.id)
    assert types == ["queued", "dispatched", "started", "fallback", "dispatched", "started", "failed"]


async def test_a_cancelled_job_that_fails_is_cancelled(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    await store.cancel(job.id)
    ended = await store.fail(job.id, run.fence, error=ERROR, disposition=Disposition.RETRY)
    assert (ended.status, ended.error) == (JobStatus.CANCELLED, None)


async def test_stale_fences_change_nothing(store, steps):
    job = await steps.create()
    old = await steps.run(job.id)
    await store.lose(job.id, old.fence, "killed")
    await steps.run(job.id)
    before = await store.get(job.id)
    events = await store.events(job.id)
    for write in (
        store.start(job.id, old.fence, "worker-1", 30.0),
        store.beat(job.id, old.fence, 30.0, Progress("denoising", 3, 4)),
        store.renew(job.id, old.fence, 30.0),
        store.release(job.id, old.fence, "x"),
        steps.complete(job.id, old.fence),
        store.fail(job.id, old.fence, error=ERROR, disposition=Disposition.FAIL),
        store.finish_cancelled(job.id, old.fence),
        store.lose(job.id, old.fence, "x"),
    ):
        with pytest.raises(StaleFence):
            await write
    assert await store.get(job.id) == before
    assert await store.events(job.id) == events


async def test_a_worker_may_repeat_itself_but_not_another(store, steps):
    job = await steps.create()
    attempt = await steps.claim(job.id)
    first = await store.start(job.id, attempt.fence, "worker-1", 30.0)
    again = await store.start(job.id, attempt.fence, "worker-1", 30.0)
    assert (again.status, again.started_at) == (first.status, first.started_at)
    with pytest.raises(StaleFence):
        await store.start(job.id, attempt.fence, "worker-2", 30.0)
    done = await steps.complete(job.id, attempt.fence)
    assert await steps.complete(job.id, attempt.fence) == done
    with pytest.raises(StaleFence):
        await steps.complete(job.id, attempt.fence, key="out/other.mp4")
    assert (await steps.types(job.id)).count("completed") == 1


async def test_release_gives_back_uncounted(store, steps):
    job = await steps.create(max_attempts=1)
    for fence in (1, 2, 3):
        attempt = await steps.claim(job.id)
        assert attempt.fence == fence
        await store.release(job.id, fence, "the pool did not start")
    after = await store.get(job.id)
    assert (after.status, after.fence, after.attempts) == (JobStatus.QUEUED, 3, 0)
    run = await steps.run(job.id)
    with pytest.raises(StaleFence):
        await store.release(job.id, run.fence, "too late")


async def test_renew_keeps_a_dispatched_attempt_and_leaves_a_running_one_alone(store, steps):
    job = await steps.create()
    attempt = await steps.claim(job.id, lease_s=-1.0)
    await store.renew(job.id, attempt.fence, 30.0)
    assert (await store.reap()).requeued == ()
    await store.start(job.id, attempt.fence, "w", -1.0)
    await store.renew(job.id, attempt.fence, 30.0)
    assert (await store.reap()).requeued == (job.id,)


async def test_fail_queued_ends_only_a_waiting_job(store, steps):
    job, busy = await steps.create(), await steps.create()
    await steps.run(busy.id)
    error = {"code": "no_route", "message": "no offer is left"}
    assert (await store.fail_queued(job.id, error=error)).error == error
    assert (await store.get(job.id)).status is JobStatus.FAILED
    assert (await store.fail_queued(busy.id, error=error)).status is JobStatus.IN_PROGRESS


async def test_reap_requeues_fails_cancels_expires_and_purges(store, steps):
    lost, doomed, flagged, silent, fresh, running, done = [
        await steps.create(max_attempts=1 if n == 1 else 5, expires_in_s=0.0 if n == 3 else 600.0)
        for n in range(7)
    ]
    for job in (lost, doomed, flagged):
        await steps.run(job.id, lease_s=-1.0)
    await store.cancel(flagged.id)
    await steps.run(running.id)
    await steps.complete(done.id, (await steps.run(done.id)).fence, retain_s=-1.0)
    reaped = await store.reap()
    assert reaped.requeued == (lost.id,)
    assert reaped.failed == (doomed.id,)
    assert reaped.cancelled == (flagged.id,)
    assert reaped.expired == (silent.id,)
    assert reaped.purged == (done.id,)
    statuses = [
        (await store.get(job.id)).status.value for job in (lost, doomed, flagged, silent, fresh, running)
    ]
    assert statuses == ["queued", "failed", "cancelled", "expired", "queued", "in_progress"]
    assert [each.status for each in await store.attempts(lost.id)] == [AttemptStatus.LOST]
    assert (await store.get(doomed.id)).error["last_error"]["code"] == "lost"
    assert await steps.types(silent.id) == ["queued", "expired"]
    purged = await store.get(done.id)
    assert purged.result == {"media": {}, "purged": True}
    assert await store.garbage() == ("out/a.mp4",)  # the photograph serves the other jobs
    again = await store.reap()
    assert again == type(again)()


async def test_a_job_that_began_once_does_not_expire_while_it_waits_to_run_again(store, steps):
    job = await steps.create(expires_in_s=0.3)
    run = await steps.run(job.id)
    while (await store.get(job.id)).heartbeat_at < job.expires_at:  # until the database's clock is past it
        await store.beat(job.id, run.fence, 30.0)
        await asyncio.sleep(0.05)
    await store.lose(job.id, run.fence, "killed")
    assert (await store.reap()).expired == ()
    assert [each.id for each in await store.queued()] == [job.id]


async def test_media_of_a_job_that_failed_are_purged_too(database_url, make_steps):
    store = SqlJobStore(database_url, retain_ended_s=-1.0)
    await store.open()
    try:
        job = await make_steps(store).create()
        await store.cancel(job.id)
        assert (await store.reap()).purged == (job.id,)
        assert await store.garbage() == ("in/a.png",)
    finally:
        await store.close()


async def test_two_reapers_at_once_requeue_each_job_once(store, make_store, steps):
    ids = {(await steps.create()).id for _ in range(6)}
    for each in ids:
        await steps.run(each, lease_s=-1.0)
    second = make_store()
    await second.open()
    try:
        passes = await asyncio.gather(store.reap(), second.reap(), store.reap())
    finally:
        await second.close()
    requeued = [each for reaped in passes for each in reaped.requeued]
    assert sorted(requeued) == sorted(ids)


async def test_observations_become_a_calibration(store, steps):
    ratios = [2.0, 2.0, 4.0]
    for ratio in ratios:
        job = await steps.create()
        run = await steps.run(job.id)
        seen = Observation("parallax", "local", "cpu", 1, predicted_s=3.0, actual_s=3.0 * ratio)
        await steps.complete(job.id, run.fence, observation=seen)
    job = await steps.create()
    run = await steps.run(job.id)
    useless = Observation("parallax", "local", "cpu", 1, predicted_s=0.0, actual_s=1.0)
    await steps.complete(job.id, run.fence, observation=useless)
    (fit,) = await store.calibrations()
    weights = [0.1 * 0.9 ** (len(ratios) - 1 - n) for n in range(len(ratios))]
    mean = sum(w * math.log(r) for w, r in zip(weights, ratios, strict=True)) / sum(weights)
    assert fit.log_ratio == pytest.approx(mean)
    assert fit.samples == 3
    assert fit.sigma > 0.0


async def test_concurrent_observations_all_count(store, steps):
    runs = [(job := await steps.create(), await steps.run(job.id)) for _ in range(6)]
    seen = Observation("parallax", "local", "cpu", 1, predicted_s=1.0, actual_s=2.0)
    await asyncio.gather(*(steps.complete(job.id, run.fence, observation=seen) for job, run in runs))
    (fit,) = await store.calibrations()
    assert (fit.samples, fit.log_ratio) == (6, pytest.approx(math.log(2.0)))


async def test_workers_come_beat_and_go(store):
    worker = Worker("w1", "pool-a", "parallax", "local", "cpu", 1, 2, "node-1", "starting", {"warm": []})
    await store.register(worker)
    await store.register(worker)
    assert await store.worker_beat("w1", "ready", {"warm": ["parallax"]})
    (seen,) = await store.workers()
    assert (seen.state, seen.detail, seen.slots) == ("ready", {"warm": ["parallax"]}, 2)
    assert seen.heartbeat_at >= seen.registered_at > 0.0
    assert await store.workers(stale_after_s=-1.0) == ()
    await store.deregister("w1")
    assert await store.workers() == ()
    assert not await store.worker_beat("w1", "ready", {})


async def test_pools_are_replaced(store):
    first = [PoolRecord(name, "parallax", "local", "cpu", 1, 0, 2, True, "") for name in ("a", "b")]
    await store.publish_pools(first)
    await store.publish_pools([PoolRecord("b", "parallax", "local", "cpu", 1, 1, 4, False, "starting")])
    (only,) = await store.pools()
    assert (only.name, only.max_replicas, only.healthy, only.reason) == ("b", 4, False, "starting")
    await store.publish_pools([])
    assert await store.pools() == ()
