"""What an account allows: turns per second, pauses after 429, and calls at once by AIMD."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.providers.limits import (
    LONGEST_LOOK_PAUSE_S,
    LONGEST_SUBMIT_PAUSE_S,
    AccountLimits,
    Bucket,
    Kind,
    Turnstile,
)


def test_requests_are_spread_after_a_burst() -> None:
    bucket = Bucket(rate=2.0, burst=3.0)
    assert [bucket.reserve(100.0, 0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]
    assert bucket.reserve(200.0, 0.0) == 0.0


def test_a_refusal_with_room_tells_the_accounts_own_number() -> None:
    limits = AccountLimits(ceiling=1000)
    for _ in range(3):
        limits.begun()
    limits.ended()
    limits.refused("submit", 1.0, 0.0)
    assert limits.concurrency == 2


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.floats(0.5, 20), st.floats(1, 8))
def test_no_second_sees_more_than_rate_and_burst(gaps: list[float], rate: float, burst: float) -> None:
    bucket, now, sent = Bucket(rate, burst), 0.0, []
    for gap in gaps:
        now += gap
        sent.append(now + bucket.reserve(now, 0.0))
    for at in sent:
        assert sum(1 for other in sent if at <= other < at + 1.0 - 1e-9) <= rate + burst + 1


def test_a_pause_holds_everything_of_its_kind() -> None:
    limits = AccountLimits(submits_per_s=10.0, looks_per_s=10.0)
    limits.refused("submit", 30.0, now=0.0)
    assert limits.wait_s("submit", 1.0) >= 29.0
    assert limits.wait_s("look", 1.0) == 0.0
    assert limits.paused_s("submit", 31.0) == 0.0


@pytest.mark.parametrize(("kind", "most"), [("look", 60.0), ("submit", 300.0)])
def test_a_pause_of_an_hour_is_not_believed(kind: Kind, most: float) -> None:
    assert most == {"look": LONGEST_LOOK_PAUSE_S, "submit": LONGEST_SUBMIT_PAUSE_S}[kind]
    limits = AccountLimits()
    limits.refused(kind, 3600.0, now=10.0)
    assert limits.paused_s(kind, 10.0) == most
    limits.refused(kind, 3600.0, now=20.0)
    assert limits.paused_s(kind, 20.0) == most
    assert limits.paused_s(kind, 20.0 + most) == 0.0
    assert limits.wait_s(kind, 20.0 + most) == 0.0
    limits.refused(kind, most - 1.0, now=1000.0)
    assert limits.paused_s(kind, 1000.0) == most - 1.0


def test_a_shorter_word_does_not_shorten_a_pause() -> None:
    limits = AccountLimits()
    limits.refused("submit", 30.0, now=0.0)
    limits.refused("submit", 1.0, now=1.0)
    assert limits.paused_s("submit", 1.0) == 29.0


def test_refusals_without_a_word_pause_longer_and_longer() -> None:
    limits, pauses, now = AccountLimits(), [], 0.0
    for _ in range(6):
        now += 1000.0
        limits.refused("submit", None, now)
        pauses.append(limits.paused_s("submit", now))
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    limits.accepted()
    limits.refused("submit", None, now + 1000.0)
    assert limits.paused_s("submit", now + 1000.0) == 5.0


def test_concurrency_halves_once_per_crowd_and_grows_by_one() -> None:
    limits = AccountLimits(ceiling=16, grow_after=3)
    assert limits.concurrency == 16
    for _ in range(12):
        limits.begun()
    for moment in (0.0, 0.1, 4.9):
        limits.refused("submit", 1.0, moment)
    assert limits.concurrency == 8
    limits.refused("submit", 1.0, 5.0)
    assert limits.concurrency == 4
    for _ in range(6):
        limits.accepted()
    assert limits.concurrency == 6
    limits.refused("look", 1.0, 100.0)
    assert limits.concurrency == 6


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 40))
def test_concurrency_stays_between_one_and_the_ceiling(good: list[bool], ceiling: int) -> None:
    limits, now = AccountLimits(ceiling=ceiling, grow_after=2), 0.0
    for accepted in good:
        now += 10.0
        if accepted:
            limits.accepted()
        else:
            limits.refused("submit", None, now)
        assert 1 <= limits.concurrency <= ceiling


@pytest.mark.parametrize(
    "settings",
    [{"ceiling": 0}, {"ceiling": 2, "start": 3}, {"start": 0}, {"submits_per_s": 0.0}, {"grow_after": 0}],
)
def test_impossible_limits_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        AccountLimits(**settings)  # type: ignore[arg-type]


class Clock:
    """A clock that sleeping moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


async def test_a_turnstile_lets_through_at_the_rate() -> None:
    clock = Clock()
    turns = Turnstile(AccountLimits(submits_per_s=1.0), clock, clock.sleep)
    for _ in range(3):
        await turns.turn("submit")
    assert clock.naps == [1.0, 1.0]


async def test_a_pause_that_comes_while_waiting_is_waited_out() -> None:
    clock = Clock()
    limits = AccountLimits(submits_per_s=1.0)
    turns = Turnstile(limits, clock, clock.sleep)
    await turns.turn("submit")

    async def late(seconds: float) -> None:
        await Clock.sleep(clock, seconds)
        if len(clock.naps) == 1:
            turns.refused("submit", 10.0)

    await Turnstile(limits, clock, late).turn("submit")
    assert clock.now >= 11.0
