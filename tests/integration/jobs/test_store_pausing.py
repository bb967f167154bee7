"""Checkpoints and attempts handed back, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from models.errors import Disposition, StaleFence
from router.jobs.records import AttemptStatus, Checkpoint, JobStatus, Progress

FIRST = Checkpoint(
    "parallax", "local", {"conditioning-0": "ck/c0", "state": "ck/s1"}, {"segment": 0, "step": 3}
)
SECOND = Checkpoint(
    "parallax", "local", {"conditioning-0": "ck/c0", "state": "ck/s2"}, {"segment": 0, "step": 9}
)


async def test_the_newest_checkpoint_counts_and_lets_go_of_what_it_replaces(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    assert (await store.get(job.id)).checkpoint is None
    await store.keep_checkpoint(job.id, run.fence, FIRST)
    assert await store.garbage() == ()
    await store.keep_checkpoint(job.id, run.fence, SECOND)
    assert (await store.get(job.id)).checkpoint == SECOND
    assert await store.garbage() == ("ck/s1",)


async def test_a_checkpoint_outlives_the_attempt_and_ends_with_the_job(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    await store.keep_checkpoint(job.id, run.fence, FIRST)
    await store.lose(job.id, run.fence, "the node is gone")
    assert (await store.get(job.id)).checkpoint == FIRST
    again = await steps.run(job.id)
    assert (await store.get(job.id)).checkpoint == FIRST
    done = await steps.complete(job.id, again.fence)
    assert done.checkpoint is None
    assert set(await store.garbage()) == {"ck/c0", "ck/s1"}


@pytest.mark.parametrize("end", ["cancel", "fail"])
async def test_a_job_that_ends_badly_keeps_no_checkpoint(store, steps, end):
    job = await steps.create()
    run = await steps.run(job.id)
    await store.keep_checkpoint(job.id, run.fence, FIRST)
    if end == "cancel":
        await store.cancel(job.id)
        await store.finish_cancelled(job.id, run.fence)
    else:
        error = {"code": "runner_error", "message": "no"}
        await store.fail(job.id, run.fence, error=error, disposition=Disposition.FAIL)
    assert (await store.get(job.id)).checkpoint is None
    assert set(await store.garbage()) == {"ck/c0", "ck/s1"}


async def test_a_checkpoint_that_is_of_no_use_is_dropped(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    await store.drop_checkpoint(job.id, run.fence)
    await store.keep_checkpoint(job.id, run.fence, FIRST)
    await store.drop_checkpoint(job.id, run.fence)
    assert (await store.get(job.id)).checkpoint is None
    assert set(await store.garbage()) == {"ck/c0", "ck/s1"}


async def test_an_overtaken_attempt_writes_no_checkpoint(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    await store.hand_back(job.id, run.fence, reason="the node drains")
    later = await steps.run(job.id)
    for write in (
        store.keep_checkpoint(job.id, run.fence, FIRST),
        store.drop_checkpoint(job.id, run.fence),
        store.hand_back(job.id, run.fence, reason="again"),
    ):
        with pytest.raises(StaleFence):
            await write
    assert later.fence == run.fence + 1
    assert (await store.get(job.id)).checkpoint is None


async def test_a_job_handed_back_waits_uncounted_and_at_once(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    await store.keep_checkpoint(job.id, run.fence, FIRST)
    back = await store.hand_back(job.id, run.fence, reason="the replica drains", gpu_seconds=4.0)
    assert (back.status, back.attempts, back.checkpoint) == (JobStatus.QUEUED, 0, FIRST)
    assert [waiting.id for waiting in await store.queued()] == [job.id]
    (attempt,) = await store.attempts(job.id)
    assert (attempt.status, attempt.gpu_seconds) == (AttemptStatus.CANCELLED, 4.0)
    assert attempt.error == {"code": "handed_back", "message": "the replica drains"}
    assert (await steps.types(job.id))[-1] == "queued"


async def test_a_cancelled_job_is_not_handed_back(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    await store.cancel(job.id)
    back = await store.hand_back(job.id, run.fence, reason="the replica drains")
    assert back.status is JobStatus.CANCELLED


async def test_a_change_of_gpus_is_an_event(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    for gpus in (1, 1, 4, 0, 4):
        await store.beat(job.id, run.fence, 30.0, Progress("denoising", 1, 4, gpus=gpus))
    events = [event.data["gpus"] for event in await store.events(job.id) if event.type == "progress"]
    assert events == [1, 4, 0, 4]
