"""The state machine of a job: phases, moves, and from where each move is allowed. Pure.

A job's phase is finer than its status: `queued` is WAITING without a lease and DISPATCHED with one.
Every write of a status goes through `router.jobs.transitions.advance`, which puts the sources of its
move into the WHERE clause: a move that is not in this table cannot be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from router.jobs.records import JobStatus


class Phase(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    """Queued; nobody has it."""
    DISPATCHED = "dispatched"
    """Queued, but an attempt holds a lease; no worker has begun."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Move(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"
    RENEW = "renew"
    RELEASE = "release"
    START = "start"
    BEAT = "beat"
    COMPLETE = "complete"
    REQUEUE = "requeue"
    """An attempt failed or was lost; the job waits for another."""
    FAIL = "fail"
    CANCEL = "cancel"
    EXPIRE = "expire"


class EventType(StrEnum):
    """Types of a job's events, in the order a job usually meets them."""

    QUEUED = "queued"
    DISPATCHED = "dispatched"
    STARTED = "started"
    PROGRESS = "progress"
    RETRYING = "retrying"
    FALLBACK = "fallback"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Transition:
    """The phases a move may start from, and where it ends."""

    sources: frozenset[Phase]
    target: Phase


def _from(*sources: Phase, to: Phase) -> Transition:
    return Transition(frozenset(sources), to)


LEASED = frozenset({Phase.DISPATCHED, Phase.RUNNING})
"""Phases in which an attempt holds a lease."""

FINAL = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED, Phase.EXPIRED})
"""Phases that nothing leaves."""

TRANSITIONS: Mapping[Move, Transition] = {
    Move.CLAIM: _from(Phase.WAITING, to=Phase.DISPATCHED),
    Move.RENEW: _from(Phase.DISPATCHED, to=Phase.DISPATCHED),
    Move.RELEASE: _from(Phase.DISPATCHED, to=Phase.WAITING),
    Move.START: _from(Phase.DISPATCHED, to=Phase.RUNNING),
    Move.BEAT: _from(Phase.RUNNING, to=Phase.RUNNING),
    Move.COMPLETE: _from(Phase.RUNNING, to=Phase.COMPLETED),
    Move.REQUEUE: _from(Phase.DISPATCHED, Phase.RUNNING, to=Phase.WAITING),
    Move.FAIL: _from(Phase.WAITING, Phase.DISPATCHED, Phase.RUNNING, to=Phase.FAILED),
    Move.CANCEL: _from(Phase.WAITING, Phase.DISPATCHED, Phase.RUNNING, to=Phase.CANCELLED),
    Move.EXPIRE: _from(Phase.WAITING, to=Phase.EXPIRED),
}

STATUS_OF: Mapping[Phase, JobStatus] = {
    Phase.WAITING: JobStatus.QUEUED,
    Phase.DISPATCHED: JobStatus.QUEUED,
    Phase.RUNNING: JobStatus.IN_PROGRESS,
    Phase.COMPLETED: JobStatus.COMPLETED,
    Phase.FAILED: JobStatus.FAILED,
    Phase.CANCELLED: JobStatus.CANCELLED,
    Phase.EXPIRED: JobStatus.EXPIRED,
}

_FINAL_PHASE_OF = {STATUS_OF[phase]: phase for phase in FINAL}


def phase_of(status: JobStatus, *, leased: bool) -> Phase:
    """The phase of a job with this status; `leased` when its newest attempt holds a lease."""
    if status is JobStatus.QUEUED:
        return Phase.DISPATCHED if leased else Phase.WAITING
    if status is JobStatus.IN_PROGRESS:
        return Phase.RUNNING
    return _FINAL_PHASE_OF[status]


def allows(move: Move, phase: Phase) -> bool:
    """True when `move` may start from `phase`."""
    return phase in TRANSITIONS[move].sources
