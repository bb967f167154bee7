"""When to come back: what a provider says about it, and how long to wait where it says nothing. Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

_RESETS = re.compile(r"(?:resets?|try again|retry|available)\s+in\s+~?\s*(\d+(?:\.\d+)?)\s*s", re.IGNORECASE)
"""Replicate's 429 says `… Your rate limit resets in ~30s.` in `detail`, and gives no header."""
LONGEST_WAIT_S = 3600.0
"""A longer wait than this is not believed. Our choice: all known limits are by the minute or the day."""


def retry_after_s(headers: Mapping[str, str], text: str, now: float) -> float | None:
    """Seconds until the provider wants to hear from us again; None where it does not say.

    Args:
        headers: Lower-case names. `Retry-After` holds seconds or a date (RFC 9110, 10.2.3).
        text: The body, for providers that say it in words.
        now: Unix seconds, for dates.
    """
    told = headers.get("retry-after", "").strip()
    seconds = _seconds(told, now) if told else None
    if seconds is None:
        found = _RESETS.search(text)
        seconds = float(found[1]) if found else None
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT_S)


def _seconds(told: str, now: float) -> float | None:
    if re.fullmatch(r"\d+(\.\d+)?", told):
        return float(told)
    try:
        moment = parsedate_to_datetime(told)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now


@dataclass(frozen=True, slots=True)
class Jitter:
    """Exponential back-off with full jitter: uniform in [0, min(cap, base * 2**(n - 1))] seconds."""

    base_s: float = 0.5
    cap_s: float = 8.0
    uniform: Callable[[float, float], float] = field(default=random.SystemRandom().uniform)

    def delay(self, failures: int) -> float:
        """Seconds to wait after the n-th failure, n from 1."""
        exponent = min(max(failures, 1) - 1, 30)
        return self.uniform(0.0, min(self.cap_s, self.base_s * 2.0**exponent))
