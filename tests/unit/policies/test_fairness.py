"""Turns between bands and tenants: nobody is left out, and nobody gets far ahead."""

from __future__ import annotations

from collections import defaultdict
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.types import Priority
from policies.fairness import BANDS, Claim, ceiling, charged, order, room, settled

QUANTUM = 60.0
CLAIMS = st.lists(
    st.builds(
        Claim,
        id=st.integers(0, 10**9).map(str),
        tenant=st.sampled_from("abcd"),
        priority=st.sampled_from(list(Priority)),
        due=st.one_of(st.just(inf), st.floats(0, 1000)),
        seconds=st.floats(0.1, 200),
    ),
    max_size=40,
)
LEDGER = st.dictionaries(st.sampled_from("abcd"), st.floats(0, 500))


def claim(name: str, tenant: str = "a", seconds: float = 60.0, **over: object) -> Claim:
    return Claim(
        **({"id": name, "tenant": tenant, "priority": Priority.NORMAL, "due": inf, "seconds": seconds} | over)
    )  # type: ignore[arg-type]


def ids(claims: list[Claim]) -> str:
    return "".join(claim.id for claim in claims)


def test_bands_come_before_deadlines() -> None:
    queue = [claim("l", priority=Priority.LOW, due=1), claim("n", due=2), claim("h", priority=Priority.HIGH)]
    assert ids(order(queue)) == "hnl"


def test_one_tenant_is_served_by_deadline_then_by_age() -> None:
    assert ids(order([claim("x"), claim("y", due=9), claim("z", due=5), claim("w")])) == "zyxw"


def test_tenants_take_turns_by_gpu_seconds_not_by_jobs() -> None:
    queue = [*(claim(n, "heavy", 120) for n in "ABC"), *(claim(n, "light", 30) for n in "stuvwx")]
    # Two rounds for each heavy job, two light jobs a round.
    assert ids(order(queue, quantum=QUANTUM)) == "stAuvwxBC"


def test_who_was_served_waits() -> None:
    queue = [claim("x", "a"), claim("y", "b")]
    assert ids(order(queue)) == "xy"
    assert ids(order(queue, charged({}, "a", 60))) == "yx"


def test_a_newcomer_starts_level_with_the_least_served() -> None:
    ledger = charged(charged({}, "a", 500), "b", 300)
    assert settled(ledger, {"a", "b", "new"}) == {"a": 200, "b": 0, "new": 0}
    assert settled(ledger, {"a"}) == {"a": 0}
    assert settled({}, set()) == {}


@given(CLAIMS, LEDGER)
def test_all_are_served_once_and_bands_stay_apart(queue: list[Claim], ledger: dict[str, float]) -> None:
    served = order(queue, ledger, QUANTUM)
    assert sorted(c.id for c in served) == sorted(c.id for c in queue)
    bands = [BANDS[c.priority] for c in served]
    assert bands == sorted(bands)
    for tenant in "abcd":
        for band in Priority:
            dues = [c.due for c in served if (c.tenant, c.priority) == (tenant, band)]
            assert dues == sorted(dues)
    assert order(queue, ledger, QUANTUM) == served


@given(CLAIMS)
def test_who_keeps_waiting_is_never_far_behind(queue: list[Claim]) -> None:
    """At any moment, two tenants with work left in a band have received within a quantum and a job."""
    for band in Priority:
        mine = [c for c in queue if c.priority is band]
        left: dict[str, float] = defaultdict(float)
        for c in mine:
            left[c.tenant] += c.seconds
        got = dict.fromkeys(left, 0.0)
        largest = max((c.seconds for c in mine), default=0.0)
        for c in order(mine, quantum=QUANTUM):
            got[c.tenant] += c.seconds
            left[c.tenant] -= c.seconds
            waiting = [got[t] for t in got if left[t] > 1e-6]
            assert max(waiting, default=0) - min(waiting, default=0) <= QUANTUM + largest + 1e-6


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.1, QUANTUM)), min_size=1, max_size=60))
def test_after_whole_rounds_shares_are_within_one_quantum(jobs: list[tuple[str, float]]) -> None:
    queue = [claim(str(at), tenant, seconds) for at, (tenant, seconds) in enumerate(jobs)]
    asked: dict[str, float] = defaultdict(float)
    rounds: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for c in order(queue, quantum=QUANTUM):
        asked[c.tenant] += c.seconds
        rounds[max(1, -int(-round(asked[c.tenant] / QUANTUM, 9) // 1))][c.tenant] += c.seconds
    total = {t: sum(s for tenant, s in jobs if tenant == t) for t in "ab"}
    got = {"a": 0.0, "b": 0.0}
    for number in sorted(rounds):
        for tenant, seconds in rounds[number].items():
            got[tenant] += seconds
        if all(got[t] < total[t] - 1e-6 for t in "ab"):
            assert abs(got["a"] - got["b"]) <= QUANTUM + 1e-6


@given(CLAIMS, st.floats(1, 1000))
def test_no_tenant_can_be_starved_by_another_ones_flood(queue: list[Claim], flood: float) -> None:
    """However much another one sends, a job is served once its tenant's share of the rounds has come."""
    mine = [claim("mine", "zz", 10.0)]
    others = [c for c in queue if c.tenant != "zz" and c.priority is Priority.NORMAL] * 3
    served = order([*others, *mine], quantum=QUANTUM)
    before = served[: [c.id for c in served].index("mine")]
    largest = max((c.seconds for c in others), default=0.0)
    for tenant in "abcd":
        assert sum(c.seconds for c in before if c.tenant == tenant) <= QUANTUM + largest


@pytest.mark.parametrize(
    ("priority", "replicas", "rooms"),
    [
        (Priority.HIGH, 5, 5),
        (Priority.NORMAL, 5, 5),
        (Priority.LOW, 5, 4),
        (Priority.NORMAL, 10, 9),
        (Priority.LOW, 10, 8),
        (Priority.LOW, 1, 1),
        (Priority.LOW, 0, 1),
        (Priority.LOW, 4, 4),
    ],
)
def test_hold_back(priority: Priority, replicas: int, rooms: int) -> None:
    assert room(priority, replicas) == rooms


def test_ceilings_fall_evenly() -> None:
    assert [ceiling(p) for p in (Priority.HIGH, Priority.NORMAL, Priority.LOW)] == pytest.approx(
        [1.0, 0.9, 0.8]
    )
