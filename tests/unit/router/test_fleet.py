"""From rows to the fleet that policies see, and to the room that each pool has."""

from __future__ import annotations

from collections import Counter
from math import log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.base import Fleet, Pool
from router.board import Board, broken_pools, free_slots
from router.fleet import COLD_START_S, PROCESS_START_S, build_fleet, promised_seconds
from router.jobs.records import Attempt, AttemptStatus, Calibration, Job, JobStatus, PoolRecord, Worker

NOW = 1_000.0


def record(name: str = "a", most: int = 1, **changes: Any) -> PoolRecord:
    fields: dict[str, Any] = {
        "name": name, "model": f"m-{name}", "offer": "local", "gpu": "cpu", "gang_size": 1,
        "min_replicas": 0, "max_replicas": most, "healthy": True, "reason": "",
    }  # fmt: skip
    return PoolRecord(**(fields | changes))


def worker(pool: str = "a", state: str = "ready", slots: int = 1, **detail: Any) -> Worker:
    return Worker(f"{pool}-{state}", pool, f"m-{pool}", "local", "cpu", 1, slots, "here", state, detail)


def attempt(pool: str = "a", seconds: float = 10.0, started: float | None = None) -> Attempt:
    return Attempt(
        "vid_1", 1, AttemptStatus.DISPATCHED if started is None else AttemptStatus.RUNNING,
        pool, f"m-{pool}", "local", 1, None, {"predicted": {"seconds": seconds}},
        dispatched_at=NOW - 2.0, started_at=started,
    )  # fmt: skip


def queued(pool: str | None, seconds: float) -> Job:
    chosen = pool and {"model": f"m-{pool}", "offer": "local", "predicted": {"seconds": seconds}}
    return Job(
        id="vid_2", tenant="t", status=JobStatus.QUEUED, model="auto", prompt="", request={}, features={},
        routing={"chosen": chosen}, priority=1, created_at=0, due_at=0, expires_at=0, fence=0, attempts=0,
        max_attempts=5, progress=0, progress_detail=None, heartbeat_at=None, cancel_requested=False,
        not_before=0, excluded=(),
    )  # fmt: skip


# --- room ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "workers", "held", "waiting", "room"),
    [
        pytest.param(1, [], 0, 3, 1, id="from zero: one call starts a replica"),
        pytest.param(1, [], 1, 3, 0, id="from zero: one is enough"),
        pytest.param(1, [], 0, 0, 0, id="nothing waits, nothing is started"),
        pytest.param(0, [], 0, 3, 0, id="a pool that may hold no replica"),
        pytest.param(1, ["ready"], 0, 3, 1, id="idle"),
        pytest.param(1, ["ready"], 1, 3, 0, id="full, and may not grow"),
        pytest.param(2, ["ready"], 1, 3, 1, id="full, one more call makes it grow"),
        pytest.param(2, ["ready"], 2, 3, 0, id="growing"),
        pytest.param(3, ["ready", "ready"], 0, 3, 2, id="no surplus while replicas are idle"),
        pytest.param(3, ["ready", "ready"], 1, 3, 1, id="the idle one first"),
        pytest.param(2, ["ready", "ready"], 5, 3, 0, id="replicas were lost: never below zero"),
        pytest.param(1, ["rebuilding"], 0, 3, 0, id="rebuilding: wait"),
        pytest.param(1, ["starting"], 0, 3, 0, id="starting: wait"),
        pytest.param(1, ["lost"], 0, 3, 0, id="lost: wait until Serve replaces it"),
        pytest.param(1, ["broken"], 0, 3, 0, id="broken: it cannot work"),
        pytest.param(2, ["ready", "broken"], 0, 3, 1, id="a broken replica is no room"),
    ],
)
def test_room(most: int, workers: list[str], held: int, waiting: int, room: int) -> None:
    found = free_slots(
        [record(most=most)],
        [worker(state=state) for state in workers],
        [attempt() for _ in range(held)],
        waiting=waiting,
    )
    assert found["a"] == room


def test_slots_of_a_worker_count_and_pools_are_apart() -> None:
    room = free_slots(
        [record("a"), record("b", most=2)],
        [worker("a", slots=4), worker("b"), worker("gone")],
        [attempt("a"), attempt("b")],
        waiting=9,
    )
    assert room == Counter({"a": 3, "b": 1})


@given(
    limits=st.lists(st.integers(0, 4), max_size=4),
    crew=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["ready", "broken", "rebuilding", "lost", "starting"])),
        max_size=12,
    ),
    held=st.lists(st.integers(0, 3), max_size=12),
    waiting=st.integers(0, 5),
)
def test_room_is_never_negative_and_never_more_than_one_over_the_slots(
    limits: list[int], crew: list[tuple[int, str]], held: list[int], waiting: int
) -> None:
    pools = [record(str(index), most=most) for index, most in enumerate(limits)]
    workers = [worker(str(pool), state) for pool, state in crew]
    running = [attempt(str(pool)) for pool in held]
    room = free_slots(pools, workers, running, waiting=waiting)
    for pool in pools:
        ready = sum(w.slots for w in workers if w.pool == pool.name and w.state == "ready")
        mine = sum(1 for a in running if a.pool == pool.name)
        assert 0 <= room[pool.name] <= ready + 1
        if room[pool.name]:
            assert mine + room[pool.name] <= ready + 1, "at most one call may wait"
        if not waiting:
            assert room[pool.name] == max(0, ready - mine)


