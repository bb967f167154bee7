"""Which attempts a worker takes, what it hands to its ranks, and when it gives up on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deployments.fakes import Scene, ScriptedRanks
from deployments.pace import Pace
from deployments.patience import patience_s
from models.errors import CheckpointMissing
from router.jobs.records import AttemptStatus, Job, JobStatus
from router.launching import Taken
from tests.unit.deployments.coordinating import QUICK, TERMS, Bench


async def test_a_worker_without_weights_refuses_at_once_and_the_job_waits_on(bench: Bench) -> None:
    missing = CheckpointMissing("no safetensors in /models/x")
    failure = {"code": missing.code, "message": missing.message, "param": None, "disposition": "fallback"}
    coordinator, ranks = await bench.coordinator(failure=failure)
    assert await bench.state() == "broken"
    job_id, fence = await bench.claimed()
    told = "checkpoint_missing: no safetensors in /models/x"
    assert await coordinator.take(job_id, fence) == Taken(taken=False, reason=told, elsewhere=True)
    (attempt,) = await bench.store.attempts(job_id)
    assert attempt.status is AttemptStatus.DISPATCHED, "another replica of the pool may take it"
    assert (await bench.job(job_id)).excluded == ()
    assert ranks.most_at_work == 0


@pytest.mark.parametrize(("offer", "taken"), [("local", True), ("turbo", True), ("other", False)])
async def test_offers_on_the_same_weights_are_served_and_no_others(
    bench: Bench, offer: str, taken: bool
) -> None:
    ranks = ScriptedRanks(bench.media)
    terms = replace(TERMS, also=("turbo",))
    coordinator = bench.over(ranks, terms=terms)
    await coordinator.open()
    bench.opened.append(coordinator)
    job_id, fence = await bench.claimed(offer=offer)
    assert (await coordinator.take(job_id, fence)).taken is taken
    assert [task.offer for task in ranks.tasks] == ([offer] if taken else [])
    if taken:
        job = await bench.job(job_id)
        assert job.result is not None
        assert job.result["offer"] == offer
        assert [fit.offer for fit in await bench.store.calibrations()] == [offer]


async def test_what_drives_the_clip_reaches_the_ranks_by_key(bench: Bench) -> None:
    coordinator, ranks = await bench.coordinator()
    media = {"image": "photographs/a", "driving_video": "drivers/v", "audio": "drivers/s"}
    job_id, fence = await bench.claimed(request={"media": media, "generate_audio": True})
    await coordinator.take(job_id, fence)
    (task,) = ranks.tasks
    assert (task.driving_video_key, task.audio_key, task.generate_audio) == ("drivers/v", "drivers/s", True)


async def test_the_fit_is_of_the_formulas_own_word(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    complete = bench.store.complete

    async def overheard(*args: Any, **named: Any) -> Job:
        seen.append(named["observation"])
        return await complete(*args, **named)

    monkeypatch.setattr(bench.store, "complete", overheard)
    coordinator, _ = await bench.coordinator()
    job_id, fence = await bench.claimed(seconds=40.0, speed=4.0)
    await coordinator.take(job_id, fence)
    assert [observation.predicted_s for observation in seen] == [10.0]
    assert (await bench.job(job_id)).usage["predicted_seconds"] == 40.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (None, 3000.0),
        ((0, 0), 3000.0),
        ((1, 50), 60.0),
        ((5, 20), 150.0),
        ((50, 50), 3000.0),
    ],
)
def test_patience_is_three_predicted_steps_where_steps_are_counted(
    steps: tuple[int, int] | None, expected: float
) -> None:
    heard = None if steps is None else {"step": steps[0], "steps": steps[1]}
    assert patience_s(Pace(), 1000.0, heard) == expected
    assert patience_s(Pace(), 1.0, heard) == (60.0 if expected < 3000.0 else 120.0)


async def test_a_clip_that_hangs_between_two_steps_is_stalled_and_says_where(bench: Bench) -> None:
    pace = replace(QUICK, step_floor_s=0.2, stall_floor_s=1000.0)
    coordinator, ranks = await bench.coordinator(Scene(steps=50, stops_at=7), pace=pace)
    job_id, fence = await bench.claimed()
    assert (await coordinator.take(job_id, fence)).taken
    error = await bench.error(job_id)
    assert error["code"] == "stalled"
    assert "in denoising after step 7 of 50" in error["message"]
    assert (await bench.job(job_id)).status is JobStatus.QUEUED
    assert ranks.killed == 1
