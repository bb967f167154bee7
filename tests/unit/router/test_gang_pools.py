"""Pools whose replicas are gangs: what runs and waits there holds GPUs, and slots are counted by replica."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from models.types import Priority
from policies.base import Pool, Waiting
from policies.load import wait_seconds
from router.board import Board, free_slots
from router.fleet import LiveFleet, Sources, build_fleet, planned_gpus
from router.jobs.records import Attempt, AttemptStatus, Calibration, PoolRecord, Queued, Worker

NOW = 1_000.0


def record(gang_size: int = 4) -> PoolRecord:
    return PoolRecord("gang", "wan", "local", "h100", gang_size, 0, 1, True, "")


def worker(slots: int = 8, gang_size: int = 4) -> Worker:
    return Worker("w", "gang", "wan", "local", "h100", gang_size, slots, "here", "ready", {})


def attempt(seconds: float, gpus: int) -> Attempt:
    return Attempt(
        f"vid_{seconds:g}", 1, AttemptStatus.RUNNING, "gang", "wan", "local", gpus, "w",
        {"predicted": {"seconds": seconds}}, dispatched_at=NOW, started_at=NOW,
    )  # fmt: skip


def queued(seconds: float, gpu_seconds: float) -> Queued:
    return Queued("vid_q", "t", 1, NOW + 600, "wan", "local", seconds, gpu_seconds)


def built(**over: Any) -> Pool:
    sources = Sources(**({"pools": [record()], "workers": [worker()]} | over))
    (pool,) = build_fleet(sources, now=NOW).pools
    return pool


def test_running_and_waiting_clips_hold_the_gpus_that_they_are_planned_for() -> None:
    pool = built(running=[attempt(50, 1), attempt(30, 2)], backlog=[queued(20, 70)])
    assert (pool.gang_size, pool.slots, pool.replicas) == (4, 8, 1)
    assert (pool.busy_seconds, pool.busy_gpus) == ((30.0, 50.0), (2, 1))
    assert [(job.seconds, job.gpus) for job in pool.waiting] == [(20, 4)]
    # One GPU is free now; the clip that waits takes all four from 50 s to 70 s.
    assert [wait_seconds(built(running=pool_running), gpus=gpus) for pool_running, gpus in [
        ([attempt(50, 1), attempt(30, 2)], 1),
        ([attempt(50, 1), attempt(30, 2)], 2),
        ([attempt(50, 1), attempt(30, 2)], 4),
    ]] == [0.0, 30.0, 50.0]  # fmt: skip
    assert wait_seconds(pool) == 70.0


def test_a_pool_of_single_gpus_keeps_no_widths() -> None:
    pool = built(pools=[record(1)], workers=[worker(1, 1)], running=[attempt(50, 1)])
    assert (pool.busy_seconds, pool.busy_gpus, pool.slots) == ((50.0,), (), 1)


@pytest.mark.parametrize(
    ("seconds", "gpu_seconds", "gpus"),
    [
        (100, 100, 1),
        (100, 190, 2),
        (100, 200, 2),
        (60, 216, 4),
        (60, 60 * 6.4, 8),
        (0, 0, 1),
        (10, 0, 1),
        (0, 5, 1),
    ],
)
def test_the_degree_is_read_back_from_the_gpu_seconds(seconds: float, gpu_seconds: float, gpus: int) -> None:
    assert planned_gpus(seconds, gpu_seconds) == gpus


def test_a_gang_is_handed_as_many_clips_as_it_has_slots_for() -> None:
    running = [attempt(float(n + 1), 1) for n in range(5)]
    room = free_slots([record()], [worker()], running, waiting=9)
    assert room["gang"] == 3
    board = Board(LiveFleet((built(running=running),)), room)
    while board.has_room(board.fleet.pools[0], Priority.HIGH):
        board.occupy(board.fleet.pools[0], 9.0, 4)
    (pool,) = board.fleet.pools
    assert (len(pool.busy_seconds), pool.busy_gpus) == (8, (1, 1, 1, 1, 1, 4, 4, 4))


def test_lower_bands_leave_the_last_slots_of_a_gang() -> None:
    pool = built(running=[attempt(float(n + 1), 1) for n in range(7)])
    board = Board(LiveFleet((pool,)), Counter({"gang": 1}))
    bands = (Priority.LOW, Priority.NORMAL, Priority.HIGH)
    assert tuple(board.has_room(pool, band) for band in bands) == (False, True, True)


def test_a_job_that_was_not_decided_anew_waits_with_its_last_width() -> None:
    chosen = {"model": "wan", "offer": "local", "gpus": 8, "predicted": {"seconds": 7.0}}
    job = SimpleNamespace(routing={"chosen": chosen}, due_at=NOW + 60, priority=1)
    board = Board(LiveFleet((built(),), now=NOW), Counter())
    board.promise_as_estimated(job)  # type: ignore[arg-type]
    assert board.fleet.pools[0].waiting == (Waiting(60.0, Priority.NORMAL, 7.0, 4),)


def test_speed_is_learned_from_runs_of_any_degree() -> None:
    def told(gpus: int, samples: int, log_ratio: float) -> Calibration:
        fields: dict[str, Any] = {
            "model": "wan", "offer": "local", "gpu": "h100", "gpus": gpus,
            "log_ratio": log_ratio, "sigma": 0.05, "samples": samples,
        }  # fmt: skip
        return Calibration(**fields)

    assert built(calibrations=[told(1, 2, 0.0), told(8, 60, 0.4)]).speed > 1.3
    assert built(calibrations=[told(1, 60, 0.0), told(8, 2, 0.4)]).speed < 1.05
