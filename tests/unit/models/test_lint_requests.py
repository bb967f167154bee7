"""Where a request map and its card contradict each other is found, and named with card and field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from models.card import Card
from models.catalog import load_catalog
from models.lint_requests import unsayable
from models.requests import Choice, Number, Switch
from models.types import CameraMove

CATALOG = load_catalog()
Change = Callable[[Card], Card]


def _offers(card: Card, at: int, **over: Any) -> Card:
    offers = list(card.offers)
    offers[at] = offers[at].model_copy(update=over)
    return card.model_copy(update={"offers": tuple(offers)})


def _offer(**over: Any) -> Change:
    return lambda card: _offers(card, 0, **over)


def _request(**over: Any) -> Change:
    def change(card: Card) -> Card:
        assert card.offers[0].request is not None
        return _offers(card, 0, request=card.offers[0].request.model_copy(update=over))

    return change


def _mode(**over: Any) -> Change:
    def change(card: Card) -> Card:
        first, *others = card.offers[0].modes
        return _offers(card, 0, modes=(first.model_copy(update=over), *others))

    return change


def _controls(**over: Any) -> Change:
    return lambda card: card.model_copy(update={"controls": card.controls.model_copy(update=over)})


def _length(**over: Any) -> Change:
    return lambda card: _mode(length=card.offers[0].modes[0].length.model_copy(update=over))(card)


LTX, HAILUO, DIRECTOR = "ltx-2.3-pro", "hailuo-2.3", "video-01-director"
KLING3, LUMA = "kling-v3-video", "luma-ray-3.2"
R = "offers.replicate.request"
LTX_MODE = "offers.replicate.modes.1080p"

ERRORS: list[tuple[str, str, Change, str, str]] = [
    ("no map", HAILUO, _offer(request=None), R, "how replicate is asked"),
    ("a map of a vendor", HAILUO, _offer(backend="vendor"), R, "not for vendor"),
    (
        "a version at fal",
        KLING3,
        _request(version="0" * 64),
        "offers.fal-standard.request.version",
        "only Replicate",
    ),
    ("one name twice", LTX, _request(last_image="image"), R, "image is named more than once"),
    ("a constant of the same name", LTX, _request(sends={"fps": 24}), R, "fps is named more than once"),
    ("a path through a value", LTX, _request(last_image="image.0"), R, "image is a value and a path"),
    (
        "a move too few",
        LTX,
        _request(camera=Choice(name="c", values={"static": "s"})),
        f"{R}.camera.values",
        "push_in",
    ),
    ("a seed for nobody", LTX, _request(seed="seed"), f"{R}.seed", "promise nothing"),
    ("sound for nobody", LTX, _controls(audio_out="always"), f"{R}.sound", "promise nothing"),
    ("a loop for nobody", LTX, _request(loop=Switch(name="loop")), f"{R}.loop", "promise nothing"),
    ("no last image", LTX, _request(last_image=None), f"{LTX_MODE}.excludes", "last_image"),
    ("no camera", LTX, _request(camera=None), f"{LTX_MODE}.excludes", "camera"),
    ("no brackets", DIRECTOR, _request(camera_text=None), "offers.replicate.modes.720p.excludes", "camera"),
    ("no words", LTX, _request(prompt=None), f"{LTX_MODE}.excludes", "prompt"),
    ("no seed", LTX, _controls(seed=True), f"{LTX_MODE}.excludes", "seed"),
    ("no loop", LUMA, _request(loop=None), "offers.replicate.modes.540p-5s.excludes", "loop"),
    ("no negative prompt", LTX, _controls(negative_prompt=True), f"{LTX_MODE}.excludes", "negative_prompt"),
    ("no voice", LTX, _controls(audio_in="optional"), f"{LTX_MODE}.excludes", "audio"),
    ("no driving video", LTX, _controls(driving_video="optional"), f"{LTX_MODE}.excludes", "driving_video"),
    ("no switch for the sound", LTX, _request(sound=None), f"{LTX_MODE}.excludes", "sound is made"),
    ("a constant over a parameter", LTX, _mode(sends={"fps": 24}), f"{LTX_MODE}.sends.fps", "parameter"),
    ("a chain", LTX, _mode(max_segments=2), f"{LTX_MODE}.max_segments", "one shot"),
    ("frames between", LTX, _mode(interpolate_to=60.0), f"{LTX_MODE}.max_segments", "in-between"),
    ("lengths without a name", LTX, _request(seconds=None), f"{LTX_MODE}.length", "no seconds"),
    (
        "a range without a name",
        KLING3,
        _request(seconds=None),
        "offers.fal-standard.modes.720p.length",
        "no seconds",
    ),
    ("rates without a name", LTX, _request(fps=None), f"{LTX_MODE}.fps", "no fps"),
    ("half a second", LTX, _length(values=(6.5,)), f"{LTX_MODE}.length.values", "6.5"),
    ("half a frame", LTX, _mode(fps=(23.976,)), f"{LTX_MODE}.fps", "23.976"),
    (
        "half a step",
        KLING3,
        lambda card: _length(step=0.5)(_request(seconds=Number(name="d", type="integer"))(card)),
        "offers.fal-standard.modes.720p.length",
        "0.5",
    ),
]


@pytest.mark.parametrize(
    ("card_id", "change", "field", "told"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
def test_a_contradiction_is_named_with_its_field(card_id: str, change: Change, field: str, told: str) -> None:
    card = CATALOG.get(card_id)
    assert list(unsayable(card)) == []
    found = list(unsayable(change(card)))
    assert any(at == field and told in message for _, at, message in found), found


def test_frames_without_a_name_are_found() -> None:
    card = CATALOG.get("pia")
    at = next(index for index, offer in enumerate(card.offers) if offer.id == "replicate")
    request = card.offers[at].request
    assert request is not None
    bare = _offers(card, at, request=request.model_copy(update={"frames": None}))
    assert [field for _, field, _ in unsayable(bare)] == ["offers.replicate.modes.1024-area.length"]


def test_what_a_mode_excludes_needs_no_parameter() -> None:
    silent = _mode(excludes=("last_image",))(_request(last_image=None)(CATALOG.get(LTX)))
    assert {field for _, field, _ in unsayable(silent)} == {
        "offers.replicate.modes.2k.excludes",
        "offers.replicate.modes.4k.excludes",
    }


def test_a_retired_card_needs_no_map() -> None:
    retired = CATALOG.get("kling-v2.1")
    assert list(unsayable(_offer(request=None)(retired))) == []


def test_every_move_of_an_interface_has_a_word() -> None:
    brackets = CATALOG.get(DIRECTOR).offers[0].request
    assert brackets is not None
    assert brackets.camera_text is not None
    assert brackets.camera_text.values[CameraMove.FOLLOW] == "Tracking shot"
