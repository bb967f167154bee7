"""Who goes first: bands by priority, inside a band tenants by turns, inside a turn the nearest deadline.

Turns are deficit round robin (Shreedhar & Varghese 1996): in each round every tenant that waits gets a
quantum of credit and runs jobs while its credit lasts. Credit is predicted GPU-seconds, not jobs, since one
clip costs a hundred times another. A job of tenant t is served in the round in which the credit has grown to
all that t asks up to it, which is known without playing the rounds:

    round = max(1, ceil((received_t + seconds of t's jobs up to this one) / quantum))

Hold-back keeps lower bands from taking the last replicas, so that an urgent job need not wait for a long one:
band i of N may keep busy at most the share max - i (max - min) / (N - 1) of a pool (the priority ceilings of
the llm-d router's flow control, 2026).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING

from models.types import Priority

if TYPE_CHECKING:
    from collections.abc import Iterable

Ledger = Mapping[str, float]
"""GPU-seconds that each tenant has received beyond the least served one that waits; absent: none."""

QUANTUM = 60.0
"""GPU-seconds of credit a round. Our choice: about two clips of a four-step 480p model on an H100."""
CEILINGS = (1.0, 0.8)
"""Share of a pool that the highest and the lowest band may keep busy. Our choice: one replica in five is held
back for what is urgent, once there are five."""
BANDS: Mapping[Priority, int] = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
"""Rank of each priority, the first served first."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that waits, as far as its turn depends on it."""

    id: str
    tenant: str
    priority: Priority
    due: float
    """When its clip must be there, on any one clock; inf when it need not."""
    seconds: float
    """Predicted GPU-seconds."""


def order(queue: Iterable[Claim], ledger: Ledger | None = None, quantum: float = QUANTUM) -> list[Claim]:
    """All of `queue` in the order in which it should be served.

    Equal turns are in order of deadlines, equal deadlines in that of the queue (oldest first).

    Args:
        queue: What waits, oldest first.
        ledger: What tenants have received lately (see `charged` and `settled`).
        quantum: GPU-seconds of credit a round; above 0.
    """
    received = ledger or {}
    asked: dict[tuple[int, str], float] = {}
    turns: list[tuple[int, int, int, Claim]] = []
    by_deadline = sorted(queue, key=lambda claim: (BANDS[claim.priority], claim.due))
    for place, claim in enumerate(by_deadline):
        band = BANDS[claim.priority]
        before = asked.get((band, claim.tenant), max(0.0, received.get(claim.tenant, 0.0)))
        upto = asked[band, claim.tenant] = before + max(0.0, claim.seconds)
        # Rounding keeps sums such as 0.1 + 0.2 from spilling into the next round.
        turns.append((band, max(1, ceil(round(upto / quantum, 9))), place, claim))
    return [claim for *_, claim in sorted(turns, key=lambda turn: turn[:3])]


def charged(ledger: Ledger, tenant: str, gpu_seconds: float) -> Ledger:
    """The ledger after a tenant's job of that many predicted GPU-seconds was started."""
    return {**ledger, tenant: ledger.get(tenant, 0.0) + max(0.0, gpu_seconds)}


def settled(ledger: Ledger, waiting: Collection[str]) -> Ledger:
    """The ledger among those who wait: the least served stands at 0, and who has left is forgotten.

    A tenant that comes (back) starts level with the least served, so that idle time saves up no credit.
    """
    standing = {tenant: ledger[tenant] for tenant in waiting if tenant in ledger}
    least = min(standing.values(), default=0.0)
    return {tenant: standing.get(tenant, least) - least for tenant in sorted(waiting)}


def ceiling(priority: Priority) -> float:
    """Share of a pool that jobs of this priority may keep busy."""
    most, least = CEILINGS
    return most - BANDS[priority] * (most - least) / (len(BANDS) - 1)


@lru_cache(maxsize=1024)
def room(priority: Priority, replicas: int) -> int:
    """How many of a pool's replicas may be busy once a job of this priority runs; at least one."""
    # Rounding first: 0.8 * 5 must not become 5 by the last bit.
    return max(1, ceil(round(ceiling(priority) * replicas, 9)))
