"""Order that does not depend on the order of the input."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policies.base import Scored


def best_first(scored: Iterable[Scored]) -> list[Scored]:
    """By utility, highest first; equal utilities by the candidate's key."""
    ordered = sorted(scored, key=lambda s: -s.utility)
    # Keys are strings to build; most decisions have no tie.
    if any(a.utility == b.utility for a, b in pairwise(ordered)):
        ordered.sort(key=lambda s: (-s.utility, s.candidate.key))
    return ordered
