"""Which wishes stand in each other's way, when nothing fits.

A set of wishes clashes when a request with those alone cannot be had. Sets are tried by size, one wish, then
two, then three, each by deciding on the request with all other wishes dropped; the smallest ones that clash
are told, all of them. Where giving one wish of each up would still not do, the sets that then clash are told
too, so that what is told is all that must give way. A file that is given is more than a wish, since some
models cannot do without: a set only clashes when the files do not help.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations, islice, product
from typing import TYPE_CHECKING

from policies.base import Clash
from policies.wishes import present, without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from policies.base import Decision, RouteRequest
    from policies.wishes import Wish

LARGEST = 3
"""Sets of more wishes are not looked for one by one: four of ten would be 210 decisions."""

MOST = 6
"""Sets that are told. Our choice: nobody reads more of them."""
MOST_WAYS = 16
"""Ways of giving one wish of each set up that are tried. Our choice: each is a decision."""

FILES = frozenset({"last_image", "driving_video", "audio"})
"""Wishes that are inputs."""

FILTERS: Mapping[str, tuple[str, ...]] = {
    "deadline_s": ("deadline",),
    "max_cost_usd": ("budget",),
    "seconds": ("geometry",),
    "size": ("geometry",),
    "fps": ("geometry",),
    "camera": ("camera_control",),
    "generate_audio": ("task",),
    "last_image": ("task",),
    "driving_video": ("task",),
    "audio": ("task",),
    "residency": ("residency",),
    "model": ("lifecycle", "health", "input_image", "task"),
}
"""The filters that speak of a wish."""


def find_clashes(request: RouteRequest, decide: Callable[[RouteRequest], Decision]) -> tuple[Clash, ...]:
    """The smallest sets of wishes that cannot be had together, and what clashes once they give way.

    None when nothing at all can be had.

    Args:
        request: The request that nothing fits.
        decide: The decision for a changed request, without clashes and counter-offers of its own.
    """
    wishes = present(request)
    files = [wish for wish in wishes if wish.field in FILES]

    def left(kept: Iterable[Wish]) -> Decision:
        names = {wish.field for wish in kept}
        return decide(without(request, *(wish.field for wish in wishes if wish.field not in names)))

    def clashes(kept: Sequence[Wish]) -> bool:
        return left(kept).chosen is None and left((*kept, *files)).chosen is None

    if left(()).chosen is None:
        return ()
    sets: list[tuple[Wish, ...]] = []
    for size in range(1, min(LARGEST, len(wishes)) + 1):
        sets = [kept for kept in combinations(wishes, size) if clashes(kept)]
        if sets:
            break
    while len(sets) < MOST:
        rest = _still_clashing(wishes, sets, clashes)
        if rest is None:
            break
        sets.append(_minimal(rest, clashes))
    return tuple(_clash(request, kept, left(kept)) for kept in sets)


def _still_clashing(
    wishes: Sequence[Wish], sets: Sequence[tuple[Wish, ...]], clashes: Callable[[Sequence[Wish]], bool]
) -> list[Wish] | None:
    """What clashes even after one wish of each set was given up; None when each way of doing so helps."""
    for given_up in islice(product(*sets), MOST_WAYS):
        rest = [wish for wish in wishes if wish not in given_up]
        if clashes(rest):
            return rest
    return None


def _minimal(wishes: Sequence[Wish], clashes: Callable[[Sequence[Wish]], bool]) -> tuple[Wish, ...]:
    """One set that clashes and holds no wish too many: each is dropped in turn, and stays out if it can."""
    kept = list(wishes)
    for wish in wishes:
        fewer = [other for other in kept if other is not wish]
        if clashes(fewer):
            kept = fewer
    return tuple(kept)


def _clash(request: RouteRequest, wishes: Sequence[Wish], decision: Decision) -> Clash:
    words = [str(wish.told(request)) for wish in wishes]
    fields = tuple(wish.field for wish in wishes)
    if len(words) > 1:
        return Clash(fields, f"{', '.join(words[:-1])} and {words[-1]} cannot be had together")
    reason = _reason(request, fields[0], decision)
    return Clash(fields, f"{words[0]} cannot be had{reason}")


def _reason(request: RouteRequest, field: str, decision: Decision) -> str:
    """What a filter that speaks of the wish said, of the asked model if one was named.

    What it said least often: that most models have no camera control says nothing of the few that do.
    """
    rows = [
        row
        for row in decision.rejected
        if row.filter in FILTERS.get(field, ()) and (field != "model" or row.model == request.model)
    ]
    if not rows:
        return ""
    often = Counter(row.reason for row in rows)
    told = min(rows, key=lambda row: often[row.reason])
    return f" ({told.model}: {told.reason})"
