"""Photographs that may not leave the operator's machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.types import Residency as Where

if TYPE_CHECKING:
    from collections.abc import Hashable

    from models.card import Card, Offer
    from policies.base import RouteRequest

SELF_HOSTED = frozenset({"local", "engine"})


@dataclass(frozen=True, slots=True)
class Residency:
    """Rejects hosted providers when the request is self-hosted only."""

    name: ClassVar[str] = "residency"

    def applies(self, request: RouteRequest) -> bool:
        """False when nothing can be rejected for this request."""
        return request.residency is Where.SELF_HOSTED

    def reads(self, request: RouteRequest) -> Hashable:
        """All of the request that the answer depends on."""
        return request.residency

    def reject_offer(self, request: RouteRequest, card: Card, offer: Offer) -> str | None:
        """Why this offer is no answer, or None."""
        del card
        if request.residency is Where.SELF_HOSTED and offer.backend not in SELF_HOSTED:
            return f"would send the photograph to {offer.backend}, and the request is self-hosted only"
        return None
