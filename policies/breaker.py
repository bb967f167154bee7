"""When an offer that keeps failing is left alone, and when it is tried again. Pure.

A circuit breaker (Nygard, "Release It!", 2007) without a memory of its own: its state follows from how the
attempts of late have ended, so that whoever reads them sees the same state, after a restart too.

closed: work goes there. open: none does, for a while. half-open: one attempt goes there; a success closes the
circuit, a fault opens it for twice as long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

FAULTS_IN_A_ROW = 5
"""Jobs in a row that fail before the circuit opens. Our choice: a restart of everything loses one each."""
INCIDENT_S = 1.0
"""Faults this close together are one incident: a node that goes takes all its clips with it. Our choice."""
WATCHED = 20
"""Ended attempts that the rate of faults is told from. Our choice."""
LEAST = 10
"""Fewer of them say nothing about a rate. Our choice."""
MOST_FAULTS = 0.5
"""Share of faults above which the circuit opens. Our choice: then more than half of the work is wasted."""
COOLDOWN_S = 30.0
"""How long it stays open first. Our choice: a replica is replaced in 10 s and loads its weights in 20 s."""
LONGEST_COOLDOWN_S = 600.0
"""It doubles with every probe that fails, up to this. Our choice."""
MEMORY_S = 3600.0
"""What ended longer ago is forgotten. Our choice: it must exceed the longest cooldown and clip."""


class Circuit(StrEnum):
    """State of the breaker of one offer."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended, for the offer's fault or not.

    Attributes:
        at: When, in seconds on any one clock.
        job: Whose attempt it was: one job that fails everywhere counts once.
        fault: None when it succeeded; otherwise what happened, in a word.
    """

    at: float
    job: str
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state now, why, and when it is tried again."""

    circuit: Circuit = Circuit.CLOSED
    reason: str = ""
    retry_in_s: float = 0.0


def verdict(outcomes: Iterable[Outcome], now: float) -> Verdict:
    """The state at `now` after these outcomes, oldest first."""
    breaker = _Breaker()
    for outcome in outcomes:
        if outcome.at > now - MEMORY_S:
            breaker.see(outcome)
    return breaker.at(now)


class _Breaker:
    """The fold over outcomes."""

    def __init__(self) -> None:
        self._lately: deque[Outcome] = deque(maxlen=WATCHED)
        self._row: list[str] = []
        self._last_fault = -inf
        self._openings = 0
        self._until = 0.0
        self._why = ""

    def see(self, outcome: Outcome) -> None:
        if outcome.fault is None:
            if self._openings:
                # Whatever was wrong is not any more: the past is no evidence.
                self._lately.clear()
                self._openings = 0
            self._row = []
            self._lately.append(outcome)
        elif self._openings:
            if outcome.at >= self._until:
                self._open(outcome, f"its probe failed ({outcome.fault})")
        elif outcome.job not in self._row and outcome.at - self._last_fault >= INCIDENT_S:
            self._fault(outcome, outcome.fault)

    def _fault(self, outcome: Outcome, fault: str) -> None:
        self._last_fault = outcome.at
        self._row.append(outcome.job)
        self._lately.append(outcome)
        faults = sum(1 for seen in self._lately if seen.fault is not None)
        if len(self._row) >= FAULTS_IN_A_ROW:
            self._open(outcome, f"{len(self._row)} jobs failed in a row (the last: {fault})")
        elif len(self._lately) >= LEAST and faults > MOST_FAULTS * len(self._lately):
            self._open(outcome, f"{faults} of {len(self._lately)} attempts failed (the last: {fault})")

    def _open(self, outcome: Outcome, why: str) -> None:
        self._openings += 1
        self._why = why
        # The exponent is bounded before the power is taken: a day of failed probes is no overflow.
        doublings = min(self._openings - 1, 30)
        self._until = outcome.at + min(LONGEST_COOLDOWN_S, COOLDOWN_S * 2.0**doublings)

    def at(self, now: float) -> Verdict:
        if not self._openings:
            return Verdict()
        left = self._until - now
        if left > 0:
            told = f"circuit open after {self._why}; tried again in {left:.0f} s"
            return Verdict(Circuit.OPEN, told, left)
        return Verdict(Circuit.HALF_OPEN, f"on probation after {self._why}: one attempt at a time")
