"""Float8 products: the arithmetic that a GPU's kernel is held to, done in float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.gpu.float8 import LARGEST, Float8Linear, product, quantised, to_float8

HALF_STEP = 2**-4
"""e4m3 keeps three bits after the leading one: rounding is at most a sixteenth of a value."""


def test_a_row_comes_back_within_half_a_step() -> None:
    rows = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    kept, scale = quantised(rows)
    assert kept.dtype == torch.float8_e4m3fn
    assert kept.float().abs().amax(dim=-1).tolist() == [LARGEST] * 8  # the whole range is used
    off = (kept.float() * scale - rows).abs()
    # Below the smallest normal number (2^-6 of the scaled range) steps are absolute.
    assert bool((off <= (rows.abs() * HALF_STEP).clamp(min=float(scale.max()) * 2**-10)).all())


def test_a_large_value_spoils_its_own_row_only() -> None:
    rows = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    calm = quantised(rows)[0][1].clone()
    rows[0, 0] = 1e6
    assert torch.equal(quantised(rows)[0][1].float(), calm.float())


def test_zeros_stay_zeros() -> None:
    kept, scale = quantised(torch.zeros(2, 16))
    assert bool((kept.float() * scale == 0).all())


def test_the_product_is_that_of_the_quantised_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    left, left_scale = quantised(torch.randn(5, 32, generator=generator))
    right, right_scale = quantised(torch.randn(16, 32, generator=generator))
    bias = torch.randn(16, generator=generator)
    found = product(left, left_scale, right, right_scale, bias, torch.float32)
    wanted = (left.double() * left_scale) @ (right.double() * right_scale).t() + bias
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_a_layer_is_close_to_what_it_replaces_but_not_equal() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(256, 64).requires_grad_(False)
    x = torch.randn(2, 7, 256)
    truth, found = linear(x), Float8Linear(linear)(x)
    assert found.shape == truth.shape
    off = float((found - truth).norm() / truth.norm())
    assert 1e-3 < off < 0.05


def test_odd_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 16; got 64x20"):
        Float8Linear(nn.Linear(20, 64))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 20))


def test_only_fitting_layers_inside_the_blocks_are_replaced() -> None:
    model = nn.Sequential(nn.Linear(16, 16), Block(), Block())
    assert to_float8(model, frozenset({"Block"})) == 2
    assert type(model[0]) is nn.Linear
    assert isinstance(model[1].inner[0], Float8Linear)
    assert type(model[1].inner[1]) is nn.Linear
    assert to_float8(model, frozenset({"Other"})) == 0
