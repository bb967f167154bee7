"""The path of a job through a provider, against the strict fakes: what is sent, booked and published."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import av
import pytest

from models.providers.fake.core import Fake
from models.providers.fake.server import FakeSettings, running
from router.jobs.call_store import CallOutcome, CallState
from router.jobs.records import Job, JobStatus
from tests.unit.deployments.providing import KEY, Providing, providing

MODEL = "hailuo-2.3-fast"
PROVIDERS = ("replicate", "fal")


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Providing]:
    async with providing(tmp_path, monkeypatch) as made:
        yield made


async def made_by(bench: Providing, fake: Fake, provider: str, **clip: object) -> Job:
    await bench.start_worker(provider, provider, fake.url)
    return await bench.ended(await bench.submit(MODEL, **clip))


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_job_goes_out_and_comes_back_as_a_clip(bench: Providing, provider: str) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=0.3)) as fake:
        job = await made_by(bench, fake, provider, seed=7)
        assert job.status is JobStatus.COMPLETED, job.error
        assert len(fake.ledger) == 1
        (call,) = await bench.calls(job.id)
        assert (call.state, call.outcome) == (CallState.CLOSED, CallOutcome.SUCCEEDED)
        assert job.result is not None
        assert job.usage is not None
        assert job.result["provider"]["ticket"] == call.ticket == fake.ledger[0]["id"]
        assert job.usage["usd"] == job.spent_usd == pytest.approx(call.usd)
        assert job.usage["usd"] > 0
        assert {"uploading", "submitting", "downloading", "storing"} <= set(job.result["stages"])
        video = bench.home / "clip.mp4"
        bench.media.fetch(job.result["media"]["video"]["key"], video)
        with av.open(str(video)) as container:
            assert sum(1 for _ in container.decode(video=0)) == job.result["geometry"]["num_frames"]
        assert bench.media.exists(job.result["media"]["thumbnail"]["key"])
        assert bench.media.exists(job.result["media"]["spritesheet"]["key"])


PASSING = (
    ("rate_limited", 1),
    ("error_before_accept", 1),
    ("unreachable", 1),
    ("slow_download", 1),
    ("broken_download", 2),
    ("expired_url", 1),
    ("look_errors", 3),
)


@pytest.mark.parametrize(
    ("provider", "fault", "times"),
    [
        (provider, fault, times)
        for provider in PROVIDERS
        for fault, times in PASSING
        # fal cannot tell whether it was reached: that is an unknown outcome.
        if (provider, fault) != ("fal", "unreachable")
    ],
)
async def test_what_passes_costs_one_call_and_no_attempt(
    bench: Providing, provider: str, fault: str, times: int
) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=0.3)) as fake:
        fake.script(fault, times, retry_after_s=0.2, seconds=0.3)
        job = await made_by(bench, fake, provider)
        assert job.status is JobStatus.COMPLETED, job.error
        assert (len(fake.ledger), job.attempts) == (1, 1)


@pytest.mark.parametrize("fault", ["lost_answer", "error_after_accept"])
async def test_a_lost_answer_is_found_in_replicates_listing(bench: Providing, fault: str) -> None:
    async with running(FakeSettings("replicate", key=KEY, latency_s=0.3)) as fake:
        fake.script(fault)
        job = await made_by(bench, fake, "replicate")
        assert job.status is JobStatus.COMPLETED, job.error
        assert (len(fake.ledger), job.attempts, fake.requests["submit"]) == (1, 1, 1)


@pytest.mark.parametrize("fault", ["lost_answer", "unreachable"])
async def test_where_nobody_can_tell_the_outcome_is_unknown_and_booked(bench: Providing, fault: str) -> None:
    async with running(FakeSettings("fal", key=KEY, latency_s=0.3)) as fake:
        fake.script(fault)
        job = await made_by(bench, fake, "fal", max_cost_usd=0.3)
        assert job.status is JobStatus.FAILED
        assert job.error is not None
        assert job.error["code"] == "outcome_unknown", job.error
        assert fake.requests["submit"] == 1
        (call,) = await bench.calls(job.id)
        assert call.outcome is CallOutcome.UNKNOWN
        assert job.spent_usd == pytest.approx(call.usd)
        assert call.usd > 0


REFUSALS = (
    ("refuses_input", "input_refused", 1),
    ("refuses_content", "content_refused", 1),
    ("retired", "model_retired", 0),
    ("schema_changed", "schema_changed", 0),
    ("wrong_content_type", "result_unusable", 1),
    ("not_a_video", "result_unusable", 1),
    ("huge_result", "result_unusable", 1),
    ("forgets", "outcome_unknown", 1),
)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("fault", "code", "calls"), REFUSALS)
async def test_what_does_not_pass_ends_typed_and_is_not_asked_again(
    bench: Providing, provider: str, fault: str, code: str, calls: int
) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=0.2)) as fake:
        fake.script(fault, 20, bytes=2**30 if fault == "huge_result" else None)
        await bench.start_worker(provider, provider, fake.url)
        job_id = await bench.submit(MODEL, max_cost_usd=0.3, allow=(f"{MODEL}/{provider}",))
        job = await bench.ended(job_id)
        assert job.status is JobStatus.FAILED
        attempts = await bench.store.attempts(job.id)
        assert [attempt.error["code"] for attempt in attempts if attempt.error] == [code]
        assert len(fake.ledger) == calls
        assert all(call.state is CallState.CLOSED for call in await bench.calls(job.id))
        spent = code in {"result_unusable", "outcome_unknown"}
        assert (job.spent_usd > 0) is spent


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_run_that_fails_by_the_providers_fault_is_sent_again_once_that_is_known(
    bench: Providing, provider: str
) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=0.2)) as fake:
        fake.script("fails")
        job = await made_by(bench, fake, provider)
        assert job.status is JobStatus.COMPLETED, job.error
        assert [row["status"] for row in fake.ledger] == ["failed", "succeeded"]
        outcomes = [call.outcome for call in await bench.calls(job.id)]
        assert outcomes == [CallOutcome.FAILED, CallOutcome.SUCCEEDED]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("fault", "word"), [("wrong_key", "key"), ("no_quota", "")])
async def test_an_account_that_is_out_says_so_and_loses_no_job(
    bench: Providing, provider: str, fault: str, word: str
) -> None:
    async with running(FakeSettings(provider, key=KEY, latency_s=0.2)) as fake:
        fake.script(fault, 50)
        worker = await bench.start_worker(provider, provider, fake.url)
        job_id = await bench.submit(MODEL)
        await bench.until(lambda: worker.state == "away")

        async def told() -> str:
            rows = await bench.store.workers()
            return str(rows[0].detail["reason"]) if rows[0].state == "away" else ""

        reason = await bench.until(told)
        assert word in reason
        assert KEY not in reason
        job = await bench.store.get(job_id)
        assert job.status is JobStatus.QUEUED
        assert fake.ledger == []


async def test_without_a_key_the_account_is_not_routable_and_says_so(
    bench: Providing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_KEY")
    await bench.start_worker("replicate", "replicate", "http://127.0.0.1:9")
    (row,) = await bench.store.workers()
    assert row.state == "broken"
    assert row.detail["reason"] == "no key for replicate: TEST_KEY is not set"
    job_id = await bench.submit(MODEL)
    assert bench.dispatcher is not None
    for _ in range(3):
        await bench.dispatcher.tick()
    job = await bench.store.get(job_id)
    assert job.attempts == 0
