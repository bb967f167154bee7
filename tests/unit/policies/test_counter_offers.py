"""Counter-offers: each named change really yields a choice, and a smaller change would not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models.types import CameraMove, CameraWish, ClipWish, Residency, Size, TaskType
from policies.base import Decision
from policies.counter import _up
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles

PROFILES = load_profiles()
SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}


def engine_and_fleet(build: Any, *cards: Any) -> tuple[Engine, Any]:
    catalog, gpus = build.catalog(*(cards or (build.card(offer={"degrees": [1]}),))), build.gpus()
    return Engine(catalog, gpus, PROFILES), idle_fleet(catalog, gpus)


def changes(decision: Decision) -> list[str]:
    assert decision.chosen is None
    return [offer.change for offer in decision.counter_offers]


def test_none_when_something_fits(build: Any) -> None:
    engine, fleet = engine_and_fleet(build)
    assert engine.decide(build.request(), fleet).counter_offers == ()


def test_none_when_not_wanted(build: Any) -> None:
    engine, fleet = engine_and_fleet(build)
    decision = engine.decide(build.request(deadline_s=1), fleet, counter_offers=False)
    assert decision.chosen is None
    assert decision.counter_offers == ()


def test_deadline_and_what_would_be_soon_enough(build: Any) -> None:
    engine, fleet = engine_and_fleet(build)
    request = build.request(deadline_s=10)
    # 81 frames of 720x544 take some 32 s; nine times in ten they are there within 35 s.
    assert changes(engine.decide(request, fleet)) == [
        "allow 35 s until it is there",
        "shorten the clip to 1.5 s",
        "make it smaller: 368x272",
    ]
    assert engine.decide(replace(request, deadline_s=35), fleet).chosen is not None
    assert engine.decide(replace(request, deadline_s=25), fleet).chosen is None


def test_budget_and_what_would_be_cheap_enough(build: Any) -> None:
    engine, fleet = engine_and_fleet(build)
    request = build.request(max_cost_usd=0.01)
    offers = engine.decide(request, fleet).counter_offers
    assert offers[0].change == "raise the budget to $0.033"
    assert 0.032 < (offers[0].chosen.candidate.prediction.usd or 0) <= 0.033
    assert all(o.chosen.candidate.prediction.usd <= 0.01 for o in offers[1:])  # type: ignore[operator]
    assert len(offers) == 3


def test_shorter_clip_is_the_longest_that_is_delivered(build: Any) -> None:
    engine, fleet = engine_and_fleet(build)
    decision = engine.decide(build.request(wish=ClipWish(seconds=20)), fleet)
    assert changes(decision) == ["shorten the clip to 5.06 s"]
    assert decision.counter_offers[0].chosen.candidate.plan.effective.num_frames == 81


def test_smaller_size_is_the_largest_that_is_delivered(build: Any) -> None:
    engine, fleet = engine_and_fleet(build)
    decision = engine.decide(build.request(wish=ClipWish(size=Size(3840, 2160))), fleet)
    assert changes(decision) == ["make it smaller: 832x480"]
    clip = decision.counter_offers[0].chosen.candidate.plan
    assert (clip.effective.width, clip.effective.height, clip.gave_way) == (832, 480, ())


def test_lower_frame_rate(build: Any) -> None:
    engine, fleet = engine_and_fleet(build)
    assert changes(engine.decide(build.request(wish=ClipWish(fps=60)), fleet)) == [
        "lower the frame rate to 16 fps"
    ]


def test_required_camera_becomes_a_preference(build: Any) -> None:
    engine, fleet = engine_and_fleet(build)
    request = build.request(camera=(CameraWish(CameraMove.PUSH_IN, True), CameraWish(CameraMove.ROLL)))
    assert changes(engine.decide(request, fleet)) == ["prefer push_in instead of requiring it"]


@pytest.mark.parametrize(
    ("asked", "change"),
    [
        ({"generate_audio": True}, "leave out the sound"),
        ({"has_last_image": True, "task": TaskType.FLF2V}, "leave out the last image"),
        ({"has_driving_video": True, "task": TaskType.ANIMATE}, "leave out the driving video"),
        ({"has_audio": True, "task": TaskType.A2V}, "leave out the audio file"),
        ({"deny": ("alpha",)}, "let denied models be taken"),
        ({"allow": ("nothing",)}, "allow other models"),
    ],
)
def test_a_requirement_given_up(build: Any, asked: dict[str, Any], change: str) -> None:
    engine, fleet = engine_and_fleet(build)
    assert changes(engine.decide(build.request(**asked), fleet)) == [change]


def test_hosted_models_when_residency_allows(build: Any) -> None:
    hosted = build.card("hosted", offer={"backend": "fal", "latency": {"p50": 9, "p95": 20, **SOURCED}})
    engine, fleet = engine_and_fleet(build, hosted)
    assert changes(engine.decide(build.request(residency=Residency.SELF_HOSTED), fleet)) == [
        "let the photograph go to a hosted model"
    ]


def test_a_retired_model_names_its_replacement(build: Any) -> None:
    old = build.card("old", status="retired", retires_on="2026-01-01", replacement="new")
    engine, fleet = engine_and_fleet(build, old, build.card("new"))
    decision = engine.decide(build.request(model="old"), fleet)
    assert changes(decision) == ["take its successor new", "let the router choose: it takes new"]
    assert decision.rejected[0].reason == "Old was retired on 2026-01-01; use new instead"


def test_several_changes_only_when_one_alone_does_not_help(build: Any) -> None:
    engine, fleet = engine_and_fleet(build)
    request = build.request(
        deadline_s=1, max_cost_usd=0.0001, generate_audio=True, wish=ClipWish(size=Size(832, 480), seconds=5)
    )
    decision = engine.decide(request, fleet)
    (change,) = changes(decision)
    # Size and duration are kept: they are not what stands in the way.
    deadline, budget, sound = change.split(" and ")
    assert deadline.startswith("allow 3")
    assert budget.startswith("raise the budget to $0.03")
    assert sound == "leave out the sound"
    assert decision.counter_offers[0].chosen.candidate.plan.effective.num_frames == 80


def test_nothing_is_offered_when_nothing_helps(build: Any) -> None:
    engine, _ = engine_and_fleet(build)
    sick = build.fleet(build.pool(healthy=False))
    assert changes(engine.decide(build.request(deadline_s=1, max_cost_usd=0.1), sick)) == []


@pytest.mark.parametrize(
    ("value", "up"),
    [
        (0.0328, 0.033),
        (0.21, 0.21),
        (0.2101, 0.22),
        (33.2, 34),
        (34, 34),
        (1234, 1300),
        (0.00012345, 0.00013),
        (0, 0),
    ],
)
def test_figures_are_rounded_up(value: float, up: float) -> None:
    assert _up(value) == pytest.approx(up)
    assert _up(value) >= value
