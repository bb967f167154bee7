"""Wishes that cannot be had together: the decision names those that clash, and the nearest to be had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from models.catalog import load_catalog
from models.gpus import load_gpus
from models.types import CameraMove, CameraWish, ClipWish, Residency, Size, TaskType
from policies.base import Decision
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles

CATALOG, GPUS = load_catalog(), load_gpus()
ENGINE = Engine(CATALOG, GPUS, load_profiles())
FLEET = idle_fleet(CATALOG, GPUS)

PERSON: dict[str, Any] = {
    "width": 2268,
    "height": 4032,
    "subject": "portrait",
    "subject_confidence": 0.9,
    "faces": ((0.3, 0.2, 0.3, 0.2),),
    "subject_motion": ("smile",),
}
WIDE: dict[str, Any] = {"width": 3840, "height": 2160, "environment_motion": ("water",)}


def required(*moves: CameraMove) -> tuple[CameraWish, ...]:
    return tuple(CameraWish(move, required=True) for move in moves)


@dataclass(frozen=True)
class Case:
    """A request, the smallest set of wishes that clash, and a word of an offer that must be made."""

    name: str
    asked: dict[str, Any]
    clash: set[str]
    patches: tuple[set[str], ...]
    """Fields of counter-offers of which one must be made."""


CASES = (
    Case(
        "a camera move that no allowed model has",
        WIDE | {"camera": required(CameraMove.ORBIT_LEFT), "deny": ("parallax",)},
        {"camera", "deny"},
        ({"camera"}, {"deny"}, {"allow", "deny"}),
    ),
    Case(
        "more camera moves than any model takes at once",
        WIDE
        | {
            "camera": required(
                CameraMove.TRUCK_LEFT, CameraMove.PAN_RIGHT, CameraMove.TILT_UP, CameraMove.ZOOM_IN
            )
        },
        {"camera"},
        ({"camera"},),
    ),
    Case(
        "a camera move and a model without a camera",
        WIDE | {"camera": required(CameraMove.PUSH_IN), "model": "hailuo-2.3"},
        {"camera", "model"},
        ({"camera"}, {"model"}),
    ),
    Case(
        "a driving video and no model that follows one",
        PERSON
        | {
            "task": TaskType.ANIMATE,
            "has_driving_video": True,
            "driving_seconds": 6.0,
            "allow": ("hailuo-2.3", "luma-ray-3.2"),
        },
        {"driving_video", "allow"},
        ({"driving_video"}, {"allow"}, {"allow", "deny"}),
    ),
    Case(
        "an audio file and a model that hears nothing",
        WIDE | {"task": TaskType.A2V, "has_audio": True, "audio_seconds": 6.0, "model": "hailuo-2.3"},
        {"audio", "model"},
        ({"audio"}, {"model"}),
    ),
    Case(
        "sound and a silent model",
        WIDE | {"generate_audio": True, "model": "hailuo-2.3"},
        {"generate_audio", "model"},
        ({"generate_audio"}, {"model"}),
    ),
    Case(
        "a last image and a model without one",
        WIDE | {"task": TaskType.FLF2V, "has_last_image": True, "model": "hailuo-2.3"},
        {"last_image", "model"},
        ({"last_image"}, {"model"}),
    ),
    Case(
        "a hosted model for a photograph that must stay here",
        WIDE | {"residency": Residency.SELF_HOSTED, "allow": ("hailuo-2.3",)},
        {"residency", "allow"},
        ({"residency"}, {"allow"}, {"allow", "deny"}),
    ),
    Case(
        "an audio file, a hosted model and a photograph that must stay here",
        WIDE
        | {
            "task": TaskType.A2V,
            "has_audio": True,
            "audio_seconds": 6.0,
            "residency": Residency.SELF_HOSTED,
            "allow": ("lightricks-audio-to-video",),
        },
        {"residency", "allow"},
        ({"residency"},),
    ),
    Case(
        "a hosted model by name for a photograph that must stay here",
        WIDE | {"residency": Residency.SELF_HOSTED, "model": "ltx-2.3-pro", "max_cost_usd": 100.0},
        {"residency", "model"},
        ({"residency"}, {"model"}),
    ),
    Case(
        "more seconds than the named model makes",
        WIDE | {"wish": ClipWish(size=Size(1920, 1080), seconds=20), "model": "hailuo-2.3"},
        {"seconds", "model"},
        ({"seconds"}, {"model"}),
    ),
)
ALL_AT_ONCE = WIDE | {
    "wish": ClipWish(size=Size(3840, 2160), seconds=15, fps=60),
    "max_cost_usd": 0.05,
}


def ask(build: Any, asked: dict[str, Any]) -> Decision:
    return ENGINE.decide(build.request(**asked), FLEET)


def check(decision: Decision) -> None:
    """Told in sentences, and every offer is a clip that can be had."""
    assert decision.chosen is None
    assert decision.clashes
    for clash in decision.clashes:
        assert clash.fields
        assert len(clash.told) > 20
    assert decision.counter_offers
    for offer in decision.counter_offers:
        assert offer.patch, offer.change
        assert "--" not in offer.change
        assert offer.chosen.candidate.prediction.fits


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_clashing_wishes_are_named_with_the_nearest_that_can_be_had(build: Any, case: Case) -> None:
    decision = ask(build, case.asked)
    check(decision)
    assert case.clash in [set(clash.fields) for clash in decision.clashes]
    assert any(set(offer.patch) in case.patches for offer in decision.counter_offers), [
        (offer.change, dict(offer.patch)) for offer in decision.counter_offers
    ]


def test_what_is_free_of_the_clash_is_not_blamed(build: Any) -> None:
    """Only wishes that were made can clash, and a wish that changes nothing is not among them."""
    asked = WIDE | {"generate_audio": True, "model": "hailuo-2.3", "max_cost_usd": 50.0, "deadline_s": 86_400}
    for clash in ask(build, asked).clashes:
        assert set(clash.fields) == {"generate_audio", "model"}


def test_4k_15_s_60_fps_for_5_cents(build: Any) -> None:
    decision = ask(build, ALL_AT_ONCE)
    check(decision)
    blamed = {name for clash in decision.clashes for name in clash.fields}
    assert blamed
    assert blamed <= {"size", "seconds", "fps", "max_cost_usd"}
    for offer in decision.counter_offers:
        assert set(offer.patch) <= {"size", "seconds", "fps", "max_cost_usd"}
    for offer in decision.counter_offers:
        told = offer.chosen.candidate.prediction.usd
        budget = offer.patch.get("max_cost_usd", 0.05)
        assert budget is None or (told is not None and told <= budget + 1e-9)  # type: ignore[operator]


def test_the_most_telling_reason_is_given(build: Any) -> None:
    (four,) = [case for case in CASES if case.name.startswith("more camera moves")]
    (clash,) = ask(build, four.asked).clashes
    assert "takes 3 camera move(s) a clip; 4 are required" in clash.told


def test_a_request_that_fits_has_no_clash(build: Any) -> None:
    assert ask(build, WIDE).clashes == ()
