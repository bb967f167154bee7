"""Cards with hosted offers, and the rows of an account that runs them."""

from __future__ import annotations

from typing import Any

from models.card import Card, Offer
from models.catalog import Catalog, load_catalog
from router.jobs.records import Attempt, AttemptStatus, PoolRecord, Worker
from tests.unit.router.dispatching import CARDS

SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}
ACCOUNT = "replicate-main"


def hosted_offer(card: Card, backend: str = "replicate", usd: float = 0.5) -> Offer:
    """The card's own modes at a host: 20 s at a price."""
    return Offer.model_validate(
        {
            "id": backend,
            "backend": backend,
            "ref": f"someone/{card.id}",
            "modes": [mode.model_dump() for mode in card.offers[0].modes],
            "price": {"kind": "per_clip", "usd": usd, **SOURCED},
            "latency": {"p50": 20.0, "p95": 30.0, **SOURCED},
        }
    )


def hosted_catalog() -> Catalog:
    """The fake cards, each at home and at Replicate; the second one at fal too, for less."""
    fakes = {card.id: card for card in load_catalog(CARDS) if card.id.startswith("fake")}
    first, second = fakes["fake-i2v"], fakes["fake-second-i2v"]
    return Catalog.of(
        [
            _with(first, hosted_offer(first)),
            _with(second, hosted_offer(second, usd=0.6), hosted_offer(second, "fal", usd=0.4)),
            _with(first, hosted_offer(first), id="retired-i2v", status="retired", replacement="fake-i2v"),
        ]
    )


def _with(card: Card, *offers: Offer, **changes: Any) -> Card:
    return card.model_copy(update={"offers": (*card.offers, *offers), **changes})


def account(name: str = ACCOUNT, backend: str = "replicate", **changes: Any) -> PoolRecord:
    fields: dict[str, Any] = {
        "name": name, "model": "", "offer": "", "gpu": "hosted", "gang_size": 1,
        "min_replicas": 1, "max_replicas": 1, "healthy": True, "reason": "", "backend": backend,
    }  # fmt: skip
    return PoolRecord(**(fields | changes))


def account_worker(state: str = "ready", slots: int = 1000, pool: str = ACCOUNT, **detail: Any) -> Worker:
    return Worker(f"{pool}#{state}", pool, "", "", "hosted", 1, slots, "here", state, detail)


def call_attempt(number: int, now: float, seconds: float = 20.0, pool: str = ACCOUNT) -> Attempt:
    return Attempt(
        f"vid_{number}", 1, AttemptStatus.RUNNING, pool, "fake-i2v", "replicate", 1, "w",
        {"predicted": {"seconds": seconds}}, dispatched_at=now, started_at=now,
    )  # fmt: skip
