"""Planned clips of hosted offers, and a photograph, for the tests of adapters."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from models.catalog import load_catalog
from models.providers.base import Attachment, Wanted
from models.types import ClipWish, Size
from policies.geometry import plan_clip

CATALOG = load_catalog()


def wanted(model: str, backend: str, *, reference: str = "call_1", webhook: str | None = None) -> Wanted:
    """A clip in the first mode of the model's first offer of that backend."""
    card = CATALOG.get(model)
    offer = next(offer for offer in card.offers if offer.backend == backend)
    mode = offer.modes[0]
    plan = plan_clip(mode, Size(1280, 720), ClipWish())
    assert not isinstance(plan, str), plan
    return Wanted(reference, card, offer, mode, plan, prompt="Waves roll in", seed=7, webhook=webhook)


def photograph(reference: str = "call_1", **size: Any) -> Attachment:
    """A small landscape as a JPEG."""
    buffer = io.BytesIO()
    Image.new("RGB", (size.get("width", 1280), size.get("height", 720)), (40, 90, 160)).save(buffer, "JPEG")
    return Attachment(f"{reference}-image.jpg", "image/jpeg", buffer.getvalue())
