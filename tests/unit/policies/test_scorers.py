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
    Prefer,
    Size,
)
from policies.quality import Rating
from policies.scorers.affinity import Affinity
from policies.scorers.camera_fit import CameraFit
from policies.scorers.cost import Cost
from policies.scorers.framing import Framing as FramingScorer
from policies.scorers.geometry_fit import GeometryFit
from policies.scorers.makes import Makes
from policies.scorers.motion_fit import FIELD, MotionFit
from policies.scorers.on_time import OnTime
from policies.scorers.quality import Quality
from policies.scorers.speed import Speed
from policies.scorers.subject_fit import SubjectFit

MOVES = ["push_in", "pan_left"]
BY_WORDS = "push_in asked; followed from words (in 28-40 % of clips, Wan-Bench 2.0)"
SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}


def one(scorer: Any, request: Any, candidate: Any) -> tuple[float, str]:
    (value,) = scorer.score(request, [candidate])
    return value, scorer.explain(request, candidate)


def test_quality_tells_rating_and_where_it_is_from(build: Any) -> None:
    rated = build.candidate(build.card(quality={"elo": 1169, "sd": 9}), quality=0.455)
    assert one(Quality(), build.request(), rated) == (
        0.455,
        "rated Elo 1169 ± 9 (test board): preferred in 46%",
    )
    guessed = build.candidate(build.card(quality={"inferred": True, "sd": 70}))
    assert one(Quality(), build.request(), guessed)[1] == (
        "inferred Elo 1200 ± 70 (test board), so uncertain that it counts nearer to a draw: preferred in 50%"
    )


def test_quality_tells_each_claim_and_what_votes_taught(build: Any) -> None:
    said = [{"tag": t, "weight": w, **SOURCED} for t, w in (("portrait", 0.5), ("landscape", 1.0))]
    rating = Rating(1230.0, 40.0, learned=14.2, votes=31)
    made = build.candidate(build.card(strengths=said), quality=0.55, rating=rating)
    request = build.request(subject="portrait", subject_confidence=0.8)
    assert one(Quality(), request, made)[1] == (
        "rated Elo 1200 ± 20 (test board), portrait +16, 31 votes +14: preferred in 55%"
    )


@pytest.mark.parametrize(
    ("asked", "read", "degree", "value"),
    [
        (None, None, 0.1, 1.0),
        (Intensity.SUBTLE, None, 0.1, 1.0),
        (Intensity.EXTREME, None, 0.1, 0.25),
        (None, Intensity.EXTREME, 0.85, 1.0),
        (Intensity.SUBTLE, Intensity.EXTREME, 0.85, 0.25),
        (Intensity.DYNAMIC, None, None, 1 - sum(abs(d - 0.65) for d in FIELD) / len(FIELD)),
    ],
)
def test_motion_fit(
    build: Any, asked: Intensity | None, read: Intensity | None, degree: float | None, value: float
) -> None:
    made = build.candidate(build.card(quality={"dynamic_degree": degree}))
    assert one(MotionFit(), build.request(motion=asked, intensity=read), made)[0] == pytest.approx(value)


@pytest.mark.parametrize(("degree", "value"), [(0.085, 0.835), (0.25, 1.0), (0.9, 1.0)])
def test_named_motion_without_a_word_on_how_much_must_not_freeze(
    build: Any, degree: float, value: float
) -> None:
    made = build.candidate(build.card(quality={"dynamic_degree": degree}))
    got, reason = one(MotionFit(), build.request(environment_motion=("water",)), made)
    assert got == pytest.approx(value)
    assert f"{degree:.0%}" in reason


