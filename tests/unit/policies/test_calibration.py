from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.types import Objective
from policies.calibration import (
    ELO_LOGIT,
    FORMULA_ERROR,
    HOLD_OUT_FROM,
    LEAST_VOTES,
    OFFSET_SD,
    PRIOR_PRECISION,
    Belief,
    Ledger,
    Tally,
    TimeFit,
    compared,
    fold,
    in_force,
    liked,
    sigma_of,
    slice_of,
    speed_of,
)

SIGMA = 0.05


def folded(ratios):
    fit = TimeFit()
    for ratio in ratios:
        fit = fold(fit, 100.0, 100.0 * ratio)
    return fit


# --- times ----------------------------------------------------------------------------------------


def test_the_first_runs_weigh_as_in_a_plain_average():
    fit = folded([math.exp(0.1), math.exp(0.3)])
    # Weights of two samples are 0.9 : 1, nearly equal.
    assert fit.log_ratio == pytest.approx((0.9 * 0.1 + 0.3) / 1.9)
    assert fit.sigma == pytest.approx(0.2 / math.sqrt(2.0))
    assert fit.samples == 2


@pytest.mark.parametrize("times", [(0.0, 1.0), (1.0, 0.0), (1.0, -2.0), (math.nan, 1.0), (1.0, math.inf)])
def test_times_that_say_nothing_change_nothing(times):
    fit = folded([1.1, 1.2])
    assert fold(fit, *times) == fit


def test_without_runs_the_formula_speaks_with_its_own_doubt():
    assert speed_of(None, SIGMA) == speed_of(TimeFit(), SIGMA) == 1.0
    assert sigma_of(None, SIGMA) == pytest.approx(math.hypot(SIGMA, FORMULA_ERROR))


def test_a_single_run_of_a_wild_offer_is_believed_less_than_one_of_a_steady_one():
    once = folded([1.5])
    assert 1.0 < speed_of(once, 0.35) < speed_of(once, 0.05) < 1.5


@given(st.floats(0.5, 2.0), st.floats(0.02, 0.4))
def test_many_equal_runs_are_believed(ratio, prior):
    fit = folded([ratio] * 200)
    assert speed_of(fit, prior) == pytest.approx(ratio, rel=0.1)
    assert sigma_of(fit, prior) < math.hypot(prior, FORMULA_ERROR)


@given(st.lists(st.floats(0.2, 5.0), max_size=40))
def test_speed_and_spread_are_sane_whatever_was_seen(ratios):
    fit = folded(ratios)
    seen = [1.0, *ratios]
    assert min(seen) * 0.999 <= speed_of(fit, SIGMA) <= max(seen) * 1.001
    assert 0.0 < sigma_of(fit, SIGMA) < 3.0


@pytest.mark.parametrize(("spread", "error"), [(0.05, 0.10), (0.35, 0.30)])
def test_after_twenty_runs_the_speed_is_known_and_nine_in_ten_runs_are_within_q90(spread, error):
    random = Random(7)
    off, inside, many = [], 0, 2000
    for _ in range(many):
        bias = math.exp(random.gauss(0.0, error))
        fit = folded([bias * math.exp(random.gauss(0.0, spread)) for _ in range(20)])
        speed, sigma = speed_of(fit, spread, error), sigma_of(fit, spread, error)
        off.append(abs(speed / bias - 1.0))
        inside += bias * math.exp(random.gauss(0.0, spread)) <= speed * math.exp(1.2816 * sigma)
    assert sum(off) / many < 0.25 * spread  # 20 samples weigh like 15: spread / sqrt(15) x 0.8
    assert 0.88 <= inside / many <= 0.92


# --- votes ----------------------------------------------------------------------------------------


def test_a_like_raises_and_a_dislike_lowers_and_surprises_move_more():
    expected = liked(Belief(), 1400.0, 1200.0, True)
    surprise = liked(Belief(), 1400.0, 1200.0, False)
    assert expected.offset > 0.0 > surprise.offset
    assert abs(surprise.offset) > expected.offset
    assert expected.votes == 1
    assert expected.precision == pytest.approx(PRIOR_PRECISION + 0.7597 * 0.2403, abs=1e-4)


def test_the_prior_spread_is_forty_elo():
    assert Belief().sd == pytest.approx(OFFSET_SD)
    assert Belief().precision == pytest.approx(1.0 / (OFFSET_SD * ELO_LOGIT) ** 2)


def test_many_votes_find_the_true_offset():
    random, belief, true = Random(3), Belief(), 80.0
    chance = 1.0 / (1.0 + 10.0 ** (-true / 400.0))
    for _ in range(4000):
        belief = liked(belief, 1200.0, 1200.0, random.random() < chance)
    assert belief.offset == pytest.approx(true, abs=3.0 * belief.sd)
    assert belief.sd < 8.0


@given(st.floats(900.0, 1500.0), st.floats(900.0, 1500.0))
def test_a_comparison_moves_both_apart_by_the_same_at_equal_precision(a, b):
    winner, loser = compared(Belief(), a, Belief(), b)
    assert winner.offset == pytest.approx(-loser.offset)
    assert winner.offset > 0.0
    assert winner.votes == loser.votes == 1


def test_the_surer_of_two_moves_less():
    winner, loser = compared(Belief(precision=500.0), 1200.0, Belief(), 1200.0)
    assert abs(winner.offset) < abs(loser.offset)


# --- slices and rollback ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "objective", "expected"),
    [
        (None, Objective.COST, "learned"),
        (0.0, Objective.COST, "explore"),
        (0.0, Objective.QUALITY, "learned"),
        (0.029, Objective.PREVIEW, "explore"),
        (0.03, Objective.PREVIEW, "learned"),
        (HOLD_OUT_FROM, Objective.QUALITY, "hold_out"),
    ],
)
def test_slices(draw, objective, expected):
    assert slice_of(draw, objective) == expected


def test_harm_rolls_back_and_stays_rolled_back():
    bad = Ledger(learned=Tally(300, 1000), held_out=Tally(60, 100))
    assert bad.rolled_back
    assert in_force({("m", "portrait"): Belief(50.0)}, bad) == {}
    # What is decided without beliefs counts as held out, so the learned slice does not recover by itself.
    for _ in range(500):
        bad = bad.voted("hold_out", True)
    assert bad.rolled_back


def test_good_or_little_evidence_keeps_the_beliefs():
    beliefs = {("m", "portrait"): Belief(50.0)}
    assert in_force(beliefs, Ledger()) is beliefs
    assert in_force(beliefs, Ledger(Tally(0, 10_000), Tally(LEAST_VOTES - 1, LEAST_VOTES - 1))) is beliefs
    assert in_force(beliefs, Ledger(Tally(700, 1000), Tally(60, 100))) is beliefs


def test_tried_candidates_count_for_neither_side():
    assert Ledger().voted("explore", True) == Ledger()


def test_equal_slices_are_hardly_ever_rolled_back():
    """The comparison is repeated at every vote, over 3 000 thumbs."""
    random, wrong = Random(11), 0
    for _ in range(60):
        ledger = Ledger()
        for _ in range(3000):
            part = "hold_out" if random.random() >= HOLD_OUT_FROM else "learned"
            ledger = ledger.voted(part, random.random() < 0.55)
            if ledger.rolled_back:
                wrong += 1
                break
    assert wrong <= 3
