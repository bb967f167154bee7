"""Hundreds of random runs against both hosted families: each ends right, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.providers.fake.core import Fake
from models.providers.fake.server import FakeSettings, running
from router.jobs.call_store import CallOutcome, CallState
from router.jobs.records import Job, JobStatus
from tests.unit.deployments.providing import KEY, Providing, providing

MODEL = "hailuo-2.3-fast"
ROUNDS = 25
JOBS = 10
"""Two families, so 500 runs in all."""
FAULTS = (
    *("rate_limited", "error_before_accept", "error_after_accept", "lost_answer", "unreachable"),
    *("slow_download", "broken_download", "expired_url", "wrong_content_type", "not_a_video", "huge_result"),
    *("fails", "refuses_input", "refuses_content", "look_errors", "forgets", "cancel_race", "cancel_deaf"),
)
"""Those that are about one call; whole accounts and models have tests of their own."""


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Providing]:
    async with providing(tmp_path, monkeypatch) as made:
        yield made


def scripted(fake: Fake, luck: random.Random) -> list[str]:
    """A few faults, drawn; returns them."""
    drawn = luck.choices(FAULTS, k=luck.randint(2, 5))
    for fault in drawn:
        fake.script(
            fault, luck.randint(1, 3), retry_after_s=0.1, seconds=0.2,
            bytes=2**30 if fault == "huge_result" else None,
        )  # fmt: skip
    return drawn


async def submitted(bench: Providing, provider: str, luck: random.Random) -> list[str]:
    jobs = []
    for _ in range(JOBS):
        allow = (f"{MODEL}/{provider}",)
        jobs.append(await bench.submit(MODEL, seed=luck.randrange(10**6), max_cost_usd=1.0, allow=allow))
    return jobs


async def check(bench: Providing, accepted: set[str], jobs: list[str], drawn: list[str]) -> Counter[str]:
    """Every job is over, every call closed, and the provider accepted none that the books do not know."""
    seen: Counter[str] = Counter()
    booked: dict[str, int] = {}
    unknown = 0
    for job_id in jobs:
        job = await bench.store.get(job_id)
        assert job.status.final, (drawn, job.status)
        seen[_told(job)] += 1
        calls = await bench.calls(job_id)
        assert all(call.state is CallState.CLOSED for call in calls), (drawn, calls)
        successes = [call for call in calls if call.outcome is CallOutcome.SUCCEEDED]
        if job.status is JobStatus.COMPLETED:
            assert len(successes) == 1
        # A second call is sent only after the one before is known to have made no clip and cost nothing.
        for earlier in calls[:-1]:
            assert earlier.outcome in {CallOutcome.FAILED, CallOutcome.REFUSED}, (drawn, calls)
            assert earlier.usd == 0
        assert job.spent_usd == pytest.approx(sum(call.usd for call in calls))
        unknown += sum(call.outcome is CallOutcome.UNKNOWN and call.ticket is None for call in calls)
        for call in calls:
            if call.ticket is not None:
                booked[call.ticket] = booked.get(call.ticket, 0) + 1
    assert set(booked.values()) <= {1}, "no ticket belongs to two calls"
    strangers = accepted - set(booked)
    assert len(strangers) <= unknown, (drawn, strangers)
    return seen


def _told(job: Job) -> str:
    return job.status.value if job.error is None else str(job.error.get("code"))


@pytest.mark.parametrize("provider", ["replicate", "fal"])
@pytest.mark.timeout(900)
async def test_random_scripts_end_right_and_nothing_is_sent_twice(bench: Providing, provider: str) -> None:
    luck = random.Random(20261121)
    seen: Counter[str] = Counter()
    async with running(FakeSettings(provider, key=KEY, latency_s=0.15)) as fake:
        await bench.start_worker(provider, provider, fake.url, submits_per_s=200, looks_per_s=500)
        for _ in range(ROUNDS):
            fake.faults.clear()
            before = {row["id"] for row in fake.ledger}
            drawn = scripted(fake, luck)
            jobs = await submitted(bench, provider, luck)
            for job_id in luck.sample(jobs, 2):
                asyncio.get_running_loop().call_later(luck.uniform(0.0, 0.6), _cancel, bench, job_id)
            if luck.random() < 0.3:
                await asyncio.sleep(luck.uniform(0.0, 0.5))
                await bench.launcher.kill(provider)
                await bench.start_worker(provider, provider, fake.url, submits_per_s=200, looks_per_s=500)

            async def over(jobs: list[str] = jobs) -> bool:
                states = [await bench.store.get(job_id) for job_id in jobs]
                return all(job.status.final for job in states)

            await bench.until(over, 60)

            async def settled(jobs: list[str] = jobs) -> bool:
                calls = [call for job_id in jobs for call in await bench.calls(job_id)]
                return all(call.state is CallState.CLOSED for call in calls)

            await bench.until(settled, 30)
            accepted = {row["id"] for row in fake.ledger} - before
            seen += await check(bench, accepted, jobs, drawn)
    assert sum(seen.values()) == ROUNDS * JOBS
    assert seen["completed"] > ROUNDS * JOBS / 3, seen
    assert seen["cancelled"] > 0, seen


def _cancel(bench: Providing, job_id: str) -> None:
    task = asyncio.ensure_future(bench.store.cancel(job_id))
    task.add_done_callback(lambda done: done.exception())
