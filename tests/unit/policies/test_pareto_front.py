"""The front: nobody on it is beaten, and everybody off it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.base import Decision, Scored
from policies.pareto import pareto_front

FIGURES = st.lists(
    st.tuples(
        st.sampled_from([0.2, 0.5, 0.8]),
        st.sampled_from([5.0, 20.0, 90.0]),
        st.sampled_from([None, 0.0, 0.1, 1.0]),
        st.sampled_from([0.1, 0.9, 1.0]),
    ),
    max_size=12,
)


def scored(build: Any, quality: float, seconds: float, usd: float | None, on_time: float) -> Scored:
    made = build.candidate(quality=quality, seconds=seconds, usd=usd, on_time=on_time)
    return build.scored(made)  # type: ignore[no-any-return]


def beats(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    def figures(row: tuple[Any, ...]) -> tuple[float, ...]:
        quality, seconds, usd, on_time = row
        return (quality, -seconds, -1e9 if usd is None else -usd, on_time)

    one, other = figures(a), figures(b)
    return one != other and all(x >= y for x, y in zip(one, other, strict=True))


@given(FIGURES)
def test_front(build: Any, rows: list[tuple[Any, ...]]) -> None:
    given_ = [scored(build, *row) for row in rows]
    front = pareto_front(given_)
    kept = {id(s) for s in front}
    assert [s for s in given_ if id(s) in kept] == list(front)
    for row, one in zip(rows, given_, strict=True):
        assert (id(one) in kept) != any(beats(other, row) for other in rows)


@pytest.mark.parametrize("waits", [0.0, 50.0])
def test_waiting_counts(build: Any, waits: float) -> None:
    quick = build.scored(build.candidate(seconds=20.0, wait_seconds=waits, usd=0.1))
    slow = build.scored(build.candidate(seconds=40.0, usd=0.1))
    assert pareto_front([quick, slow]) == ((quick,) if waits == 0 else (slow,))


def test_a_decision_tells_its_front(build: Any) -> None:
    good, bad = scored(build, 0.8, 5.0, 0.1, 1.0), scored(build, 0.2, 90.0, 1.0, 0.1)
    decision = Decision("balanced", build.features(), good, candidates=(bad, good))
    assert decision.pareto == (good,)
