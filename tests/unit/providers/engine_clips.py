"""Planned clips of engine offers, and fakes of the engines with their adapters, for tests."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from PIL import Image

from models.catalog import load_catalog
from models.providers.base import Account, Attachment, Provider, Sighting, Ticket, Wanted
from models.providers.fake.core import Fake
from models.providers.fake.server import FakeSettings, running
from models.providers.registry import spec
from models.types import ClipPlan, Fit, Framing, Geometry

CATALOG = load_catalog()
SECRET = "a lighthouse in fog that nobody shall read in a log"


def a_plan(width: int = 96, height: int = 64, frames: int = 9, fps: float = 16.0) -> ClipPlan:
    shape = Geometry(width, height, frames, fps)
    return ClipPlan(effective=shape, native=shape, framing=Framing(Fit.EXACT, 1.0, 1.0))


def a_clip(reference: str = "call_1", card: str = "wan2.2-i2v-a14b", **more: object) -> Wanted:
    found = CATALOG.get(card)
    offer = found.offer("engine")
    wanted = Wanted(reference, found, offer, offer.modes[0], a_plan(), prompt=SECRET, seed=7)
    return replace(wanted, **more)  # type: ignore[arg-type]


def a_photograph(width: int = 96, height: int = 64) -> Attachment:
    target = io.BytesIO()
    Image.new("RGB", (width, height), (200, 120, 40)).save(target, "JPEG")
    return Attachment("call-image.jpg", "image/jpeg", target.getvalue())


@asynccontextmanager
async def engine(
    name: str, latency_s: float = 0.0, key: str | None = None
) -> AsyncIterator[tuple[Fake, Provider]]:
    async with running(FakeSettings(provider=name, latency_s=latency_s, key=key)) as fake:
        provider = spec(name).connect(Account(name, key, fake.url))
        try:
            yield fake, provider
        finally:
            await provider.close()


async def submitted(provider: Provider, wanted: Wanted) -> Ticket:
    return await provider.submit(provider.prepare(wanted, {}, {"image": a_photograph()}))


async def looked(provider: Provider, ticket: Ticket, until: Callable[[Sighting], bool]) -> Sighting:
    for _ in range(2000):
        sighting = await provider.look(ticket)
        if until(sighting):
            return sighting
        await asyncio.sleep(0.01)
    raise AssertionError(f"never came; last {sighting}")


async def over(provider: Provider, ticket: Ticket) -> Sighting:
    return await looked(provider, ticket, lambda sighting: sighting.phase.over)
