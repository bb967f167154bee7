"""Waits, lateness and the fleet of a dry run."""

from __future__ import annotations

from math import erf, log, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.base import Pool
from policies.candidates import WAIT_SIGMA, in_time, on_time, predict, total_sigma
from policies.fleet import idle_fleet
from policies.load import wait_seconds

SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}


@pytest.mark.parametrize(
    ("pool", "wait"),
    [
        ({"replicas": 1}, 0.0),
        ({"replicas": 2, "busy_seconds": (30.0,)}, 0.0),
        ({"replicas": 1, "busy_seconds": (30.0,)}, 30.0),
        ({"replicas": 2, "busy_seconds": (50.0, 30.0)}, 30.0),
        ({"replicas": 1, "queued_seconds": 40.0}, 40.0),
        ({"replicas": 2, "queued_seconds": 40.0}, 20.0),
        ({"replicas": 1, "busy_seconds": (30.0,), "queued_seconds": 40.0}, 70.0),
        # Of 40 s, 30 s run on the idle replica while the other is busy; the last 10 s are shared.
        ({"replicas": 2, "busy_seconds": (30.0,), "queued_seconds": 40.0}, 35.0),
        ({"replicas": 2, "busy_seconds": (10.0, 100.0), "queued_seconds": 40.0}, 50.0),
        ({"replicas": 0, "cold_start_s": 90.0}, 90.0),
        ({"replicas": 0, "cold_start_s": 90.0, "queued_seconds": 40.0}, 130.0),
        # One replica was lost: its run waits again.
        ({"replicas": 1, "busy_seconds": (10.0, 20.0)}, 30.0),
    ],
)
def test_wait(build: Any, pool: dict[str, Any], wait: float) -> None:
    assert wait_seconds(build.pool(**pool)) == pytest.approx(wait)


@given(
    st.integers(1, 6),
    st.lists(st.floats(0, 500), max_size=8),
    st.floats(0, 5000),
    st.floats(0, 1000),
)
def test_wait_grows_with_work_and_conserves_it(
    replicas: int, busy: list[float], queued: float, more: float
) -> None:
    def wait(work: float) -> float:
        pool = Pool("p", "m", "o", "g", replicas=replicas, busy_seconds=tuple(busy), queued_seconds=work)
        return wait_seconds(pool)

    level = wait(queued)
    assert level >= 0
    assert wait(queued + more) >= level - 1e-9
    if len(busy) <= replicas and queued > 0:
        free = [0.0] * (replicas - len(busy)) + busy
        assert sum(max(0.0, level - at) for at in free) == pytest.approx(queued, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("left", "seconds", "sigma", "chance"),
    [
        (100.0, 100.0, 0.05, 0.5),
        (0.0, 10.0, 0.05, 0.0),
        (-5.0, 10.0, 0.05, 0.0),
        (100.0, 50.0, 0.05, 1.0),
        (50.0, 100.0, 0.05, 0.0),
        (100.0, 100.0, 0.0, 1.0),
        (99.0, 100.0, 0.0, 0.0),
        (110.0, 100.0, 0.1, 0.5 * (1 + erf(log(1.1) / 0.1 / sqrt(2)))),
    ],
)
def test_on_time(left: float, seconds: float, sigma: float, chance: float) -> None:
    assert on_time(left, seconds, sigma) == pytest.approx(chance, abs=1e-9)


def test_a_wait_is_not_certain(build: Any) -> None:
    """Wait and run vary apart, so their shares of the sum add up as squares."""
    assert total_sigma(0.0, 30.0, 0.1) == 0.1
    assert total_sigma(1e9, 1.0, 0.1) == pytest.approx(WAIT_SIGMA)
    assert total_sigma(50.0, 50.0, 0.1) == pytest.approx(sqrt(0.05**2 + 0.3**2))
    assert total_sigma(50.0, 50.0, 0.8) == pytest.approx(0.5)
    pool = build.pool(sigma=0.1)

    def chance(wait: float, deadline_s: float) -> float:
        return predict((60.0, 60.0, 1, True, 1.0), pool, wait, 0.4, deadline_s, True).on_time

    assert 0.0 < chance(100.0, 100.0) < 0.5, "who waits may still be there in time"
    assert chance(100.0, 160.0) == pytest.approx(0.5)
    assert 0.5 < chance(100.0, 200.0) < chance(0.0, 100.0) < 1.0


@given(
    sigma=st.floats(0.02, 1.0), seconds=st.floats(1, 500), deadline_s=st.floats(1, 2000),
    wait=st.floats(0, 1000), more=st.floats(0, 1000),
)  # fmt: skip
def test_more_wait_never_makes_a_clip_surer(
    sigma: float, seconds: float, deadline_s: float, wait: float, more: float
) -> None:
    def chance(waited: float) -> float:
        return in_time(deadline_s, waited, seconds, sigma)

    # Below 4.8 % (1 / WAIT_SIGMA standard deviations) the spread outweighs; nobody is promised that little.
    least = 0.5 * (1 + erf(-1 / WAIT_SIGMA / sqrt(2)))
    assert chance(wait + more) <= max(chance(wait), least) + 1e-12


def test_prediction_is_calibrated_by_the_pool(build: Any) -> None:
    pool = build.pool(speed=1.2, sigma=0.05)
    by_gpu = predict((100.0, 200.0, 2**30, True, 1.0), pool, 5.0, 0.4, 125.0, True)
    assert (by_gpu.seconds, by_gpu.gpu_seconds, by_gpu.usd) == pytest.approx((120.0, 240.0, 1.2))
    assert by_gpu.on_time == pytest.approx(0.5)
    listed = predict((100.0, 200.0, 2**30, True, 1.0), pool, 5.0, 0.4, None, False)
    assert (listed.usd, listed.on_time) == (1.0, 1.0)
    unknown = predict((100.0, 200.0, 2**30, True, None), pool, 5.0, 0.4, None, True)
    assert unknown.usd is None


def test_idle_fleet_has_every_offer_once_warm_and_idle(build: Any) -> None:
    hosted = {
        "id": "fal",
        "backend": "fal",
        "modes": [build.mode()],
        "latency": {"p50": 30, "p95": 60, **SOURCED},
    }
    local = build.card("a").offers[0].model_dump()
    catalog = build.catalog(
        build.card("both", offers=[local, hosted]),
        build.card("small", offer={"degrees": [1, 2]}),
        build.card("gone", status="retired", retires_on="2026-01-01"),
        build.card("elsewhere", offer={"default_gpu": "unheard-of"}),
        build.card("nowhere", offer={"default_gpu": None}),
    )
    fleet = idle_fleet(catalog, build.gpus())
    assert [(p.model, p.offer, p.gang_size) for p in fleet.pools] == [
        ("both", "local", 8),
        ("both", "fal", 1),
        ("small", "local", 2),
    ]
    assert all(p.healthy and p.replicas == 1 and wait_seconds(p) == 0 for p in fleet.pools)
    assert fleet.pools[0].sigma == 0.05
    assert fleet.pools[1].sigma == pytest.approx(log(2) / 1.6449)
