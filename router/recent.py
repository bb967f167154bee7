"""What of the job store changes slowly, read now and then instead of at every look.

How long runs really take, how long weights took to load and what votes add up to move over minutes; how
attempts ended decides which offers are asked, so it is read anew as soon as one has come back.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from policies.breaker import MEMORY_S
from router.jobs.records import Calibration, Ended, Learned, Worker
from router.jobs.store import JobStore

T = TypeVar("T")

REMEMBERED_S = 3600.0
"""A replica that went away still tells for an hour how long its weights took to load."""
SLOW_S = 5.0
"""Age up to which latency fits, load times and votes are taken as last read. Our choice: one more run or vote
moves each by little."""
ENDED_S = 1.0
"""Likewise how attempts ended, unless one is known to have come back since. Our choice: as often as the
dispatcher looks for leases that have run out."""


class Aged(Generic[T]):
    """A value that is read again once it is older than `age_s` seconds, or known to be out of date."""

    def __init__(self, read: Callable[[], Awaitable[T]], age_s: float, clock: Callable[[], float]) -> None:
        self._read = read
        self._age_s = age_s
        self._clock = clock
        self._kept: list[T] = []
        """The value, once there is one."""
        self._due = float("-inf")
        self._outdated = 0

    def outdate(self) -> None:
        """The value has changed: it is read at the next call."""
        self._outdated += 1
        self._due = float("-inf")

    async def __call__(self) -> T:
        """The value; whatever `read` raises leaves the kept one to be read again."""
        now = self._clock()
        if now >= self._due:
            known = self._outdated
            self._kept = [await self._read()]
            if known == self._outdated:  # else it changed while it was read
                self._due = now + self._age_s
        return self._kept[0]


class Recent:
    """Each slow part of one job store."""

    def __init__(self, store: JobStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self.calibrations: Aged[Sequence[Calibration]] = Aged(store.calibrations, SLOW_S, clock)
        self.remembered: Aged[Sequence[Worker]] = Aged(
            partial(store.workers, stale_after_s=REMEMBERED_S), SLOW_S, clock
        )
        self.learned: Aged[Learned] = Aged(store.learned, SLOW_S, clock)
        self.ended: Aged[Sequence[Ended]] = Aged(partial(store.ended, MEMORY_S), ENDED_S, clock)
