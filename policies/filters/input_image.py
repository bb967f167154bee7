"""Photographs that a model does not take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from models.card import Card, Offer
    from policies.base import RouteRequest


@dataclass(frozen=True, slots=True)
class InputImage:
    """Rejects models whose limits on side and aspect the photograph does not meet."""

    name: ClassVar[str] = "input_image"

    def reject_offer(self, request: RouteRequest, card: Card, offer: Offer) -> str | None:
        """Why this offer is no answer, or None."""
        del offer
        image, limit = request.features.image, card.input_image
        width, height = image.width, image.height
        if width < limit.min_side or height < limit.min_side:
            return f"the photograph is {image.size}; this model takes no side below {limit.min_side} px"
        if width > limit.max_side or height > limit.max_side:
            return f"the photograph is {image.size}; this model takes no side above {limit.max_side} px"
        aspect = width / height
        if not limit.aspect_min <= aspect <= limit.aspect_max:
            return (
                f"the photograph's aspect is {aspect:.2f}; this model takes "
                f"{limit.aspect_min:.2f} to {limit.aspect_max:.2f}"
            )
        return None
