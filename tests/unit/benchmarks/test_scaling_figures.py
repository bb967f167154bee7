"""Two ranks: that they compute the same, and what is made of their times."""

from __future__ import annotations

import pytest

from benchmarks.scaling import PARITY, Told, Turn, figures_of, ranks_told


def told(rank: int, alone: list[float], shared: list[float], cpu: float) -> Told:
    return Told(
        rank,
        2304,
        tuple(Turn(wall, wall) for wall in alone),
        {"tokens": tuple(Turn(wall, cpu) for wall in shared)},
        {"tokens": 1e-6 * (rank + 1)},
    )


def test_the_slower_rank_sets_the_time() -> None:
    figures = figures_of([told(1, [], [0.6, 0.8], 0.4), told(0, [1.0, 1.2], [0.5, 0.9], 0.3)], "tokens")
    assert figures["shared_s"] == {"fastest": 0.6, "median": pytest.approx(0.75)}
    assert figures["speed_up"] == pytest.approx(1.0 / 0.6, abs=1e-3)
    assert figures["speed_up_median"] == pytest.approx(1.1 / 0.75, abs=1e-3)
    assert figures["speed_up_cpu"] == pytest.approx(1.1 / 0.4, abs=1e-3)
    assert figures["difference"] == 2e-6


def test_two_real_ranks_compute_what_one_does() -> None:
    found = ranks_told({64: (4, 8, 8)}, rounds=1)
    assert {rank.rank for rank in found} == {0, 1}
    for rank in found:
        assert set(rank.shared) == {"tokens", "passes"}
        assert all(len(turns) == 1 for turns in rank.shared.values())
        assert max(rank.difference.values()) <= PARITY
    assert sorted(len(rank.alone) for rank in found) == [0, 1]
