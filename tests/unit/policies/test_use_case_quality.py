"""Quality by use case: claims move a rating a little, votes correct it, and what is unsure counts less."""

from __future__ import annotations

from math import exp, pi, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalog import load_catalog
from models.gpus import load_gpus
from models.types import CameraMove, CameraWish, Objective, Residency
from policies.calibration import ELO_LOGIT, OFFSET_SD, Belief, liked
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles
from policies.quality import evidence, expected, preference, rated, standing, use_case

SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}
ELO = st.floats(900, 1600)
PUSH = CameraWish(CameraMove.PUSH_IN)


@pytest.mark.parametrize(
    ("elo", "reference", "chance"), [(1200, 1200, 0.5), (1600, 1200, 10 / 11), (800, 1200, 1 / 11)]
)
def test_preference_is_the_elo_curve(elo: float, reference: float, chance: float) -> None:
    assert preference(elo, reference) == pytest.approx(chance)


@pytest.mark.parametrize("sd", [10.0, 60.0, 150.0])
@pytest.mark.parametrize("elo", [1050.0, 1200.0, 1400.0])
def test_an_unsure_rating_counts_by_its_expectation(elo: float, sd: float) -> None:
    """Against the integral of the logistic curve over the rating's normal distribution."""
    steps = [(-6 + 12 * (i + 0.5) / 4000) for i in range(4000)]
    density = [exp(-z * z / 2) / sqrt(2 * pi) * 12 / 4000 for z in steps]
    integral = sum(w * preference(elo + z * sd, 1200) for z, w in zip(steps, density, strict=True))
    assert preference(elo, 1200, sd) == pytest.approx(integral, abs=4e-3)


@given(elo=ELO, narrow=st.floats(0, 100), more=st.floats(1, 200))
def test_the_less_is_known_the_nearer_to_a_draw(elo: float, narrow: float, more: float) -> None:
    sure, unsure = preference(elo, 1200, narrow), preference(elo, 1200, narrow + more)
    assert abs(unsure - 0.5) <= abs(sure - 0.5) + 1e-12
    assert (unsure - 0.5) * (sure - 0.5) >= 0


def test_evidence(build: Any) -> None:
    assert evidence(build.request()) == {}
    seen = evidence(
        build.request(
            subject="portrait",
            subject_confidence=0.8,
            environment_motion=("water",),
            subject_motion=("billow",),
            camera=(PUSH,),
            objective=Objective.SPEED,
        )
    )
    # How fast a model is said to be is no evidence of quality: its predicted time says it.
    assert seen == {"portrait": 0.8, "ambient_motion": 1.0, "cinematic_camera": 1.0, "fashion": 0.5}
    assert evidence(build.request(400, 300)) == {"historic": 1.0}
    assert evidence(build.request(camera=(CameraWish(CameraMove.STATIC),))) == {}


@pytest.mark.parametrize(
    ("asked", "use"),
    [
        ({}, "other"),
        ({"environment_motion": ("water",)}, "ambient_motion"),
        ({"environment_motion": ("water",), "subject": "group", "subject_confidence": 0.5}, "group"),
        ({"environment_motion": ("water",), "subject": "group", "subject_confidence": 0.4}, "ambient_motion"),
        ({"subject": "other", "subject_confidence": 0.9}, "other"),
        ({"subject": "portrait", "subject_confidence": 0.9, "said": (CameraMove.ROLL,)}, "cinematic_camera"),
        ({"subject": "portrait", "subject_confidence": 0.9, "camera": (PUSH,)}, "cinematic_camera"),
        ({"subject": "portrait", "subject_confidence": 0.9, "said": (CameraMove.STATIC,)}, "portrait"),
    ],
)
def test_use_case(build: Any, asked: dict[str, Any], use: str) -> None:
    assert use_case(build.request(**asked)) == use


def test_claims_move_a_rating_by_no_more_than_the_prior_spread(build: Any) -> None:
    said = [{"tag": t, "weight": w, **SOURCED} for t, w in (("portrait", 1.0), ("landscape", -1.0))]
    card = build.card(quality={"elo": 1200, "sd": 20}, strengths=said)
    assert rated(card, {}).elo == 1200
    assert rated(card, {"portrait": 0.5}).elo == 1200 + OFFSET_SD / 2
    assert rated(card, {"landscape": 1.0, "ambient_motion": 1.0}).elo == 1200 - OFFSET_SD
    assert rated(card, {}).sd == pytest.approx(sqrt(20**2 + OFFSET_SD**2))


def test_votes_move_a_rating_and_narrow_it(build: Any) -> None:
    card = build.card(quality={"elo": 1200, "sd": 20})
    belief = Belief()
    assert rated(card, {}, belief).elo == 1200
    assert rated(card, {}, belief).sd == pytest.approx(rated(card, {}).sd)
    for _ in range(50):
        belief = liked(belief, 1200, 1200, like=True)
    learned = rated(card, {}, belief)
    assert learned.elo - 1200 == pytest.approx(learned.learned)
    assert learned.learned > 10
    assert learned.votes == 50
    assert learned.sd < rated(card, {}).sd


@given(
    elo=ELO,
    offset=st.floats(-100, 100),
    precision=st.floats(19, 1000),
    sure=st.floats(0, 1),
    reference=ELO,
)
def test_what_is_expected_is_the_preference_of_the_rating(
    build: Any, elo: float, offset: float, precision: float, sure: float, reference: float
) -> None:
    said = [{"tag": "portrait", "weight": 0.5, **SOURCED}]
    card = build.card(quality={"elo": elo, "sd": 20}, strengths=said)
    belief = Belief(offset, precision, 3)
    quality, rating = expected(standing(card), {"portrait": sure}, belief, reference)
    assert rating == rated(card, {"portrait": sure}, belief)
    assert rating.elo == pytest.approx(elo + OFFSET_SD / 2 * sure + offset)
    assert rating.sd == pytest.approx(sqrt(20**2 + 1 / (precision * ELO_LOGIT**2)))
    assert quality == preference(rating.elo, reference, rating.sd)
    assert 0 < quality < 1


def test_an_adapter_takes_from_the_rating_and_says_so(build: Any) -> None:
    request = build.request(residency=Residency.SELF_HOSTED)
    catalog = load_catalog()
    engine = Engine(catalog, load_gpus(), load_profiles())
    decision = engine.decide(request, idle_fleet(catalog, load_gpus()))
    by_offer = {(s.candidate.card.id, s.candidate.offer.id): s for s in decision.candidates}
    plain, fast = by_offer["wan2.2-i2v-a14b", "local"], by_offer["wan2.2-i2v-a14b", "local-4step"]
    assert fast.candidate.prediction.quality < plain.candidate.prediction.quality
    assert "its adapter -30" in fast.scores["quality"][0].reason
