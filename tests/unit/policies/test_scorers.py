"""Each scorer on what it values, with reasons that carry the figures."""

from __future__ import annotations

from typing import Any

import pytest

from models.types import (
    CameraMove,
    CameraWish,
    ClipWish,
    Fit,
    Framing,
    Geometry,
    Intensity,
    Objective,
    Prefer,
    Size,
)
from policies.quality import preference
from policies.scorers.affinity import Affinity
from policies.scorers.camera_fit import CameraFit
from policies.scorers.cost import Cost
from policies.scorers.framing import Framing as FramingScorer
from policies.scorers.geometry_fit import GeometryFit
from policies.scorers.makes import Makes
from policies.scorers.motion_fit import MotionFit
from policies.scorers.on_time import OnTime
from policies.scorers.quality import Quality
from policies.scorers.speed import Speed
from policies.scorers.subject_fit import SubjectFit, evidence

MOVES = ["push_in", "pan_left"]
SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}


def one(scorer: Any, request: Any, candidate: Any) -> tuple[float, str]:
    (value,) = scorer.score(request, [candidate])
    return value, scorer.explain(request, candidate)


@pytest.mark.parametrize(
    ("elo", "reference", "chance"), [(1200, 1200, 0.5), (1600, 1200, 10 / 11), (800, 1200, 1 / 11)]
)
def test_preference_is_the_elo_curve(elo: float, reference: float, chance: float) -> None:
    assert preference(elo, reference) == pytest.approx(chance)


def test_quality_tells_rating_and_where_it_is_from(build: Any) -> None:
    rated = build.candidate(build.card(quality={"elo": 1169, "sd": 9}), quality=0.455)
    assert one(Quality(), build.request(), rated) == (
        0.455,
        "rated Elo 1169 ± 9 (test board): preferred in 46%",
    )
    guessed = build.candidate(build.card(quality={"inferred": True}))
    assert one(Quality(), build.request(), guessed)[1].startswith("inferred Elo 1200")


@pytest.mark.parametrize(
    ("asked", "read", "degree", "value"),
    [
        (None, None, 0.1, 1.0),
        (Intensity.SUBTLE, None, 0.1, 1.0),
        (Intensity.EXTREME, None, 0.1, 0.25),
        (None, Intensity.EXTREME, 0.85, 1.0),
        (Intensity.SUBTLE, Intensity.EXTREME, 0.85, 0.25),
        (Intensity.DYNAMIC, None, None, 0.7),
    ],
)
def test_motion_fit(
    build: Any, asked: Intensity | None, read: Intensity | None, degree: float | None, value: float
) -> None:
    made = build.candidate(build.card(quality={"dynamic_degree": degree}))
    assert one(MotionFit(), build.request(motion=asked, intensity=read), made)[0] == pytest.approx(value)


@pytest.mark.parametrize(
    ("camera", "moves", "value", "told"),
    [
        ({}, (), 1.0, "no camera move asked"),
        ({}, MOVES[:1], 0.5, "push_in asked; followed from words"),
        ({"moves": ["push_in"]}, MOVES[:1], 0.5, "push_in asked; followed from words"),
        ({"moves": ["pan_left"]}, MOVES[:1], 0.1, "push_in asked; words known to work: none of them"),
        ({"kind": "none"}, MOVES[:1], 0.1, "push_in asked; no camera control and no words for it"),
        (
            {"kind": "native", "moves": MOVES, "max_moves": 2},
            MOVES,
            1.0,
            "push_in, pan_left is an input of this model",
        ),
        (
            {"kind": "native", "moves": MOVES},
            MOVES,
            0.55,
            "push_in, pan_left asked; its interface takes push_in",
        ),
        (
            {"kind": "brackets", "moves": ["roll"]},
            MOVES,
            0.1,
            "push_in, pan_left asked; its interface takes none of them",
        ),
    ],
)
@pytest.mark.parametrize("by_control", [True, False])
def test_camera_fit(
    build: Any, camera: dict[str, Any], moves: list[str], value: float, told: str, by_control: bool
) -> None:
    asked = tuple(CameraMove(move) for move in moves)
    request = (
        build.request(camera=tuple(CameraWish(m) for m in asked)) if by_control else build.request(said=asked)
    )
    got, reason = one(CameraFit(), request, build.candidate(build.card(camera=camera)))
    assert got == pytest.approx(value)
    assert reason == told


def test_controls_come_before_camera_words(build: Any) -> None:
    card = build.card(camera={"kind": "native", "moves": ["push_in"]})
    request = build.request(said=(CameraMove.ROLL,), camera=(CameraWish(CameraMove.PUSH_IN),))
    assert one(CameraFit(), request, build.candidate(card))[0] == 1.0


def test_evidence(build: Any) -> None:
    assert evidence(build.request()) == {}
    seen = evidence(
        build.request(
            subject="portrait",
            subject_confidence=0.8,
            environment_motion=("water",),
            subject_motion=("billow",),
            camera=(CameraWish(CameraMove.PUSH_IN),),
            objective=Objective.SPEED,
        )
    )
    assert seen == {
        "portrait": 0.8,
        "ambient_motion": 1.0,
        "cinematic_camera": 1.0,
        "fashion": 0.5,
        "speed": 1.0,
    }


@pytest.mark.parametrize(
    ("strengths", "value", "told"),
    [
        ([], 0.5, "no strength or weakness is claimed for this"),
        ([("landscape", 1.0)], 0.5, "no strength or weakness is claimed for this"),
        ([("portrait", 1.0)], 0.9, "said of it: portrait +0.80"),
        ([("portrait", -0.5)], 0.3, "said of it: portrait -0.40"),
        (
            [("portrait", 1.0), ("ambient_motion", 1.0)],
            1.0,
            "said of it: portrait +0.80, ambient_motion +1.00",
        ),
    ],
)
def test_subject_fit(build: Any, strengths: list[tuple[str, float]], value: float, told: str) -> None:
    card = build.card(strengths=[{"tag": t, "weight": w, **SOURCED} for t, w in strengths])
    request = build.request(subject="portrait", subject_confidence=0.8, environment_motion=("water",))
    got, reason = one(SubjectFit(), request, build.candidate(card))
    assert got == pytest.approx(value)
    assert reason == told


