"""Figures in the words of reasons."""

from __future__ import annotations


def seconds_word(seconds: float) -> str:
    """Seconds at three significant figures, whole from a hundred on."""
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def usd_word(usd: float) -> str:
    """Money at three significant figures: clips cost from a hundredth of a cent to dollars."""
    return f"${usd:.2f}" if usd >= 10 else f"${usd:.3g}"
