"""Order that does not depend on the order of the input."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING

from policies.calibration import EXPLORE_BELOW, EXPLORE_MARGIN, slice_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from policies.base import RouteRequest, Scored

EQUAL = 1e-9
"""Utilities that differ by no more are equal: sums of floats end in other digits when nothing differs."""

_utility = itemgetter(1)
"""The second field of `Scored`, by its place: half the time of a look-up by name."""


def best_first(scored: Iterable[Scored]) -> list[Scored]:
    """By utility, highest first; equal utilities by least headroom, then price, then the candidate's key.

    Headroom is what is left of the deadline. Of two equals the one that just makes it is taken (the bin-pack
    rule of the llm-d router, 2026), which keeps the faster one for those who need it; one that is expected to
    be late comes after all that are not, the least late first.
    """
    ordered = sorted(scored, key=_utility, reverse=True)
    worths = [_utility(one) for one in ordered]
    if not any(high - low <= EQUAL for high, low in pairwise(worths)):
        return ordered
    # Keys are strings to build, so only those who tie are compared by them.
    first = 0
    for place in range(1, len(ordered) + 1):
        if place < len(ordered) and worths[first] - worths[place] <= EQUAL:
            continue
        if place - first > 1:
            ordered[first:place] = sorted(ordered[first:place], key=_among_equals)
        first = place
    return ordered


def _among_equals(scored: Scored) -> tuple[bool, float, float, str]:
    usd = scored.candidate.prediction.usd
    return (*_headroom(scored), inf if usd is None else usd, scored.candidate.key)


def _headroom(scored: Scored) -> tuple[bool, float]:
    deadline = scored.request.deadline_s
    if deadline is None:
        return False, 0.0
    left = deadline - scored.candidate.prediction.total_seconds
    return left < 0, abs(left)


def explored(
    request: RouteRequest, ordered: Sequence[Scored], margin: float = EXPLORE_MARGIN
) -> Sequence[Scored]:
    """The same order, but for the few requests that explore: one of the near-best offers goes first.

    The draw says which, each with equal chance, among the best candidates of the offers whose utility is
    within `margin` of the best. The same request explores the same offer every time.
    """
    draw = request.draw
    if draw is None or not ordered or slice_of(draw, request.objective) != "explore":
        return ordered
    least = ordered[0].utility - margin
    near: dict[tuple[str, str], int] = {}
    for place, scored in enumerate(ordered):
        if scored.utility < least:
            break
        near.setdefault((scored.candidate.card.id, scored.candidate.offer.id), place)
    places = list(near.values())
    tried = places[min(int(draw / EXPLORE_BELOW * len(places)), len(places) - 1)]
    return [ordered[tried], *ordered[:tried], *ordered[tried + 1 :]]
