"""How the ranks' times compare with what was predicted, learned as they work, for each degree by itself."""

from __future__ import annotations

import math

MEMORY = 0.9
"""Weight of what was known before against a new quantum: about the last ten count. Our choice."""
WIDEST = 20.0
"""Predictions are never stretched or shrunk by more; a wilder ratio is a stall or a wrong card."""


class Tempo:
    """Geometric mean of actual over predicted seconds of the last quanta."""

    def __init__(self) -> None:
        self._logs: dict[int, float] = {}

    def factor(self, degree: int) -> float:
        """What predicted seconds at that degree are to be multiplied by.

        A degree that was not seen yet is taken to be like the nearest one that was; 1 before any was.
        """
        if not self._logs:
            return 1.0
        nearest = min(self._logs, key=lambda known: (abs(math.log2(known / degree)), known))
        return math.exp(self._logs[nearest])

    def saw(self, degree: int, predicted_s: float, actual_s: float) -> None:
        """A quantum predicted at `predicted_s` took `actual_s`; what is not positive tells nothing."""
        if predicted_s <= 0 or actual_s <= 0:
            return
        ratio = math.log(min(max(actual_s / predicted_s, 1 / WIDEST), WIDEST))
        before = self._logs.get(degree)
        self._logs[degree] = ratio if before is None else MEMORY * before + (1 - MEMORY) * ratio
