"""Quick routing: for what practitioners ask most, the shipped catalog answers with the family they advise.

The advice is that of published guides of 2026 (which model for what), corrected where a model's interface
cannot do what they say: camera moves that must happen need a camera interface, motion control a driving
video.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from models.catalog import load_catalog
from models.gpus import load_gpus
from models.types import CameraMove, CameraWish, ClipWish, Intensity, Objective, Size, TaskType
from policies.base import Candidate, Decision
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles

CATALOG, GPUS = load_catalog(), load_gpus()
ENGINE = Engine(CATALOG, GPUS, load_profiles())
FLEET = idle_fleet(CATALOG, GPUS)

LANDSCAPE: dict[str, Any] = {
    "width": 4032,
    "height": 2268,
    "subject": "landscape",
    "subject_confidence": 0.8,
    "environment_motion": ("water", "clouds"),
}
PORTRAIT: dict[str, Any] = {
    "width": 2268,
    "height": 4032,
    "subject": "portrait",
    "subject_confidence": 0.9,
    "faces": ((0.3, 0.2, 0.3, 0.2),),
    "largest_face": 0.06,
    "subject_motion": ("blink", "smile"),
    "intensity": Intensity.GENTLE,
}
OTHER: dict[str, Any] = {"width": 4032, "height": 2268, "subject_motion": ("spin",)}
PERSON: dict[str, Any] = PORTRAIT | {"subject_motion": ("dance",), "intensity": Intensity.DYNAMIC}
PUSH_IN = CameraWish(CameraMove.PUSH_IN, required=True)
DRIVEN: dict[str, Any] = {"task": TaskType.ANIMATE, "has_driving_video": True, "driving_seconds": 8.0}
HEARD: dict[str, Any] = {"task": TaskType.A2V, "has_audio": True, "audio_seconds": 12.0}

CAMERA_INTERFACE = {"ltx-2.3-pro", "ltx-2.3-fast", "video-01-director"}
CAMERA_WORDS = {"kling-v2.6", "kling-v3-video", "kling-v3-omni", "wan2.5-i2v", "wan2.6-i2v", "wan2.7-i2v"}
FAST = {
    "hailuo-2.3-fast",
    "wan2.6-i2v-flash",
    "wan2.5-i2v-fast",
    "wan2.2-i2v-fast",
    "ltx-2.3-fast",
    "ltx-video",
    "distilled",
}
AMBIENT = {"wan2.6-i2v", "wan2.6-i2v-flash", "wan2.7-i2v"}
FACES = {"hailuo-2.3", "video-01-live", "wan2.7-i2v", "kling-v2.6", "kling-v3-video", "kling-v3-omni"}
FABRICS = {"kling-v2.6", "kling-v3-video", "kling-v3-omni"}
DRIVEN_FABRICS = {"kling-v2.6-motion-control", "kling-v3-motion-control"}
DRIVEN_BY_VIDEO = {
    "wan2.2-animate",
    "dreamactor-m2.0",
    "kling-v2.6-motion-control",
    "kling-v3-motion-control",
    "kling-v3-omni",
}
UHD = {"ltx-2.3-pro", "ltx-2.3-fast", "kling-v3-omni", "kling-v3-video"}
CHEAP = FAST | {"wan2.2-ti2v-5b", "wan2.1-i2v-480p"}
CHEAP_SHARE = 0.5
"""Of what the balanced choice costs."""


@dataclass(frozen=True)
class Case:
    """What is asked, and which models are the advised answer, within the first `top`."""

    name: str
    asked: dict[str, Any]
    intended: set[str]
    top: int = 1
    objectives: tuple[Objective, ...] = field(default=(Objective.BALANCED, Objective.QUALITY))


CASES = (
    Case("camera move required", LANDSCAPE | {"camera": (PUSH_IN,)}, CAMERA_INTERFACE),
    Case(
        "pan required",
        LANDSCAPE | {"camera": (CameraWish(CameraMove.PAN_LEFT, required=True),)},
        {"video-01-director"},
    ),
    Case(
        "camera move in the words",
        LANDSCAPE | {"said": (CameraMove.PUSH_IN,)},
        CAMERA_WORDS | CAMERA_INTERFACE,
    ),
    Case("preview", PERSON, FAST, objectives=(Objective.PREVIEW, Objective.SPEED, Objective.COST)),
    Case("preview of water", LANDSCAPE, FAST, objectives=(Objective.PREVIEW, Objective.SPEED)),
    Case("ambient landscape", LANDSCAPE, AMBIENT, objectives=(Objective.BALANCED,)),
    Case("ambient landscape, finest", LANDSCAPE, AMBIENT, top=3, objectives=(Objective.QUALITY,)),
    Case("portrait realism", PORTRAIT, FACES, top=3),
    Case("talking head", PORTRAIT | HEARD, {"kling-avatar-v2"}),
    Case("driven by music", LANDSCAPE | HEARD, {"lightricks-audio-to-video"}),
    Case("driven by music, subject unknown", OTHER | HEARD, {"lightricks-audio-to-video"}),
    Case("fashion", PORTRAIT | {"fabric": True, "subject_motion": ("billow",)}, FABRICS),
    Case("fashion from a video", PERSON | DRIVEN | {"fabric": True}, DRIVEN_FABRICS),
    Case("a loop", LANDSCAPE | {"wants_loop": True}, {"luma-ray-3.2"}),
    Case("driving video", PERSON | DRIVEN, DRIVEN_BY_VIDEO),
    Case("4K", LANDSCAPE | {"wish": ClipWish(size=Size(3840, 2160))}, UHD),
)
EACH = [(case, objective) for case in CASES for objective in case.objectives]


def ask(build: Any, asked: dict[str, Any], **more: Any) -> Decision:
    return ENGINE.decide(build.request(**(asked | more)), FLEET)


def best(decision: Decision) -> Candidate:
    assert decision.chosen is not None, "; ".join(f"{r.model}: {r.reason}" for r in decision.rejected)
    return decision.chosen.candidate


def first(decision: Decision, top: int) -> list[Candidate]:
    """The best candidate of each of the first models."""
    by_model: dict[str, Candidate] = {}
    for scored in decision.candidates:
        by_model.setdefault(scored.candidate.card.id, scored.candidate)
    return list(by_model.values())[:top]


def named(candidate: Candidate) -> set[str]:
    """The model, and `distilled` where the offer is its few-step variant."""
    return {candidate.card.id} | ({"distilled"} if candidate.offer.adapter is not None else set())


def explained(decision: Decision) -> None:
    """Every score of the choice says why; what has a figure tells it."""
    assert decision.chosen is not None
    scores = decision.chosen.scores
    assert scores
    for name, (score, weight) in scores.items():
        assert len(score.reason) > 10, name
        if weight and score.value not in (0.5, 1.0):
            assert re.search(r"\d", score.reason) or name == "makes", f"{name}: {score.reason}"
    assert re.search(r"\d", scores["quality"][0].reason)
    assert all(len(row.reason) > 10 for row in decision.rejected)


@pytest.mark.parametrize(("case", "objective"), EACH, ids=[f"{c.name}, {o.value}" for c, o in EACH])
def test_the_advised_family_is_chosen_and_says_why(build: Any, case: Case, objective: Objective) -> None:
    decision = ask(build, case.asked, objective=objective)
    answers = first(decision, case.top)
    assert any(named(made) & case.intended for made in answers), [made.key for made in first(decision, 6)]
    explained(decision)


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("asked", [LANDSCAPE, PORTRAIT, PERSON | {"said": (CameraMove.ORBIT_LEFT,)}])
def test_what_needs_an_input_is_never_chosen_without_it(
    build: Any, asked: dict[str, Any], objective: Objective
) -> None:
    """Guides send camera work to motion control, whose real input is a driving video."""
    for scored in ask(build, asked, objective=objective).candidates:
        controls = scored.candidate.card.controls
        assert "required" not in (controls.driving_video, controls.audio_in, controls.last_image)


@pytest.mark.parametrize("objective", list(Objective))
def test_sound_is_made_where_it_is_asked_for(build: Any, objective: Objective) -> None:
    decision = ask(build, LANDSCAPE, generate_audio=True, objective=objective)
    assert best(decision).card.controls.audio_out != "none"
    explained(decision)


@pytest.mark.parametrize("objective", [Objective.BALANCED, Objective.QUALITY])
def test_15_seconds_go_to_a_model_that_makes_them_in_one_go(build: Any, objective: Objective) -> None:
    decision = ask(build, LANDSCAPE, wish=ClipWish(seconds=15), objective=objective)
    plan = best(decision).plan
    assert plan.segments == 1
    assert plan.effective.seconds == pytest.approx(15, abs=0.1)
    explained(decision)


@pytest.mark.parametrize("asked", [LANDSCAPE, PORTRAIT], ids=["landscape", "portrait"])
def test_cheap_is_the_cheapest_tier(build: Any, asked: dict[str, Any]) -> None:
    decision = ask(build, asked, objective=Objective.COST)
    made = best(decision)
    assert named(made) & CHEAP
    paid, usual = made.prediction.usd, best(ask(build, asked)).prediction.usd
    assert paid is not None
    assert usual is not None
    assert paid <= CHEAP_SHARE * usual
    explained(decision)


def test_4k_is_really_4k(build: Any) -> None:
    for objective in (Objective.BALANCED, Objective.QUALITY):
        made = best(ask(build, LANDSCAPE, wish=ClipWish(size=Size(3840, 2160)), objective=objective))
        assert made.plan.effective.size == Size(3840, 2160)


def test_a_photograph_of_few_pixels_knows_the_model_made_for_it(build: Any) -> None:
    small = ask(build, PORTRAIT | {"width": 300, "height": 400})
    old = next(s for s in small.candidates if s.candidate.card.id == "i2vgen-xl")
    assert "historic" in " ".join(score.reason for score, _ in old.scores.values())


@pytest.mark.parametrize(
    ("name", "successor"),
    [
        ("runway-gen3a-turbo", "runway-gen4-turbo"),
        ("runway-gen3", "runway-gen4-turbo"),
        ("luma-ray-2", "luma-ray-3.2"),
        ("luma-dream-machine", "luma-ray-3.2"),
    ],
)
def test_retired_names_answer_with_their_successors(build: Any, name: str, successor: str) -> None:
    decision = ask(build, LANDSCAPE, model=name)
    answers = [decision.chosen] if decision.chosen else [offer.chosen for offer in decision.counter_offers]
    assert successor in [scored.candidate.card.id for scored in answers]
    told = " ".join([*decision.advice, *(row.reason for row in decision.rejected)])
    assert successor in told


def test_the_same_request_gives_the_same_decision(build: Any) -> None:
    for case in CASES:
        once, again = (
            ask(build, case.asked),
            Engine(CATALOG, GPUS, load_profiles()).decide(
                build.request(**case.asked), idle_fleet(CATALOG, GPUS)
            ),
        )
        assert [s.candidate.key for s in once.candidates] == [s.candidate.key for s in again.candidates]
