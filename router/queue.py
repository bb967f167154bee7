"""The queue as the dispatcher walks it: bands, inside a band tenants by turns, then the due time."""

from __future__ import annotations

from collections.abc import Sequence

from policies.fairness import Claim, Ledger, order, settled
from router.fleet import band
from router.jobs.records import Job
from router.jobs.store import JobStore

PAGE = 500
"""Jobs read at once: a page is some megabytes of decisions."""
MOST = 5000
"""Jobs that one walk looks at: deciding them takes some five seconds, and then the world is another one."""
LEDGER_S = 3600.0
"""What a tenant received within this counts when turns are given. Our choice: about the longest clip."""


class Queue:
    """One walk over the queue, page by page."""

    def __init__(self, store: JobStore, *, page: int | None = None, most: int = MOST) -> None:
        """`page` jobs are read at once, `most` are looked at in all."""
        self._store = store
        self._page = page or PAGE
        self._most = most
        self._seen: set[str] = set()
        self._last: Job | None = None
        self._ended = False
        self._ledger: Ledger | None = None

    async def next(self) -> list[Job]:
        """The next jobs to be decided, in order; empty at the end."""
        while not self._ended and len(self._seen) < self._most:
            page = await self._store.queued(self._page, after=self._last)
            self._ended = len(page) < self._page
            found = list(page)
            if self._last is None and not self._ended:
                found += await self._heads(page)
            if page:
                self._last = page[-1]
            new = [job for job in found if job.id not in self._seen]
            self._seen.update(job.id for job in new)
            if new:
                return await self._in_turn(new)
        return []

    async def _heads(self, page: Sequence[Job]) -> list[Job]:
        """First jobs of tenants that one tenant's long row keeps off the first page."""
        found: list[Job] = []
        known = {job.tenant for job in page}
        while len(page) == self._page and len(found) < self._most:
            page = await self._store.queued(self._page, other_than=known)
            known |= {job.tenant for job in page}
            found += page
        return found

    async def _in_turn(self, jobs: list[Job]) -> list[Job]:
        if len({job.tenant for job in jobs}) < 2:
            return jobs
        if self._ledger is None:
            received = await self._store.received(LEDGER_S)
            self._ledger = settled(received, {job.tenant for job in jobs})
        by_id = {job.id: job for job in jobs}
        return [by_id[claim.id] for claim in order(map(_claim, jobs), self._ledger)]


def _claim(job: Job) -> Claim:
    chosen = job.routing.get("chosen")
    seconds = float(chosen["predicted"]["gpu_seconds"]) if chosen else 0.0
    return Claim(job.id, job.tenant, band(job.priority), job.due_at, seconds)
