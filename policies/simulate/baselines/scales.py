"""Min-max scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def low_is_good(values: Sequence[float | None]) -> list[float]:
    """1 for the lowest, 0 for the highest; equal values are all 1, an unknown one counts as the highest."""
    known = [value for value in values if value is not None]
    if not known:
        return [1.0] * len(values)
    least, most = min(known), max(known)
    span = most - least
    if span <= 0.0:
        return [1.0 if value is not None else 0.0 for value in values]
    return [0.0 if value is None else (most - value) / span for value in values]


def high_is_good(values: Sequence[float]) -> list[float]:
    """1 for the highest, 0 for the lowest; equal values are all 1."""
    return low_is_good([-value for value in values])
