"""How much a job may still cost after a call of unknown outcome."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.unknown import ceiling_usd, ending, left_usd

PRICES = st.floats(0.001, 50.0)


@pytest.mark.parametrize(
    ("max_cost", "before", "spent", "promised", "ceiling", "left"),
    [
        pytest.param(None, None, 0.5, 0.5, 1.0, 0.5, id="first: the promised price once more"),
        pytest.param(None, 1.0, 0.9, 0.4, 1.0, 0.1, id="second: what is left of it"),
        pytest.param(None, 1.0, 1.0, 0.5, 1.0, 0.0, id="second: nothing is left"),
        pytest.param(None, None, 0.7, 0.5, 1.2, 0.5, id="first, after a failure that was charged"),
        pytest.param(2.0, None, 0.5, 0.5, 2.0, 1.5, id="a client's budget is the limit"),
        pytest.param(0.6, None, 0.5, 0.5, 0.6, 0.1, id="a client's budget that is nearly used up"),
        pytest.param(0.5, None, 0.5, 0.5, 0.5, 0.0, id="a client's budget that is used up"),
        pytest.param(0.3, None, 0.5, 0.5, 0.3, 0.0, id="more was spent than the budget: never below nothing"),
    ],
)
def test_the_rule(
    max_cost: float | None, before: float | None, spent: float, promised: float, ceiling: float, left: float
) -> None:
    found = ceiling_usd(max_cost_usd=max_cost, ceiling_usd=before, spent_usd=spent, promised_usd=promised)
    assert found == pytest.approx(ceiling)
    assert left_usd(max_cost_usd=max_cost, ceiling_usd=found, spent_usd=spent) == pytest.approx(left)


@pytest.mark.parametrize(
    ("max_cost", "spent", "left"), [(None, 0.0, None), (None, 3.0, None), (1.0, 0.0, 1.0), (1.0, 0.25, 0.75)]
)
def test_without_an_unknown_outcome_only_a_clients_budget_limits(
    max_cost: float | None, spent: float, left: float | None
) -> None:
    assert left_usd(max_cost_usd=max_cost, ceiling_usd=None, spent_usd=spent) == left


@given(PRICES, st.floats(0, 50))
def test_an_offer_of_exactly_the_promised_price_is_within_what_is_left(price: float, spent: float) -> None:
    price, spent = round(price, 6), round(spent, 6)
    ceiling = ceiling_usd(max_cost_usd=None, ceiling_usd=None, spent_usd=spent + price, promised_usd=price)
    left = left_usd(max_cost_usd=None, ceiling_usd=ceiling, spent_usd=spent + price)
    assert left is not None
    assert price <= left


@given(PRICES, st.lists(st.floats(0, 1), max_size=4))
def test_a_job_without_a_budget_never_pays_more_than_twice_its_promise(
    promised: float, shares: list[float]
) -> None:
    """However many more calls have unknown outcomes, each of what is then left at most."""
    spent, ceiling = promised, None
    price = promised
    for share in shares:
        ceiling = ceiling_usd(max_cost_usd=None, ceiling_usd=ceiling, spent_usd=spent, promised_usd=price)
        left = left_usd(max_cost_usd=None, ceiling_usd=ceiling, spent_usd=spent)
        assert left is not None
        price = share * left
        spent += price
    assert spent <= 2 * promised * (1 + 1e-9) + 1e-8


def test_the_ending_says_what_may_have_been_paid() -> None:
    told = ending(spent_usd=0.75, left_usd=0.05)
    assert "Up to $0.75 may have been paid" in told
    assert "$0.05" in told
