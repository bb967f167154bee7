"""What an account allows, learned from its answers: requests a second, pauses, and calls at once.

`AccountLimits` is pure: times come in, waits go out. `Turnstile` is the thin wrapper that really waits.

The number of calls at once follows additive increase and multiplicative decrease (Chiu and Jain, 1989): when
the provider refuses a submission it falls to what is in flight, and to half at most; it grows by one after so
many good submissions. No provider tells its limit, and it changes with the account's history.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["submit", "look"]

SUBMITS_PER_S = 5.0
"""Half of what Replicate allows (600 predictions a minute); fal names no limit."""
LOOKS_PER_S = 20.0
"""Under half of what Replicate allows (3000 other requests a minute); fal names no limit."""
BURST_S = 1.0
"""Seconds' worth of requests that may come at once after a quiet time. Our choice."""
CEILING = 32
"""Calls at once where the operator says nothing. Our choice: above what new accounts are given."""
GROW_AFTER = 3
"""Good submissions after which one more call is tried. Our choice: a refusal costs a request and no money."""
SETTLE_S = 5.0
"""Refusals within this time of a halving are of the same crowd and halve nothing again. Our choice."""
PAUSE_S = 5.0
"""Pause after a refusal that does not say how long. Our choice; it doubles up to `LONGEST_PAUSE_S`."""
LONGEST_PAUSE_S = 60.0
LONGEST_LOOK_PAUSE_S = 60.0
"""A longer pause of looks is not believed. Our choice: looks cost nothing, limits on them are by the minute
(Replicate), and results wait behind them that are deleted after an hour."""
LONGEST_SUBMIT_PAUSE_S = 300.0
"""A longer pause of submissions is not believed. Our choice: limits are by the minute (Replicate resets
within 30 s), and to be refused again costs one request in five minutes, while one mistaken word of an hour
would cost an hour of clips."""
_LONGEST_S: Mapping[Kind, float] = {"look": LONGEST_LOOK_PAUSE_S, "submit": LONGEST_SUBMIT_PAUSE_S}


@dataclass(slots=True)
class Bucket:
    """A token bucket by reservation: each request gets the time at which it may go."""

    rate: float
    """Requests a second."""
    burst: float
    """Requests that may go at once after a quiet time, at least 1."""
    _free_at: float = field(default=float("-inf"), init=False)

    def reserve(self, now: float, not_before: float) -> float:
        """Seconds from `now` until this request may go; it is counted."""
        gap = 1.0 / self.rate
        earliest = max(now, not_before)
        self._free_at = max(self._free_at, earliest - (max(self.burst, 1.0) - 1.0) * gap)
        at = max(earliest, self._free_at)
        self._free_at += gap
        return at - now


class AccountLimits:
    """The limits of one account. All times are seconds of one monotonic clock."""

    def __init__(
        self,
        *,
        ceiling: int = CEILING,
        start: int | None = None,
        submits_per_s: float = SUBMITS_PER_S,
        looks_per_s: float = LOOKS_PER_S,
        grow_after: int = GROW_AFTER,
    ) -> None:
        """Know nothing yet.

        Args:
            ceiling: Most calls at once, as configured.
            start: Calls at once to begin with; None: the ceiling.
            submits_per_s: Most submissions a second.
            looks_per_s: Most other requests a second.
            grow_after: Good submissions for one more call at once.

        Raises:
            ValueError: a limit is below one call, or no request is allowed at all.
        """
        if ceiling < 1 or (start is not None and not 1 <= start <= ceiling) or grow_after < 1:
            raise ValueError(f"calls at once must be 1 to {ceiling}; got {start}, growing after {grow_after}")
        if submits_per_s <= 0 or looks_per_s <= 0:
            raise ValueError("requests a second must be above 0")
        self._ceiling = ceiling
        self._concurrency = ceiling if start is None else start
        self._grow_after = grow_after
        self._good = 0
        self._in_flight = 0
        self._halved_at = float("-inf")
        self._refused_in_a_row = 0
        self._paused: dict[Kind, float] = {"submit": float("-inf"), "look": float("-inf")}
        self._buckets: dict[Kind, Bucket] = {
            "submit": Bucket(submits_per_s, submits_per_s * BURST_S),
            "look": Bucket(looks_per_s, looks_per_s * BURST_S),
        }

    @property
    def concurrency(self) -> int:
        """Calls that may run at once now: from 1 to the ceiling."""
        return self._concurrency

    def wait_s(self, kind: Kind, now: float) -> float:
        """Take a turn: seconds to wait before the request may be sent."""
        return self._buckets[kind].reserve(now, self._paused[kind])

    def paused_s(self, kind: Kind, now: float) -> float:
        """Seconds for which the provider wants to hear nothing of this kind; 0: none."""
        return max(0.0, self._paused[kind] - now)

    def begun(self) -> None:
        """A call is under way."""
        self._in_flight += 1

    def ended(self) -> None:
        """A call is over, or followed no more."""
        self._in_flight -= 1

    def accepted(self) -> None:
        """A submission was taken."""
        self._refused_in_a_row = 0
        self._good += 1
        if self._good >= self._grow_after:
            self._good = 0
            self._concurrency = min(self._concurrency + 1, self._ceiling)

    def refused(self, kind: Kind, retry_after_s: float | None, now: float) -> None:
        """A request was refused with 429 (or an engine's full queue): pause; of submissions, fewer at once.

        Args:
            kind: What was refused.
            retry_after_s: The provider's word on when to come back; None: it gave none. Believed up to
                `LONGEST_LOOK_PAUSE_S` or `LONGEST_SUBMIT_PAUSE_S`.
            now: When the refusal came.
        """
        if retry_after_s is None:
            retry_after_s = min(PAUSE_S * 2.0 ** min(self._refused_in_a_row, 10), LONGEST_PAUSE_S)
        self._refused_in_a_row += 1
        self._paused[kind] = max(self._paused[kind], now + min(retry_after_s, _LONGEST_S[kind]))
        if kind == "submit":
            self._good = 0
            if now - self._halved_at >= SETTLE_S:
                self._halved_at = now
                self._concurrency = max(1, min(self._in_flight, self._concurrency // 2))


class Turnstile:
    """Waits for turns of an account's limits. Used in one event loop."""

    def __init__(
        self,
        limits: AccountLimits,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.limits = limits
        self._clock = clock
        self._sleep = sleep

    async def turn(
        self,
        kind: Kind,
        *,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        stops: Callable[[], bool] = lambda: False,
    ) -> None:
        """Return when a request of this kind may be sent.

        When a pause comes while it waits, it queues again behind the pause, so that not all go at its end.

        Args:
            kind: What is to be sent.
            sleep: Waits instead of the turnstile itself; may return early, the turn is then taken early.
            stops: Whether there is something more urgent than waiting.
        """
        sleep = sleep or self._sleep
        wait = self.limits.wait_s(kind, self._clock())
        while wait > 0 and not stops():
            await sleep(wait)
            now = self._clock()
            wait = self.limits.wait_s(kind, now) if self.limits.paused_s(kind, now) > 0 else 0.0

    def accepted(self) -> None:
        """A submission was taken."""
        self.limits.accepted()

    def refused(self, kind: Kind, retry_after_s: float | None) -> None:
        """A request was refused with 429."""
        self.limits.refused(kind, retry_after_s, self._clock())
