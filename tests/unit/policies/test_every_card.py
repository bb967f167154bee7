"""Every shipped card is planned, priced, predicted or refused by what it says of itself."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from models.card import HOSTED, AreaSizes, Card, FollowsInput, ListedSeconds, ListedSizes, RangeSeconds
from models.catalog import load_catalog
from models.cost import price_of
from models.gpus import load_gpus
from models.types import TaskType
from policies.base import Candidate, Decision
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles

CATALOG, GPUS = load_catalog(strict=True), load_gpus()
ENGINE = Engine(CATALOG, GPUS, load_profiles(strict=True))
FLEET = idle_fleet(CATALOG, GPUS)
SECONDS = 6.0

PHOTOGRAPHS: dict[str, dict[str, Any]] = {
    "portrait": {
        "width": 3024,
        "height": 4032,
        "subject": "portrait",
        "subject_confidence": 0.9,
        "faces": ((0.35, 0.2, 0.3, 0.3),),
        "largest_face": 0.09,
    },
    "landscape": {"width": 4032, "height": 3024, "subject": "landscape", "subject_confidence": 0.9},
}
GIVEN: dict[str, dict[str, Any]] = {
    "nothing": {"task": TaskType.TI2V},
    "last image": {"task": TaskType.FLF2V, "has_last_image": True},
    "driving video": {
        "task": TaskType.ANIMATE,
        "has_driving_video": True,
        "driving_seconds": SECONDS,
    },
    "audio": {"task": TaskType.A2V, "has_audio": True, "audio_seconds": SECONDS},
}
CONTROL = {"last image": "last_image", "driving video": "driving_video", "audio": "audio_in"}

each_case = pytest.mark.parametrize(
    ("card", "photograph", "given"),
    [
        pytest.param(card, photograph, given, id=f"{card.id}-{photograph}-{given.replace(' ', '_')}")
        for card, photograph, given in product(CATALOG, PHOTOGRAPHS, GIVEN)
    ],
)


def ask(build: Any, card: Card, photograph: str, given: str, **more: Any) -> Decision:
    request = build.request(**PHOTOGRAPHS[photograph], **GIVEN[given], model=card.id, **more)
    return ENGINE.decide(request, FLEET)


def takes(card: Card, given: str) -> bool:
    """What its controls say: all that is given is taken, all that is required is given."""
    needs = {what: getattr(card.controls, control) for what, control in CONTROL.items()}
    missing = any(need == "required" and what != given for what, need in needs.items())
    return card.status != "retired" and not missing and needs.get(given, "optional") != "none"


@each_case
def test_is_chosen_exactly_when_it_takes_what_is_given(
    build: Any, card: Card, photograph: str, given: str
) -> None:
    decision = ask(build, card, photograph, given)
    if takes(card, given):
        assert decision.chosen is not None, [r for r in decision.rejected if r.model == card.id]
        assert decision.chosen.candidate.card.id == card.id
        for scored in decision.candidates:
            check(scored.candidate, photograph, given)
        return
    assert decision.chosen is None
    reasons = [row.reason for row in decision.rejected if row.model == card.id]
    assert reasons
    assert all(len(reason) > 15 for reason in reasons)
    if card.status == "retired":
        assert all(f"use {card.replacement} instead" in reason for reason in reasons)
    # Somebody else can: what to change is said.
    assert decision.counter_offers
    assert all(offer.chosen.candidate.card.status != "retired" for offer in decision.counter_offers)


def check(made: Candidate, photograph: str, given: str) -> None:
    """The plan keeps the mode's limits; prediction and price follow from the card."""
    mode, native, clip = made.mode, made.plan.native, made.plan.effective
    if isinstance(mode.sizes, AreaSizes):
        assert mode.sizes.min_pixels <= native.width * native.height <= mode.sizes.pixels
        assert native.width % mode.sizes.multiple == native.height % mode.sizes.multiple == 0
        assert (clip.width < clip.height) == (photograph == "portrait")
    else:
        assert isinstance(mode.sizes, ListedSizes)
        assert (native.width, native.height) in mode.sizes.sizes
    assert clip.width % 2 == clip.height % 2 == 0
    assert native.fps in mode.rates
    seconds = native.num_frames / native.fps
    half_a_frame = 0.51 / native.fps
    if isinstance(mode.length, ListedSeconds):
        assert any(abs(seconds - value) <= half_a_frame for value in mode.length.values)
    elif isinstance(mode.length, RangeSeconds):
        steps = (seconds - mode.length.min) / mode.length.step
        assert abs(steps - round(steps)) * mode.length.step <= half_a_frame
        assert mode.length.min - half_a_frame <= seconds <= mode.length.max + half_a_frame
    elif isinstance(mode.length, FollowsInput):
        assert clip.seconds == pytest.approx(SECONDS, abs=2 * half_a_frame)
    else:
        assert (native.num_frames - mode.length.offset) % mode.length.step == 0
        assert mode.length.min <= native.num_frames <= mode.length.max
    assert {"last image": "last_image", "driving video": "driving_video"}.get(
        given, given
    ) not in mode.excludes
    prediction = made.prediction
    assert prediction.seconds > 0
    assert 0 < prediction.quality < 1
    assert (prediction.gpu_seconds == 0) == (made.offer.backend in HOSTED)
    price = price_of(made.offer, mode)
    if price is None:
        assert prediction.usd is None
    elif price.kind == "per_second":
        assert prediction.usd == pytest.approx(price.usd * clip.seconds)
    elif price.kind == "per_clip":
        assert prediction.usd == pytest.approx(price.usd * made.plan.segments)
    else:
        assert prediction.usd is not None
        assert prediction.usd >= 0


@pytest.mark.parametrize("card", CATALOG, ids=lambda card: card.id)
def test_a_price_that_nobody_knows_is_none_under_a_budget(build: Any, card: Card) -> None:
    given = next((what for what in GIVEN if takes(card, what)), "nothing")
    decision = ask(build, card, "portrait", given, max_cost_usd=1000.0)
    priced = {s.candidate.offer.id for s in decision.candidates}
    assert all(s.candidate.prediction.usd is not None for s in decision.candidates)
    for row in decision.rejected:
        if row.model == card.id and row.filter == "budget":
            assert "price is not known" in row.reason
            assert any(price_of(card.offer(row.offer), mode) is None for mode in card.offer(row.offer).modes)
    for offer in card.offers:
        known = any(price_of(offer, mode) is not None for mode in offer.modes)
        assert known or offer.id not in priced


@pytest.mark.parametrize("alias", sorted(CATALOG.aliases))
def test_an_alias_is_its_card(build: Any, alias: str) -> None:
    card = CATALOG.get(alias)
    named = ENGINE.decide(build.request(model=alias), FLEET)
    by_id = ENGINE.decide(build.request(model=card.id), FLEET)
    assert [s.candidate.key for s in named.candidates] == [s.candidate.key for s in by_id.candidates]
    assert named.rejected == by_id.rejected
