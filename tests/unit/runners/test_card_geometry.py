"""The shipped cards against the classes that they name: lattice, lengths, sizes, frame rates."""

from __future__ import annotations

import numpy as np
import pytest

from models.catalog import load_catalog
from models.errors import InputRefused
from models.runners.base import RunRequest
from models.types import ClipPlan, Fit, Framing, Geometry

# diffusers' EulerDiscreteScheduler (SVD) converts a torch tensor with numpy 2's np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

# Cards whose tiny checkpoint has the released codec's and transformer's lattice.
TINY_OF = {
    "wan2.1-i2v-480p": "wan2.1",
    "wan2.1-i2v-720p": "wan2.1",
    "wan2.2-i2v-a14b": "wan2.2-a14b",
    "wan2.2-ti2v-5b": "wan2.2-ti2v-5b",
    "wan2.2-animate": "wan2.2-animate",
    "skyreels-v2-i2v": "skyreels-v2-i2v",
    "skyreels-v2-df": "skyreels-v2-df",
    "ltx-video": "ltx-video",
    "ltx-2": "ltx-2",
}
CARDS = load_catalog()


@pytest.fixture
def runner_of(checkpoint):
    """The runner of a shipped card's local offer, on the tiny checkpoint of its class."""

    def load(card_id: str):
        from models.runners.diffusers import load as load_runner

        card = CARDS.get(card_id)
        return load_runner(
            card, card.offer("local"), checkpoint=str(checkpoint(TINY_OF[card_id])), device="cpu"
        )

    return load


def shape(width: int, height: int, frames: int, fps: float) -> ClipPlan:
    geometry = Geometry(width, height, frames, fps)
    return ClipPlan(geometry, geometry, Framing(Fit.CROP, kept=1.0, filled=1.0))


@pytest.mark.parametrize("card_id", TINY_OF)
def test_lattice_of_the_card_is_that_of_the_class(card_id, runner_of):
    runner = runner_of(card_id)
    lattice = runner._family.lattice(runner._pipe)
    for mode in CARDS.get(card_id).offer("local").modes:
        assert mode.sizes.kind == "area"
        assert mode.sizes.multiple == lattice.multiple, mode.name
        if mode.length.kind == "follows":
            assert lattice.frame_step == 1
        else:
            assert (mode.length.step, mode.length.offset) == (lattice.frame_step, 1), mode.name


@pytest.mark.parametrize("card_id", TINY_OF)
def test_class_returns_what_the_card_promises(card_id, runner_of, photograph, recorder, driving_video):
    """The smallest clip of two different sides on each mode's lattice, at each of its rates."""
    runner = runner_of(card_id)
    video = driving_video if CARDS.get(card_id).controls.driving_video == "required" else None
    for mode in CARDS.get(card_id).offer("local").modes:
        side = mode.sizes.multiple
        frames = 20 if mode.length.kind == "follows" else mode.length.min
        for fps in mode.rates:
            plan = shape(3 * side, 2 * side, frames, fps)
            asked = RunRequest(photograph(), "a cat", plan, 1, steps=1, driving_video=video)
            made = np.stack(list(runner.generate(asked, recorder()).frames))
            assert made.shape == (frames, 2 * side, 3 * side, 3), mode.name


@pytest.mark.parametrize("card_id", TINY_OF)
def test_class_makes_nothing_between_the_lattice_points(
    card_id, runner_of, photograph, recorder, driving_video
):
    runner = runner_of(card_id)
    card = CARDS.get(card_id)
    mode = card.offer("local").modes[0]
    video = driving_video if card.controls.driving_video == "required" else None
    side, fps = mode.sizes.multiple, mode.rates[0]
    frames = 20 if mode.length.kind == "follows" else mode.length.min
    wrong = [(shape(2 * side + side // 2, 2 * side, frames, fps), "size")]
    if mode.length.kind != "follows":
        wrong.append((shape(2 * side, 2 * side, frames + 1, fps), "num_frames"))
    for plan, param in wrong:
        asked = RunRequest(photograph(), "a cat", plan, 1, steps=1, driving_video=video)
        with pytest.raises(InputRefused) as refused:
            runner.generate(asked, recorder())
        assert refused.value.param == param


@pytest.mark.parametrize("card_id", TINY_OF)
def test_controls_of_the_card_are_those_of_the_class(card_id, runner_of):
    from models.runners.families import FollowsVideo, MakesSound

    runner, controls = runner_of(card_id), CARDS.get(card_id).controls
    family = runner._family
    assert (controls.driving_video == "required") == isinstance(family, FollowsVideo)
    assert (controls.audio_out != "none") == isinstance(family, MakesSound)
    if controls.last_image != "none":
        assert family.takes_last_image(runner._pipe)
