"""Decisions and plans as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.types import CameraMove, ClipPlan, Fit, Framing, Geometry, Intensity
from policies.base import Clash, CounterOffer, Decision, Rejected, Saves
from policies.render import candidate_json, decision_json, plan_from_json, plan_json

geometries = st.builds(
    Geometry, st.integers(2, 8000), st.integers(2, 8000), st.integers(1, 5000), st.floats(0.5, 240)
)
plans = st.builds(
    ClipPlan,
    geometries,
    geometries,
    st.builds(Framing, st.sampled_from(list(Fit)), st.floats(0.01, 1), st.floats(0.01, 1)),
    st.integers(1, 9),
    st.integers(1, 9),
    st.lists(st.text(max_size=30), max_size=3).map(tuple),
)


@given(plans)
def test_a_plan_survives_json(plan: ClipPlan) -> None:
    assert plan_from_json(json.loads(json.dumps(plan_json(plan)))) == plan


@pytest.mark.parametrize(
    "missing", ["effective", "native", "framing", "segments", "interpolation", "gave_way"]
)
def test_a_plan_without_a_member_is_refused(build: Any, missing: str) -> None:
    stored = plan_json(build.plan())
    del stored[missing]
    with pytest.raises(KeyError, match=missing):
        plan_from_json(stored)


def test_a_plan_with_an_unknown_fit_is_refused(build: Any) -> None:
    stored = plan_json(build.plan())
    stored["framing"]["fit"] = "stretch"
    with pytest.raises(ValueError, match="stretch"):
        plan_from_json(stored)


def test_candidate_shape(build: Any) -> None:
    made = build.candidate(seconds=12.3456, usd=0.12345678, on_time=0.98765, quality=1 / 3)
    shown = candidate_json(build.scored(made, 0.123456, quality=(1 / 3, 1.0), speed=(0.5, 0.05)))
    assert shown == {
        "model": "alpha",
        "offer": "local",
        "backend": "local",
        "mode": "480p",
        "geometry": {"width": 832, "height": 480, "num_frames": 81, "fps": 16.0, "seconds": 5.0625},
        "gpus": 1,
        "utility": 0.1235,
        "predicted": {
            "seconds": 12.35,
            "wait_seconds": 0.0,
            "usd": 0.123457,
            "gpu_seconds": 10.0,
            "quality": 0.3333,
            "on_time": 0.9877,
        },
        "scores": {
            "quality": {"value": 0.3333, "weight": 1.0, "reason": "quality says so"},
            "speed": {"value": 0.5, "weight": 0.05, "reason": "speed says so"},
        },
    }


def test_an_unknown_price_is_null(build: Any) -> None:
    assert candidate_json(build.scored(build.candidate(usd=None)))["predicted"]["usd"] is None


def test_decision_shape(build: Any) -> None:
    scored = build.scored(build.candidate(), quality=(0.5, 1.0))
    features = build.features(
        faces=((0.1, 0.2, 0.3, 0.4),),
        subject="portrait",
        subject_confidence=0.75,
        said=(CameraMove.PUSH_IN,),
        intensity=Intensity.GENTLE,
    )
    decision = Decision(
        profile="balanced",
        features=features,
        chosen=scored,
        fallbacks=(scored,),
        candidates=(scored,),
        rejected=(Rejected("beta", "local", "budget", "costs too much"),),
        counter_offers=(
            CounterOffer("raise the budget to $1", scored, {"max_cost_usd": 1.0}, Saves(2.345, None)),
        ),
        advice=("one", "two"),
        clashes=(Clash(("size", "max_cost_usd"), "both cannot be had"),),
        notes=("explored",),
    )
    shown = decision_json(decision)
    assert list(shown) == [
        "profile",
        "features",
        "chosen",
        "fallbacks",
        "candidates",
        "rejected",
        "counter_offers",
        "advice",
        "pareto",
        "clashes",
        "notes",
    ]
    assert shown["chosen"] == candidate_json(scored)
    assert shown["rejected"] == [
        {"model": "beta", "offer": "local", "filter": "budget", "reason": "costs too much"}
    ]
    assert shown["counter_offers"] == [
        {
            "change": "raise the budget to $1",
            "patch": {"max_cost_usd": 1.0},
            "saves": {"seconds": 2.35, "usd": None},
            "chosen": candidate_json(scored),
        }
    ]
    assert shown["clashes"] == [{"fields": ["size", "max_cost_usd"], "reason": "both cannot be had"}]
    assert shown["notes"] == ["explored"]
    (front,) = shown["pareto"]
    assert (front["model"], front["offer"], front["usd"]) == (
        scored.candidate.card.id,
        scored.candidate.offer.id,
        scored.candidate.prediction.usd,
    )
    assert shown["advice"] == ["one", "two"]
    assert shown["features"]["image"]["faces"] == [[0.1, 0.2, 0.3, 0.4]]
    assert shown["features"]["image"]["sharpness"] is None
    assert shown["features"]["prompt"]["camera"] == ["push_in"]
    assert shown["features"]["prompt"]["intensity"] == "gentle"
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert decision_json(replace(decision, chosen=None))["chosen"] is None
