"""The candidates worth a look: those that no other one beats in every respect."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policies.base import Scored


def pareto_front(candidates: Iterable[Scored]) -> tuple[Scored, ...]:
    """Those that are not dominated in quality, total seconds, price and chance to be on time, in order.

    One dominates another when it is nowhere worse and somewhere better; equals both stay. An unknown price is
    worse than any known one.
    """
    given = [(scored, _figures(scored)) for scored in candidates]
    # Whoever dominates another sorts before it, so that each need only be held against those already kept.
    kept: list[tuple[float, float, float, float]] = []
    for figures in sorted({figures for _, figures in given}):
        if not any(all(a <= b for a, b in zip(other, figures, strict=True)) for other in kept):
            kept.append(figures)
    front = set(kept)
    return tuple(scored for scored, figures in given if figures in front)


def _figures(scored: Scored) -> tuple[float, float, float, float]:
    """Smaller is better in each."""
    predicted = scored.candidate.prediction
    usd = inf if predicted.usd is None else predicted.usd
    return (-predicted.quality, predicted.total_seconds, usd, -predicted.on_time)
