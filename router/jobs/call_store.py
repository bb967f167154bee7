"""The face of the part of the job store that remembers calls to providers: `JobStore.calls`.

A call is money: its intent is committed before it is sent, and it is closed in the transaction that ends the
attempt, or when somebody found out what became of it. A job has at most one open call; while it has one, its
next attempt follows that call and sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from router.jobs.records import Job, Json


class CallState(StrEnum):
    """Where a call to a provider stands in our books."""

    INTENDED = "intended"
    """About to be sent, or sent and never answered."""
    SUBMITTED = "submitted"
    """Accepted: the ticket is known."""
    CLOSED = "closed"


class CallOutcome(StrEnum):
    """How a call ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    """Never accepted: it cost nothing."""
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """Nobody can say; booked as if it had cost its price."""


@dataclass(frozen=True, slots=True)
class NewCall:
    """What is written before a submission."""

    id: str
    """`call_…`; also what the provider is told, where it can be told anything."""
    provider: str
    account: str
    model: str
    offer: str
    marker: Mapping[str, Any]
    """By which the provider's adapter finds it again."""
    usd: float
    """What it should cost; held against the account's cap until it is closed."""
    cap_usd: float | None = None
    """Most that the account may spend within `window_s`; None: no cap."""
    window_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended, written with the end of the attempt that followed it."""

    outcome: CallOutcome
    usd: float
    """What it cost; of an unknown outcome its price."""


@dataclass(frozen=True, slots=True)
class RemoteCall:
    """One call to a provider."""

    id: str
    job_id: str
    fence: int
    """Of the attempt that intended it; later ones may follow it."""
    provider: str
    account: str
    model: str
    offer: str
    state: CallState
    marker: Mapping[str, Any]
    usd: float
    """Expected until it is closed, then what it cost."""
    intended_at: float
    ticket: str | None = None
    """The provider's id."""
    urls: Mapping[str, str] = field(default_factory=dict)
    submitted_at: float | None = None
    heard_at: float | None = None
    """When its newest verified webhook came."""
    closed_at: float | None = None
    outcome: CallOutcome | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """What an account has spent, and may yet spend, within a window."""

    usd: float
    """Closed and open calls together."""
    frees_at: float | None
    """When the oldest counted call leaves the window, Unix seconds; None: nothing is counted."""


@dataclass(frozen=True, slots=True)
class LeaseNews:
    """What one renewal of many leases tells, by job id."""

    cancel: frozenset[str] = frozenset()
    overtaken: frozenset[str] = frozenset()
    """A later attempt exists, or the job is over: stop, write nothing."""
    heard: Mapping[str, float] = field(default_factory=dict)
    """Of jobs whose open call a webhook spoke of: when."""


class CallStore(Protocol):
    """Calls to providers. Every method is one transaction; errors as in `JobStore`."""

    async def intend(self, job_id: str, fence: int, new: NewCall) -> RemoteCall:
        """Commit that a call is about to be sent, and hold its price against the account's cap. Fenced.

        Raises:
            SpendCapReached: open and closed calls of the account within the window leave no room for it.
            StaleFence: also when the job has an open call already.
            Cancelled: the cancel flag is set; nothing must be sent.
        """
        ...

    async def accepted(self, call_id: str, fence: int, ticket: str, urls: Mapping[str, str]) -> None:
        """The provider took it. Fenced by the newest attempt, which may be later than the one that intended.

        The ticket of an open call is kept even where `StaleFence` is raised: whoever follows needs it.
        """
        ...

    async def get(self, call_id: str) -> RemoteCall | None:
        """One call."""
        ...

    async def of_job(self, job_id: str) -> Sequence[RemoteCall]:
        """All calls of a job, oldest first."""
        ...

    async def heard(self, call_id: str, ticket: str) -> bool:
        """A verified webhook spoke of the call; an intent without a ticket becomes `submitted` under it.

        False when there is no such call, it is closed, or it has another ticket.
        """
        ...

    async def tickets(self, provider: str, account: str, since: float) -> frozenset[str]:
        """Tickets of calls intended since then."""
        ...

    async def orphans(self, provider: str, account: str, limit: int = 100) -> Sequence[RemoteCall]:
        """Open calls that no attempt will follow any more: their job is over, or deleted."""
        ...

    async def close(self, call_id: str, end: CallEnd) -> None:
        """Close an orphan; a call that is closed, or not an orphan, is left as it is."""
        ...

    async def abandon(self, job_id: str, call_id: str, error: Json) -> Job:
        """Close a waiting job's call as unknown and exclude its offer: nobody is left who could follow it.

        A job that does not wait, or has another call, is returned unchanged.
        """
        ...

    async def spending(self, provider: str, account: str, window_s: float) -> Spending:
        """What counts against the account's cap now."""
        ...

    async def renew_all(self, leases: Sequence[tuple[str, int]], lease_s: float) -> LeaseNews:
        """Renew the leases of many running attempts, (job id, fence) each, in one statement or a few."""
        ...
