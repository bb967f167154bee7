from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.jobs.fit import ALPHA, Fit, log_ratio

VALUES = st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=40)


def fold(values):
    fit = Fit()
    for value in values:
        fit = fit.fold(value)
    return fit


@given(VALUES)
def test_it_is_the_weighted_mean_and_variance_of_all_values(values):
    weights = [ALPHA * (1.0 - ALPHA) ** (len(values) - 1 - n) for n in range(len(values))]
    total = sum(weights)
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / total
    variance = sum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True)) / total
    fit = fold(values)
    assert fit.samples == len(values)
    assert fit.mean == pytest.approx(mean, abs=1e-9)
    assert fit.variance == pytest.approx(variance, abs=1e-9)
    assert fit.sigma >= 0.0
    if len(values) > 1:
        squares = sum((w / total) ** 2 for w in weights)
        assert fit.sigma == pytest.approx(math.sqrt(variance / (1.0 - squares)), abs=1e-6)


def test_two_values_give_the_sample_deviation_of_nearly_equal_weights():
    assert fold([0.0, 1.0]).sigma == pytest.approx(math.sqrt(0.5))


def test_an_old_level_is_forgotten():
    fit = fold([0.0] * 50 + [1.0] * 50)
    assert fit.mean == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_times_that_say_nothing_are_left_out(bad):
    assert log_ratio(bad, 1.0) is None
    assert log_ratio(1.0, bad) is None


def test_log_ratio_is_positive_when_slower_than_predicted():
    assert log_ratio(2.0, 4.0) == pytest.approx(math.log(2.0))
