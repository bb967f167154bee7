"""Cancels, crashes, drains and stray calls: nothing is lost, nothing is paid twice, every cancel arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.errors import MediaUnavailable
from models.providers.fake.core import Fake
from models.providers.fake.server import FakeSettings, running
from router.jobs.call_store import CallOutcome, CallState, RemoteCall
from router.jobs.records import JobStatus
from tests.unit.deployments.providing import KEY, Providing, providing

MODEL = "hailuo-2.3-fast"
PROVIDERS = ("replicate", "fal")


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Providing]:
    async with providing(tmp_path, monkeypatch) as made:
        yield made


async def under_way(bench: Providing, fake: Fake, provider: str) -> str:
    """A job whose call the provider has accepted, and we know it."""
    await bench.start_worker(provider, provider, fake.url)
    job_id = await bench.submit(MODEL, seed=3)

    async def accepted() -> bool:
        return any(call.state is CallState.SUBMITTED for call in await bench.calls(job_id))

    await bench.until(accepted)
    return job_id


async def closed(bench: Providing, job_id: str) -> RemoteCall:
    async def over() -> RemoteCall | None:
        (call,) = await bench.calls(job_id)
        return call if call.state is CallState.CLOSED else None

    found: RemoteCall = await bench.until(over)
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", [None, "cancel_deaf"])
async def test_a_cancel_reaches_the_provider(bench: Providing, provider: str, fault: str | None) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=30.0)) as fake:
        job_id = await under_way(bench, fake, provider)
        if fault is not None:
            fake.script(fault)
        await bench.store.cancel(job_id)
        job = await bench.ended(job_id)
        assert job.status is JobStatus.CANCELLED
        call = await closed(bench, job_id)
        assert call.outcome is CallOutcome.CANCELLED
        assert fake.ledger[0]["cancelled"] is True
        assert (call.usd > 0) is fake.ledger[0]["billed"], "what is billed is booked"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_cancel_that_comes_as_the_run_succeeds_is_a_cancel_and_is_booked(
    bench: Providing, provider: str
) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=30.0)) as fake:
        job_id = await under_way(bench, fake, provider)
        fake.script("cancel_race")
        await bench.store.cancel(job_id)
        job = await bench.ended(job_id)
        assert job.status is JobStatus.CANCELLED
        assert job.result is None
        call = await closed(bench, job_id)
        assert call.outcome is CallOutcome.SUCCEEDED
        assert job.spent_usd == pytest.approx(call.usd)
        assert call.usd > 0


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_killed_worker_is_followed_by_one_that_resumes_the_same_call(
    bench: Providing, provider: str
) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=3.0)) as fake:
        job_id = await under_way(bench, fake, provider)
        await bench.launcher.kill(provider)
        await bench.start_worker(provider, provider, fake.url)
        job = await bench.ended(job_id)
        assert job.status is JobStatus.COMPLETED, job.error
        assert len(fake.ledger) == 1
        (call,) = await bench.calls(job_id)
        assert call.outcome is CallOutcome.SUCCEEDED
        attempts = await bench.store.attempts(job_id)
        assert [attempt.status.value for attempt in attempts] == ["lost", "completed"]
        assert attempts[0].decision == attempts[1].decision, "it is not decided anew"


async def test_a_worker_killed_before_the_answer_finds_the_call_by_the_listing(bench: Providing) -> None:
    async with running(FakeSettings("replicate", key=KEY, latency_s=3.0)) as fake:
        await bench.start_worker("replicate", "replicate", fake.url)
        fake.script("lost_answer")
        fake.script("look_errors", 1000, operation="list")
        job_id = await bench.submit(MODEL)
        await bench.until(lambda: fake.requests["list"] >= 1)
        await bench.launcher.kill("replicate")
        (call,) = await bench.calls(job_id)
        assert call.state is CallState.INTENDED
        fake.faults.clear()
        await bench.start_worker("replicate", "replicate", fake.url)
        job = await bench.ended(job_id)
        assert job.status is JobStatus.COMPLETED, job.error
        assert (len(fake.ledger), fake.requests["submit"]) == (1, 1)


async def test_a_worker_killed_before_it_sent_anything_sends_once(bench: Providing) -> None:
    async with running(FakeSettings("replicate", key=KEY, latency_s=0.3)) as fake:
        await bench.start_worker("replicate", "replicate", fake.url)
        fake.script("rate_limited", 50, retry_after_s=0.2)
        job_id = await bench.submit(MODEL)
        await bench.until(lambda: fake.requests["submit"] >= 1)
        await bench.launcher.kill("replicate")
        fake.faults.clear()
        await bench.start_worker("replicate", "replicate", fake.url)
        job = await bench.ended(job_id)
        assert job.status is JobStatus.COMPLETED, job.error
        assert len(fake.ledger) == 1
        outcomes = [call.outcome for call in await bench.calls(job_id)]
        assert outcomes == [CallOutcome.REFUSED, CallOutcome.SUCCEEDED]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_draining_worker_hands_the_call_on_at_once(bench: Providing, provider: str) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=3.0)) as fake:
        job_id = await under_way(bench, fake, provider)
        worker = bench.launcher.workers.pop(provider)
        await worker.close()
        job = await bench.store.get(job_id)
        assert (job.status, job.attempts) == (JobStatus.QUEUED, 0), "not the job's fault"
        assert job.open_call is not None
        await bench.start_worker(provider, provider, fake.url)
        job = await bench.ended(job_id)
        assert job.status is JobStatus.COMPLETED, job.error
        assert len(fake.ledger) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_call_whose_job_was_cancelled_without_a_worker_is_stopped_and_booked(
    bench: Providing, provider: str
) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=60.0)) as fake:
        job_id = await under_way(bench, fake, provider)
        await bench.launcher.kill(provider)

        async def waiting() -> bool:
            return (await bench.store.get(job_id)).status is JobStatus.QUEUED

        await bench.until(waiting)
        await bench.store.cancel(job_id)
        assert (await bench.store.get(job_id)).status is JobStatus.CANCELLED
        assert fake.ledger[0]["cancelled"] is False
        await bench.start_worker(provider, provider, fake.url)
        call = await closed(bench, job_id)
        assert call.outcome is CallOutcome.CANCELLED
        assert fake.ledger[0]["cancelled"] is True


async def test_the_spend_cap_is_never_passed_and_the_job_waits(bench: Providing) -> None:
    async with running(FakeSettings("replicate", key=KEY, latency_s=0.2)) as fake:
        worker = await bench.start_worker("replicate", "replicate", fake.url, spend_cap_usd=0.45)
        jobs = [await bench.submit(MODEL, seed=seed) for seed in range(4)]
        await bench.until(lambda: worker.state == "away")

        async def settled() -> bool:
            return [(await bench.store.get(job)).status for job in jobs].count(JobStatus.COMPLETED) == 2

        await bench.until(settled)
        assert len(fake.ledger) == 2, "two clips at 0.19 fit under 0.45"
        spending = await bench.store.calls.spending("replicate", "default", 86_400.0)
        assert spending.usd <= 0.45
        left = [(await bench.store.get(job)).status for job in jobs]
        assert left.count(JobStatus.QUEUED) == 2


async def test_an_outage_opens_the_circuit_and_work_flows_to_the_other_account(bench: Providing) -> None:
    async with (
        running(FakeSettings("replicate", key=KEY, latency_s=0.2)) as broken,
        running(FakeSettings("fal", key=KEY, latency_s=0.2)) as well,
    ):
        broken.script("error_before_accept", 1000)
        await bench.start_worker("replicate", "replicate", broken.url)
        await bench.start_worker("fal", "fal", well.url)
        jobs = [await bench.submit(MODEL, seed=seed) for seed in range(8)]
        for job_id in jobs:
            job = await bench.ended(job_id, 60)
            assert job.status is JobStatus.COMPLETED, job.error
        assert broken.ledger == []
        assert len(well.ledger) == len(jobs)
        last = await bench.store.get(await bench.submit(MODEL, seed=99))
        done = await bench.ended(last.id)
        told = [row for row in done.routing["rejected"] if row["offer"] == "replicate"]
        assert told, done.routing["chosen"]
        assert any("circuit open" in row["reason"] for row in told), told


async def test_a_clip_that_cannot_be_stored_is_fetched_again_and_not_bought_again(
    bench: Providing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(FakeSettings("replicate", key=KEY, latency_s=0.2)) as fake:
        worker = await bench.start_worker("replicate", "replicate", fake.url)
        desk = worker._desk
        assert desk is not None
        refused = 0

        def away(key: str, source: Path, kind: str) -> object:
            nonlocal refused
            refused += 1
            raise MediaUnavailable("the disk is full")

        monkeypatch.setattr(desk.media, "put_file", away)
        job_id = await bench.submit(MODEL)

        async def again() -> bool:
            return (await bench.store.get(job_id)).attempts >= 2

        await bench.until(again, 60)
        monkeypatch.undo()
        monkeypatch.setenv("TEST_KEY", KEY)
        job = await bench.ended(job_id, 60)
        assert job.status is JobStatus.COMPLETED, job.error
        assert refused > 0
        assert len(fake.ledger) == 1
        (call,) = await bench.calls(job_id)
        assert job.spent_usd == pytest.approx(call.usd)


async def test_a_worker_whose_lease_may_have_run_out_sends_nothing(bench: Providing) -> None:
    async with running(FakeSettings("replicate", key=KEY, latency_s=0.2)) as fake:
        worker = await bench.start_worker("replicate", "replicate", fake.url)
        fake.script("rate_limited", 1, retry_after_s=1.0)
        job_id = await bench.submit(MODEL)
        await bench.until(lambda: fake.requests["submit"] == 1)
        for loop in worker._loops:
            loop.cancel()  # as one that was cut off from the store: nothing is renewed any more
        (run,) = worker._runs.values()
        run.leased_at -= 60.0
        await bench.until(lambda: not worker._runs)
        assert fake.ledger == []
        assert (await bench.calls(job_id))[0].state is CallState.INTENDED
        await bench.launcher.kill("replicate")
        await bench.start_worker("replicate", "replicate", fake.url)
        job = await bench.ended(job_id, 60)
        assert job.status is JobStatus.COMPLETED, job.error
        assert len(fake.ledger) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_one_look_that_finds_nothing_is_not_the_end(bench: Providing, provider: str) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=1.0)) as fake:
        fake.script("forgets", 2)
        await bench.start_worker(provider, provider, fake.url)
        job = await bench.ended(await bench.submit(MODEL, allow=(f"{MODEL}/{provider}",)))
        assert job.status is JobStatus.COMPLETED, job.error
        assert len(fake.ledger) == 1


async def test_an_offer_without_a_price_is_left_and_the_account_goes_on(bench: Providing) -> None:
    async with running(FakeSettings("replicate", key=KEY, latency_s=0.2)) as fake:
        worker = await bench.start_worker("replicate", "replicate", fake.url, spend_cap_usd=5.0)
        job = await bench.ended(await bench.submit("wan2.5-i2v", allow=("wan2.5-i2v/replicate",)))
        assert job.status is JobStatus.FAILED
        attempts = await bench.store.attempts(job.id)
        assert [attempt.error["code"] for attempt in attempts if attempt.error] == ["price_unknown"]
        assert worker.state == "ready"
        assert fake.ledger == []


async def test_calls_of_another_account_are_not_touched(bench: Providing) -> None:
    async with (
        running(FakeSettings("replicate", key=KEY, latency_s=30.0)) as mine,
        running(FakeSettings("replicate", key=KEY, latency_s=30.0)) as other,
    ):
        job_id = await under_way(bench, mine, "replicate")
        await bench.launcher.kill("replicate")
        await bench.start_worker("replicate", "replicate", other.url, account="other")

        async def waits() -> bool:
            return (await bench.store.get(job_id)).status is JobStatus.QUEUED

        await bench.until(waits)
        assert bench.dispatcher is not None
        for _ in range(20):
            await bench.dispatcher.tick()
        assert other.requests["look"] == other.requests["list"] == other.requests["submit"] == 0
        assert (await bench.store.get(job_id)).open_call is not None


async def test_a_pause_that_the_provider_asks_for_sends_jobs_elsewhere(bench: Providing) -> None:
    async with (
        running(FakeSettings("replicate", key=KEY, latency_s=0.2)) as full,
        running(FakeSettings("fal", key=KEY, latency_s=0.2)) as well,
    ):
        full.script("rate_limited", 1000, retry_after_s=40.0)
        worker = await bench.start_worker("replicate", "replicate", full.url)
        await bench.start_worker("fal", "fal", well.url)
        jobs = [await bench.submit(MODEL, seed=seed) for seed in range(3)]
        for job_id in jobs:
            job = await bench.ended(job_id, 60)
            assert job.status is JobStatus.COMPLETED, job.error
        assert full.ledger == []
        assert worker.state == "away"
