"""Accepted calls: a clock and a few times make their whole state, so that a thousand cost no task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from models.providers.fake.render import Shape

QUEUE_SHARE = 0.25
"""Part of a call's time that it waits in the queue."""


class Status(StrEnum):
    """Where a call stands, in the ledger's words."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """True when it will not change."""
        return self not in (Status.QUEUED, Status.RUNNING)


EndingKind = Literal["succeeds", "fails", "refuses_input", "refuses_content"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ends when nobody stops it."""

    kind: EndingKind = "succeeds"
    reason: str = ""
    """A short word for the family to look up, such as `image_too_small`; empty: its usual one."""


@dataclass(slots=True)
class Call:
    """One accepted call. Times without a unit in their name are of the fake's clock."""

    id: str
    endpoint: str
    body: dict[str, Any]
    shape: Shape
    accepted_at: float
    """Unix seconds."""
    begun: float
    latency_s: float
    why: Ending = field(default_factory=Ending)
    webhook: str | None = None
    tags: dict[str, Any] = field(default_factory=dict)
    """What the family wants to remember with it."""
    deadline: float | None = None
    """When it is stopped by itself."""
    stopped: float | None = None
    """When it was asked to stop, and did."""
    moved: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when its times changed."""

    @property
    def starts(self) -> float:
        """When it leaves the queue."""
        return self.begun + self.latency_s * QUEUE_SHARE

    @property
    def ends(self) -> float:
        """When it is over."""
        natural = self.begun + self.latency_s
        stops = [time for time in (self.stopped, self.deadline) if time is not None and time < natural]
        return min(stops, default=natural)

    @property
    def _cut_short(self) -> bool:
        return self.ends < self.begun + self.latency_s

    @property
    def timed_out(self) -> bool:
        """It ends, or ended, at its deadline."""
        return self._cut_short and self.ends == self.deadline

    def status(self, now: float) -> Status:
        """Where it stands."""
        if now >= self.ends:
            if self._cut_short:
                return Status.CANCELLED
            return Status.SUCCEEDED if self.why.kind == "succeeds" else Status.FAILED
        return Status.QUEUED if now < self.starts else Status.RUNNING

    def started(self, now: float) -> bool:
        """True when it ever left the queue."""
        return self.starts <= min(now, self.ends)

    def progress(self, now: float) -> float:
        """Share of the work done, 0-1."""
        if self.status(now) is Status.SUCCEEDED:
            return 1.0
        work = max(self.begun + self.latency_s - self.starts, 1e-9)
        return min(max((min(now, self.ends) - self.starts) / work, 0.0), 0.99)

    def billed(self, now: float) -> bool:
        """Successes cost, and so does stopped work that had begun; failures are free."""
        status = self.status(now)
        return status is Status.SUCCEEDED or (status is Status.CANCELLED and self.started(now))

    def unix(self, time: float) -> float:
        """A time of the fake's clock in Unix seconds."""
        return self.accepted_at + time - self.begun


class Calls:
    """All accepted calls, oldest first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all: dict[str, Call] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, call: Call) -> None:
        """Take a new one in.

        Raises:
            ValueError: its id is taken.
        """
        if call.id in self._all:
            raise ValueError(f"call {call.id} exists")
        self._all[call.id] = call

    def get(self, call_id: str) -> Call | None:
        """The call of that id."""
        return self._all.get(call_id)

    def remove(self, call_id: str) -> None:
        """Drop it, as engines do that forget deleted jobs."""
        self._all.pop(call_id, None)

    def newest_first(self) -> list[Call]:
        """All of them."""
        return list(reversed(self._all.values()))

    def oldest_first(self) -> list[Call]:
        """All of them."""
        return list(self._all.values())

    def waiting_before(self, call: Call) -> int:
        """How many calls stand in the queue ahead of this one."""
        now = self._clock()
        return sum(
            other.status(now) is Status.QUEUED and (other.begun, other.id) < (call.begun, call.id)
            for other in self._all.values()
        )

    def retime(self, latency_s: float) -> None:
        """Give all open calls another length; what is in the past by then ends now."""
        now = self._clock()
        for call in self._all.values():
            if not call.status(now).over:
                call.latency_s = max(latency_s, now - call.begun)
                call.moved.set()

    def peak_open(self) -> int:
        """Most calls that were open at once."""
        now = self._clock()
        turns = [(call.ends, -1) for call in self._all.values() if call.status(now).over]
        turns += [(call.begun, 1) for call in self._all.values()]
        still, most = 0, 0
        for _, turn in sorted(turns):
            still += turn
            most = max(most, still)
        return most

    def rows(self) -> list[dict[str, Any]]:
        """The ledger."""
        now = self._clock()
        return [self._row(call, now) for call in self._all.values()]

    @staticmethod
    def _row(call: Call, now: float) -> dict[str, Any]:
        status = call.status(now)
        return {
            "id": call.id,
            "endpoint": call.endpoint,
            "body": call.body,
            "accepted_at": call.accepted_at,
            "status": status.value,
            "cancelled": status is Status.CANCELLED,
            "billed": call.billed(now),
            "over_at": call.unix(call.ends) if status.over else None,
        }
