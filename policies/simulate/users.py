"""Who asks: few ask often, many ask once, and the same one often asks twice in a row."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

ZIPF = 0.79
"""Exponent of a user's share over the user's rank: least squares over the 200 largest groups of
alibaba/clusterdata, cluster-trace-v2026-GenAI, lora_request_trace (26 823 image requests, 2024). Parameters
only; the trace itself is not used."""
SAME_USER = 0.17
"""Share of requests whose predecessor is the same user's, from the same trace; the part of it that Zipf
shares already explain is left out here, since they explain little."""
USERS = 200
"""How many ranks: those that the exponent was fitted to."""


class ZipfUsers:
    """Names of users, one for each request."""

    def __init__(self, random: Random, users: int = USERS) -> None:
        self._random = random
        self._edges = list(accumulate(rank**-ZIPF for rank in range(1, users + 1)))
        self._last: str | None = None

    def next(self) -> str:
        """Who asks next."""
        if self._last is None or self._random.random() >= SAME_USER:
            rank = bisect(self._edges, self._random.random() * self._edges[-1])
            self._last = f"user-{rank + 1:03d}"
        return self._last
