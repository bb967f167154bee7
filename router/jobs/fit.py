"""Running fit of ln(actual / predicted) as the store keeps it; the arithmetic is `policies.calibration`'s."""

from __future__ import annotations

import math
from dataclasses import dataclass

from policies.calibration import ALPHA, TimeFit, fold, log_ratio, squares

__all__ = ["ALPHA", "Fit", "log_ratio"]


@dataclass(frozen=True, slots=True)
class Fit:
    """Weighted mean and (biased) variance of the log ratios seen so far."""

    mean: float = 0.0
    variance: float = 0.0
    samples: int = 0

    @property
    def sigma(self) -> float:
        """Standard deviation of the residuals, corrected for few samples; 0 below two samples."""
        return math.sqrt(self.variance / (1.0 - squares(self.samples))) if self.samples > 1 else 0.0

    def fold(self, value: float) -> Fit:
        """The fit after one more log ratio."""
        after = fold(TimeFit(self.mean, self.sigma, self.samples), 1.0, math.exp(value))
        return Fit(after.log_ratio, after.sigma**2 * (1.0 - squares(after.samples)), after.samples)
