"""Pickers: what utility is, and an order that does not depend on the order of the input."""

from __future__ import annotations

import random
from typing import Any

import pytest

from policies.pickers.expected_utility import ExpectedUtility
from policies.pickers.max_score import MaxScore

PICKERS = [ExpectedUtility(), MaxScore()]


def test_expected_utility_is_worth_less_cost(build: Any) -> None:
    scored = build.scored(
        build.candidate(usd=0.5), quality=(0.5, 1.0), on_time=(0.8, 1.0), camera_fit=(0.25, 0.5)
    )
    (best,) = ExpectedUtility(cost_weight=0.1).order(build.request(), [scored])
    assert best.utility == pytest.approx(0.5 * 0.8 * 0.5 - 0.1 * 0.5)
    assert best.scores == scored.scores


@pytest.mark.parametrize(("cost_weight", "first"), [(0.0, "dear"), (0.3, "dear"), (0.6, "cheap")])
def test_cost_weight_decides_between_good_and_cheap(build: Any, cost_weight: float, first: str) -> None:
    dear = build.scored(build.candidate(build.card("dear"), usd=0.5), quality=(0.6, 1.0))
    cheap = build.scored(build.candidate(build.card("cheap"), usd=0.0), quality=(0.4, 1.0))
    order = ExpectedUtility(cost_weight=cost_weight).order(build.request(), [cheap, dear])
    assert order[0].candidate.card.id == first


def test_unknown_price_counts_as_the_dearest_known(build: Any) -> None:
    known = build.scored(build.candidate(build.card("known"), usd=0.4), quality=(0.5, 1.0))
    unknown = build.scored(build.candidate(build.card("unknown"), usd=None), quality=(0.5, 1.0))
    order = ExpectedUtility(cost_weight=1.0).order(build.request(), [unknown, known])
    assert [s.utility for s in order] == pytest.approx([0.1, 0.1])


def test_max_score_is_the_weighted_mean(build: Any) -> None:
    scored = build.scored(build.candidate(), quality=(0.5, 3.0), cost=(1.0, 1.0))
    (best,) = MaxScore().order(build.request(), [scored])
    assert best.utility == pytest.approx(0.625)


@pytest.mark.parametrize("picker", PICKERS, ids=lambda p: p.name)
def test_best_first_and_ties_by_key(build: Any, picker: Any) -> None:
    rng = random.Random(7)
    scored = [
        build.scored(build.candidate(build.card(f"m{at}"), usd=0.0), quality=(value, 1.0))
        for at, value in enumerate([0.2, 0.9, 0.5, 0.9, 0.2])
    ]
    expected = ["m1", "m3", "m2", "m0", "m4"]
    for _ in range(10):
        rng.shuffle(scored)
        order = picker.order(build.request(), list(scored))
        assert [s.candidate.card.id for s in order] == expected


@pytest.mark.parametrize("picker", PICKERS, ids=lambda p: p.name)
def test_nothing_to_order(build: Any, picker: Any) -> None:
    assert list(picker.order(build.request(), [])) == []
