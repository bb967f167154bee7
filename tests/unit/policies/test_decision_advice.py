"""Advice that follows from the choice: what the chosen model does with wishes that bind nobody."""

from __future__ import annotations

from typing import Any

import pytest

from models.types import CameraMove, CameraWish, ClipWish, Fit, Framing
from policies.advice import advise

PUSH_IN = CameraMove.PUSH_IN
EXPLICIT = {"kind": "parameter", "moves": ["push_in", "pull_out"]}
# A photograph that fills the frame of `build.plan()` (832x480) exactly.
PHOTO = {"width": 1664, "height": 960}


def told(build: Any, card: Any = None, plan: Any = None, mode: Any = None, **asked: Any) -> tuple[str, ...]:
    over = {name: value for name, value in (("plan", plan), ("mode", mode)) if value is not None}
    made = build.candidate(card or build.card(), **over)
    return advise(build.request(**(PHOTO | asked)), build.scored(made))


def test_nothing_to_say(build: Any) -> None:
    assert told(build) == ()
    assert told(build, subject_motion=("walk",), wish=ClipWish(seconds=5)) == ()


@pytest.mark.parametrize(
    ("camera", "asked", "said"),
    [
        ({"kind": "prompt"}, {"said": (PUSH_IN,)}, ["push_in", "28-40 %", "Require"]),
        ({"kind": "prompt"}, {"camera": (CameraWish(PUSH_IN),)}, ["push_in", "Require"]),
        ({"kind": "none"}, {"said": (PUSH_IN,)}, ["no camera control", "push_in"]),
        ({"kind": "video"}, {"said": (PUSH_IN,)}, ["follows the driving video"]),
        (EXPLICIT, {"said": (CameraMove.ROLL, PUSH_IN)}, ["its camera interface has no roll;"]),
        (EXPLICIT, {"said": (PUSH_IN,)}, []),
        (EXPLICIT, {"camera": (CameraWish(PUSH_IN, required=True),)}, []),
    ],
)
def test_camera_words(build: Any, camera: dict[str, Any], asked: dict[str, Any], said: list[str]) -> None:
    lines = told(build, build.card(camera=camera), **asked)
    assert len(lines) == bool(said)
    for part in said:
        assert part in lines[0]


ZOOM = CameraMove.ZOOM_IN


@pytest.mark.parametrize(
    ("makes", "asked", "said"),
    [
        ("generated", {}, ["zoom_in is ruled out in words only", "static"]),
        ("rendered", {}, ["moves the camera in its own way", "rule out zoom_in"]),
        ("generated", {"camera": (CameraWish(ZOOM, required=True),)}, ["rule out zoom_in", "Drop one"]),
        ("generated", {"camera": (CameraWish(PUSH_IN, required=True),)}, []),
        ("rendered", {"said": (PUSH_IN,)}, []),
    ],
)
def test_moves_that_are_ruled_out(build: Any, makes: str, asked: dict[str, Any], said: list[str]) -> None:
    card = build.card(makes=makes, camera={"kind": "native", "moves": ["push_in", "zoom_in"]})
    lines = told(build, card, camera_refused=(ZOOM,), **asked)
    assert len(lines) == bool(said)
    for part in said:
        assert part in lines[0]


@pytest.mark.parametrize(
    ("controls", "mode", "asked", "said"),
    [
        ({"loop": True}, {}, {}, "closes the loop itself"),
        ({"loop": True}, {"excludes": ["loop"]}, {}, "not at 5.062 s"),
        ({"last_image": "optional"}, {}, {}, "give it the photograph"),
        ({"last_image": "optional"}, {}, {"has_last_image": True}, "closes no loop"),
        ({}, {}, {}, "closes no loop"),
    ],
)
def test_a_loop(
    build: Any, controls: dict[str, Any], mode: dict[str, Any], asked: dict[str, Any], said: str
) -> None:
    rows = [build.mode(**mode)]
    card = build.card(controls=controls, modes=rows)
    plan = build.plan(frames=81)
    (line,) = told(build, card, plan, rows[0], wants_loop=True, **asked)
    assert said in line


@pytest.mark.parametrize(
    ("audio_out", "asked", "said"),
    [
        ("none", {}, "makes none"),
        ("native", {}, "only when generated sound is asked for"),
        ("always", {}, None),
        ("native", {"generate_audio": True}, None),
        ("none", {"has_audio": True}, None),
    ],
)
def test_sound_in_the_words(build: Any, audio_out: str, asked: dict[str, Any], said: str | None) -> None:
    lines = told(build, build.card(controls={"audio_out": audio_out}), wants_audio=True, **asked)
    assert len(lines) == (said is not None)
    assert all(said is not None and said in line for line in lines)


@pytest.mark.parametrize(
    ("photo", "plan", "said"),
    [
        ({"width": 416, "height": 240}, {}, ["416x240", "2.0 times", "larger original"]),
        (
            {"width": 1600, "height": 1200},
            {"framing": Framing(Fit.CROP, 0.75, 1.0)},
            ["75%", "832x480", "centred"],
        ),
        ({"width": 960, "height": 960}, {"framing": Framing(Fit.PAD, 1.0, 0.58)}, ["58%", "bars"]),
        ({"width": 960, "height": 960}, {"framing": Framing(Fit.PAD, 1.0, 0.80)}, []),
        ({}, {"segments": 3}, ["3 segments", "drift"]),
    ],
)
def test_what_the_frame_does_to_the_photograph(
    build: Any, photo: dict[str, int], plan: dict[str, Any], said: list[str]
) -> None:
    lines = told(build, plan=build.plan(**plan), **photo)
    assert len(lines) == bool(said)
    for part in said:
        assert part in lines[0]


@pytest.mark.parametrize(
    ("needed", "faces", "said"),
    [
        (["human_body"], 0, "needs a person's body"),
        (["face"], 0, "needs a face"),
        (["face"], 1, None),
        (["human_body", "single_subject"], 3, "3 faces"),
        (["single_subject"], 1, None),
    ],
)
def test_what_must_be_in_the_photograph(build: Any, needed: list[str], faces: int, said: str | None) -> None:
    card = build.card(controls={"preconditions": needed})
    lines = told(build, card, faces=((0.4, 0.2, 0.2, 0.2),) * faces)
    assert len(lines) == (said is not None)
    assert all(said is not None and said in line for line in lines)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"has_audio": True, "audio_seconds": 12.0}, "the audio file lasts 12 s and the clip 5.062 s"),
        ({"has_driving_video": True, "driving_seconds": 5.2}, None),
    ],
)
def test_a_clip_that_ends_before_what_drives_it(build: Any, asked: dict[str, Any], said: str | None) -> None:
    lines = told(build, **asked)
    assert len(lines) == (said is not None)
    assert all(said is not None and said in line for line in lines)


def test_what_is_said_twice_is_told_once(build: Any) -> None:
    assert told(build, advice=("Dark.", "Dark.")) == ("Dark.",)
    assert advise(build.request(**PHOTO, advice=("Dark.",)), None) == ("Dark.",)


@pytest.mark.parametrize(
    ("deadline", "chance", "says"), [(10.0, 0.08, True), (10.0, 0.5, False), (None, 0.08, False)]
)
def test_a_deadline_that_will_rather_be_missed(
    build: Any, deadline: float | None, chance: float, says: bool
) -> None:
    made = build.candidate(build.card())
    made = made._replace(prediction=made.prediction._replace(on_time=chance))
    lines = advise(build.request(**PHOTO, deadline_s=deadline), build.scored(made))
    assert any("within 10 s with a chance of 8% only" in line for line in lines) == says
