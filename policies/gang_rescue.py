"""Which promises are kept when not all can be: as many as possible, by Moore and Hodgson's rule.

Moore (1968) gives up the longest job whenever the jobs so far do not make their due times on one machine,
which leaves the fewest late. The gang counts as one machine here, since a clip's steps divide over its GPUs
almost without loss; a clip is as long as its work is, over what keeping its promise is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Claim:
    """A clip's claim to the GPUs.

    Attributes:
        clip: Its id.
        by: When its steps should be done.
        work: GPU-seconds that it still takes.
        price: What keeping it costs: work over worth. The dearest is given up first.
    """

    clip: str
    by: float
    work: float
    price: float


def kept(claims: Sequence[Claim], now: float, gpus: int, busy: float, margin: float) -> set[str]:
    """The clips whose promises are kept.

    Args:
        claims: All of them, in order of `by`.
        now: The clock.
        gpus: GPUs that share the work.
        busy: GPU-seconds that are spoken for before any of it.
        margin: Factor on the work.
    """
    total = busy
    heap: list[tuple[float, str, float]] = []
    pace = margin / gpus
    for claim in claims:
        total += claim.work
        heappush(heap, (-claim.price, claim.clip, claim.work))
        while heap and now + pace * total > claim.by:
            total -= heappop(heap)[2]
    return {clip for _, clip, _ in heap}
