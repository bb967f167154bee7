"""Every mode row of every hosted offer, called through its adapter at the strict fake, made and fetched."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
import pytest

from models.card import Card, Mode, Offer
from models.catalog import load_catalog
from models.lint_requests import MAPPED
from models.providers.base import Account, Attachment, Phase, Provider, Role, Sighting, Ticket, Wanted
from models.providers.fake.server import FakeSettings, running
from models.providers.registry import spec
from models.runners.encode import encode_clip
from models.types import ClipPlan, ClipWish, Geometry, Size
from policies.geometry import plan_clip
from tests.unit.providers.hosted_calls import photograph

KEY = "a-key"
SECONDS = 5
"""Of the driving video and the voice."""


def rows(backend: str) -> list[tuple[Card, Offer, Mode]]:
    return [
        (card, offer, mode)
        for card in load_catalog()
        for offer in card.offers
        for mode in offer.modes
        if offer.backend == backend and card.status != "retired"
    ]


def longest(mode: Mode) -> float:
    length = mode.length
    if length.kind == "seconds":
        return max(length.values)
    if length.kind == "lattice":
        return length.max / mode.rates[0]
    return length.max if length.kind == "range" else float(SECONDS)


def planned(mode: Mode) -> ClipPlan:
    plan = plan_clip(mode, Size(1280, 720), ClipWish(seconds=longest(mode)))
    assert not isinstance(plan, str), plan
    return plan


def played(path: Path) -> float:
    """Seconds, by the frames that can be decoded."""
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
        return frames / float(container.streams.video[0].average_rate)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Role, Attachment]:
    folder: Path = tmp_path_factory.mktemp("inputs")
    frames = (np.full((360, 640, 3), shade % 255, np.uint8) for shade in range(16 * SECONDS))
    driving = encode_clip(frames, Geometry(640, 360, 16 * SECONDS, 16.0), folder).video.read_bytes()
    voice = io.BytesIO()
    with wave.open(voice, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 16_000 * SECONDS))
    picture = photograph().content
    return {
        "image": Attachment("call-image.jpg", "image/jpeg", picture),
        "last_image": Attachment("call-last_image.jpg", "image/jpeg", picture),
        "driving_video": Attachment("call-driving_video.mp4", "video/mp4", driving),
        "audio": Attachment("call-audio.wav", "audio/wav", voice.getvalue()),
    }


async def over(provider: Provider, ticket: Ticket) -> Sighting:
    for _ in range(200):
        sighting = await provider.look(ticket)
        if sighting.phase.over:
            return sighting
        await asyncio.sleep(0.01)
    raise AssertionError("it did not end")


@pytest.mark.parametrize("backend", sorted(MAPPED))
async def test_every_row_is_accepted_made_and_fetched(
    backend: str, inputs: Mapping[Role, Attachment], tmp_path: Path
) -> None:
    failed: list[str] = []
    async with running(FakeSettings(backend, key=KEY, latency_s=0.0)) as fake:
        provider = spec(backend).connect(Account(backend, KEY, fake.url))
        try:
            urls = {role: await provider.upload(attachment) for role, attachment in inputs.items()}
            for number, (card, offer, mode) in enumerate(rows(backend)):
                needed: tuple[Role, ...] = ("image", *mode.needs)
                wanted = Wanted(
                    f"call_{number:024x}",
                    card,
                    offer,
                    mode,
                    planned(mode),
                    prompt="The boat drifts past",
                    seed=7,
                )
                prepared = provider.prepare(wanted, {role: urls[role] for role in needed}, {})
                ticket = await provider.submit(prepared)
                sighting = await over(provider, ticket)
                name = f"{card.id}/{offer.id}/{mode.name}"
                if sighting.phase is not Phase.SUCCEEDED:
                    failed.append(f"{name}: {sighting.phase}: {sighting.error}")
                    continue
                clip = await provider.download(sighting, ticket, tmp_path / "clip.mp4", 50 * 2**20)
                made, asked = played(clip.path), wanted.plan.native.seconds
                if mode.length.kind != "follows" and abs(made - asked) > 0.5:
                    failed.append(f"{name}: plays {made:.2f} s, asked were {asked:.2f} s")
        finally:
            await provider.close()
        assert len(fake.ledger) == len(rows(backend))
    assert not failed, "\n".join(failed)
    assert len(rows(backend)) > 50
