"""Running fit of ln(actual / predicted): what the latency model is off by, and how surely. Pure.

An exponentially weighted mean and variance whose first samples weigh as in a plain average (the bias
correction of Adam, Kingma & Ba 2015, section 3), so that the fit is usable from the first run on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ALPHA = 0.1
"""Weight of the newest run once many were seen: the fit remembers about the last twenty."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Weighted mean and (biased) variance of the log ratios seen so far."""

    mean: float = 0.0
    variance: float = 0.0
    samples: int = 0

    @property
    def sigma(self) -> float:
        """Standard deviation of the residuals, corrected for few samples; 0 below two samples."""
        if self.samples < 2:
            return 0.0
        kept = (1.0 - ALPHA) ** self.samples
        # Sum of the squared normalised weights ALPHA * (1 - ALPHA)**i / (1 - kept).
        squares = ALPHA**2 * (1.0 - kept**2) / (1.0 - (1.0 - ALPHA) ** 2) / (1.0 - kept) ** 2
        return math.sqrt(self.variance / (1.0 - squares))

    def fold(self, value: float) -> Fit:
        """The fit after one more log ratio."""
        samples = self.samples + 1
        weight = min(ALPHA / (1.0 - (1.0 - ALPHA) ** samples), 1.0)  # rounding puts the first above 1
        delta = value - self.mean
        return Fit(
            mean=self.mean + weight * delta,
            variance=(1.0 - weight) * (self.variance + weight * delta * delta),
            samples=samples,
        )


def log_ratio(predicted_s: float, actual_s: float) -> float | None:
    """ln(actual / predicted); None when either is not a positive finite time and says nothing."""
    if not all(math.isfinite(value) and value > 0.0 for value in (predicted_s, actual_s)):
        return None
    return math.log(actual_s / predicted_s)