@pytest.mark.parametrize(
    ("camera", "moves", "value", "told"),
    [
        ({}, (), 1.0, "no camera move asked"),
        ({}, MOVES[:1], 0.5, BY_WORDS),
        ({"moves": ["push_in"]}, MOVES[:1], 0.5, BY_WORDS),
        (
            {"moves": ["pan_left"]},
            MOVES[:1],
            0.1,
            "push_in asked, 0 of 1 can be had; words known to work: none of them",
        ),
        (
            {"kind": "none"},
            MOVES[:1],
            0.1,
            "push_in asked, 0 of 1 can be had: no camera control and no words for it",
        ),
        (
            {"kind": "video"},
            MOVES[:1],
            0.1,
            "push_in asked, 0 of 1 can be had: its camera follows the driving video",
        ),
        (
            {"kind": "brackets", "moves": MOVES, "max_moves": 3},
            MOVES,
            0.9,
            "push_in, pan_left asked, 2 of 2 by commands that this model was trained on",
        ),
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
            "push_in, pan_left asked, 1 of 2 can be had; its interface takes push_in",
        ),
        (
            {"kind": "brackets", "moves": ["roll"]},
            MOVES,
            0.1,
            "push_in, pan_left asked, 0 of 2 can be had; its interface takes none of them",
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


@pytest.mark.parametrize(
    ("needs", "seen", "value"),
    [
        ((), {}, 1.0),
        (("face",), {}, 0.45),
        (("face",), {"faces": ((0.1, 0.1, 0.2, 0.2),)}, 1.0),
        (("human_body",), {"subject": "landscape", "subject_confidence": 0.9}, 0.2),
        (("human_body",), {"subject": "landscape", "subject_confidence": 0.3}, 0.7),
        (("human_body",), {"subject": "portrait", "subject_confidence": 0.9}, 1.0),
        (("single_subject",), {"subject": "group", "subject_confidence": 0.9}, 0.2),
        (("single_subject",), {"faces": ((0.1, 0.1, 0.2, 0.2), (0.5, 0.1, 0.2, 0.2))}, 0.2),
        (("single_subject",), {"subject": "product", "subject_confidence": 0.9}, 1.0),
        (("face", "single_subject"), {"faces": ((0.1, 0.1, 0.2, 0.2), (0.5, 0.1, 0.2, 0.2))}, 0.2),
    ],
)
def test_subject_fit(build: Any, needs: tuple[str, ...], seen: dict[str, Any], value: float) -> None:
    made = build.candidate(build.card(controls={"preconditions": needs}))
    got, reason = one(SubjectFit(), build.request(**seen), made)
    assert got == value
    assert reason.startswith("needs a") if needs else reason == "takes any subject"


def test_on_time(build: Any) -> None:
    made = build.candidate(seconds=90.0, wait_seconds=10.0, on_time=0.83)
    assert one(OnTime(), build.request(), made) == (1.0, "no deadline")
    assert one(OnTime(), build.request(deadline_s=120), made) == (0.83, "100 s in all against 120 s: 83%")


@pytest.mark.parametrize(
    ("usd", "value", "told"),
    [
        (0.0, 1.0, "costs $0 a clip"),
        (0.10, 0.5, "costs $0.1 a clip"),
        (0.30, 0.25, "costs $0.3 a clip"),
        (None, 0.0, "its price is not known"),
    ],
)
def test_cost(build: Any, usd: float | None, value: float, told: str) -> None:
    got, reason = one(Cost(half_at_usd=0.10), build.request(), build.candidate(usd=usd))
    assert got == pytest.approx(value)
    assert reason == told


@pytest.mark.parametrize(
    ("seconds", "wait", "value", "told"),
    [
        (30.0, 0.0, 0.5, "takes 30 s"),
        (60.0, 30.0, 0.25, "takes 60 s after a wait of 30 s"),
        (0.0, 0.0, 1.0, "takes 0 s"),
    ],
)
def test_speed(build: Any, seconds: float, wait: float, value: float, told: str) -> None:
    made = build.candidate(seconds=seconds, wait_seconds=wait)
    got, reason = one(Speed(half_at_s=30), build.request(), made)
    assert got == pytest.approx(value)
    assert reason == f"{told}; 30 s would be worth half"


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
