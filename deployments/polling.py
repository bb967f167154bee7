"""When to look at a call again. Pure."""

from __future__ import annotations

FIRST_S = 1.0
LONGEST_S = 10.0
GROWTH = 0.1
"""A look comes after a tenth of what the call has taken so far: finding out late costs a tenth at most."""
NEAR = (0.8, 1.3)
"""Around the expected end looks are denser."""
NEAR_SHARE = 30.0
"""Then a thirtieth of the expected time apart."""
WEBHOOK_S = 30.0
"""Where the provider calls back, looking is only the fall-back."""


def next_look(elapsed: float, expected: float, *, called_back: bool) -> float:
    """Seconds until the next look at a call.

    Args:
        elapsed: Since it was accepted.
        expected: What it was predicted to take; 0 or less: nobody knows.
        called_back: The provider tells by webhook when something changes.
    """
    if called_back:
        return WEBHOOK_S
    pause = min(LONGEST_S, max(FIRST_S, GROWTH * elapsed))
    if expected > 0 and NEAR[0] * expected <= elapsed <= NEAR[1] * expected:
        pause = min(pause, max(FIRST_S, expected / NEAR_SHARE))
    return pause
