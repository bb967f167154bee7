"""How GPUs are dealt to passes and tokens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.card import Transformer
from models.sharding import DEGREES, Split, degrees, even, split, stretch

SOURCED: dict[str, Any] = {"source": "a test", "checked_at": "2026-11-21"}


def shape(kind: str = "wan", heads: int | None = 40, **over: Any) -> Transformer:
    return Transformer(kind=kind, params=1, width=64, mlp=64, layers=2, heads=heads, **SOURCED, **over)


@pytest.mark.parametrize(
    ("heads", "passes", "degree", "how"),
    [
        (40, 2, 1, Split(1, 1)),
        (40, 2, 2, Split(2, 1)),
        (40, 2, 8, Split(2, 4)),
        (40, 1, 2, Split(1, 2)),
        (40, 1, 8, Split(1, 8)),
        (32, 4, 8, Split(2, 4)),
        # Twelve heads make four parts but not eight; with guidance four are enough for eight GPUs.
        (12, 1, 8, None),
        (12, 2, 8, Split(2, 4)),
        (3, 2, 2, Split(2, 1)),
        (3, 2, 4, None),
        (40, 2, 3, None),
        (40, 2, 16, None),
        (40, 2, 0, None),
    ],
)
def test_passes_come_first_then_whole_heads(heads: int, passes: int, degree: int, how: Split | None) -> None:
    assert split(shape(heads=heads), passes, degree) == how


@pytest.mark.parametrize(
    "alone",
    [
        shape("joint"),
        Transformer(kind="unet", params=1, flops_per_forward=1e12, reference=(64, 64, 8), heads=8, **SOURCED),
    ],
)
def test_networks_without_a_plan_run_alone(alone: Transformer) -> None:
    assert degrees(alone, 2) == (1,)


@given(st.integers(1, 64), st.integers(1, 5), st.sampled_from(DEGREES))
def test_a_split_uses_every_gpu_and_leaves_heads_whole(heads: int, passes: int, degree: int) -> None:
    how = split(shape(heads=heads), passes, degree)
    if how is None:
        assert degree > 1
        return
    assert how.degree == degree
    assert heads % how.ulysses == 0
    assert (how.cfg == 2) == (passes > 1 and degree > 1)


@given(st.integers(1, 10_000), st.sampled_from(DEGREES))
def test_stretches_hold_all_tokens_with_the_least_padding(tokens: int, ulysses: int) -> None:
    held = stretch(tokens, ulysses)
    assert tokens <= held * ulysses < tokens + ulysses
    assert even(tokens, ulysses) == (held * ulysses == tokens)
