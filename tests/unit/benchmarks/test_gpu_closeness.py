"""The error that decides whether a lever counts."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.gpu.closeness import Error, error_of


def test_equal_outputs_have_none() -> None:
    output = torch.randn(3, 4)
    error = error_of([output], [output.clone()])
    assert error == Error(0.0, 0.0)
    assert error.counts


def test_it_is_relative_to_the_reference() -> None:
    reference = torch.tensor([100.0, -50.0, 50.0, 0.0])
    error = error_of([reference + torch.tensor([0.0, 0.0, 0.0, 2.0])], [reference])
    assert error.largest == pytest.approx(0.02)
    assert error.mean == pytest.approx(0.5 / 50)
    assert not error.counts  # the mean alone would pass


def test_the_worst_of_several_outputs_is_told() -> None:
    one = torch.ones(4)
    assert error_of([one, one * 1.5], [one, one]).mean == pytest.approx(0.5)


def test_nan_never_counts_and_is_told_in_json() -> None:
    error = error_of([torch.tensor([float("nan"), 1.0])], [torch.ones(2)])
    assert not error.counts
    json.dumps(error.told(), allow_nan=False)


@pytest.mark.parametrize("outputs", [[], [torch.ones(3)], [torch.ones(2), torch.ones(2)]])
def test_another_shape_is_no_error_but_a_mistake(outputs: list[torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        error_of(outputs, [torch.ones(2)])
