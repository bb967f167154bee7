"""What polling clients read: the job, its attempts and its place, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from models.errors import Disposition, JobNotFound, StoreUnavailable
from router.jobs.records import Progress
from router.jobs.sql import SqlJobStore
from router.jobs.standing import Glance


async def same_as_the_parts(store, job_id):
    """`standing` and the three calls it stands for say the same; returns it."""
    seen = await store.standing(job_id, "acme")
    assert seen.job == await store.get(job_id, "acme")
    assert seen.attempts == tuple(await store.attempts(job_id))
    assert seen.queue_position == await store.queue_position(job_id)
    return seen


async def test_a_standing_is_the_job_its_attempts_and_its_place_at_every_stage(store, steps):
    first, second = await steps.create(), await steps.create(prompt="2", idempotency_key="k")
    assert (await same_as_the_parts(store, first.id)).queue_position == 1
    assert (await same_as_the_parts(store, second.id)).queue_position == 2

    attempt = await steps.claim(first.id)
    dispatched = await same_as_the_parts(store, first.id)
    assert (dispatched.queue_position, len(dispatched.attempts)) == (1, 1)
    assert dispatched.attempts[0].lease_until is not None
    assert (await same_as_the_parts(store, second.id)).queue_position == 1

    await store.start(first.id, attempt.fence, "worker-1", 30.0)
    await store.beat(first.id, attempt.fence, 30.0, Progress("denoising", 1, 4, 2.5))
    running = await same_as_the_parts(store, first.id)
    assert running.job.progress_detail == Progress("denoising", 1, 4, 2.5)
    assert running.queue_position is None

    error = {"code": "runner_failed", "message": "no"}
    await store.fail(first.id, attempt.fence, error=error, disposition=Disposition.FALLBACK)
    again = await steps.run(first.id, offer="other")
    await steps.complete(first.id, again.fence)
    done = await same_as_the_parts(store, first.id)
    assert [each.fence for each in done.attempts] == [1, 2]
    assert done.attempts[0].error == error
    assert done.job.excluded == ("parallax/local",)
    assert done.job.result["media"]["video"]["bytes"] == 9


async def test_a_cancel_that_is_on_its_way_shows(store, steps):
    job = await steps.create()
    await steps.run(job.id)
    await store.cancel(job.id, "acme")
    assert (await same_as_the_parts(store, job.id)).job.cancel_requested is True


async def test_what_is_not_ones_own_has_no_standing(store, steps):
    job = await steps.create()
    for job_id, tenant in (("vid_nothing", None), (job.id, "globex")):
        with pytest.raises(JobNotFound):
            await store.standing(job_id, tenant)
    assert (await store.standing(job.id)).job == job
    await store.delete(job.id)
    with pytest.raises(JobNotFound):
        await store.standing(job.id, "acme")


async def test_a_standing_sees_what_another_process_committed_a_moment_ago(store, steps, make_store):
    job = await steps.create()
    before = await store.standing(job.id)
    other = make_store()
    await other.open()
    try:
        await other.cancel(job.id)
    finally:
        await other.close()
    assert (before.job.status, (await store.standing(job.id)).job.status) == ("queued", "cancelled")


async def test_a_closed_store_has_no_standings(store, steps):
    job = await steps.create()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.standing(job.id)
    await store.open()
    assert (await store.standing(job.id)).job == job


async def test_a_glance_neither_waits_for_a_lock_nor_holds_the_loop(tmp_path, make_new_job):
    path = tmp_path / "jobs.db"
    store = SqlJobStore(f"sqlite:///{path}", timeout_s=5.0)
    await store.open()
    other = sqlite3.connect(path, isolation_level=None)
    try:
        job = (await store.create(make_new_job())).job
        glance = Glance(path)
        assert glance.standing(job.id, "acme") == await store.standing(job.id, "acme")
        other.execute("BEGIN IMMEDIATE")
        assert glance.standing(job.id, "acme") is not None  # a writer keeps no reader away
        other.execute("ROLLBACK")
        glance.close()

        # With its log switched off, the file has one lock for everybody.
        await store.close()
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        assert Glance(path).standing(job.id, "acme") is None
        other.execute("ROLLBACK")
        other.execute("PRAGMA journal_mode = WAL")
    finally:
        other.close()
        await store.close()


async def test_what_a_glance_cannot_read_is_read_the_long_way(tmp_path, make_new_job, monkeypatch):
    store = SqlJobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    await store.open()
    try:
        job = (await store.create(make_new_job())).job

        def busy(self, job_id, tenant):
            return None

        monkeypatch.setattr(Glance, "standing", busy)
        assert (await store.standing(job.id, "acme")).job == job
    finally:
        await store.close()


async def test_a_glance_does_not_give_up_the_event_loop(tmp_path, make_new_job):
    store = SqlJobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    await store.open()
    try:
        job = (await store.create(make_new_job())).job
        ran = False

        def mark():
            nonlocal ran
            ran = True

        asyncio.get_running_loop().call_soon(mark)
        await store.standing(job.id, "acme")
        assert not ran
    finally:
        await store.close()
