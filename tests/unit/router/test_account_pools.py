"""Provider accounts and engines as pools: which offers they run, their load, what ails them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from models.gpus import load_gpus
from models.types import Priority
from policies import gather
from policies.base import Fleet, Pool, Waiting
from policies.engine import Engine
from policies.load import roll_forward, wait_seconds
from policies.profile import load_profiles
from router.accounts import Places, offers_on
from router.board import Board, follow_slots, free_slots
from router.engine import ClipRequest, route_request
from router.fleet import LiveFleet, Sources, build_fleet, healed
from router.health import OfferKey
from router.jobs.records import PoolRecord, Queued, Worker
from tests.unit.router.dispatching import FEATURES
from tests.unit.router.hosting import ACCOUNT, account, account_worker, call_attempt, hosted_catalog

NOW = 1_000.0
CATALOG = hosted_catalog()
BOTH: tuple[OfferKey, ...] = (("fake-i2v", "replicate"), ("fake-second-i2v", "replicate"))


def built(**over: Any) -> LiveFleet:
    sources = Sources(**({"pools": [account()], "workers": [account_worker()]} | over))
    return build_fleet(sources, CATALOG, now=NOW)


def in_flight(count: int, seconds: float = 20.0) -> list[Any]:
    return [call_attempt(number, NOW, seconds + number) for number in range(count)]


# --- which offers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "offers"),
    [
        pytest.param(account(), BOTH, id="an account: all of its host but the retired"),
        pytest.param(account(backend="fal"), (("fake-second-i2v", "fal"),), id="another host"),
        pytest.param(account(backend="vendor"), (), id="a host that no card knows"),
        pytest.param(
            account(model="fake-i2v", offer="engine", backend="engine"),
            (("fake-i2v", "engine"),),
            id="an engine: its own",
        ),
        pytest.param(
            account(model="fake-i2v", offer="local", backend="local"), (("fake-i2v", "local"),), id="a model"
        ),
    ],
)
def test_the_offers_of_an_application(record: PoolRecord, offers: tuple[OfferKey, ...]) -> None:
    assert offers_on(record, CATALOG) == offers


def test_an_account_is_a_pool_for_each_offer_all_of_one_name() -> None:
    pools = built().pools
    assert [(pool.name, pool.model, pool.offer) for pool in pools] == [(ACCOUNT, *key) for key in BOTH]
    assert {(pool.gpu, pool.gang_size, pool.slots, pool.healthy) for pool in pools} == {
        ("hosted", 1, 1, True)
    }
    assert offers_on(account(), None) == ()


# --- load --------------------------------------------------------------------------------------------------


def test_while_a_place_is_free_policies_see_idle_replicas_and_nothing_that_runs() -> None:
    for pool in built(running=in_flight(999)).pools:
        assert (pool.replicas, pool.busy_seconds, pool.busy_gpus) == (1, (), ())
        assert wait_seconds(pool, priority=Priority.LOW) == 0.0
    (pool, _) = built().pools
    assert pool.replicas == 1000


@pytest.mark.parametrize("priority", list(Priority))
def test_a_full_account_shows_its_calls_and_holds_nothing_back(priority: Priority) -> None:
    (pool, other) = built(running=in_flight(10), workers=[account_worker(slots=10)]).pools
    assert pool.busy_seconds == tuple(20.0 + number for number in range(10))
    assert pool.busy_seconds is other.busy_seconds
    assert wait_seconds(pool, priority=priority) == 20.0


def test_an_account_without_a_worker_starts_cold() -> None:
    (pool, _) = built(workers=[]).pools
    assert (pool.replicas, pool.healthy) == (0, True)
    assert pool.cold_start_s > 0


def test_two_workers_add_their_places() -> None:
    workers = [account_worker(slots=3), Worker("w2", ACCOUNT, "", "", "hosted", 1, 4, "there", "ready", {})]
    fleet = built(workers=workers, running=in_flight(2))
    assert fleet.pools[0].replicas == 5
    assert fleet.accounts[ACCOUNT] == Places(7, (20.0, 21.0))


def board_of(slots: int, running: int) -> Board:
    attempts, workers = in_flight(running), [account_worker(slots=slots)]
    fleet = built(workers=workers, running=attempts)
    return Board(fleet, free_slots([account()], workers, attempts, waiting=9))


def test_a_board_fills_every_place_of_an_account_whoever_asks() -> None:
    board = board_of(10, 6)
    taken = 0
    while board.has_room(board.fleet.pools[0], Priority.LOW):
        board.occupy(board.fleet.pools[taken % 2], 50.0)
        taken += 1
        assert {pool.replicas for pool in board.fleet.pools} == {10 if taken == 4 else 4 - taken}
    assert taken == 4
    assert {pool.busy_seconds for pool in board.fleet.pools} == {
        (20.0, 21.0, 22.0, 23.0, 24.0, 25.0, *[50.0] * 4)
    }
    assert board.full


def test_what_waits_for_an_account_is_shared_by_its_pools() -> None:
    board = board_of(1, 1)
    board.promise(ACCOUNT, Waiting(60.0, Priority.NORMAL, 5.0))
    (first, second) = board.fleet.pools
    assert first.waiting is second.waiting
    assert wait_seconds(first) == 25.0


def test_estimates_of_the_backlog_wait_for_the_account() -> None:
    waits = Queued("vid_q", "t", 1, NOW + 60, "fake-second-i2v", "replicate", 7.0, 0.0)
    fleet = built(backlog=[waits])
    assert [[job.seconds for job in pool.waiting] for pool in fleet.pools] == [[7.0], [7.0]]


def test_a_thousand_calls_are_rolled_forward_once_for_all_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    rolled: list[str] = []

    def counting(pool: Pool) -> Any:
        rolled.append(pool.name)
        return roll_forward(pool)

    monkeypatch.setattr(gather, "roll_forward", counting)
    engine = Engine(CATALOG, load_gpus(), load_profiles())
    request = route_request(
        ClipRequest(prompt="a quiet walk"), FEATURES, has_last_image=False, tenant="default"
    )
    fleet = built(running=in_flight(1000), pools=[account(), account("fal-main", "fal")])
    decision = engine.decide(request, fleet, counter_offers=False)
    waits = {
        scored.candidate.offer.id: scored.candidate.prediction.wait_seconds for scored in decision.candidates
    }
    assert waits["replicate"] == 20.0
    assert sorted(rolled) == ["fal-main", ACCOUNT]


# --- what ails it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["broken", "away"])
def test_an_account_that_is_out_says_why_for_every_offer(state: str) -> None:
    fleet = built(workers=[account_worker(state, reason="the key is refused")])
    assert {(pool.healthy, pool.reason) for pool in fleet.pools} == {(False, "the key is refused")}
    mends = {pool.healthy for pool in healed(fleet).pools}
    assert mends == {state == "away"}, "what no operator needs to mend mends itself"


def test_one_worker_that_works_is_enough() -> None:
    workers = [account_worker("away", reason="quota"), account_worker(slots=5)]
    assert {(pool.healthy, pool.replicas) for pool in built(workers=workers).pools} == {(True, 5)}


def test_a_flagged_offer_is_out_alone_and_waiting_for_it_is_vain() -> None:
    fleet = built(workers=[account_worker(flagged={"fake-i2v/replicate": "the schema has changed"})])
    assert [(pool.model, pool.healthy, pool.reason) for pool in fleet.pools] == [
        ("fake-i2v", False, "the schema has changed"),
        ("fake-second-i2v", True, ""),
    ]
    assert [pool.healthy for pool in healed(fleet).pools] == [False, True]


def test_a_sick_application_makes_a_sick_account() -> None:
    fleet = built(pools=[account(healthy=False, reason="application is DEPLOY_FAILED")], workers=[])
    assert {pool.reason for pool in fleet.pools} == {"application is DEPLOY_FAILED"}


# --- places for jobs whose call is under way ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "held", "places"),
    [
        ([account_worker("away", slots=4)], 0, 4),
        ([account_worker("away", slots=4)], 3, 1),
        ([account_worker("away", slots=4)], 9, 0),
        ([account_worker("broken", slots=4)], 0, 0),
        ([account_worker(slots=4)], 0, 0),
        ([account_worker(slots=4), account_worker("away", slots=4)], 5, 3),
    ],
)
def test_workers_that_may_send_nothing_new_take_follow_ups(
    workers: list[Worker], held: int, places: int
) -> None:
    assert follow_slots(workers, in_flight(held))[ACCOUNT] == places


def test_a_follow_up_takes_a_place_like_any_call() -> None:
    board = board_of(3, 1)
    board.follow_room = Counter({ACCOUNT: 1})
    for _ in range(3):
        assert board.takes_follow_up(ACCOUNT)
        board.occupy_following(ACCOUNT, BOTH[0], 9.0, 1)
    assert not board.takes_follow_up(ACCOUNT)
    assert board.fleet.accounts[ACCOUNT].busy == (20.0, 9.0, 9.0, 9.0)
    assert board.under_way[BOTH[0]] == 3


# --- engines -----------------------------------------------------------------------------------------------


def test_an_engine_is_a_pool_like_a_gang() -> None:
    record = account("engine", "engine", model="fake-i2v", offer="local", gpu="h100", gang_size=4)
    worker = Worker("e", "engine", "fake-i2v", "local", "h100", 4, 2, "here", "ready", {})
    fleet: Fleet = built(pools=[record], workers=[worker])
    (pool,) = fleet.pools
    assert (pool.gpu, pool.gang_size, pool.replicas, pool.slots) == ("h100", 4, 1, 2)
