"""The coordinator over a real SQLite store and scripted ranks; no Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from deployments.fakes import Scene, ScriptedRanks
from deployments.pace import Pace
from models.errors import (
    EncodeFailed,
    I2VError,
    InputRefused,
    OutOfMemory,
    RankLost,
)
from router.jobs.records import AttemptStatus, JobStatus
from router.launching import Taken
from router.media import clip_key
from tests.unit.deployments.coordinating import TERMS, Bench, until

# --- a clip that succeeds --------------------------------------------------------------------------------


async def test_a_clip_is_published_once_with_its_usage(bench: Bench) -> None:
    coordinator, _ = await bench.coordinator()
    job_id, fence = await bench.claimed()
    assert await coordinator.take(job_id, fence) == Taken(taken=True)
    job = await bench.job(job_id)
    assert job.status is JobStatus.COMPLETED
    assert job.result is not None
    assert job.usage is not None
    assert bench.media.exists(job.result["media"]["video"]["key"])
    assert job.usage["usd"] == pytest.approx(job.usage["gpu_seconds"] * TERMS.usd_per_gpu_s, abs=1e-6)
    assert job.result["served_model"] == "fake-i2v"
    completed = [event for event in await bench.store.events(job_id) if event.type == "completed"]
    assert len(completed) == 1
    (fit,) = await bench.store.calibrations()
    assert fit.samples == 1


async def test_progress_reaches_the_store_while_the_clip_is_made(bench: Bench) -> None:
    scene = Scene(steps=5, waits=True)
    coordinator, _ = await bench.coordinator(scene)
    job_id, fence = await bench.claimed(seconds=100.0)
    taking = asyncio.create_task(coordinator.take(job_id, fence))

    async def told() -> bool:
        detail = (await bench.job(job_id)).progress_detail
        return detail is not None and detail.step >= 1

    await until(told)
    detail = (await bench.job(job_id)).progress_detail
    assert detail is not None
    assert (detail.stage, detail.steps) == ("denoising", 5)
    assert detail.eta_seconds is not None
    assert 0 < detail.eta_seconds <= 100
    scene.released.set()
    await taking


# --- fences and cancels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("deaf", [False, True])
async def test_an_overtaken_attempt_drops_its_media_and_frees_the_ranks(bench: Bench, deaf: bool) -> None:
    scene = Scene(waits=True, deaf=deaf)
    coordinator, ranks = await bench.coordinator(scene, pace=Pace(beat_s=0.02, worker_beat_s=0.05))
    job_id, fence = await bench.claimed()
    taking = asyncio.create_task(coordinator.take(job_id, fence))
    await scene.begun.wait()
    await bench.store.lose(job_id, fence, "taken for dead")
    later = await bench.claim(job_id)
    await until(lambda: f"{job_id}-{fence}" in ranks.cancelled)
    scene.released.set()  # a deaf rank makes the clip to its end, and stores it
    await taking
    assert not bench.media.exists(clip_key(job_id, fence, "video"))
    assert ranks.at_work == 0
    assert ranks.spawned == 1, "nothing was wrong with the ranks"
    assert await coordinator.take(job_id, later) == Taken(taken=True)
    job = await bench.job(job_id)
    assert job.status is JobStatus.COMPLETED
    assert job.fence == later
    assert bench.media.exists(clip_key(job_id, later, "video"))


async def test_a_stale_job_is_not_taken(bench: Bench) -> None:
    coordinator, ranks = await bench.coordinator()
    job_id, fence = await bench.claimed()
    await bench.store.release(job_id, fence, "changed my mind")
    assert not (await coordinator.take(job_id, fence)).taken
    assert not (await coordinator.take("vid_nobody", 1)).taken
    assert ranks.most_at_work == 0


async def test_a_job_decided_for_another_offer_is_not_taken(bench: Bench) -> None:
    coordinator, _ = await bench.coordinator()
    job_id, fence = await bench.claimed(offer="turbo")
    answer = await coordinator.take(job_id, fence)
    assert not answer.taken
    assert "fake-i2v/turbo" in answer.reason
    await bench.store.release(job_id, fence, answer.reason)  # it was not begun


async def test_a_cancel_is_seen_within_a_beat(bench: Bench) -> None:
    scene = Scene(steps=1000, waits=True)
    coordinator, ranks = await bench.coordinator(scene, pace=Pace(beat_s=0.02, worker_beat_s=0.05))
    job_id, fence = await bench.claimed()
    taking = asyncio.create_task(coordinator.take(job_id, fence))
    await scene.begun.wait()
    await bench.store.cancel(job_id)
    await taking
    assert (await bench.job(job_id)).status is JobStatus.CANCELLED
    assert ranks.spawned == 1


async def test_a_cancel_that_comes_with_the_last_step_leaves_no_media(bench: Bench) -> None:
    scene = Scene(waits=True, deaf=True)
    coordinator, _ = await bench.coordinator(scene, pace=Pace(beat_s=0.02, worker_beat_s=0.05))
    job_id, fence = await bench.claimed()
    taking = asyncio.create_task(coordinator.take(job_id, fence))
    await scene.begun.wait()
    await bench.store.cancel(job_id)
    scene.released.set()
    assert (await taking).taken
    assert (await bench.job(job_id)).status is JobStatus.CANCELLED
    assert not bench.media.exists(clip_key(job_id, fence, "video"))


# --- failures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scene", "code", "requeued", "rebuilt"),
    [
        (Scene(ending="dies"), "rank_lost", True, True),
        (Scene(ending="ends"), "rank_lost", True, True),
        (Scene(ending="silent"), "stalled", True, True),
        (Scene(ending="error", error=OutOfMemory("80 GB are not enough")), "out_of_memory", False, True),
        (Scene(ending="error", error=InputRefused("too many faces")), "input_refused", False, False),
        (Scene(ending="error", error=EncodeFailed("no space left")), "encode_failed", True, False),
    ],
)
async def test_failures_are_written_as_what_they_are_and_lost_ranks_are_rebuilt(
    bench: Bench, scene: Scene, code: str, requeued: bool, rebuilt: bool
) -> None:
    coordinator, ranks = await bench.coordinator(
        Scene(
            steps=scene.steps, ending=scene.ending, error=scene.error
        )  # a fresh one: its events belong to one loop
    )
    job_id, fence = await bench.claimed()
    assert (await coordinator.take(job_id, fence)).taken
    job = await bench.job(job_id)
    assert (await bench.error(job_id))["code"] == code
    assert job.status is JobStatus.QUEUED
    assert job.excluded == (() if requeued else ("fake-i2v/local",))
    assert ranks.spawned == (2 if rebuilt else 1)
    assert ranks.killed == (1 if rebuilt else 0)
    assert ranks.at_work == 0
    assert coordinator.state == "ready"
    again, fence = await bench.claimed()
    await coordinator.take(again, fence)
    assert (await bench.job(again)).status is JobStatus.COMPLETED, "the worker serves on"


async def test_silence_is_measured_from_the_last_event_not_from_the_beginning(bench: Bench) -> None:
    class Slow(ScriptedRanks):
        async def _wait(self, scene: Scene, task: Any) -> None:
            del scene, task
            await asyncio.sleep(0.15)

    ranks = Slow(bench.media, Scene(steps=6, waits=True))
    coordinator = bench.over(ranks, pace=Pace(beat_s=0.02, worker_beat_s=0.05, stall_floor_s=0.6))
    await coordinator.open()
    bench.opened.append(coordinator)
    job_id, fence = await bench.claimed()
    await coordinator.take(job_id, fence)
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED


async def test_a_rebuild_that_fails_twice_asks_for_a_new_replica(bench: Bench) -> None:
    coordinator, ranks = await bench.coordinator(Scene(ending="dies"))
    ranks.spawns.extend([RankLost("no GPU"), RankLost("still no GPU")])
    job_id, fence = await bench.claimed()
    await coordinator.take(job_id, fence)
    assert coordinator.state == "lost"
    with pytest.raises(RankLost, match="still no GPU"):
        coordinator.check()
    assert await bench.state() == "lost"
    other, fence = await bench.claimed()
    answer = await coordinator.take(other, fence)
    assert not answer.taken
    assert "still no GPU" in answer.reason


async def test_a_rebuild_that_succeeds_the_second_time_is_enough(bench: Bench) -> None:
    coordinator, ranks = await bench.coordinator(Scene(ending="dies"))
    ranks.spawns.append(RankLost("the GPU is still busy"))
    job_id, fence = await bench.claimed()
    await coordinator.take(job_id, fence)
    assert coordinator.state == "ready"
    coordinator.check()


async def test_ranks_that_die_between_clips_are_rebuilt_before_a_job_finds_out(bench: Bench) -> None:
    coordinator, ranks = await bench.coordinator()
    ranks.dead = True
    await until(lambda: ranks.spawned == 2)
    await until(lambda: coordinator.state == "ready")
    job_id, fence = await bench.claimed()
    await coordinator.take(job_id, fence)
    assert [attempt.status for attempt in await bench.store.attempts(job_id)] == [AttemptStatus.COMPLETED]


async def test_a_stored_request_that_cannot_be_read_ends_the_job(bench: Bench) -> None:
    coordinator, ranks = await bench.coordinator()
    job_id, _ = await bench.claimed()
    await bench.store.release(job_id, 1, "")
    attempt = await bench.store.claim(
        job_id, pool="fake", model="fake-i2v", offer="local", gpus=1,
        decision={"predicted": {"seconds": 1.0, "usd": 0.0}}, routing={}, lease_s=5.0,
    )  # fmt: skip
    assert attempt is not None
    await coordinator.take(job_id, attempt.fence)
    job = await bench.job(job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert "plan" in job.error["message"]
    assert ranks.most_at_work == 0


async def test_a_bug_in_following_never_leaves_the_ranks_at_work_on_two_clips(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(waits=True)
    coordinator, ranks = await bench.coordinator(scene)

    async def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    job_id, fence = await bench.claimed()
    monkeypatch.setattr(bench.store, "beat", bug)
    assert (await coordinator.take(job_id, fence)).taken
    monkeypatch.undo()
    assert (await bench.error(job_id))["code"] == "runner_error"
    assert ranks.at_work == 0
    again, fence = await bench.claimed()
    await coordinator.take(again, fence)
    assert (await bench.job(again)).status is JobStatus.COMPLETED
    assert ranks.most_at_work == 1


# --- a store that is away --------------------------------------------------------------------------------


async def test_missed_beats_do_not_stop_the_clip(bench: Bench) -> None:
    scene = Scene(waits=True)
    coordinator, _ = await bench.coordinator(scene, pace=Pace(beat_s=0.01, worker_beat_s=0.05))
    job_id, fence = await bench.claimed()
    bench.flaky.away["beat"] = 5
    taking = asyncio.create_task(coordinator.take(job_id, fence))
    await until(lambda: bench.flaky.refused.count("beat") == 5)
    scene.released.set()
    await taking
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED


@pytest.mark.parametrize("call", ["start", "attempts", "complete", "register", "worker_beat"])
async def test_a_write_is_repeated_until_the_store_is_back(bench: Bench, call: str) -> None:
    coordinator, _ = await bench.coordinator()
    bench.flaky.away[call] = 4
    job_id, fence = await bench.claimed()
    assert (await coordinator.take(job_id, fence)).taken
    job = await bench.job(job_id)
    assert job.status is JobStatus.COMPLETED
    assert [attempt.status for attempt in await bench.store.attempts(job_id)] == [AttemptStatus.COMPLETED]


async def test_a_failure_is_written_when_the_store_is_back_and_ranks_are_rebuilt_meanwhile_or_after(
    bench: Bench,
) -> None:
    coordinator, ranks = await bench.coordinator(Scene(ending="dies"))
    bench.flaky.away |= {"fail": 3, "register": 2}
    job_id, fence = await bench.claimed()
    await coordinator.take(job_id, fence)
    assert (await bench.error(job_id))["code"] == "rank_lost"
    assert ranks.spawned == 2
    await until(bench_is(bench, "ready"))


def bench_is(bench: Bench, state: str) -> Callable[[], Any]:
    async def check() -> bool:
        return await bench.state() == state

    return check


async def test_a_store_that_stays_away_leaves_the_attempt_to_its_lease_and_the_media_in_place(
    bench: Bench,
) -> None:
    pace = Pace(beat_s=0.02, worker_beat_s=0.05, outcome_s=0.1, retry_s=0.02)
    coordinator, _ = await bench.coordinator(pace=pace)
    bench.flaky.away["complete"] = 10_000
    job_id, fence = await bench.claimed()
    assert (await coordinator.take(job_id, fence)).taken
    job = await bench.job(job_id)
    assert job.status is JobStatus.IN_PROGRESS, "the reaper's"
    # The write may have been done and only its answer lost: then these are the published files.
    assert bench.media.exists(clip_key(job_id, fence, "video"))
    assert coordinator.state == "ready"


async def test_what_a_dead_attempt_left_is_swept_by_the_next(bench: Bench) -> None:
    coordinator, _ = await bench.coordinator()
    job_id, fence = await bench.claimed()
    await bench.store.start(job_id, fence, "another", 5.0)
    bench.media.put_bytes(clip_key(job_id, fence, "video"), b"never published", "video/mp4")
    await bench.store.lose(job_id, fence, "killed between storing and publishing")
    later = await bench.claim(job_id)
    await coordinator.take(job_id, later)
    assert not bench.media.exists(clip_key(job_id, fence, "video"))
    assert bench.media.exists(clip_key(job_id, later, "video"))


# --- one at a time, and leaving --------------------------------------------------------------------------


async def test_a_second_job_waits_for_the_first_and_is_not_lost(bench: Bench) -> None:
    scene = Scene(waits=True)
    coordinator, ranks = await bench.coordinator(scene, pace=Pace(beat_s=0.02, worker_beat_s=0.05))
    first, first_fence = await bench.claimed()
    second, second_fence = await bench.claimed()
    takes = [asyncio.create_task(coordinator.take(first, first_fence))]
    await scene.begun.wait()
    takes.append(asyncio.create_task(coordinator.take(second, second_fence)))
    await asyncio.sleep(0.05)
    assert (await bench.job(second)).status is JobStatus.QUEUED
    scene.released.set()
    await asyncio.gather(*takes)
    for job_id in (first, second):
        assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    assert ranks.most_at_work == 1


async def test_a_caller_that_goes_away_does_not_stop_the_clip_and_leaving_waits_for_it(bench: Bench) -> None:
    scene = Scene(waits=True)
    coordinator, ranks = await bench.coordinator(scene, pace=Pace(beat_s=0.02, worker_beat_s=0.05))
    bench.opened.remove(coordinator)
    job_id, fence = await bench.claimed()
    taking = asyncio.create_task(coordinator.take(job_id, fence))
    await scene.begun.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    leaving = asyncio.create_task(coordinator.close())
    await asyncio.sleep(0.1)
    assert not leaving.done()
    assert ranks.killed == 0
    scene.released.set()
    await leaving
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    assert ranks.killed == 1
    assert await bench.state() == "none"


async def test_the_worker_registers_again_when_its_row_is_gone(bench: Bench) -> None:
    await bench.coordinator()
    await bench.store.deregister("w1")
    await until(bench_is(bench, "ready"))


async def test_a_heartbeat_that_ended_is_a_failed_health_check(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator, _ = await bench.coordinator()
    coordinator.check()

    async def bug(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(bench.store, "worker_beat", bug)

    def unhealthy() -> bool:
        try:
            coordinator.check()
        except RankLost:
            return True
        return False

    await until(unhealthy)


async def test_no_task_is_left_behind(bench: Bench) -> None:
    coordinator, _ = await bench.coordinator(
        Scene(), Scene(ending="dies"), Scene(ending="silent"), Scene(ending="error", error=I2VError("no"))
    )
    bench.opened.remove(coordinator)
    for _ in range(5):
        await coordinator.take(*await bench.claimed())
    await coordinator.close()
    await asyncio.sleep(0.05)
    left = {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    assert not [name for name in left if "sqlite" not in name.lower()], left


@pytest.mark.parametrize(("failures", "comes_up"), [(1, True), (2, False)])
async def test_a_start_that_fails_once_is_tried_again_before_serve_hears_of_it(
    bench: Bench, failures: int, comes_up: bool
) -> None:
    ranks = ScriptedRanks(bench.media)
    ranks.spawns.extend([RankLost("the node was short of memory")] * failures)
    coordinator = bench.over(ranks)
    bench.opened.append(coordinator)
    if comes_up:
        await coordinator.open()
        assert await bench.state() == "ready"
        return
    with pytest.raises(RankLost, match="short of memory"):
        await coordinator.open()
    assert await bench.state() == "none"
