"""What votes add up to: order, pairs, and how much one tenant may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.calibration import Belief, compared, liked
from router.jobs.cells import TENANT_VOTES, Cast, beliefs_of, counted

ELO = 1200.0


def thumb(model: str = "a", rating: int = 1, tenant: str = "t") -> Cast:
    return Cast(tenant, model, ELO, ELO, rating)


def pair(winner: str, loser: str, tenant: str = "t") -> Cast:
    return Cast(tenant, winner, ELO, ELO, 1, loser, ELO)


def test_votes_are_folded_in_order() -> None:
    first = liked(Belief(), ELO, ELO, like=True)
    a, b = compared(first, ELO, Belief(), ELO)
    assert beliefs_of([thumb(), pair("a", "b")]) == {"a": a, "b": b}


def test_one_tenant_moves_a_model_so_far_and_no_further() -> None:
    much = beliefs_of([thumb()] * TENANT_VOTES)["a"]
    assert beliefs_of([thumb()] * (50 * TENANT_VOTES))["a"] == much
    assert 60.0 < much.offset < 130.0
    with_another = beliefs_of([thumb()] * TENANT_VOTES + [thumb(tenant="u")] * TENANT_VOTES)["a"]
    assert with_another.offset > much.offset
    assert with_another.votes == 2 * TENANT_VOTES


def test_the_newest_votes_of_a_tenant_count() -> None:
    turned = [thumb(rating=1)] * TENANT_VOTES + [thumb(rating=-1)] * TENANT_VOTES
    assert beliefs_of(turned) == beliefs_of([thumb(rating=-1)] * TENANT_VOTES)


def test_a_pair_weighs_on_both_models_shares() -> None:
    votes = [pair("a", "b")] * TENANT_VOTES + [thumb("b")]
    assert len(counted(votes)) == TENANT_VOTES, "the oldest pair makes room for the thumb"
    assert beliefs_of(votes)["b"].votes == TENANT_VOTES


def test_a_model_against_itself_teaches_nothing() -> None:
    assert beliefs_of([pair("a", "a")]) == {}


@given(
    st.lists(
        st.tuples(st.sampled_from("tu"), st.sampled_from("abc"), st.sampled_from(["", "a", "b", "c"])),
        max_size=200,
    )
)
def test_no_tenant_counts_more_than_its_share_in_any_cell(rows: list[tuple[str, str, str]]) -> None:
    votes = [
        pair(model, other, tenant) if other else thumb(model, 1, tenant) for tenant, model, other in rows
    ]
    kept = counted(votes)
    for tenant in "tu":
        for model in "abc":
            assert sum(1 for v in kept if v.tenant == tenant and model in v.models) <= TENANT_VOTES
    assert sum(belief.votes for belief in beliefs_of(votes).values()) == sum(len(v.models) for v in kept)


@pytest.mark.parametrize("rating", [1, -1])
def test_likes_raise_and_dislikes_lower(rating: int) -> None:
    assert beliefs_of([thumb(rating=rating)])["a"].offset * rating > 0
