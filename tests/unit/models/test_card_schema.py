"""The card schema refuses what no card may say, and names the field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from models.card import Card

Sheet = dict[str, Any]
Change = Callable[[Sheet], Any]


def _mode(sheet: Sheet) -> Sheet:
    mode: Sheet = sheet["offers"][0]["modes"][0]
    return mode


def _with(path: str, value: Any) -> Change:
    """Set a dotted path, digits being list indexes."""

    def change(sheet: Sheet) -> None:
        *parents, last = path.split(".")
        place: Any = sheet
        for name in parents:
            place = place[int(name)] if name.isdigit() else place[name]
        place[last] = value

    return change


def _without(path: str) -> Change:
    def change(sheet: Sheet) -> None:
        *parents, last = path.split(".")
        place: Any = sheet
        for name in parents:
            place = place[int(name)] if name.isdigit() else place[name]
        del place[last]

    return change


MODE = "offers.0.modes.0"

REFUSED: list[tuple[str, Change, str]] = [
    ("unknown key", _with("speling", 1), "speling"),
    ("no source", _without("quality.source"), "quality.source"),
    ("no date", _without("licence.checked_at"), "licence.checked_at"),
    ("NaN", _with("quality.elo", float("nan")), "quality.elo"),
    ("infinite", _with("cost.vae.decode_kflop", float("inf")), "cost.vae.decode_kflop"),
    ("no spread", _with("quality.sd", 0), "quality.sd"),
    ("share above one", _with("quality.dynamic_degree", 52.9), "quality.dynamic_degree"),
    ("id with a slash", _with("id", "a/b"), "id"),
    ("unknown move", _with("controls.camera.moves", ["sideways"]), "controls.camera.moves.0"),
    ("off the lattice", _with(f"{MODE}.length.max", 80), "max=80 is not 4k+1"),
    ("empty lattice", _with(f"{MODE}.length.min", 85), "min exceeds max"),
    ("empty area", _with(f"{MODE}.sizes.min_pixels", 99999), "min_pixels=99999 exceeds pixels=65536"),
    ("no fps", _with(f"{MODE}.fps", []), "fps"),
    ("fps of zero", _with(f"{MODE}.fps", [0]), "greater than 0"),
    ("no segments", _with(f"{MODE}.max_segments", 0), "max_segments"),
    ("slower interpolation", _with(f"{MODE}.interpolate_to", 8), "below the native 16"),
    ("needs a refused control", _with(f"{MODE}.needs", ["last_image"]), "needs last_image"),
    ("no GPUs", _with("offers.0.degrees", []), "degrees"),
    ("zero GPUs", _with("offers.0.degrees", [0]), "degrees.0"),
    ("no steps", _with("offers.0.sampling.steps", 0), "sampling.steps"),
    ("no sampling", _without("offers.0.sampling"), "needs a sampling block"),
    ("no runner", _without("offers.0.runner"), "needs a runner"),
    ("no cost", _without("cost"), "needs a cost block"),
    ("no vae", _without("cost.vae"), "needs its vae"),
    ("no width", _without("cost.transformer.width"), "needs width"),
    ("unet without figures", _with("cost.transformer.kind", "unet"), "needs flops_per_forward, reference"),
    ("revision without hub id", _with("weights.revision", "0" * 40), "revision pins a hub_id"),
    ("a branch is no revision", _with("weights.revision", "main"), "weights.revision"),
    ("retired to nowhere", _with("status", "retired"), "retired card names"),
    ("negative price", _with("offers.0.price", {"kind": "per_clip", "usd": -1}), "usd"),
]


@pytest.mark.parametrize(("change", "named"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(sheet: Sheet, change: Change, named: str) -> None:
    Card.model_validate(sheet)
    change(sheet)
    with pytest.raises(ValidationError) as caught:
        Card.model_validate(sheet)
    problems = [f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in caught.value.errors()]
    assert any(named in problem for problem in problems), problems


def test_a_mode_cannot_need_and_exclude(sheet: Sheet) -> None:
    sheet["controls"]["last_image"] = "optional"
    _mode(sheet).update(needs=["last_image"], excludes=["last_image"])
    with pytest.raises(ValidationError, match="both need and exclude"):
        Card.model_validate(sheet)


def test_repeated_names_are_refused(sheet: Sheet) -> None:
    sheet["offers"][0]["modes"].append(dict(_mode(sheet)))
    with pytest.raises(ValidationError, match="mode names repeat"):
        Card.model_validate(sheet)
    del sheet["offers"][0]["modes"][1]
    sheet["offers"].append(dict(sheet["offers"][0]))
    with pytest.raises(ValidationError, match="offer ids repeat"):
        Card.model_validate(sheet)


def test_latency_percentiles_are_ordered(sheet: Sheet) -> None:
    offer = sheet["offers"][0]
    offer["latency"] = {"p50": 30, "p95": 20, "source": "a test", "checked_at": "2026-11-21"}
    with pytest.raises(ValidationError, match=r"p95=20\.0 is below p50=30\.0"):
        Card.model_validate(sheet)


def test_a_card_is_frozen(small_card: Card) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        small_card.title = "Other"


def test_offer_lookup_names_what_exists(small_card: Card) -> None:
    assert small_card.offer("local").runner == "diffusers"
    with pytest.raises(KeyError, match=r"small has no offer 'fal'; it has \['local'\]"):
        small_card.offer("fal")


@pytest.mark.parametrize(
    ("kind", "explicit"),
    [("none", False), ("prompt", False), ("parameter", True), ("brackets", True), ("native", True)],
)
def test_words_are_no_camera_interface(sheet: Sheet, kind: str, explicit: bool) -> None:
    sheet["controls"]["camera"]["kind"] = kind
    assert Card.model_validate(sheet).controls.camera.explicit is explicit
