"""The backlog rolled forward: who is ahead of a new job, and when it could start."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.types import Priority
from policies.base import Pool, Waiting
from policies.fairness import BANDS, room
from policies.load import congestion, roll_forward, utilisation, wait_seconds

LOW, NORMAL, HIGH = Priority.LOW, Priority.NORMAL, Priority.HIGH
SECONDS = st.floats(0, 500)
DUE = st.one_of(st.just(inf), st.floats(-100, 5000))
PRIORITY = st.sampled_from(list(Priority))
GPUS = st.sampled_from((1, 2, 4))
JOBS = st.lists(st.builds(Waiting, due=DUE, priority=PRIORITY, seconds=SECONDS, gpus=GPUS), max_size=12)
POOLS = st.builds(
    Pool,
    st.just("p"),
    st.just("m"),
    st.just("o"),
    st.just("g"),
    replicas=st.integers(0, 12),
    busy_seconds=st.lists(SECONDS, max_size=12).map(tuple),
    queued_seconds=st.floats(0, 500),
    waiting=JOBS.map(tuple),
    cold_start_s=st.floats(0, 100),
)

GANGS = st.builds(
    lambda busy, **over: Pool(
        "p",
        "m",
        "o",
        "g",
        busy_seconds=tuple(seconds for seconds, _ in busy),
        busy_gpus=tuple(gpus for _, gpus in busy),
        **over,
    ),
    st.lists(st.tuples(SECONDS, GPUS), max_size=6),
    gang_size=st.sampled_from((4, 8)),
    replicas=st.integers(0, 3),
    queued_seconds=st.floats(0, 500),
    waiting=JOBS.map(tuple),
    cold_start_s=st.floats(0, 100),
)


@pytest.mark.parametrize(
    ("pool", "due", "priority", "wait"),
    [
        # One job ahead and two idle replicas: the second one is free.
        ({"replicas": 2, "waiting": (Waiting(50, NORMAL, 100),)}, 60, NORMAL, 0),
        ({"replicas": 1, "waiting": (Waiting(50, NORMAL, 100),)}, 60, NORMAL, 100),
        # Due sooner, it goes first; due at the same time, it queues up behind.
        ({"replicas": 1, "waiting": (Waiting(50, NORMAL, 100),)}, 40, NORMAL, 0),
        ({"replicas": 1, "waiting": (Waiting(50, NORMAL, 100),)}, 50, NORMAL, 100),
        ({"replicas": 1, "waiting": (Waiting(inf, NORMAL, 100),)}, inf, NORMAL, 100),
        # Bands come before deadlines.
        ({"replicas": 1, "waiting": (Waiting(inf, HIGH, 100),)}, 40, NORMAL, 100),
        ({"replicas": 1, "waiting": (Waiting(10, LOW, 100),)}, inf, NORMAL, 0),
        # What runs is not interrupted, and what is queued without particulars is ahead.
        (
            {"replicas": 1, "busy_seconds": (30,), "queued_seconds": 7, "waiting": (Waiting(1, HIGH, 5),)},
            50,
            NORMAL,
            42,
        ),
        # Two jobs of 100 s and 10 s on two replicas: the short one's is free first.
        ({"replicas": 2, "waiting": (Waiting(1, NORMAL, 100), Waiting(2, NORMAL, 10))}, 60, NORMAL, 10),
        # Hold-back: of five replicas the low band may use four, so it waits for the second to be free.
        ({"replicas": 5, "busy_seconds": (10, 20, 30, 40)}, inf, LOW, 10),
        ({"replicas": 5, "busy_seconds": (10, 20, 30, 40)}, inf, HIGH, 0),
        ({"replicas": 0, "cold_start_s": 90, "waiting": (Waiting(1, NORMAL, 10),)}, 50, NORMAL, 100),
    ],
)
def test_wait(build: Any, pool: dict[str, Any], due: float, priority: Priority, wait: float) -> None:
    assert wait_seconds(build.pool(**pool), due, priority) == pytest.approx(wait)


@given(POOLS, DUE, DUE, PRIORITY, PRIORITY)
def test_later_and_lower_never_wait_less(
    pool: Pool, one: float, other: float, high: Priority, low: Priority
) -> None:
    backlog = roll_forward(pool)
    soon, late = sorted((one, other))
    first, last = sorted((BANDS[high], BANDS[low]))
    for sooner, later, lower in zip(
        backlog.waits(soon, first), backlog.waits(late, first), backlog.waits(late, last), strict=True
    ):
        assert 0 <= sooner <= later + 1e-9
        assert later <= lower + 1e-9


@given(POOLS, DUE, PRIORITY, st.builds(Waiting, due=DUE, priority=PRIORITY, seconds=SECONDS))
def test_one_more_job_never_shortens_the_wait(
    pool: Pool, due: float, priority: Priority, more: Waiting
) -> None:
    busier = replace(pool, waiting=(*pool.waiting, more))
    assert wait_seconds(busier, due, priority) >= wait_seconds(pool, due, priority) - 1e-9


@given(POOLS, DUE, PRIORITY)
def test_asking_is_as_good_as_playing_it_through(pool: Pool, due: float, priority: Priority) -> None:
    """The same by hand: every job ahead is put on the replica that its band may have first."""
    up = max(1, pool.replicas)
    pool = replace(pool, replicas=up, busy_seconds=pool.busy_seconds[:up], queued_seconds=0.0)
    free = sorted([*pool.busy_seconds, *[0.0] * (up - len(pool.busy_seconds))])
    ranks = {band: name for name, band in BANDS.items()}
    queue = sorted((BANDS[job.priority], job.due, job.seconds) for job in pool.waiting)
    for band, limit, seconds in queue:
        if (band, limit) > (BANDS[priority], due):
            break
        place = up - room(ranks[band], up)
        free = sorted([*free[:place], *free[place + 1 :], free[place] + seconds])
    assert wait_seconds(pool, due, priority) == pytest.approx(free[up - room(priority, up)])


@given(POOLS)
def test_the_order_of_the_queue_does_not_matter(pool: Pool) -> None:
    one, other = roll_forward(pool), roll_forward(replace(pool, waiting=tuple(reversed(pool.waiting))))
    assert (one.places, one.starts) == (other.places, other.starts)
    assert one.congestion == pytest.approx(other.congestion)


@pytest.mark.parametrize(
    ("pool", "used", "price"),
    [
        ({}, 0.0, 1.0),
        ({"busy_seconds": (300.0,)}, 0.5, 1 + 0.15 / 16),
        ({"queued_seconds": 300.0, "waiting": (Waiting(1, NORMAL, 300.0),)}, 1.0, 1.15),
        ({"replicas": 2, "queued_seconds": 1200.0}, 1.0, 1.15),
        ({"replicas": 0, "queued_seconds": 1200.0}, 2.0, 3.4),
        ({"queued_seconds": 1e9}, 1e9 / 600, 3.4),
    ],
)
def test_congestion(build: Any, pool: dict[str, Any], used: float, price: float) -> None:
    loaded = build.pool(**pool)
    assert utilisation(loaded) == pytest.approx(used)
    assert roll_forward(loaded).congestion == pytest.approx(price)
    assert roll_forward(replace(loaded, congestion=2.0)).congestion == pytest.approx(2 * price)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_congestion_only_rises(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 1.0 <= congestion(low) <= congestion(high)


# --- gangs: several clips share the GPUs of a replica --------------------------------------------

FOUR = {"gang_size": 4, "replicas": 1}


@pytest.mark.parametrize(
    ("pool", "waits"),
    [
        (FOUR, (0, 0, 0)),
        # One GPU at work: three are free for one or two, and for four when it is done.
        (FOUR | {"busy_seconds": (30,)}, (0, 0, 30)),
        (FOUR | {"busy_seconds": (30, 50), "busy_gpus": (2, 1)}, (0, 30, 50)),
        (FOUR | {"busy_seconds": (30, 50), "busy_gpus": (2, 2)}, (30, 30, 50)),
        # The clip that waits takes two of the four GPUs for 100 s.
        (FOUR | {"waiting": (Waiting(inf, NORMAL, 100, 2),)}, (0, 0, 100)),
        (FOUR | {"waiting": (Waiting(inf, NORMAL, 100, 4),)}, (100, 100, 100)),
        # More clips are held than there is room for: the narrow one begins when the wide one is done.
        (FOUR | {"busy_seconds": (100, 10), "busy_gpus": (4, 1)}, (100, 100, 110)),
        # Two replicas: a clip of four GPUs goes to the one that is idle, a narrow one anywhere.
        ({"gang_size": 4, "replicas": 2, "busy_seconds": (30,)}, (0, 0, 0)),
        ({"gang_size": 4, "replicas": 2, "busy_seconds": (30, 40), "busy_gpus": (4, 1)}, (0, 0, 30)),
        (FOUR | {"replicas": 0, "cold_start_s": 90, "waiting": (Waiting(1, HIGH, 10, 4),)}, (100,) * 3),
        (FOUR | {"queued_seconds": 40}, (10, 10, 10)),
        # A clip planned for more GPUs than the gang has takes it whole.
        (FOUR | {"waiting": (Waiting(inf, NORMAL, 5, 8),)}, (5, 5, 5)),
    ],
)
def test_a_clip_waits_until_enough_gpus_of_one_gang_are_free(
    build: Any, pool: dict[str, Any], waits: tuple[float, ...]
) -> None:
    loaded = build.pool(**pool)
    assert roll_forward(loaded).waits(inf, BANDS[LOW]) == pytest.approx(waits)
    assert [wait_seconds(loaded, inf, LOW, gpus) for gpus in (1, 2, 4)] == pytest.approx(waits)


@given(GANGS, DUE, DUE, PRIORITY)
def test_on_gangs_wider_and_later_never_wait_less(
    pool: Pool, one: float, other: float, priority: Priority
) -> None:
    backlog, (soon, late) = roll_forward(pool), sorted((one, other))
    first, last = backlog.waits(soon, BANDS[priority]), backlog.waits(late, BANDS[priority])
    assert len(first) == pool.gang_size.bit_length()
    assert list(first) == sorted(first)
    assert all(sooner <= later + 1e-9 for sooner, later in zip(first, last, strict=True))


@given(GANGS, DUE, st.builds(Waiting, due=DUE, priority=PRIORITY, seconds=SECONDS, gpus=GPUS))
def test_on_gangs_one_more_job_never_shortens_the_wait(pool: Pool, due: float, more: Waiting) -> None:
    busier = replace(pool, waiting=(*pool.waiting, more))
    for gpus in (1, 2, 4):
        assert wait_seconds(busier, due, LOW, gpus) >= wait_seconds(pool, due, LOW, gpus) - 1e-9


def test_utilisation_of_a_gang_counts_gpus(build: Any) -> None:
    pool = build.pool(gang_size=4, busy_seconds=(300.0, 300.0), busy_gpus=(2, 1))
    assert utilisation(pool) == pytest.approx(3 * 300 / (4 * 600))
    waiting = replace(pool, waiting=(Waiting(inf, NORMAL, 600.0, 4),))
    assert utilisation(waiting) == pytest.approx((3 * 300 + 4 * 600) / (4 * 600))
    assert (pool.gpus_at_work, replace(pool, busy_gpus=(4, 4)).gpus_at_work) == (3, 4)
