"""A required camera move needs a model with a real camera interface; words in a prompt are a hope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Hashable

    from models.card import Card, Offer
    from policies.base import RouteRequest


@dataclass(frozen=True, slots=True)
class CameraControl:
    """Rejects models that do not offer every required move as an input."""

    name: ClassVar[str] = "camera_control"

    def applies(self, request: RouteRequest) -> bool:
        """False when nothing can be rejected for this request."""
        return any(wish.required for wish in request.camera)

    def reads(self, request: RouteRequest) -> Hashable:
        """All of the request that the answer depends on."""
        return tuple(wish.move for wish in request.camera if wish.required)

    def reject_offer(self, request: RouteRequest, card: Card, offer: Offer) -> str | None:
        """Why this offer is no answer, or None."""
        del offer
        if not request.camera:
            return None
        required = [wish.move for wish in request.camera if wish.required]
        if not required:
            return None
        camera = card.controls.camera
        if not camera.explicit:
            has = "no camera control" if camera.kind == "none" else "only prompt words for the camera"
            return f"{', '.join(required)} is required and this model has {has}"
        missing = [move for move in required if move not in camera.moves]
        if missing:
            return f"its camera interface has no {', '.join(missing)} (it has {', '.join(camera.moves)})"
        if len(required) > camera.max_moves:
            return f"takes {camera.max_moves} camera move(s) a clip; {len(required)} are required"
        return None
