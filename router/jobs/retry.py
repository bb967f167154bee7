"""What becomes of a job when an attempt ends badly: again, elsewhere, or no more. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.errors import Disposition
from router.jobs.states import EventType, Move

ATTEMPTS_EXHAUSTED = "attempts_exhausted"
"""Error code of a job that failed as often as it may."""
LOST = "lost"
"""Error code of an attempt whose process died or fell silent."""

_LARGEST_EXPONENT = 30  # 2**30 s is decades: far above any cap, and the power stays a small number


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: uniform in [0, min(cap, base * 2**(n - 1))] seconds.

    Full jitter spreads a burst of failures best (Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015).
    """

    base_s: float = 1.0
    cap_s: float = 60.0
    uniform: Callable[[float, float], float] = field(default=random.SystemRandom().uniform)

    def delay(self, failures: int) -> float:
        """Seconds to wait after the n-th failure, n from 1."""
        exponent = min(max(failures, 1) - 1, _LARGEST_EXPONENT)
        return self.uniform(0.0, min(self.cap_s, self.base_s * 2.0**exponent))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to the job, and what its error and exclusions become."""

    move: Move
    event: EventType
    excluded: tuple[str, ...]
    error: Mapping[str, Any] | None = None
    failures: int = 0
    backs_off: bool = False


def judge(
    disposition: Disposition,
    *,
    attempts: int,
    max_attempts: int,
    excluded: tuple[str, ...],
    candidate: str,
    error: Mapping[str, Any],
) -> Verdict:
    """Decide after an attempt of `candidate` (`model/offer`) failed with `error`.

    `attempts` counts the one that failed. Attempts that only found an offer unfit do not use up
    `max_attempts`: each excludes one more offer, so there are at most as many of them as offers.
    """
    if disposition is Disposition.FAIL:
        return Verdict(Move.FAIL, EventType.FAILED, excluded, error)
    newly_unfit = disposition is Disposition.FALLBACK and candidate not in excluded
    if newly_unfit:
        excluded = (*excluded, candidate)
    failures = attempts - len(excluded)
    if failures >= max_attempts:
        return Verdict(Move.FAIL, EventType.FAILED, excluded, exhausted(error, failures), failures)
    if newly_unfit:
        return Verdict(Move.REQUEUE, EventType.FALLBACK, excluded, failures=failures)
    return Verdict(Move.REQUEUE, EventType.RETRYING, excluded, failures=failures, backs_off=True)


def exhausted(error: Mapping[str, Any], failures: int) -> Mapping[str, Any]:
    """The error of a job that failed `failures` times, the last one with `error`."""
    last = error.get("message") or error.get("code") or "unknown"
    return {
        "code": ATTEMPTS_EXHAUSTED,
        "message": f"gave up after {failures} failed attempts; the last one: {last}",
        "last_error": error,
    }
