"""Many clips on one gang: the executor and the coordinator over ranks that step, and a real SQLite store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from deployments.fake_gang import InTurn, SteppedRanks
from deployments.ranks import RankFailedAlone, Report, error_json
from models.errors import CheckpointUnusable, I2VError, MediaUnavailable, OutOfMemory, RankLost
from policies.gang import GangClip, Need, Running, Start
from router.jobs.records import AttemptStatus, JobStatus
from tests.unit.deployments.coordinating import Bench, until
from tests.unit.deployments.ganging import SAVING, STEADY, asked, gang, interrupted


async def in_progress_events(bench: Bench, job_id: str) -> list[tuple[str, int | None]]:
    events = await bench.store.events(job_id)
    return [(event.data["stage"], event.data["gpus"]) for event in events if event.type == "progress"]


# --- one clip --------------------------------------------------------------------------------------------


async def test_a_clip_is_begun_advanced_and_finished_and_costs_what_was_worked_on_it(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 2, steps=4, segments=2)
    coordinator = await gang(bench, ranks, InTurn(degree=2, steps=3))
    job_id, fence = await bench.claimed(seconds=1.0)
    assert (await coordinator.take(job_id, fence)).taken
    told = [(a.what, a.ranks, a.steps) for a in ranks.asked if a.what != "save"]
    assert told == [
        ("begin", (0,), 0),
        ("advance", (0, 1), 3),
        ("advance", (0, 1), 3),
        ("turn", (0,), 0),
        ("advance", (0, 1), 3),
        ("advance", (0, 1), 3),
        ("finish", (0,), 0),
    ]
    job = await bench.job(job_id)
    assert job.status is JobStatus.COMPLETED
    assert job.usage is not None
    assert job.usage["gpu_seconds"] >= job.usage["actual_seconds"] > 0
    assert not list(bench.scratch.glob("w1/*")), "the clip's folder is gone"
    assert ranks.holders == set()


async def test_a_clip_grows_and_shrinks_and_only_those_that_join_resume(bench: Bench) -> None:
    degrees = deque([1, 4, 2, 1])
    policy = InTurn(degree=1)
    policy.choose = lambda clip: degrees.popleft() if clip.need is Need.DENOISE else 1
    ranks = SteppedRanks(bench.media, 4)
    coordinator = await gang(bench, ranks, policy)
    job_id, fence = await bench.claimed(seconds=1.0)
    await coordinator.take(job_id, fence)
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    steps = [(a.ranks, sorted(a.resume)) for a in asked(ranks, job_id, "advance")]
    assert steps == [((0,), []), ((0, 1, 2, 3), [1, 2, 3]), ((0, 1), []), ((0,), [])]
    assert [a.what for a in asked(ranks, job_id, "save", "advance")][:3] == ["advance", "save", "advance"]


async def test_pauses_and_degrees_are_in_the_jobs_history(bench: Bench) -> None:
    policy = InTurn()
    released: list[int] = []

    def choose(clip: GangClip) -> int | None:
        if clip.need is not Need.DENOISE or clip.steps_left == 4:
            return 2
        return released[0] if released else None

    policy.choose = choose
    ranks = SteppedRanks(bench.media, 4)
    coordinator = await gang(bench, ranks, policy)
    job_id, fence = await bench.claimed(seconds=1.0)
    taking = asyncio.create_task(coordinator.take(job_id, fence))

    async def paused() -> bool:
        return ("paused", 0) in await in_progress_events(bench, job_id)

    await until(paused)
    assert [a.what for a in ranks.asked] == ["begin", "advance", "save"]
    assert ranks.holders == set(), "a paused clip frees its ranks"
    ranks.gate.clear()
    released.append(4)
    other, other_fence = await bench.claimed()  # an event: the policy is asked again
    other_taking = asyncio.create_task(coordinator.take(other, other_fence))

    async def grown() -> bool:
        return ("denoising", 4) in await in_progress_events(bench, job_id)

    await until(grown)
    ranks.gate.set()
    await asyncio.gather(taking, other_taking)
    history = [gpus for _, gpus in await in_progress_events(bench, job_id)]
    assert history.index(0) < history.index(4)


# --- several clips ---------------------------------------------------------------------------------------


async def test_two_clips_run_at_once_on_halves_and_a_cancel_of_one_does_not_disturb_the_other(
    bench: Bench,
) -> None:
    ranks = SteppedRanks(bench.media, 4, steps=8)
    coordinator = await gang(bench, ranks, InTurn(degree=2))
    ranks.gate.clear()
    first, second = await bench.claimed(seconds=1.0), await bench.claimed(seconds=1.0)
    takes = [asyncio.create_task(coordinator.take(*job)) for job in (first, second)]
    await until(lambda: len(ranks.asked) == 2)
    ranks.gate.set()
    await until(lambda: len(asked(ranks, first[0], "advance")) and len(asked(ranks, second[0], "advance")))
    await bench.store.cancel(first[0])
    await asyncio.gather(*takes)
    assert (await bench.job(first[0])).status is JobStatus.CANCELLED
    assert (await bench.job(second[0])).status is JobStatus.COMPLETED
    assert [attempt.status for attempt in await bench.store.attempts(second[0])] == [AttemptStatus.COMPLETED]
    assert {a.ranks for a in ranks.asked if a.what == "advance"} == {(0, 1), (2, 3)}
    assert len(asked(ranks, second[0], "advance")) == 8
    assert ranks.spawned == 1


async def test_no_more_clips_are_held_than_there_are_slots(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 1, steps=1)
    coordinator = bench.over(ranks, policy=InTurn(), pace=STEADY, slots=2)
    await coordinator.open()
    bench.opened.append(coordinator)
    ranks.gate.clear()
    jobs = [await bench.claimed() for _ in range(3)]
    takes = [asyncio.create_task(coordinator.take(*job)) for job in jobs]
    await until(lambda: ranks.asked)
    await asyncio.sleep(0.1)
    states = [(await bench.job(job_id)).status for job_id, _ in jobs]
    assert states.count(JobStatus.IN_PROGRESS) == 2
    ranks.gate.set()
    await asyncio.gather(*takes)
    assert all([(await bench.job(job_id)).status is JobStatus.COMPLETED for job_id, _ in jobs])


# --- lost ranks ------------------------------------------------------------------------------------------


async def test_all_clips_go_on_from_what_was_saved_when_a_rank_is_lost(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 4, steps=40)
    coordinator = await gang(bench, ranks, InTurn(degree=2), pace=SAVING)
    jobs = [await bench.claimed(seconds=1.0) for _ in range(2)]
    takes = [asyncio.create_task(coordinator.take(*job)) for job in jobs]
    await until(lambda: all(len(asked(ranks, job_id, "advance")) >= 2 for job_id, _ in jobs))
    ranks.faults["advance"] = deque([RankLost("rank 3 died")])
    await asyncio.gather(*takes)
    assert ranks.spawned == 2
    for job_id, _ in jobs:
        assert (await bench.job(job_id)).status is JobStatus.COMPLETED
        assert len(await bench.store.attempts(job_id)) == 1, "no attempt was spent"
        assert len(asked(ranks, job_id, "begin")) == 1
        assert len(asked(ranks, job_id, "advance")) <= 40 + 2, "at most the step under way was lost"
    resumed = [a for a in ranks.asked if a.what == "advance" and len(a.resume) == 2]
    assert len(resumed) >= 2


async def test_a_clip_that_loses_its_ranks_again_gives_up_alone(bench: Bench) -> None:
    class Poisoned(SteppedRanks):
        poison = ""

        async def advance(self, task: Any, quantum: Any) -> Report:
            if task.job_id == self.poison:
                raise RankLost("a rank died at this clip")
            return await super().advance(task, quantum)

    ranks = Poisoned(bench.media, 2, steps=3)
    coordinator = await gang(bench, ranks, InTurn(), pace=SAVING)
    bad, good = await bench.claimed(seconds=1.0), await bench.claimed(seconds=1.0)
    ranks.poison = bad[0]
    await asyncio.gather(coordinator.take(*bad), coordinator.take(*good))
    assert (await bench.error(bad[0]))["code"] == "rank_lost"
    assert (await bench.job(bad[0])).status is JobStatus.QUEUED
    assert (await bench.job(good[0])).status is JobStatus.COMPLETED
    assert len(await bench.store.attempts(good[0])) == 1
    assert ranks.spawned == 3


async def test_ranks_that_say_nothing_are_replaced_and_the_other_clip_goes_on(bench: Bench) -> None:
    class Stuck(SteppedRanks):
        stuck = ""

        async def advance(self, task: Any, quantum: Any) -> Report:
            if task.job_id == self.stuck:
                await self._gone.wait()
                raise RankLost("ended")
            return await super().advance(task, quantum)

    ranks = Stuck(bench.media, 2, steps=3)
    pace = replace(SAVING, stall_floor_s=0.3, step_floor_s=0.3)
    coordinator = await gang(bench, ranks, InTurn(), pace=pace)
    stuck, good = await bench.claimed(seconds=0.01), await bench.claimed(seconds=0.01)
    ranks.stuck = stuck[0]
    await asyncio.gather(coordinator.take(*stuck), coordinator.take(*good))
    assert (await bench.error(stuck[0]))["code"] == "stalled"
    assert (await bench.job(good[0])).status is JobStatus.COMPLETED


async def test_ranks_that_cannot_be_rebuilt_end_every_attempt_and_ask_for_a_new_replica(bench: Bench) -> None:
    class Doomed(SteppedRanks):
        async def spawn(self) -> None:
            if self.spawned:
                raise RankLost("no GPU")
            await super().spawn()

    ranks = Doomed(bench.media, 2, steps=50)
    coordinator = await gang(bench, ranks, InTurn(), pace=SAVING)
    jobs = [await bench.claimed(seconds=1.0) for _ in range(2)]
    takes = [asyncio.create_task(coordinator.take(*job)) for job in jobs]
    await until(lambda: all(len(asked(ranks, job_id, "advance")) >= 2 for job_id, _ in jobs))
    ranks.faults["advance"] = deque([RankLost("rank 0 died")])
    await asyncio.gather(*takes)
    for job_id, _ in jobs:
        assert (await bench.error(job_id))["code"] == "rank_lost"
        assert (await bench.job(job_id)).status is JobStatus.QUEUED
    with pytest.raises(RankLost, match="no GPU"):
        coordinator.check()


async def test_a_rank_that_fails_alone_costs_the_clip_and_no_other(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 2, steps=4)
    coordinator = await gang(bench, ranks, InTurn(degree=2), pace=SAVING)
    first, second = await bench.claimed(seconds=1.0), await bench.claimed(seconds=1.0)
    ranks.faults["advance"] = deque([RankFailedAlone(error_json(OutOfMemory("80 GB are not enough")))])
    await asyncio.gather(coordinator.take(*first), coordinator.take(*second))
    ends = [(await bench.job(job_id)).status for job_id, _ in (first, second)]
    assert sorted(ends) == [JobStatus.COMPLETED, JobStatus.QUEUED]
    failed = first if ends[0] is JobStatus.QUEUED else second
    assert (await bench.error(failed[0]))["code"] == "out_of_memory"
    assert (await bench.job(failed[0])).excluded == ("fake-i2v/local",)
    assert ranks.spawned == 2


async def test_out_of_memory_recycles_the_ranks_after_the_others_have_saved(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 2, steps=4)
    coordinator = await gang(bench, ranks, InTurn())
    first, second = await bench.claimed(seconds=1.0), await bench.claimed(seconds=1.0)
    takes = [asyncio.create_task(coordinator.take(*job)) for job in (first, second)]
    await until(lambda: any(a.what == "advance" for a in ranks.asked))
    ranks.faults["advance"] = deque([Report(None, error=error_json(OutOfMemory("too large")))])
    await asyncio.gather(*takes)
    ends = sorted([(await bench.job(job_id)).status for job_id, _ in (first, second)])
    assert ends == [JobStatus.COMPLETED, JobStatus.QUEUED]
    assert ranks.spawned == 2
    assert len([a for a in ranks.asked if a.what == "begin"]) == 2


# --- checkpoints -----------------------------------------------------------------------------------------


async def test_a_worker_that_dies_costs_what_was_done_since_the_checkpoint(bench: Bench) -> None:
    job_id, _, _, taking = await interrupted(bench, replace(SAVING, checkpoint_s=0.0))

    async def kept() -> bool:
        checkpoint = (await bench.job(job_id)).checkpoint
        return checkpoint is not None and checkpoint.place["step"] == 3

    await until(kept)
    checkpoint = (await bench.job(job_id)).checkpoint
    assert checkpoint is not None
    assert all(bench.media.exists(key) for key in checkpoint.files.values())
    # The worker is taken for dead; another one takes the job.
    await bench.store.lose(job_id, 1, "the machine is gone")
    other = SteppedRanks(bench.media, 2, steps=8)
    second = await gang(bench, other, InTurn(degree=2), worker="w2")
    await second.take(job_id, await bench.claim(job_id, 100.0))
    await taking
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    assert [a.what for a in asked(other, job_id, "begin", "advance")] == ["advance"] * 5
    assert other.asked[0].resume == {0, 1}
    assert set(checkpoint.files.values()) <= set(await bench.store.garbage()), "it ends with the job"


async def test_a_worker_that_drains_hands_long_clips_back_with_their_checkpoints(bench: Bench) -> None:
    job_id, ranks, coordinator, taking = await interrupted(bench, STEADY)
    bench.opened.remove(coordinator)
    await coordinator.close()
    await taking
    job = await bench.job(job_id)
    assert job.status is JobStatus.QUEUED
    assert job.attempts == 0, "handing back is no failure"
    assert job.checkpoint is not None
    assert job.checkpoint.place["step"] == 3
    assert await bench.state() == "none"
    other = SteppedRanks(bench.media, 1, steps=8)
    second = await gang(bench, other, InTurn(), worker="w2")
    await second.take(job_id, await bench.claim(job_id, 100.0))
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    assert len(asked(other, job_id, "advance")) == 5
    assert not asked(ranks, job_id, "finish")


async def test_a_worker_that_drains_finishes_what_is_nearly_done(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 1, steps=3)
    coordinator = await gang(bench, ranks, InTurn())
    bench.opened.remove(coordinator)
    ranks.gate.clear()
    job_id, fence = await bench.claimed(seconds=1.0)
    taking = asyncio.create_task(coordinator.take(job_id, fence))
    await until(lambda: ranks.asked)
    leaving = asyncio.create_task(coordinator.close())
    ranks.gate.set()
    await asyncio.gather(taking, leaving)
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED


async def test_a_checkpoint_of_no_use_is_dropped_and_the_clip_begins_anew(bench: Bench) -> None:
    job_id, _, coordinator, taking = await interrupted(bench, STEADY)
    bench.opened.remove(coordinator)
    await coordinator.close()
    await taking
    stale = (await bench.job(job_id)).checkpoint
    assert stale is not None
    other = SteppedRanks(bench.media, 1, steps=8)
    refusal = CheckpointUnusable("state.safetensors is of version 0; this is version 1")
    other.faults["advance"] = deque([Report(None, error=error_json(refusal))])
    second = await gang(bench, other, InTurn(), worker="w2")
    await second.take(job_id, await bench.claim(job_id, 100.0))
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    assert [a.what for a in asked(other, job_id, "begin", "advance")] == [
        "advance", "begin", *["advance"] * 8,
    ]  # fmt: skip
    assert len(await bench.store.attempts(job_id)) == 2


async def test_another_offers_checkpoint_and_one_that_is_gone_are_not_used(bench: Bench) -> None:
    job_id, _, coordinator, taking = await interrupted(bench, STEADY)
    bench.opened.remove(coordinator)
    await coordinator.close()
    await taking
    checkpoint = (await bench.job(job_id)).checkpoint
    assert checkpoint is not None
    bench.media.delete(checkpoint.files.values())
    other = SteppedRanks(bench.media, 1, steps=8)
    second = await gang(bench, other, InTurn(), worker="w2")
    await second.take(job_id, await bench.claim(job_id, 100.0))
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    assert len(asked(other, job_id, "begin")) == 1


async def test_a_media_store_that_is_away_delays_checkpoints_and_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []
    put = bench.media.put_file

    def away(key: str, *rest: Any) -> Any:
        if key.startswith("checkpoints/") and len(refused) < 3:
            refused.append(key)
            raise MediaUnavailable("away, as scripted")
        return put(key, *rest)

    monkeypatch.setattr(bench.media, "put_file", away)
    job_id, _, _, taking = await interrupted(bench, replace(SAVING, checkpoint_s=0.0))

    async def kept() -> bool:
        return (await bench.job(job_id)).checkpoint is not None

    await until(kept)
    assert len(refused) == 3
    await bench.store.cancel(job_id)
    await taking


# --- faults of our own -----------------------------------------------------------------------------------


async def test_a_policy_that_fails_is_a_failed_health_check(bench: Bench) -> None:
    class Broken(InTurn):
        def decide(
            self, now: float, ready: Sequence[GangClip], running: Sequence[Running], nodes: Sequence[int]
        ) -> Sequence[Start]:
            raise ZeroDivisionError("a bug")

    coordinator = await gang(bench, SteppedRanks(bench.media, 1), Broken())
    job_id, fence = await bench.claimed()
    taking = asyncio.create_task(coordinator.take(job_id, fence))

    def unhealthy() -> bool:
        try:
            coordinator.check()
        except RankLost as error:
            return "a bug" in error.message
        return False

    await until(unhealthy)
    await bench.store.cancel(job_id)
    await taking


async def test_an_undeclared_failure_of_ranks_ends_the_attempt_and_replaces_them(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 2)
    coordinator = await gang(bench, ranks, InTurn())
    ranks.faults["advance"] = deque([ValueError("nobody expected this")])
    job_id, fence = await bench.claimed(seconds=1.0)
    await coordinator.take(job_id, fence)
    assert (await bench.error(job_id))["code"] == "runner_error"
    assert ranks.spawned == 2
    again = await bench.claim(job_id, 1.0)
    await coordinator.take(job_id, again)
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED


async def test_what_cannot_be_begun_is_the_clips_fault(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 2)
    coordinator = await gang(bench, ranks, InTurn())
    ranks.faults["begin"] = deque([Report(None, error=error_json(I2VError("no such photograph")))])
    job_id, fence = await bench.claimed(seconds=1.0)
    await coordinator.take(job_id, fence)
    assert (await bench.error(job_id))["message"] == "no such photograph"
    assert ranks.spawned == 1
