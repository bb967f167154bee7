"""The circuit breaker: when it opens, for how long, and what closes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.breaker import (
    COOLDOWN_S,
    FAULTS_IN_A_ROW,
    LEAST,
    LONGEST_COOLDOWN_S,
    MEMORY_S,
    Circuit,
    Outcome,
    verdict,
)

NOW = 10_000.0


def told(word: str, *, last: float = NOW, gap: float = 1.0) -> list[Outcome]:
    """`f` a fault, `.` a success; the last one at `last`, each of its own job."""
    first = last - gap * (len(word) - 1)
    return [
        Outcome(first + gap * n, f"vid_{n}", "rank_lost" if letter == "f" else None)
        for n, letter in enumerate(word)
    ]


@pytest.mark.parametrize(
    ("word", "circuit"),
    [
        ("", Circuit.CLOSED),
        ("....", Circuit.CLOSED),
        ("f" * (FAULTS_IN_A_ROW - 1), Circuit.CLOSED),
        ("f" * FAULTS_IN_A_ROW, Circuit.OPEN),
        ("ffff.ffff", Circuit.CLOSED),
        ("f." * LEAST, Circuit.CLOSED),
        ("ff." * 2 + "f", Circuit.CLOSED),
        ("ff." * 3 + "f", Circuit.OPEN),
        ("..f" * 6, Circuit.CLOSED),
        ("fffff.", Circuit.CLOSED),
    ],
)
def test_faults_in_a_row_or_too_many_open_it(word: str, circuit: Circuit) -> None:
    assert verdict(told(word), NOW).circuit is circuit


def test_an_open_circuit_says_why_and_until_when() -> None:
    found = verdict(told("fffff", last=NOW - 10.0), NOW)
    assert (
        found.reason == "circuit open after 5 jobs failed in a row (the last: rank_lost); tried again in 20 s"
    )
    assert found.retry_in_s == pytest.approx(COOLDOWN_S - 10.0)


def test_after_the_cooldown_one_may_try() -> None:
    assert verdict(told("fffff", last=NOW - COOLDOWN_S), NOW).circuit is Circuit.HALF_OPEN


@pytest.mark.parametrize(
    ("probes", "expected"), [(1, 2 * COOLDOWN_S), (2, 4 * COOLDOWN_S), (6, LONGEST_COOLDOWN_S)]
)
def test_each_probe_that_fails_doubles_the_cooldown(probes: int, expected: float) -> None:
    outcomes, at, cooldown = told("fffff", last=0.0), 0.0, COOLDOWN_S
    for n in range(probes):
        at += cooldown
        outcomes.append(Outcome(at, f"probe_{n}", "stalled"))
        cooldown = min(2 * cooldown, LONGEST_COOLDOWN_S)
    found = verdict(outcomes, at)
    assert (found.circuit, found.retry_in_s) == (Circuit.OPEN, expected)


def test_a_fault_that_was_under_way_when_it_opened_changes_nothing() -> None:
    outcomes = [*told("fffff", last=NOW - 20.0), Outcome(NOW - 15.0, "late", "lost")]
    assert verdict(outcomes, NOW).retry_in_s == pytest.approx(COOLDOWN_S - 20.0)


def test_a_success_wipes_the_slate() -> None:
    outcomes = [*told("ffffffff", last=NOW - 60.0), Outcome(NOW - 5.0, "probe"), *told("ffff")]
    assert verdict(outcomes, NOW).circuit is Circuit.CLOSED


def test_one_job_that_fails_everywhere_opens_nothing() -> None:
    assert verdict([Outcome(NOW - n, "poison", "runner_error") for n in range(20, 0, -1)], NOW) == verdict(
        [], NOW
    )


def test_what_fails_at_one_moment_is_one_incident() -> None:
    assert verdict(told("f" * 12, gap=0.05), NOW).circuit is Circuit.CLOSED


def test_what_is_long_past_is_forgotten() -> None:
    assert verdict(told("fffff", last=NOW - MEMORY_S), NOW).circuit is Circuit.CLOSED


@given(st.text(alphabet="f.", max_size=60), st.floats(0.0, 2 * MEMORY_S))
def test_it_never_stays_shut_for_ever(word: str, later: float) -> None:
    found = verdict(told(word), NOW + later)
    assert 0.0 <= found.retry_in_s <= LONGEST_COOLDOWN_S
    assert verdict(told(word), NOW + LONGEST_COOLDOWN_S).circuit is not Circuit.OPEN
