"""What clients do, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from models.errors import Cancelled, IdempotencyMismatch, InvalidRequest, JobNotFound, NotReady, StaleFence
from router.jobs.records import JobStatus, Progress, Submission
from router.jobs.store import JobStore


async def test_a_new_job_is_read_back_as_it_was_committed(store, steps):
    face: JobStore = store  # the class is an implementation of the protocol
    job = await steps.create(priority=2, due_in_s=60.0, expires_in_s=120.0, idempotency_key="k")
    assert job == await face.get(job.id, "acme")
    assert job.id.startswith("vid_")
    assert len(job.id) == 30
    assert (job.status, job.progress, job.fence, job.attempts) == (JobStatus.QUEUED, 0, 0, 0)
    assert job.due_at - job.created_at == pytest.approx(60.0, abs=0.01)
    assert job.expires_at - job.created_at == pytest.approx(120.0, abs=0.01)
    assert job.request["media"] == {"image": {"key": "in/a.png"}}
    assert await steps.types(job.id) == ["queued"]


async def test_the_same_key_replays_and_another_request_under_it_is_refused(store, steps, make_new_job):
    job = await steps.create(idempotency_key="k")
    again = await store.create(make_new_job(idempotency_key="k"))
    assert again.replayed
    assert again.job == job
    with pytest.raises(IdempotencyMismatch):
        await store.create(make_new_job(idempotency_key="k", fingerprint="other"))
    other_tenant = await store.create(make_new_job(tenant="globex", idempotency_key="k", fingerprint="other"))
    assert not other_tenant.replayed
    assert await steps.types(job.id) == ["queued"]


async def test_an_earlier_submission_is_found_without_making_one(store, steps, make_new_job):
    keyed = await steps.create(idempotency_key="k")
    plain = await steps.create(fingerprint="plain")
    asked = {"tenant": keyed.tenant, "fingerprint": keyed.fingerprint}
    assert await store.earlier(Submission(**asked, idempotency_key="k")) == keyed
    assert await store.earlier(Submission(**asked, idempotency_key="other")) is None
    with pytest.raises(IdempotencyMismatch):
        await store.earlier(Submission(keyed.tenant, "other", idempotency_key="k"))
    assert await store.earlier(Submission(keyed.tenant, "plain")) is None, "no retry: a new wish"
    assert await store.earlier(Submission(keyed.tenant, "plain", client_retry=1)) == plain
    assert await store.earlier(Submission("globex", "plain", client_retry=1)) is None
    assert sum((await store.counts()).values()) == 2


async def test_concurrent_creates_under_one_key_make_one_job(store, make_store, make_new_job):
    second = make_store()
    await second.open()
    try:
        stores = [store, second] * 4
        made = await asyncio.gather(*(each.create(make_new_job(idempotency_key="k")) for each in stores))
    finally:
        await second.close()
    assert len({created.job.id for created in made}) == 1
    assert [created.replayed for created in made].count(False) == 1
    assert len((await store.list("acme")).jobs) == 1


async def test_a_client_retry_without_a_key_finds_its_first_try(store, steps, make_new_job):
    first = await steps.create()
    deliberate = await steps.create()
    assert deliberate.id != first.id
    retry = await store.create(make_new_job(client_retry=1))
    assert retry.replayed
    assert retry.job.id == deliberate.id
    for changes in ({"fingerprint": "other"}, {"tenant": "globex"}):
        assert not (await store.create(make_new_job(client_retry=1, **changes))).replayed


async def test_concurrent_retries_without_a_key_make_one_job(store, make_store, make_new_job):
    second = make_store()
    await second.open()
    try:
        tries = [
            each.create(make_new_job(client_retry=n + 1))
            for n, each in enumerate([store, second, store, second])
        ]
        made = await asyncio.gather(*tries)
    finally:
        await second.close()
    assert len({created.job.id for created in made}) == 1


async def test_a_retry_finds_neither_a_deleted_nor_a_keyed_twin(store, steps, make_new_job):
    job = await steps.create()
    await store.delete(job.id)
    await steps.create(idempotency_key="k")
    assert not (await store.create(make_new_job(client_retry=1))).replayed


async def test_a_deleted_job_frees_its_key(store, steps, make_new_job):
    job = await steps.create(idempotency_key="k")
    await store.delete(job.id)
    again = await store.create(make_new_job(idempotency_key="k"))
    assert not again.replayed
    assert again.job.id != job.id


@pytest.mark.parametrize("field", ["prompt", "idempotency_key", "model"])
@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_text_that_no_database_holds_is_a_clients_fault(store, make_new_job, field, text):
    with pytest.raises(InvalidRequest) as caught:
        await store.create(make_new_job(**{field: text}))
    assert caught.value.param == field
    assert (await store.list("acme")).jobs == ()


async def test_odd_json_is_repaired_rather_than_refused(store, steps):
    job = await steps.create(
        request={"a\0": ["\0x", float("nan"), "\ud800", "\\u0000"]}, features={"x": "\\u0000"}
    )
    stored = await store.get(job.id)
    assert stored.request == {"a\ufffd": ["\ufffdx", None, "?", "\\u0000"]}
    assert stored.features == {"x": "\\u0000"}


@pytest.mark.parametrize("call", ["get", "cancel", "delete"])
async def test_other_tenants_and_unknown_jobs_are_not_found(store, steps, call):
    job = await steps.create()
    with pytest.raises(JobNotFound):
        await getattr(store, call)(job.id, "globex")
    with pytest.raises(JobNotFound):
        await getattr(store, call)("vid_nothing", "acme")
    assert (await store.get(job.id)).status is JobStatus.QUEUED


async def test_listing_pages_in_both_directions(store, steps):
    ids = [(await steps.create()).id for _ in range(5)]
    await steps.create(tenant="globex")
    by_age = sorted([await store.get(each) for each in ids], key=lambda job: (job.created_at, job.id))
    rising = [job.id for job in by_age]
    for descending, expected in ((True, rising[::-1]), (False, rising)):
        seen: list[str] = []
        after = None
        while True:
            page = await store.list("acme", after=after, limit=2, descending=descending)
            seen += [job.id for job in page.jobs]
            if not page.has_more:
                break
            after = seen[-1]
        assert seen == expected


async def test_listing_filters_and_survives_a_deleted_cursor(store, steps):
    jobs = [await steps.create() for _ in range(3)]
    await store.cancel(jobs[0].id)
    cancelled = await store.list("acme", status=JobStatus.CANCELLED)
    assert [job.id for job in cancelled.jobs] == [jobs[0].id]
    first = (await store.list("acme", limit=1)).jobs[0]
    await store.delete(first.id)
    rest = await store.list("acme", after=first.id)
    assert len(rest.jobs) == 2
    with pytest.raises(JobNotFound):
        await store.list("globex", after=first.id)
    with pytest.raises(InvalidRequest):
        await store.list("acme", limit=0)


async def test_cancel_ends_what_has_not_begun_and_flags_what_runs(store, steps):
    waiting, dispatched, running = [await steps.create() for _ in range(3)]
    attempt = await steps.claim(dispatched.id)
    run = await steps.run(running.id)
    assert (await store.cancel(waiting.id)).status is JobStatus.CANCELLED
    assert (await store.cancel(dispatched.id)).status is JobStatus.CANCELLED
    with pytest.raises(StaleFence):
        await store.start(dispatched.id, attempt.fence, "w", 1.0)
    flagged = await store.cancel(running.id)
    assert (flagged.status, flagged.cancel_requested) == (JobStatus.IN_PROGRESS, True)
    assert await store.cancel(running.id) == flagged
    assert (await store.beat(running.id, run.fence, 30.0)).cancel
    with pytest.raises(Cancelled):
        await steps.complete(running.id, run.fence)
    ended = await store.finish_cancelled(running.id, run.fence, 1.5)
    assert ended.status is JobStatus.CANCELLED
    assert await store.finish_cancelled(running.id, run.fence) == ended
    assert await store.cancel(running.id) == ended
    assert [each.gpu_seconds for each in await store.attempts(running.id)] == [1.5]
    assert await steps.types(running.id) == ["queued", "dispatched", "started", "cancelled"]


async def test_delete_hides_for_ever_and_drops_what_was_given(store, steps):
    job = await steps.create(
        request={"prompt": "secret", "media": {"image": {"key": "in/a"}, "last_image": "in/b"}}
    )
    run = await steps.run(job.id)
    await store.beat(job.id, run.fence, 30.0, Progress("denoising", 1, 4, preview_key="prev/1"))
    await store.beat(job.id, run.fence, 30.0, Progress("denoising", 2, 4, preview_key="prev/2"))
    assert await store.garbage() == ("prev/1",)  # overtaken by the newer preview
    await steps.complete(job.id, run.fence, key="out/v")
    keys = await store.delete(job.id, "acme")
    assert keys == ("in/a", "in/b", "out/v", "prev/1", "prev/2")
    assert sorted(await store.garbage()) == sorted(keys)
    await store.forget_garbage(keys)
    assert await store.garbage() == ()
    for call in (store.get, store.cancel, store.delete):
        with pytest.raises(JobNotFound):
            await call(job.id, "acme")
    assert (await store.list("acme")).jobs == ()
    assert sum((await store.counts()).values()) == 0
    events = await store.events(job.id)
    assert events[-1].type == "deleted"
    assert all(event.data == {} for event in events)


async def test_a_running_job_that_is_deleted_stops_and_publishes_nothing(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    await store.delete(job.id)
    beat = await store.beat(job.id, run.fence, 30.0, Progress("denoising", 1, 2, preview_key="prev/late"))
    assert beat.cancel
    assert "prev/late" in await store.garbage()
    with pytest.raises(StaleFence):
        await steps.complete(job.id, run.fence)
    ended = await store.finish_cancelled(job.id, run.fence)
    assert (ended.status, ended.prompt, ended.result) == (JobStatus.CANCELLED, "", None)
    assert await store.running() == ()


async def test_a_photograph_shared_with_a_remix_outlives_its_first_job(store, steps, make_new_job):
    first = await steps.create()
    remix = await steps.create(remixed_from=first.id)
    assert await store.delete(first.id) == ()
    assert await store.garbage() == ()
    with pytest.raises(JobNotFound):
        await store.create(make_new_job(remixed_from=first.id))
    assert await store.delete(remix.id) == ("in/a.png",)


async def test_a_remix_of_a_purged_job_is_told_so(store, steps, make_new_job):
    job = await steps.create()
    run = await steps.run(job.id)
    await steps.complete(job.id, run.fence, retain_s=0.0)
    assert (await store.reap()).purged == (job.id,)
    with pytest.raises(NotReady):
        await store.create(make_new_job(remixed_from=job.id))


async def test_records_are_values(store, steps):
    job = await steps.create()
    assert replace(job, prompt="x") != await store.get(job.id)
