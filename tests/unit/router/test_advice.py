"""Advice: what triggers it, that it names figure and remedy, and that good input gets none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.types import CameraMove, Intensity
from policies.base import ImageFeatures, PromptFeatures
from router.features.advice import advise
from router.features.prompt import read_prompt

GOOD = ImageFeatures(
    width=1600,
    height=1200,
    orientation="landscape",
    sharpness=400.0,
    exposure=0.45,
    contrast=0.02,
    spread=0.2,
    subject="landscape",
    subject_confidence=0.7,
)
FACE = (0.4, 0.2, 0.2, 0.2)
PORTRAIT = replace(GOOD, faces=(FACE,), largest_face=0.04, subject="portrait")
CALM = PromptFeatures(camera=(CameraMove.PUSH_IN,), intensity=Intensity.GENTLE, motion_count=1, words=3)


@pytest.mark.parametrize("image", [GOOD, PORTRAIT])
def test_good_input_gets_no_advice(image: ImageFeatures) -> None:
    assert advise(image, CALM) == ()
    assert advise(image, PromptFeatures()) == ()


def test_unknown_measures_get_no_advice() -> None:
    assert advise(ImageFeatures(1024, 768, "landscape"), CALM) == ()


@pytest.mark.parametrize(
    ("image", "prompt", "said"),
    [
        (replace(GOOD, width=511), CALM, ["511 pixels wide", "512", "1024"]),
        (GOOD, read_prompt("a woman in a field"), ["5 words", "what happens", "push in"]),
        (GOOD, read_prompt("mountain"), ["1 word)", "what happens"]),
        (GOOD, read_prompt("pan left, zoom in, orbit right"), ["3 motions", "sequence"]),
        (GOOD, replace(CALM, wants_loop=True), ["loop", "last frame"]),
        (replace(PORTRAIT, faces=(FACE, FACE, FACE), subject="group"), CALM, ["3 faces", "crop"]),
        (PORTRAIT, read_prompt("she bursts out laughing"), ['"laugh"', "slight smile"]),
        (PORTRAIT, replace(CALM, intensity=Intensity.EXTREME), ["Extreme", "gentle"]),
        (replace(GOOD, contrast=0.3, spread=0.3), CALM, ["harsh", "30%", "Softer light"]),
        (replace(GOOD, spread=0.05), CALM, ["flat", "0.05", "Directional light"]),
        (replace(GOOD, exposure=0.06), CALM, ["very dark", "6%", "brighter"]),
        (replace(GOOD, defects=("blurred",)), CALM, ["blurred", "sharper original"]),
        (replace(GOOD, defects=("noisy",), noise=11.2), CALM, ["noisy", "11 of 255", "more light"]),
        (GOOD, read_prompt("the fox flees into the woods"), ['"flee"', "leave the frame", "camera follow"]),
        (GOOD, read_prompt("he runs away at full speed"), ['"run"', "stays in the middle"]),
    ],
)
def test_each_cause_gets_one_sentence_with_figure_and_remedy(
    image: ImageFeatures, prompt: PromptFeatures, said: list[str]
) -> None:
    told = advise(image, prompt)
    assert len(told) == 1
    assert all(part in told[0] for part in said), told[0]
    assert told[0].endswith(".")


@pytest.mark.parametrize(
    ("image", "prompt"),
    [
        (replace(GOOD, width=512), CALM),
        (GOOD, read_prompt("she turns, then jumps")),
        (GOOD, read_prompt("a boy laughs")),
        (GOOD, read_prompt("the camera follows the fox as it flees")),
        (GOOD, read_prompt("he runs")),
        (replace(GOOD, sharpness=8.0), CALM),
        (GOOD, replace(CALM, intensity=Intensity.EXTREME)),
        (replace(GOOD, contrast=0.3, spread=0.15), CALM),
        (replace(GOOD, contrast=0.1, spread=0.3), CALM),
    ],
)
def test_the_near_miss_gets_none(image: ImageFeatures, prompt: PromptFeatures) -> None:
    assert advise(image, prompt) == ()


def test_a_dark_picture_is_not_also_called_flat() -> None:
    told = advise(replace(GOOD, exposure=0.05, spread=0.03), CALM)
    assert len(told) == 1
    assert "dark" in told[0]


def test_several_causes_come_weightiest_first() -> None:
    told = advise(replace(GOOD, width=300, exposure=0.05), read_prompt("a man on a bench"))
    assert ["wide" in told[0], "what happens" in told[1], "dark" in told[2]] == [True] * 3
