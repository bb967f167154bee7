"""The client's own choice of models: `model`, `allow`, `deny`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from policies.wishes import AUTO

if TYPE_CHECKING:
    from collections.abc import Hashable

    from models.card import Card, Offer
    from policies.base import RouteRequest


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Keeps the asked model only, or those allowed and not denied. Entries are `model` or `model/offer`."""

    name: ClassVar[str] = "model_choice"

    def applies(self, request: RouteRequest) -> bool:
        """False when nothing can be rejected for this request."""
        return request.model != AUTO or bool(request.allow or request.deny)

    def reads(self, request: RouteRequest) -> Hashable:
        """All of the request that the answer depends on."""
        return request.model, request.allow, request.deny

    def reject_offer(self, request: RouteRequest, card: Card, offer: Offer) -> str | None:
        """Why this offer is no answer, or None."""
        if request.model not in {AUTO, card.id}:
            return f"{request.model} was asked for"
        if not request.allow and not request.deny:
            return None
        full = f"{card.id}/{offer.id}"
        if request.allow and card.id not in request.allow and full not in request.allow:
            return f"not among the allowed models ({', '.join(request.allow)})"
        if card.id in request.deny or full in request.deny:
            return "denied by the request"
        return None
