"""Offers of running engines: priced and predicted like our own replicas, and honest about what they lack."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from models.card import Card, LatticeFrames, Mode, Offer
from models.catalog import Catalog, load_catalog
from models.cost import estimate, usd
from models.gpus import load_gpus
from models.lint import lint
from models.types import ClipPlan, Fit, Framing, Geometry

CATALOG, GPUS = load_catalog(strict=True), load_gpus()
ENGINES = [(card, offer) for card in CATALOG for offer in card.offers if offer.backend == "engine"]
each_engine = pytest.mark.parametrize(
    ("card", "offer"), ENGINES, ids=[f"{card.id}-{offer.id}" for card, offer in ENGINES]
)


def longest(mode: Mode) -> ClipPlan:
    assert isinstance(mode.length, LatticeFrames)
    shape = Geometry(480, 480, mode.length.max, mode.rates[0])
    return ClipPlan(effective=shape, native=shape, framing=Framing(Fit.EXACT, 1.0, 1.0))


def twin(card: Card, mode: Mode) -> Mode:
    """The mode of the local offer of the same name."""
    return next(local for local in card.offer("local").modes if local.name == mode.name)


def test_the_open_models_that_engines_serve_have_one() -> None:
    assert {card.id for card, _ in ENGINES} == {
        "hunyuanvideo-1.5-i2v",
        "ltx-2",
        "wan2.1-i2v-480p",
        "wan2.1-i2v-720p",
        "wan2.2-i2v-a14b",
        "wan2.2-ti2v-5b",
    }


@each_engine
def test_it_makes_what_the_local_offer_makes_in_one_shot(card: Card, offer: Offer) -> None:
    local = card.offer("local")
    assert offer.runner is None
    assert offer.degrees == local.degrees
    assert offer.default_gpu == local.default_gpu
    assert offer.sampling is not None
    assert local.sampling is not None
    said = {"steps", "guidance", "passes_per_step", "flow_shift"}
    assert offer.sampling.model_dump(include=said) == local.sampling.model_dump(include=said)
    for mode in offer.modes:
        same = twin(card, mode)
        assert (mode.sizes, mode.length, mode.fps) == (same.sizes, same.length, same.fps)
        assert (mode.max_segments, mode.overlap, mode.stretch, mode.interpolate_to) == (1, 1, None, None)
        assert ("last_image" in mode.excludes) == (card.controls.last_image != "none")
        assert mode.inferred


@each_engine
def test_time_memory_and_price_are_those_of_the_same_gpus(card: Card, offer: Offer) -> None:
    local = card.offer("local")
    for mode in offer.modes:
        plan, gpu = longest(mode), GPUS["h200"]
        for degree in offer.degrees:
            got = estimate(card, offer, plan, gpu, degree)
            assert got == estimate(card, local, plan, gpu, degree)
            assert got.gpu_seconds > 0
            price = offer.price
            assert not isinstance(price, str)
            assert usd(price, plan, got, gpu) == pytest.approx(got.gpu_seconds * gpu.usd_per_hour / 3600)


@each_engine
def test_lint_has_nothing_to_say(card: Card, offer: Offer) -> None:
    found = lint(Catalog.of([card]), today=date(2026, 11, 21), max_age_days=365)
    assert [row for row in found if f"offers.{offer.id}" in row.field] == []


def sheet_of(card_id: str) -> dict[str, Any]:
    return copy.deepcopy(CATALOG.get(card_id).model_dump(mode="json"))


def offer_of(sheet: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(offer for offer in sheet["offers"] if offer["id"] == "engine")
    return found


def test_without_cost_or_sampling_there_is_no_engine_offer() -> None:
    sheet = sheet_of("wan2.2-ti2v-5b")
    sheet["offers"] = [offer_of(sheet)]
    assert Card.model_validate(sheet).offers[0].backend == "engine"
    with pytest.raises(ValidationError, match="offer engine is engine: the card needs a cost block"):
        Card.model_validate(sheet | {"cost": None})
    offer_of(sheet)["sampling"] = None
    with pytest.raises(ValidationError, match="offer engine denoises: it needs a sampling block"):
        Card.model_validate(sheet)


@pytest.mark.parametrize(
    "change",
    [
        {"max_segments": 2},
        {"interpolate_to": 48},
        {"stretch": {"frames": 161, "source": "a test", "checked_at": "2026-11-21"}},
    ],
)
def test_lint_refuses_what_an_engine_cannot_do(change: dict[str, Any]) -> None:
    sheet = sheet_of("wan2.2-ti2v-5b")
    offer_of(sheet)["modes"][0] |= change
    found = lint(Catalog.of([Card.model_validate(sheet)]), today=date(2026, 11, 21), max_age_days=365)
    assert [(row.level, row.field) for row in found if "one shot" in row.message] == [
        ("error", "offers.engine.modes.720p")
    ]


def test_lint_refuses_a_runner_and_degrees_that_the_network_does_not_have() -> None:
    sheet = sheet_of("wan2.2-ti2v-5b")
    offer_of(sheet)["runner"] = "diffusers"
    hunyuan = sheet_of("hunyuanvideo-1.5-i2v")
    offer_of(hunyuan)["degrees"] = [1, 2]
    cards = [Card.model_validate(sheet), Card.model_validate(hunyuan)]
    found = lint(Catalog.of(cards), today=date(2026, 11, 21), max_age_days=365)
    told = {(row.card, row.field): row.message for row in found if row.level == "error"}
    assert "no runner" in told["wan2.2-ti2v-5b", "offers.engine"]
    assert "2 GPUs cannot share" in told["hunyuanvideo-1.5-i2v", "offers.engine.degrees"]
