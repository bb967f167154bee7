"""Retired models are gone; the answer names what replaced them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Hashable

    from models.card import Card, Offer
    from policies.base import RouteRequest


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Rejects retired cards."""

    name: ClassVar[str] = "lifecycle"

    def reads(self, request: RouteRequest) -> Hashable:
        """All of the request that the answer depends on."""
        del request
        return None

    def reject_offer(self, request: RouteRequest, card: Card, offer: Offer) -> str | None:
        """Why this offer is no answer, or None."""
        del request, offer
        return gone(card) if card.status == "retired" else None


def gone(card: Card) -> str:
    """Since when a retired card is gone, and what answers in its place."""
    when = f" on {card.retires_on}" if card.retires_on else ""
    instead = f"; use {card.replacement} instead" if card.replacement else ""
    return f"{card.title} was retired{when}{instead}"
