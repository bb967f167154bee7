"""The workers of each pool: how many can take work, and what ails the others. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from router.jobs.records import Worker

_ABLE = frozenset({"ready", "rebuilding"})
"""They take work, or will within seconds."""
_AILING = frozenset({"broken", "lost", "away"})


@dataclass(slots=True)
class Crew:
    """The workers of a pool."""

    ready: int = 0
    """Those that can work or soon will."""
    slots: int = 1
    """Clips that one of them holds at once."""
    places: int = 0
    """Clips that all that are ready hold at once."""
    ailment: str | None = None
    """What ails one of the others."""
    flagged: dict[str, str] = field(default_factory=dict)
    """Offers (`model/offer`) that single workers say are out, and why."""


def crews_of(workers: Iterable[Worker]) -> Mapping[str, Crew]:
    """By pool; those without a worker are absent."""
    crews: dict[str, Crew] = defaultdict(Crew)
    for worker in workers:
        crew = crews[worker.pool]
        if worker.state in _ABLE:
            crew.ready += 1
            crew.slots = max(crew.slots, worker.slots)
            crew.places += worker.slots if worker.state == "ready" else 0
        elif worker.state in _AILING:
            crew.ailment = str(worker.detail.get("reason") or worker.state)
        crew.flagged.update(worker.detail.get("flagged") or {})
    return dict(crews)


def broken_pools(workers: Iterable[Worker]) -> frozenset[str]:
    """Pools all of whose workers are up but cannot work (no weights are to be had, or no key)."""
    states: dict[str, set[str]] = {}
    for worker in workers:
        states.setdefault(worker.pool, set()).add(worker.state)
    return frozenset(pool for pool, seen in states.items() if seen == {"broken"})
