"""From a rating to a chance: how likely a model's clip is preferred over the reference model's."""

from __future__ import annotations


def preference(elo: float, reference_elo: float) -> float:
    """Chance that a clip of a model rated `elo` is preferred over one rated `reference_elo`.

    The logistic curve of Elo and Bradley-Terry: 400 points are odds of 10 to 1.
    """
    return float(1.0 / (1.0 + 10.0 ** ((reference_elo - elo) / 400.0)))
