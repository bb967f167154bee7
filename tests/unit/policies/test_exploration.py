"""A few requests try a near-best offer, a few are decided without what was learned; both say so."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from models.types import Objective
from policies.base import Fleet
from policies.calibration import EXPLORE_BELOW, EXPLORE_MARGIN, Belief
from policies.engine import Engine, idle_fleet
from policies.ordering import explored
from policies.pickers.expected_utility import ExpectedUtility
from policies.profile import load_profiles

DRAWS = [EXPLORE_BELOW * (at + 0.5) / 90 for at in range(90)]


def rivals(build: Any) -> Any:
    """Three models of nearly the same worth, and a poor one."""
    cards = [
        build.card(name, quality={"elo": elo})
        for name, elo in zip("abcz", (1200, 1199, 1198, 500), strict=True)
    ]
    catalog, gpus = build.catalog(*cards), build.gpus()
    return Engine(catalog, gpus, load_profiles()), idle_fleet(catalog, gpus)


def chosen(engine: Engine, request: Any, fleet: Fleet) -> str:
    made = engine.decide(request, fleet).chosen
    assert made is not None
    return made.candidate.card.id


def test_near_best_offers_are_tried_alike(build: Any) -> None:
    engine, fleet = rivals(build)
    seen = Counter(
        chosen(engine, build.request(objective=Objective.COST, draw=draw), fleet) for draw in DRAWS
    )
    assert seen == {"a": 30, "b": 30, "c": 30}


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("draw", [None, EXPLORE_BELOW, 0.5, 0.999, EXPLORE_BELOW * 0.5])
def test_only_small_draws_and_cheap_objectives_explore(
    build: Any, objective: Objective, draw: float | None
) -> None:
    engine, fleet = rivals(build)
    explores = objective in {Objective.SPEED, Objective.COST, Objective.PREVIEW}
    decision = engine.decide(build.request(objective=objective, draw=draw), fleet)
    tried = draw is not None and draw < EXPLORE_BELOW and explores
    assert decision.chosen is not None
    assert decision.chosen.candidate.card.id == ("b" if tried else "a")
    assert bool(decision.notes) == tried
    if tried:
        assert decision.notes[0].startswith("explored: b is tried although a is valued 0.0")
        assert decision.fallbacks[0].candidate.card.id == "a"


def test_nothing_beyond_the_margin_is_tried(build: Any) -> None:
    request = build.request(objective=Objective.COST, draw=EXPLORE_BELOW * 0.99)
    ordered = [
        build.scored(build.candidate(build.card(n)), u) for n, u in zip("abc", (0.5, 0.46, 0.44), strict=True)
    ]
    first = explored(request, ordered)[0].candidate.card.id
    assert first == "b"
    assert explored(request, ordered, margin=0.0)[0].candidate.card.id == "a"
    assert 0.5 - 0.46 < EXPLORE_MARGIN < 0.5 - 0.44


def test_an_operator_can_turn_it_off(build: Any) -> None:
    picker = ExpectedUtility(explore_margin=0.0)
    request = build.request(objective=Objective.COST, draw=EXPLORE_BELOW * 0.99)
    given = [
        build.scored(build.candidate(build.card(n)), says=(v, 1.0)) for n, v in (("a", 0.5), ("b", 0.49))
    ]
    assert picker.order(request, given)[0].candidate.card.id == "a"


def test_beliefs_move_the_ranking_but_for_the_held_out(build: Any) -> None:
    cards = [build.card("a", quality={"elo": 1205}), build.card("b", quality={"elo": 1200})]
    catalog, gpus = build.catalog(*cards), build.gpus()
    engine, idle = Engine(catalog, gpus, load_profiles()), idle_fleet(catalog, gpus)
    fleet = Fleet(idle.pools, beliefs={("b", "other"): Belief(offset=30.0, precision=40.0, votes=80)})
    assert chosen(engine, build.request(), idle) == "a"
    for draw, model in ((None, "b"), (0.5, "b"), (0.97, "a")):
        decision = engine.decide(build.request(draw=draw), fleet)
        assert decision.chosen is not None
        assert decision.chosen.candidate.card.id == model
        assert bool(decision.notes) == (draw == 0.97)
    # A vote on portraits says nothing of other photographs.
    portrait = build.request(subject="portrait", subject_confidence=0.9)
    assert chosen(engine, portrait, fleet) == "a"
    told = engine.decide(build.request(), fleet).chosen.scores["quality"][0].reason  # type: ignore[union-attr]
    assert "80 votes +30" in told
