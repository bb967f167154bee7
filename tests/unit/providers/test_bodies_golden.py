"""The exact body of every mode of every hosted offer, compared with one written from the host's schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.card import Card, Mode, Offer
from models.catalog import load_catalog
from models.lint_requests import MAPPED
from models.providers.base import Role, Wanted
from models.providers.bodies import hosted_body
from models.types import CameraMove, ClipPlan, ClipWish, Intensity, Size
from policies.geometry import plan_clip

GOLDEN = Path(__file__).parent / "golden"
CATALOG = load_catalog()
ROWS = [
    pytest.param(card, offer, mode, id=f"{card.id}-{offer.id}-{mode.name}")
    for card in CATALOG
    for offer in card.offers
    for mode in offer.modes
    if offer.backend in MAPPED
]
URLS: dict[Role, str] = {
    "image": "https://in/photo.jpg",
    "last_image": "https://in/last.jpg",
    "driving_video": "https://in/drive.mp4",
    "audio": "https://in/voice.mp3",
}


def _longest(mode: Mode) -> float:
    """The longest clip of the mode; 5 s where an input decides it."""
    length = mode.length
    if length.kind == "seconds":
        return max(length.values)
    if length.kind == "lattice":
        return length.max / mode.rates[0]
    return length.max if length.kind == "range" else 5.0


def _planned(mode: Mode) -> ClipPlan:
    plan = plan_clip(mode, Size(1920, 1080), ClipWish(seconds=_longest(mode)))
    assert not isinstance(plan, str), plan
    return plan


def _plain(card: Card, offer: Offer, mode: Mode) -> tuple[Wanted, dict[Role, str]]:
    """A prompt, a negative prompt, a seed above 2^31 and what the mode needs."""
    wanted = Wanted(
        reference="call_1",
        card=card,
        offer=offer,
        mode=mode,
        plan=_planned(mode),
        prompt="The boat drifts past",
        negative_prompt="blur",
        seed=3_000_000_000,
    )
    needed: tuple[Role, ...] = ("image", *mode.needs)
    return wanted, {role: URLS[role] for role in needed}


def _full(card: Card, offer: Offer, mode: Mode) -> tuple[Wanted, dict[Role, str]]:
    """Besides, a camera move, an intensity and every further wish that the mode takes."""
    plain, inputs = _plain(card, offer, mode)
    controls = card.controls
    loop = controls.loop and "loop" not in mode.excludes
    taken: tuple[tuple[Role, bool], ...] = (
        ("last_image", controls.last_image != "none" and not loop),
        ("audio", controls.audio_in != "none"),
    )
    inputs |= {role: URLS[role] for role, takes in taken if takes and role not in mode.excludes}
    wanted = Wanted(
        reference=plain.reference,
        card=card,
        offer=offer,
        mode=mode,
        plan=plain.plan,
        prompt=plain.prompt,
        negative_prompt=plain.negative_prompt,
        seed=plain.seed,
        camera=(CameraMove.PUSH_IN,),
        intensity=Intensity.GENTLE,
        generate_audio=controls.audio_out != "none",
        loop=loop,
    )
    return wanted, inputs


def _typed(value: Any) -> Any:
    """With the type beside each value, so that 5, 5.0, "5" and True are four things."""
    if isinstance(value, dict):
        return {key: _typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_typed(part) for part in value]
    return type(value).__name__, value


@pytest.mark.parametrize(("card", "offer", "mode"), ROWS)
def test_a_mode_is_asked_for_in_the_words_of_its_host(card: Card, offer: Offer, mode: Mode) -> None:
    golden = json.loads((GOLDEN / f"{card.id}.json").read_text())[offer.id][mode.name]
    for name, scene in (("plain", _plain), ("full", _full)):
        body = hosted_body(*scene(card, offer, mode))
        assert _typed(body) == _typed(golden[name]), name
        assert json.loads(json.dumps(body)) == body


def test_no_golden_body_is_of_a_mode_that_is_gone() -> None:
    held = {
        f"{file.stem}-{offer}-{mode}"
        for file in GOLDEN.glob("*.json")
        for offer, modes in json.loads(file.read_text()).items()
        for mode in modes
    }
    assert held == {row.id for row in ROWS}
