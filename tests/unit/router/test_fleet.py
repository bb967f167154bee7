"""From rows to the fleet that policies see, and to the room that each pool has."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalog import Catalog, load_catalog
from models.types import Priority
from policies.base import Pool, Waiting
from policies.breaker import Circuit, Verdict
from policies.calibration import Belief, Ledger, Tally, TimeFit, sigma_of, speed_of
from policies.fleet import SELF_HOSTED_SIGMA
from router.accounts import offers_on
from router.board import Board, free_slots
from router.crews import broken_pools
from router.fleet import (
    COLD_START_S,
    PROCESS_START_S,
    LiveFleet,
    Sources,
    build_fleet,
    waiting_by_pool,
)
from router.jobs.records import (
    Attempt,
    AttemptStatus,
    Calibration,
    Learned,
    PoolRecord,
    Queued,
    Worker,
)

NOW = 1_000.0
CARDS = Path(__file__).resolve().parents[2] / "e2e" / "cards"


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


def queued(pool: str | None, seconds: float, priority: int = 1, due: float = 60.0) -> Queued:
    model = pool and f"m-{pool}"
    return Queued("vid_2", "t", priority, NOW + due, model, pool and "local", seconds, seconds)


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
    board = Board(LiveFleet((Pool("a", "m", "o", "g"), Pool("b", "m", "o", "g"))), Counter({"a": 1}))
    job = Waiting(60.0, Priority.NORMAL, 3.0)
    assert not board.full
    board.occupy(board.fleet.pools[0], 7.0)
    board.promise("a", job)
    board.rest({"b": "it turned a job away"})
    first, second = board.fleet.pools
    assert (first.busy_seconds, first.waiting, first.healthy) == ((7.0,), (job,), True)
    assert (second.busy_seconds, second.healthy, second.reason) == ((), False, "it turned a job away")
    assert board.full
    assert all(pool.healthy for pool in board.healed.pools)
    board.fleet = replace(board.fleet, broken=frozenset({"b"}))
    assert [pool.healthy for pool in board.healed.pools] == [True, False]


def test_offers_on_one_pool_share_its_room_and_its_load() -> None:
    board = Board(LiveFleet((Pool("a", "m", "local", "g"), Pool("a", "m", "fast", "g"))), Counter({"a": 1}))
    board.occupy(board.fleet.pools[1], 7.0)
    assert [pool.busy_seconds for pool in board.fleet.pools] == [(7.0,), (7.0,)]
    assert not board.has_room(board.fleet.pools[0], Priority.HIGH)


def test_an_offer_on_probation_takes_one_attempt_at_a_time() -> None:
    pool = Pool("a", "m", "local", "g", replicas=3, max_replicas=3)
    fleet = LiveFleet((pool,), probation=frozenset({("m", "local")}))
    board = Board(fleet, Counter({"a": 3}))
    assert board.has_room(pool, Priority.NORMAL)
    board.occupy(pool, 7.0)
    assert not board.has_room(board.fleet.pools[0], Priority.NORMAL)
    assert Board(LiveFleet((pool,)), Counter({"a": 3}), Counter({("m", "local"): 1})).has_room(
        pool, Priority.NORMAL
    )


@pytest.mark.parametrize(
    ("most", "busy", "takes"),
    [(5, 3, (True, True, True)), (5, 4, (False, True, True)), (6, 4, (True, True, True))],
)
def test_a_pool_that_cannot_grow_holds_its_last_replicas_for_higher_bands(
    most: int, busy: int, takes: tuple[bool, ...]
) -> None:
    pool = Pool("a", "m", "local", "g", replicas=5, max_replicas=most, busy_seconds=(9.0,) * busy)
    board = Board(LiveFleet((pool,)), Counter({"a": 5 - busy}))
    bands = (Priority.LOW, Priority.NORMAL, Priority.HIGH)
    assert tuple(board.has_room(pool, band) for band in bands) == takes


def test_a_model_without_room_is_known_by_its_pools() -> None:
    pools = (Pool("a", "m", "o", "g"), Pool("b", "m", "p", "g"), Pool("c", "n", "o", "g"))
    board = Board(LiveFleet(pools), Counter({"c": 1}))
    assert [board.knows_no_room(model) for model in ("m", "n", "auto")] == [True, False, False]


# --- the fleet -------------------------------------------------------------------------------------------


def built(*workers: Worker, **over: Any) -> Pool:
    sources = Sources(**({"pools": [record()], "workers": workers} | over))
    (pool,) = build_fleet(sources, now=NOW).pools
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


def test_what_waits_is_put_to_the_pool_of_its_estimate() -> None:
    jobs = [queued("a", 5.0, 2), queued("b", 70.0), queued("a", 2.0, due=-5.0), queued(None, 0.0)]
    assert built(backlog=jobs).waiting == (
        Waiting(60.0, Priority.HIGH, 5.0),
        Waiting(-5.0, Priority.NORMAL, 2.0),
    )


def test_of_two_pools_that_run_an_offer_the_idler_takes_what_waits() -> None:
    pools = [
        Pool("one", "m-a", "local", "g", replicas=1, busy_seconds=(8.0,)),
        Pool("two", "m-a", "local", "g", replicas=2),
    ]
    found = waiting_by_pool(pools, [queued("a", seconds) for seconds in (6.0, 20.0, 1.0)], NOW)
    assert {name: [job.seconds for job in jobs] for name, jobs in found.items()} == {
        "two": [6.0, 20.0],
        "one": [1.0],
    }


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
    ("fit", "counts"),
    [
        (None, False),
        (Calibration("m-a", "local", "cpu", 1, log(1.5), 0.2, 9), True),
        (Calibration("m-a", "local", "h100", 1, log(1.5), 0.2, 9), False),
        (Calibration("m-b", "local", "cpu", 1, log(1.5), 0.2, 9), False),
    ],
)
def test_calibration_of_this_model_on_this_gpu(fit: Calibration | None, counts: bool) -> None:
    pool = built(calibrations=[fit] if fit else [])
    seen = TimeFit(fit.log_ratio, fit.sigma, fit.samples) if fit and counts else None
    assert pool.speed == pytest.approx(speed_of(seen, SELF_HOSTED_SIGMA))
    assert pool.sigma == pytest.approx(sigma_of(seen, SELF_HOSTED_SIGMA))
    assert (pool.speed > 1.2) is counts


@pytest.mark.parametrize(
    ("circuit", "healthy", "probation"),
    [(Circuit.CLOSED, True, False), (Circuit.OPEN, False, False), (Circuit.HALF_OPEN, True, True)],
)
def test_an_open_circuit_makes_a_pool_sick_and_a_half_open_one_is_on_probation(
    circuit: Circuit, healthy: bool, probation: bool
) -> None:
    verdict = Verdict(circuit, "circuit open after 5 jobs failed in a row")
    sources = Sources([record()], [worker()], health={("m-a", "local"): verdict, ("m-b", "local"): verdict})
    fleet = build_fleet(sources, now=NOW)
    assert fleet.pools[0].healthy is healthy
    assert fleet.pools[0].reason == ("" if healthy else verdict.reason)
    assert (("m-a", "local") in fleet.probation) is probation


@pytest.mark.parametrize(("likes", "rolled_back"), [(60, False), (20, True)])
def test_beliefs_are_in_force_until_they_are_shown_to_do_harm(likes: int, rolled_back: bool) -> None:
    belief = {("m-a", "portrait"): Belief(20.0)}
    ledger = Ledger(learned=Tally(likes, 100), held_out=Tally(60, 100))
    fleet = build_fleet(Sources([record()], learned=Learned(belief, ledger)), now=NOW)
    assert fleet.rolled_back is rolled_back
    assert dict(fleet.beliefs) == ({} if rolled_back else belief)


def test_an_offer_on_anothers_replicas_is_a_pool_of_the_same_name() -> None:
    fake = load_catalog(CARDS).get("fake-i2v")
    turbo = fake.offers[0].model_copy(update={"id": "turbo", "replica": "local"})
    catalog = Catalog.of([fake.model_copy(update={"id": "shares-i2v", "offers": (*fake.offers, turbo)})])
    row = record(model="shares-i2v")
    assert offers_on(row, catalog) == (("shares-i2v", "local"), ("shares-i2v", "turbo"))
    fleet = build_fleet(
        Sources(
            [row],
            [replace(worker(), model="shares-i2v")],
            [attempt(started=NOW)],
            [replace(queued("a", 5.0), model="shares-i2v", offer="turbo")],
        ),
        catalog,
        now=NOW,
    )
    assert [(pool.name, pool.offer) for pool in fleet.pools] == [("a", "local"), ("a", "turbo")]
    assert [pool.busy_seconds for pool in fleet.pools] == [(10.0,), (10.0,)]
    assert [len(pool.waiting) for pool in fleet.pools] == [1, 1]
    assert [len(pool.waiting) for pool in build_fleet(Sources([row]), catalog, now=NOW).pools] == [0, 0]
    assert offers_on(record(model="gone"), catalog) == (("gone", "local"),)