@pytest.mark.parametrize(
    ("states", "broken"),
    [
        ([], False),
        (["broken"], True),
        (["broken", "broken"], True),
        (["broken", "ready"], False),
        (["broken", "rebuilding"], False),
        (["lost"], False),
    ],
)
def test_a_pool_is_broken_when_all_it_has_is(states: list[str], broken: bool) -> None:
    assert broken_pools([worker(state=state) for state in states]) == ({"a"} if broken else set())


def test_a_board_changes_as_jobs_are_placed() -> None:
    board = Board(Fleet((Pool("a", "m", "o", "g"), Pool("b", "m", "o", "g"))), Counter({"a": 1}))
    assert not board.full
    board.occupy("a", 7.0)
    board.promise("a", 3.0)
    board.rest({"b": "it turned a job away"})
    first, second = board.fleet.pools
    assert (first.busy_seconds, first.queued_seconds, first.healthy) == ((7.0,), 3.0, True)
    assert (second.busy_seconds, second.healthy, second.reason) == ((), False, "it turned a job away")
    assert board.full
    assert all(pool.healthy for pool in board.healed.pools)
    board.broken = frozenset({"b"})
    assert [pool.healthy for pool in board.healed.pools] == [True, False]


# --- the fleet -------------------------------------------------------------------------------------------


def built(*workers: Worker, **over: Any) -> Pool:
    fields: dict[str, Any] = {
        "pools": [record()], "workers": workers, "running": (), "queued": (), "calibrations": (), "now": NOW,
    }  # fmt: skip
    (pool,) = build_fleet(**(fields | over)).pools
    return pool


@pytest.mark.parametrize(
    ("states", "replicas", "healthy", "reason"),
    [
        ([], 0, True, ""),
        (["ready"], 1, True, ""),
        (["ready", "rebuilding"], 2, True, ""),
        (["ready", "broken"], 1, True, ""),
        (["broken"], 0, False, "no weights"),
        (["lost"], 0, False, "no weights"),
        (["starting"], 0, True, ""),
    ],
)
def test_replicas_and_health(states: list[str], replicas: int, healthy: bool, reason: str) -> None:
    pool = built(*(worker(state=state, reason="no weights") for state in states))
    assert (pool.replicas, pool.healthy, pool.reason) == (replicas, healthy, reason)


def test_a_sick_application_is_sick_whatever_its_workers_say() -> None:
    pool = built(worker(), pools=[record(healthy=False, reason="application is DELETING")])
    assert (pool.healthy, pool.reason) == (False, "application is DELETING")


@pytest.mark.parametrize(
    ("attempts", "busy"),
    [
        ([], ()),
        ([attempt(seconds=10.0, started=NOW - 4.0)], (6.0,)),
        ([attempt(seconds=10.0)], (8.0,)),
        ([attempt(seconds=1.0, started=NOW - 9.0)], (0.0,)),
        ([attempt(seconds=9.0, started=NOW), attempt(seconds=5.0, started=NOW)], (5.0, 9.0)),
        ([attempt("b")], ()),
    ],
)
def test_busy_seconds_are_what_is_left_in_order(attempts: list[Attempt], busy: tuple[float, ...]) -> None:
    assert built(worker(), running=attempts).busy_seconds == pytest.approx(busy)


def test_queued_work_is_promised_to_the_pool_of_its_estimate() -> None:
    jobs = [queued("a", 5.0), queued("b", 70.0), queued("a", 2.0), queued(None, 0.0)]
    assert built(queued=jobs).queued_seconds == 7.0
    assert promised_seconds(jobs) == {("m-a", "local"): 7.0, ("m-b", "local"): 70.0}


@pytest.mark.parametrize(
    ("living", "remembered", "expected"),
    [
        ([], [], COLD_START_S),
        ([worker()], [worker(load_seconds=9.0)], 0.0),
        ([], [worker(load_seconds=9.0), worker(load_seconds=4.0)], PROCESS_START_S + 9.0),
        ([], [worker("b", load_seconds=9.0)], COLD_START_S),
        ([], [worker(state="broken", load_seconds=0.0)], COLD_START_S),
        ([worker(state="starting")], [], COLD_START_S),
    ],
)
def test_a_cold_start_is_told_by_the_replicas_that_were(
    living: list[Worker], remembered: list[Worker], expected: float
) -> None:
    assert built(*living, remembered=remembered).cold_start_s == expected


@pytest.mark.parametrize(
    ("fit", "speed", "sigma"),
    [
        (None, 1.0, 0.05),
        (Calibration("m-a", "local", "cpu", 1, log(1.5), 0.2, 9), 1.5, 0.2),
        (Calibration("m-a", "local", "cpu", 1, log(1.5), 0.001, 9), 1.5, 0.05),
        (Calibration("m-a", "local", "h100", 1, log(1.5), 0.2, 9), 1.0, 0.05),
        (Calibration("m-b", "local", "cpu", 1, log(1.5), 0.2, 9), 1.0, 0.05),
    ],
)
def test_calibration_of_this_model_on_this_gpu(fit: Calibration | None, speed: float, sigma: float) -> None:
    pool = built(calibrations=[fit] if fit else [])
    assert pool.speed == pytest.approx(speed)
    assert pool.sigma == sigma