def test_subject_fit_is_neutral_without_evidence(build: Any) -> None:
    card = build.card(strengths=[{"tag": "portrait", "weight": 1.0, **SOURCED}])
    assert one(SubjectFit(), build.request(), build.candidate(card))[0] == 0.5


def test_on_time(build: Any) -> None:
    made = build.candidate(seconds=90.0, wait_seconds=10.0, on_time=0.83)
    assert one(OnTime(), build.request(), made) == (1.0, "no deadline")
    assert one(OnTime(), build.request(deadline_s=120), made) == (0.83, "100 s in all against 120 s: 83%")


@pytest.mark.parametrize(
    ("usd", "value", "told"),
    [
        (0.0, 1.0, "$0 a clip"),
        (0.10, 0.5, "$0.1 a clip"),
        (0.30, 0.25, "$0.3 a clip"),
        (None, 0.0, "its price is not known"),
    ],
)
def test_cost(build: Any, usd: float | None, value: float, told: str) -> None:
    got, reason = one(Cost(half_at_usd=0.10), build.request(), build.candidate(usd=usd))
    assert got == pytest.approx(value)
    assert reason == told


@pytest.mark.parametrize(
    ("seconds", "wait", "value", "told"),
    [(30.0, 0.0, 0.5, "30 s"), (60.0, 30.0, 0.25, "60 s after a wait of 30 s"), (0.0, 0.0, 1.0, "0 s")],
)
def test_speed(build: Any, seconds: float, wait: float, value: float, told: str) -> None:
    made = build.candidate(seconds=seconds, wait_seconds=wait)
    got, reason = one(Speed(half_at_s=30), build.request(), made)
    assert got == pytest.approx(value)
    assert reason == told


@pytest.mark.parametrize(
    ("framing", "value", "told"),
    [
        (Framing(Fit.EXACT, 1.0, 1.0), 1.0, "the whole photograph fills the frame"),
        (Framing(Fit.CROP, 0.9, 1.0), 0.9, "cropped: 90% of the photograph stays visible"),
        (Framing(Fit.PAD, 1.0, 0.56), 0.56, "padded: the photograph fills 56% of the frame"),
    ],
)
def test_framing_score(build: Any, framing: Framing, value: float, told: str) -> None:
    made = build.candidate(plan=build.plan(framing=framing))
    assert one(FramingScorer(), build.request(), made) == (value, told)


@pytest.mark.parametrize(
    ("wish", "plan", "value"),
    [
        (ClipWish(), {}, (832 * 480 / 921_600) ** 0.125),
        (ClipWish(size=Size(832, 480), seconds=5, fps=16), {}, 1.0),
        (ClipWish(size=Size(416, 240), seconds=2, fps=8), {}, 1.0),
        (ClipWish(size=Size(1664, 960)), {}, 0.5**1.5),
        (ClipWish(size=Size(1664, 960), prefer=Prefer.RESOLUTION), {}, 0.5**3),
        (ClipWish(size=Size(832, 480), seconds=10.125), {}, 0.5**3),
        (ClipWish(size=Size(832, 480), seconds=10.125, prefer=Prefer.FPS), {}, 0.5**1.5),
        (ClipWish(size=Size(832, 480), fps=32), {}, 0.5**1.5),
        (ClipWish(size=Size(832, 480)), {"segments": 3}, 0.93**2),
        (ClipWish(size=Size(832, 480)), {"interpolation": 2}, 0.96),
    ],
)
def test_geometry_fit(build: Any, wish: ClipWish, plan: dict[str, Any], value: float) -> None:
    made = build.candidate(plan=build.plan(**plan))
    assert one(GeometryFit(), build.request(wish=wish), made)[0] == pytest.approx(value)


def test_geometry_fit_tells_what_gave_way(build: Any) -> None:
    plan = build.plan(segments=2, effective=Geometry(832, 480, 161, 16), gave_way=("asked 15 s; less",))
    reason = one(GeometryFit(), build.request(), build.candidate(plan=plan))[1]
    assert reason == "832x480, 10.1 s, 16 fps, 2 segments chained; asked 15 s; less"


@pytest.mark.parametrize(
    ("makes", "read", "value"),
    [
        ("generated", {"subject_motion": ("smile",)}, 1.0),
        ("rendered", {}, 0.1),
        ("rendered", {"camera": (CameraWish(CameraMove.PUSH_IN),)}, 0.25),
        ("rendered", {"camera": (CameraWish(CameraMove.PUSH_IN),), "environment_motion": ("water",)}, 0.1),
    ],
)
def test_makes(build: Any, makes: str, read: dict[str, Any], value: float) -> None:
    assert one(Makes(), build.request(**read), build.candidate(build.card(makes=makes)))[0] == value


@pytest.mark.parametrize(
    ("pool", "value"),
    [
        ({"replicas": 2, "busy_seconds": (5.0,)}, 1.0),
        ({"replicas": 1, "busy_seconds": (5.0,)}, 0.8),
        ({"replicas": 1, "queued_seconds": 5.0}, 0.8),
        ({"replicas": 0}, 0.5),
    ],
)
def test_affinity(build: Any, pool: dict[str, Any], value: float) -> None:
    assert one(Affinity(), build.request(), build.candidate(pool=build.pool(**pool)))[0] == value
