"""The time that a run may take: a case is begun only when it will probably end in time."""

from __future__ import annotations

import time
from collections.abc import Callable

MARGIN_S = 15.0
"""Kept free: to free the device, write the summary and leave."""


class Budget:
    """A clock that runs down.

    Args:
        limit_s: Seconds from now; 0 for no limit.
        clock: For tests.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        if limit_s < 0:
            raise ValueError(f"a time limit is a number of seconds, or 0 for none; got {limit_s}")
        self._clock = clock
        self._end = clock() + limit_s if limit_s else float("inf")

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self._end - self._clock()

    def allows(self, seconds: float) -> bool:
        """Whether a case of so many seconds still fits."""
        return seconds + MARGIN_S <= self.left_s
