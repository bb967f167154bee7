"""Pools of provider accounts: one application that runs every offer of its host. Pure.

An account has places for hundreds of calls, and a decision must not get slower for each that is taken. So
while a place is free policies see as many idle replicas as there are free places and nothing that runs: a new
clip waits for nothing. Only an account without a free place shows its calls, since then one of them must end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.catalog import Catalog
from policies.base import Pool
from router.health import OfferKey
from router.jobs.records import PoolRecord


def is_account(record: PoolRecord) -> bool:
    """True for a provider's account, which runs many offers; a model's replicas and an engine name theirs."""
    return not record.model


def offers_on(record: PoolRecord, catalog: Catalog | None) -> tuple[OfferKey, ...]:
    """The offers that an application can run.

    A model's replicas run their own and those laid over it, an engine its own; an account runs every offer of
    its host whose card is not retired, in the catalog's order.
    """
    if is_account(record):
        return tuple(
            (card.id, offer.id)
            for card in (catalog or ())
            if card.status != "retired"
            for offer in card.offers
            if offer.backend == record.backend
        )
    own = (record.model, record.offer)
    card = catalog.cards.get(record.model) if catalog is not None else None
    if card is None:
        return (own,)
    return (own, *((card.id, offer.id) for offer in card.offers if offer.replica == record.offer))


@dataclass(frozen=True, slots=True)
class Places:
    """The calls that an account's workers hold and could hold."""

    most: int
    """Calls that they hold at once."""
    busy: tuple[float, ...] = ()
    """Predicted seconds until each call in flight is done, soonest first."""

    def taken(self, seconds: float) -> Places:
        """With one more call, that will take `seconds`."""
        return replace(self, busy=(*self.busy, seconds))

    @property
    def load(self) -> tuple[int, tuple[float, ...]]:
        """Replicas and busy seconds that policies see."""
        free = self.most - len(self.busy)
        return (free, ()) if free > 0 else (self.most, tuple(sorted(self.busy)))


def loaded(pools: Sequence[Pool], name: str, places: Places) -> tuple[Pool, ...]:
    """The pools, those of this account with its load as it is now."""
    replicas, busy = places.load
    return tuple(
        replace(pool, replicas=replicas, busy_seconds=busy) if pool.name == name else pool for pool in pools
    )
