"""`SqlCalls`: the books of calls to providers, on the database of the job store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from models.errors import StaleFence
from router.jobs import calls
from router.jobs.call_store import CallEnd, LeaseNews, NewCall, RemoteCall, Spending
from router.jobs.database import Database
from router.jobs.records import Job, Json


class SqlCalls:
    """A `router.jobs.call_store.CallStore`; made by `SqlJobStore`, whose connections it uses."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def intend(self, job_id: str, fence: int, new: NewCall) -> RemoteCall:
        """Commit that a call is about to be sent, and hold its price against the account's cap. Fenced.

        Raises:
            SpendCapReached: open and closed calls of the account within the window leave no room for it.
            StaleFence: also when the job has an open call already.
            Cancelled: the cancel flag is set; nothing must be sent.
        """
        return await self._db.write(partial(calls.intend, job_id=job_id, fence=fence, new=new))

    async def accepted(self, call_id: str, fence: int, ticket: str, urls: Mapping[str, str]) -> None:
        """The provider took it.

        Raises:
            StaleFence: another attempt is the newest, or the job does not run. The ticket is kept all the
                same, unless the call is closed or has another one.
        """
        why = await self._db.write(
            partial(calls.accepted, call_id=call_id, fence=fence, ticket=ticket, urls=urls)
        )
        if why is not None:
            raise StaleFence(f"under fence {fence}: {why}", param="fence")

    async def get(self, call_id: str) -> RemoteCall | None:
        """One call."""
        return await self._db.read(partial(calls.get, call_id=call_id))

    async def of_job(self, job_id: str) -> Sequence[RemoteCall]:
        """All calls of a job, oldest first."""
        return await self._db.read(partial(calls.of_job, job_id=job_id))

    async def heard(self, call_id: str, ticket: str) -> bool:
        """A verified webhook spoke of the call; False when that tells nothing of an open call."""
        return await self._db.write(partial(calls.heard, call_id=call_id, ticket=ticket))

    async def tickets(self, provider: str, account: str, since: float) -> frozenset[str]:
        """Tickets of calls intended since then."""
        return await self._db.read(partial(calls.tickets, provider=provider, account=account, since=since))

    async def orphans(self, provider: str, account: str, limit: int = 100) -> Sequence[RemoteCall]:
        """Open calls of jobs that are over."""
        return await self._db.read(partial(calls.orphans, provider=provider, account=account, limit=limit))

    async def close(self, call_id: str, end: CallEnd) -> None:
        """Close an orphan; a call that is closed, or not an orphan, is left as it is."""
        await self._db.write(partial(calls.close, call_id=call_id, end=end))

    async def abandon(self, job_id: str, call_id: str, error: Json) -> Job:
        """Close a waiting job's call as unknown, since nobody is left to follow it."""
        return await self._db.write(partial(calls.abandon, job_id=job_id, call_id=call_id, error=error))

    async def spending(self, provider: str, account: str, window_s: float) -> Spending:
        """What counts against the account's cap now."""
        return await self._db.read(
            partial(calls.spending, provider=provider, account=account, window_s=window_s)
        )

    async def renew_all(self, leases: Sequence[tuple[str, int]], lease_s: float) -> LeaseNews:
        """Renew the leases of many running attempts, (job id, fence) each, in a few statements."""
        return await self._db.write(partial(calls.renew_all, leases=leases, lease_s=lease_s))
