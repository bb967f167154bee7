"""A gang in trouble: states that cannot be saved, ranks that do not answer, checkpoints out of step."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import asdict, replace
from typing import Any

import pytest

from deployments.checkpoints import place_of
from deployments.fake_gang import InTurn, SteppedRanks
from deployments.ranks import Report, error_json
from models.errors import CheckpointUnusable, I2VError, MediaUnavailable, RankLost
from router.jobs.records import JobStatus
from tests.unit.deployments.coordinating import Bench, until
from tests.unit.deployments.ganging import SAVING, STEADY, asked, gang, interrupted


def full_disk() -> Report:
    return Report(None, error=error_json(I2VError("no space left on device")))


async def test_a_drain_whose_save_fails_hands_back_what_was_saved_before(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 1, steps=80)
    coordinator = await gang(bench, ranks, InTurn())
    bench.opened.remove(coordinator)
    job_id, fence = await bench.claimed(seconds=1.0)
    ranks.faults["save"] = deque([full_disk()])
    taking = asyncio.create_task(coordinator.take(job_id, fence))
    await until(lambda: len(asked(ranks, job_id, "advance")) >= 2)
    await asyncio.wait_for(coordinator.close(), 20.0)
    await taking
    job = await bench.job(job_id)
    assert job.status is JobStatus.QUEUED
    assert job.checkpoint is not None
    assert job.checkpoint.place["step"] < len(asked(ranks, job_id, "advance"))


async def test_a_clip_that_grows_and_cannot_be_saved_goes_on_from_what_was(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 2, steps=4)
    policy = InTurn()
    policy.choose = lambda clip: 1 if clip.steps_left > 2 else 2
    coordinator = await gang(bench, ranks, policy)
    ranks.faults["save"] = deque([full_disk()])
    job_id, fence = await bench.claimed(seconds=1.0)
    await coordinator.take(job_id, fence)
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    assert ranks.spawned == 1
    assert len(asked(ranks, job_id, "advance")) == 4 + 2, "two steps were lost"


async def test_a_clip_that_can_never_be_saved_ends_its_attempt(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 2, steps=4)
    policy = InTurn()
    policy.choose = lambda clip: 1 if clip.steps_left > 2 else 2
    coordinator = await gang(bench, ranks, policy)
    ranks.faults["save"] = deque([full_disk() for _ in range(5)])
    job_id, fence = await bench.claimed(seconds=1.0)
    await coordinator.take(job_id, fence)
    assert "cannot be saved" in (await bench.error(job_id))["message"]
    assert ranks.spawned == 1


async def test_a_rank_that_does_not_close_is_replaced(bench: Bench) -> None:
    class Deaf(SteppedRanks):
        deaf = True

        async def close(self, task: Any, ranks: frozenset[int]) -> None:
            if self.deaf and ranks:
                self.deaf = False
                await self._gone.wait()
                raise RankLost("ended")
            await super().close(task, ranks)

    ranks = Deaf(bench.media, 2, steps=4)
    policy = InTurn()
    policy.choose = lambda clip: 2 if clip.steps_left > 2 else 1
    coordinator = await gang(bench, ranks, policy, pace=replace(SAVING, step_floor_s=0.3))
    job_id, fence = await bench.claimed(seconds=1.0)
    await asyncio.wait_for(coordinator.take(job_id, fence), 20.0)
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    assert ranks.spawned == 2


async def test_a_rebuild_that_fails_in_an_undeclared_way_is_a_failed_health_check(bench: Bench) -> None:
    class Doomed(SteppedRanks):
        async def spawn(self) -> None:
            if self.spawned:
                raise ZeroDivisionError("a bug")
            await super().spawn()

    ranks = Doomed(bench.media, 1, steps=50)
    coordinator = await gang(bench, ranks, InTurn(), pace=SAVING)
    job_id, fence = await bench.claimed(seconds=1.0)
    taking = asyncio.create_task(coordinator.take(job_id, fence))
    await until(lambda: len(asked(ranks, job_id, "advance")) >= 2)
    ranks.faults["advance"] = deque([RankLost("rank 0 died")])
    await asyncio.wait_for(taking, 20.0)
    assert (await bench.error(job_id))["code"] == "rank_lost"
    with pytest.raises(RankLost, match="a bug"):
        coordinator.check()


async def test_the_same_attempt_twice_is_one_clip(bench: Bench) -> None:
    ranks = SteppedRanks(bench.media, 2)
    coordinator = await gang(bench, ranks, InTurn())
    job_id, fence = await bench.claimed(seconds=1.0)
    answers = await asyncio.gather(coordinator.take(job_id, fence), coordinator.take(job_id, fence))
    assert [answer.taken for answer in answers] == [True, True]
    assert len(asked(ranks, job_id, "begin")) == 1


async def test_the_checkpoints_row_says_where_its_state_stands(bench: Bench) -> None:
    job_id, _, _, taking = await interrupted(bench, replace(SAVING, checkpoint_s=0.0))

    async def kept() -> bool:
        return (await bench.job(job_id)).checkpoint is not None

    await until(kept)
    checkpoint = (await bench.job(job_id)).checkpoint
    assert checkpoint is not None
    folder = bench.scratch / "row"
    folder.mkdir()
    for name, key in checkpoint.files.items():
        bench.media.fetch(key, folder / name)
    assert asdict(place_of(folder)) == checkpoint.place
    await bench.store.cancel(job_id)
    await taking


async def test_a_checkpoint_after_a_new_beginning_names_nothing_of_the_old_one(bench: Bench) -> None:
    job_id, _, coordinator, taking = await interrupted(bench, STEADY)
    bench.opened.remove(coordinator)
    await coordinator.close()
    await taking
    old = (await bench.job(job_id)).checkpoint
    assert old is not None
    other = SteppedRanks(bench.media, 1, steps=8)
    other.faults["advance"] = deque([Report(None, error=error_json(CheckpointUnusable("another version")))])
    policy = InTurn()
    policy.choose = lambda clip: None if asked(other, job_id, "begin") and clip.steps_left <= 5 else 1
    second = await gang(bench, other, policy, pace=replace(SAVING, checkpoint_s=0.0), worker="w2")
    again = asyncio.create_task(second.take(job_id, await bench.claim(job_id, 100.0)))

    async def new() -> bool:
        now = (await bench.job(job_id)).checkpoint
        return now is not None and now != old and now.place["step"] >= 1

    await until(new)
    now = (await bench.job(job_id)).checkpoint
    assert now is not None
    assert not set(now.files.values()) & set(old.files.values())
    await bench.store.cancel(job_id)
    await again


async def test_a_checkpoint_is_waited_for_while_the_media_store_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, _, coordinator, taking = await interrupted(bench, STEADY)
    bench.opened.remove(coordinator)
    await coordinator.close()
    await taking
    fetch, refused = bench.media.fetch, []

    def away(key: str, target: Any) -> Any:
        if len(refused) < 3:
            refused.append(key)
            raise MediaUnavailable("away, as scripted")
        return fetch(key, target)

    def unknown(key: str) -> bool:
        raise MediaUnavailable(f"away, as scripted: {key}")

    monkeypatch.setattr(bench.media, "fetch", away)
    monkeypatch.setattr(bench.media, "exists", unknown)
    other = SteppedRanks(bench.media, 1, steps=8)
    second = await gang(bench, other, InTurn(), worker="w2")
    await second.take(job_id, await bench.claim(job_id, 100.0))
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    assert not asked(other, job_id, "begin")
    assert len(refused) == 3
