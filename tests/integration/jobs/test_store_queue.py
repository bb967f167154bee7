"""The queue in pages, the backlog, what ended and what tenants received, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from models.errors import Disposition, NotReady
from router.jobs.records import AttemptStatus

CHOSEN = {"chosen": {"model": "alpha", "offer": "local", "predicted": {"seconds": 10.0, "gpu_seconds": 20.0}}}


async def test_pages_follow_each_other_across_priorities(store, steps):
    jobs = [
        await steps.create(priority=priority, due_in_s=due)
        for priority in (0, 2, 1)
        for due in (600.0, 60.0, 300.0)
    ]
    whole = [job.id for job in await store.queued()]
    assert len(whole) == len(jobs)
    paged, after = [], None
    while page := await store.queued(2, after=after):
        paged += [job.id for job in page]
        after = page[-1]
    assert paged == whole
    assert [job.priority for job in await store.queued()] == [2] * 3 + [1] * 3 + [0] * 3


async def test_heads_of_other_tenants_are_found(store, steps):
    for _ in range(3):
        await steps.create(tenant="acme")
    other = await steps.create(tenant="globex")
    assert [job.id for job in await store.queued(2, other_than={"acme"})] == [other.id]
    assert await store.queued(2, other_than={"acme", "globex"}) == ()


async def test_the_backlog_tells_each_waiting_jobs_estimate(store, steps):
    first = await steps.create(routing=CHOSEN, priority=2)
    second = await steps.create()
    taken = await steps.create(routing=CHOSEN)
    await steps.run(taken.id)
    rows = await store.backlog()
    assert [(row.id, row.model, row.offer, row.seconds, row.gpu_seconds) for row in rows] == [
        (first.id, "alpha", "local", 10.0, 20.0),
        (second.id, None, None, 0.0, 0.0),
    ]
    assert (rows[0].priority, rows[0].tenant, rows[0].due_at) == (2, "acme", first.due_at)
    assert len(await store.backlog(limit=1)) == 1


async def test_a_claim_brings_the_estimate_up_to_date(store, steps):
    job = await steps.create(routing=CHOSEN)
    new = {"chosen": {"model": "beta", "offer": "o", "predicted": {"seconds": 1.0, "gpu_seconds": 2.0}}}
    attempt = await store.claim(
        job.id, pool="p", model="beta", offer="o", gpus=1, decision={}, routing=new, lease_s=30
    )
    await store.release(job.id, attempt.fence, "the pool is gone")
    (row,) = await store.backlog()
    assert (row.model, row.seconds) == ("beta", 1.0)


async def test_how_attempts_ended_is_read_oldest_first(store, steps):
    done, failed, lost, waits = [await steps.create() for _ in range(4)]
    run = await steps.run(done.id)
    await steps.complete(done.id, run.fence)
    run = await steps.run(failed.id)
    await store.fail(
        failed.id, run.fence, error={"code": "rank_lost", "message": "gone"}, disposition=Disposition.RETRY
    )
    run = await steps.run(lost.id)
    await store.lose(lost.id, run.fence, "silent")
    attempt = await steps.claim(waits.id)
    await store.release(waits.id, attempt.fence, "never begun")
    rows = await store.ended(3600.0)
    assert [(row.job_id, row.status, row.code) for row in rows] == [
        (done.id, AttemptStatus.COMPLETED, None),
        (failed.id, AttemptStatus.FAILED, "rank_lost"),
        (lost.id, AttemptStatus.LOST, "lost"),
    ]
    assert [row.job_id for row in await store.ended(3600.0, limit=1)] == [lost.id], "the newest"
    assert await store.ended(0.0) == ()


async def test_tenants_received_what_runs_and_what_ended_lately(store, steps):
    for tenant, ends in (("acme", True), ("acme", False), ("globex", False)):
        job = await steps.create(tenant=tenant, routing=CHOSEN)
        attempt = await store.claim(
            job.id, pool="p", model="alpha", offer="local", gpus=1, decision={}, routing=CHOSEN, lease_s=30
        )
        await store.start(job.id, attempt.fence, "w", 30)
        if ends:
            await steps.complete(job.id, attempt.fence)
    await steps.create(tenant="idle", routing=CHOSEN)
    assert await store.received(3600.0) == {"acme": 40.0, "globex": 20.0}
    assert await store.received(0.0) == {"acme": 20.0, "globex": 20.0}


# --- previews and finals ---------------------------------------------------------------------------------


async def test_a_final_is_made_once_and_known_to_its_preview(store, steps, make_new_job):
    preview = await steps.create()
    run = await steps.run(preview.id)
    await steps.complete(preview.id, run.fence)
    final = await store.create(make_new_job(fingerprint="final", finalizes=preview.id))
    again = await store.create(make_new_job(fingerprint="final", finalizes=preview.id))
    keyed = await store.create(make_new_job(fingerprint="final", finalizes=preview.id, idempotency_key="k"))
    assert {again.job.id, keyed.job.id} == {final.job.id}
    assert (again.replayed, keyed.replayed) == (True, True)
    assert final.job.finalizes == preview.id
    assert (await store.get(preview.id)).finalized_by == final.job.id
    assert (await store.standing(preview.id)).job.finalized_by == final.job.id
    other = await store.create(make_new_job(fingerprint="other", finalizes=preview.id))
    assert (await store.get(preview.id)).finalized_by == other.job.id
    await store.delete(other.job.id)
    assert (await store.get(preview.id)).finalized_by is None


async def test_a_purged_preview_cannot_be_finalized(store, steps, make_new_job):
    preview = await steps.create()
    run = await steps.run(preview.id)
    await steps.complete(preview.id, run.fence, retain_s=0.0)
    await store.reap()
    with pytest.raises(NotReady) as caught:
        await store.create(make_new_job(fingerprint="final", finalizes=preview.id))
    assert caught.value.param == "finalizes"


async def test_what_was_made_of_a_source_is_found_though_the_source_is_gone(store, steps):
    source = await steps.create()
    keyed = await steps.create(remixed_from=source.id, idempotency_key="k", fingerprint="remix")
    plain = await steps.create(remixed_from=source.id, fingerprint="remix")
    await store.delete(source.id)

    async def found(source_id=source.id, key=None, retry=0, tenant="acme"):
        job = await store.descendant(tenant, source_id, idempotency_key=key, client_retry=retry)
        return job and job.id

    assert await found(key="k") == keyed.id
    assert await found(retry=1) == plain.id
    assert await found() is None
    assert await found(key="other") is None
    assert await found(key="k", tenant="globex") is None
    assert await found(plain.id, key="k") is None
