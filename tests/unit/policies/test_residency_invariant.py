"""A photograph that must stay stays, whatever is asked of any fleet; and when hosted models help out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.card import Card
from models.types import Objective, Residency
from policies.base import Decision, Fleet, Pool, RouteRequest, Scored
from policies.engine import Engine
from policies.profile import load_profiles
from tests.unit.policies.test_decision_properties import CATALOG, ENGINE, GPUS, Busy, fleets, requests

SELF_HOSTED = {"local", "engine"}
ENGINES = tuple(
    Pool(f"{card.id}-engine", card.id, offer.id, offer.default_gpu or "h100", gang_size=4, replicas=1)
    for card in CATALOG
    for offer in card.offers
    if offer.backend == "engine"
)


def backends(found: tuple[Scored, ...]) -> set[str]:
    return {scored.candidate.offer.backend for scored in found}


@settings(max_examples=60, deadline=None)
@given(requests(), fleets(), st.sampled_from(["auto", *sorted(CATALOG.cards)]))
def test_nothing_hosted_is_ever_an_answer_to_a_self_hosted_request(
    request: RouteRequest, busy: Busy, model: str
) -> None:
    fleet = busy.fleet()
    fleet = replace(fleet, pools=(*fleet.pools, *ENGINES))
    asked = replace(request, residency=Residency.SELF_HOSTED, model=model)
    decision = ENGINE.decide(asked, fleet)
    chosen = () if decision.chosen is None else (decision.chosen,)
    for found in (chosen, decision.fallbacks, decision.candidates, decision.pareto):
        assert backends(found) <= SELF_HOSTED
    for offer in decision.counter_offers:
        if offer.chosen.candidate.offer.backend not in SELF_HOSTED:
            assert "residency" in offer.patch, "only the client itself may let the photograph go"


def test_the_same_requests_do_have_hosted_answers_where_it_is_allowed(build: Any) -> None:
    pools = tuple(
        Pool("account", card.id, offer.id, "hosted", replicas=100)
        for card in CATALOG
        if card.status != "retired"
        for offer in card.offers
        if offer.backend == "replicate"
    )
    for residency, some in ((Residency.ANY, True), (Residency.SELF_HOSTED, False)):
        decision = ENGINE.decide(build.request(residency=residency), Fleet(pools), counter_offers=False)
        assert bool(decision.candidates) is some


# --- burst -------------------------------------------------------------------------------------------------


def both_ways(build: Any, usd: float) -> Card:
    """A model of 32 s on its own GPU, and of 20 s at a price at a host."""
    sourced = {"source": "made up for a test", "checked_at": "2026-11-21"}
    local = {
        "id": "local", "backend": "local", "runner": "fake", "default_gpu": "g", "degrees": [1],
        "price": {"kind": "gpu", **sourced}, "modes": [build.mode()],
    }  # fmt: skip
    hosted = {
        "id": "replicate", "backend": "replicate", "ref": "someone/alpha", "modes": [build.mode()],
        "price": {"kind": "per_clip", "usd": usd, **sourced},
        "latency": {"p50": 20.0, "p95": 22.0, **sourced},
    }  # fmt: skip
    card: Card = build.card(offers=[local, hosted])
    return card


@pytest.mark.parametrize("objective", [Objective.BALANCED, Objective.COST, Objective.QUALITY])
@pytest.mark.parametrize(
    ("busy", "deadline", "budget", "residency", "taken"),
    [
        pytest.param((), 120.0, None, Residency.ANY, "local", id="idle: at home"),
        pytest.param((900.0,), 120.0, None, Residency.ANY, "replicate", id="full, a deadline: burst"),
        pytest.param((900.0,), 120.0, 1.0, Residency.ANY, "replicate", id="full, within the budget: burst"),
        pytest.param((900.0,), 120.0, 0.3, Residency.ANY, None, id="full, beyond the budget: nothing"),
        pytest.param((900.0,), 120.0, 1.0, Residency.SELF_HOSTED, None, id="full, must stay: nothing"),
        pytest.param((900.0,), None, 0.3, Residency.ANY, "local", id="full, no hurry, no money: it waits"),
    ],
)
def test_a_hosted_offer_helps_out_when_the_deadline_needs_it_and_the_budget_allows(
    build: Any,
    objective: Objective,
    busy: tuple[float, ...],
    deadline: float | None,
    budget: float | None,
    residency: Residency,
    taken: str | None,
) -> None:
    card = both_ways(build, usd=0.5)
    engine = Engine(build.catalog(card), build.gpus(), load_profiles())
    fleet = Fleet(
        (
            build.pool(busy_seconds=busy),
            Pool("account", "alpha", "replicate", "hosted", replicas=100, sigma=0.1),
        )
    )
    request = build.request(
        objective=objective, deadline_s=deadline, max_cost_usd=budget, residency=residency
    )
    decision: Decision = engine.decide(request, fleet, counter_offers=False)
    assert (decision.chosen.candidate.offer.id if decision.chosen else None) == taken


def test_a_deadline_that_home_can_meet_costs_nothing_more(build: Any) -> None:
    card = both_ways(build, usd=0.5)
    engine = Engine(build.catalog(card), build.gpus(), load_profiles())
    account = Pool("account", "alpha", "replicate", "hosted", replicas=100, sigma=0.1)
    fleet = Fleet((build.pool(busy_seconds=(20.0,)), account))
    request = build.request(objective=Objective.COST, deadline_s=600.0)
    chosen = engine.decide(request, fleet, counter_offers=False).chosen
    assert chosen is not None
    assert chosen.candidate.offer.id == "local"


def test_engines_are_among_what_is_tried() -> None:
    assert ENGINES
    assert {pool.gpu for pool in ENGINES} <= set(GPUS)
