from __future__ import annotations

import pytest

from models.errors import Disposition
from router.jobs.retry import Backoff, judge
from router.jobs.states import EventType, Move

ERROR = {"code": "x", "message": "it broke"}


def decide(disposition, *, attempts=1, max_attempts=3, excluded=(), candidate="m/a"):
    return judge(
        disposition,
        attempts=attempts,
        max_attempts=max_attempts,
        excluded=excluded,
        candidate=candidate,
        error=ERROR,
    )


@pytest.mark.parametrize(
    ("attempts", "ceiling"), [(1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (5000, 60.0)]
)
def test_full_jitter_is_uniform_up_to_a_growing_capped_ceiling(attempts, ceiling):
    asked = []
    backoff = Backoff(uniform=lambda low, high: asked.append((low, high)) or high)
    assert backoff.delay(attempts) == ceiling
    assert asked == [(0.0, ceiling)]


def test_the_default_jitter_stays_in_its_bounds_and_varies():
    delays = [Backoff(base_s=1.0, cap_s=8.0).delay(10) for _ in range(200)]
    assert all(0.0 <= delay <= 8.0 for delay in delays)
    assert len(set(delays)) > 100


def test_retry_backs_off_until_the_attempts_are_used_up():
    verdict = decide(Disposition.RETRY, attempts=2)
    assert (verdict.move, verdict.event, verdict.backs_off, verdict.failures) == (
        Move.REQUEUE,
        EventType.RETRYING,
        True,
        2,
    )
    last = decide(Disposition.RETRY, attempts=3)
    assert (last.move, last.event) == (Move.FAIL, EventType.FAILED)
    assert last.error["code"] == "attempts_exhausted"
    assert last.error["last_error"] == ERROR
    assert "3 failed attempts" in last.error["message"]
    assert "it broke" in last.error["message"]


def test_fallback_excludes_and_does_not_wait():
    verdict = decide(Disposition.FALLBACK, max_attempts=1)
    assert (verdict.move, verdict.event, verdict.excluded) == (Move.REQUEUE, EventType.FALLBACK, ("m/a",))
    assert not verdict.backs_off


def test_fallbacks_use_up_no_retries():
    assert decide(Disposition.RETRY, attempts=5, excluded=("m/b", "m/c", "m/d")).move is Move.REQUEUE
    assert decide(Disposition.RETRY, attempts=6, excluded=("m/b", "m/c", "m/d")).move is Move.FAIL


def test_an_offer_that_refuses_twice_counts_as_a_failure():
    again = decide(Disposition.FALLBACK, attempts=2, excluded=("m/a",))
    assert (again.event, again.excluded, again.backs_off) == (EventType.RETRYING, ("m/a",), True)
    assert decide(Disposition.FALLBACK, attempts=4, excluded=("m/a",)).move is Move.FAIL


def test_fail_ends_at_once_with_the_error_itself():
    verdict = decide(Disposition.FAIL)
    assert (verdict.move, verdict.error) == (Move.FAIL, ERROR)
