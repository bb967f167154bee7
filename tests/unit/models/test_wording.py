"""Camera moves and intensity as words."""

from __future__ import annotations

import re

import pytest

from models.types import CameraMove, Intensity
from models.wording import worded


@pytest.mark.parametrize(
    ("prompt", "camera", "intensity", "expected"),
    [
        ("a cat", (), None, "a cat"),
        ("  a cat. ", (), None, "  a cat. "),
        ("a cat.", (CameraMove.PAN_LEFT,), None, "a cat, the camera pans left"),
        ("", (CameraMove.STATIC,), None, "static camera, locked off"),
        ("", (), Intensity.GENTLE, "gentle, slow motion"),
        (
            "waves",
            (CameraMove.PUSH_IN, CameraMove.TILT_UP),
            Intensity.EXTREME,
            "waves, the camera slowly pushes in, the camera tilts up, extreme, fast motion",
        ),
        ("Slow push-in on a cat", (CameraMove.PUSH_IN,), None, "Slow push-in on a cat"),
        ("panning slowly to the left", (CameraMove.PAN_LEFT,), None, "panning slowly to the left"),
        (
            "panning slowly to the left",
            (CameraMove.PAN_RIGHT,),
            None,
            "panning slowly to the left, the camera pans right",
        ),
        ("hair gently flowing", (), Intensity.EXTREME, "hair gently flowing"),
        (
            "a japanese spanish left",
            (CameraMove.PAN_LEFT,),
            None,
            "a japanese spanish left, the camera pans left",
        ),
    ],
)
def test_words(prompt, camera, intensity, expected):
    assert worded(prompt, camera, intensity) == expected


@pytest.mark.parametrize("move", CameraMove)
def test_every_move_has_words_and_finds_its_own_again(move):
    once = worded("a cat", (move,), None)
    assert once != "a cat"
    assert worded(once, (move,), None) == once


@pytest.mark.parametrize("intensity", Intensity)
def test_every_intensity_is_said_once(intensity):
    once = worded("a cat", (), intensity)
    assert re.search("motion$", once)
    assert worded(once, (), intensity) == once
