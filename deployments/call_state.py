"""What one attempt at a provider carries along: news, progress, and how its call is to be closed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from deployments.call_desk import Desk
from deployments.call_news import CallNews
from deployments.call_task import CallTask
from models.errors import Cancelled, StaleFence, StoreUnavailable
from models.providers.base import Sighting
from models.providers.limits import Kind
from router.jobs.call_store import CallEnd, CallOutcome
from router.jobs.records import Progress

log = logging.getLogger("i2v.call")


LEASE_SURE = 0.75
"""Share of the lease within which it surely holds: clocks and answers take the rest. Our choice."""


class HandedBack(Exception):
    """The job is given back, uncounted, with the reason: the replica goes, or the account is full."""


class CallState:
    """One attempt. `end` is how its open call is closed if the attempt ends now; None: it stays open."""

    def __init__(self, desk: Desk, task: CallTask, folder: Path, leased_at: float | None = None) -> None:
        """Begin.

        Args:
            desk: What all calls share.
            task: The job.
            folder: This attempt's alone.
            leased_at: Monotonic time at which the lease was asked for; None: now.
        """
        self.desk = desk
        self.leased_at = time.monotonic() if leased_at is None else leased_at
        """When the lease that is known to hold was asked for."""
        self.task = task
        self.folder = folder
        self.news = CallNews()
        self.end: CallEnd | None = None
        self._stages: dict[str, float] = {}
        self._stage = ("", time.monotonic())
        self._shown: tuple[str, int] | None = None

    # --- news --------------------------------------------------------------------------------------

    def heed(self) -> None:
        """Stop, where nothing is under way that must be answered first.

        Raises:
            StaleFence: a later attempt exists, or the job is over.
            Cancelled: the client wants no clip any more.
            HandedBack: the replica goes.
        """
        self.heed_leaving()
        if self.news.cancelled:
            raise Cancelled("cancelled before the clip was made")

    def heed_leaving(self) -> None:
        """The same, but a cancel is left to the caller."""
        if self.news.overtaken:
            raise StaleFence("overtaken")
        if self.news.drains:
            raise HandedBack("the worker drains")

    def check_lease(self) -> None:
        """Just before money is spent: raise `StaleFence` when the lease may have run out meanwhile.

        A worker that was paused, or cut off from the store, may have been taken for dead: whoever came after
        it has judged its call, and nobody would follow one that it sends now.
        """
        if time.monotonic() - self.leased_at > self.desk.lease_s * LEASE_SURE:
            raise StaleFence("the lease may have run out: nothing is sent")

    async def take_turn(self, kind: Kind) -> None:
        """Wait until the account's limits let a request go; also until there is news to heed."""
        await self.desk.turns.turn(kind, sleep=self.news.wait, stops=lambda: self.news.stops)

    # --- money -------------------------------------------------------------------------------------

    def price(self) -> float:
        """What the call should cost; an engine costs GPU time, which is told with the clip."""
        return (self.task.usd or 0.0) if self.desk.provider.abilities.paid else 0.0

    def charge(self, sighting: Sighting, *, billed: bool) -> float:
        """What the provider takes for it: its own word, else the card's price; an engine takes nothing."""
        if sighting.usd is not None:
            return sighting.usd
        return self.price() if billed else 0.0

    def close_as(self, outcome: CallOutcome, usd: float = 0.0) -> None:
        """From now on the end of the attempt closes the call so."""
        self.end = CallEnd(outcome, usd)

    def leave_open(self) -> None:
        """From now on whatever ends the attempt leaves the call to those who come after."""
        self.end = None

    # --- progress ----------------------------------------------------------------------------------

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage, the one under way included."""
        name, since = self._stage
        spent = dict(self._stages)
        if name:
            spent[name] = spent.get(name, 0.0) + time.monotonic() - since
        return {stage: round(seconds, 3) for stage, seconds in spent.items()}

    def turn(self, stage: str) -> None:
        """Another stage begins; nobody is told yet."""
        if stage != self._stage[0]:
            self._stages, self._stage = self.stages, (stage, time.monotonic())

    async def show(self, stage: str, percent: int = 0, eta: float | None = None) -> None:
        """Write progress when it is news; the lease itself is renewed by the worker."""
        self.turn(stage)
        if (stage, percent) == self._shown:
            return
        self._shown = (stage, percent)
        progress = Progress(stage, percent, 100 if percent else 0, eta)
        store, task = self.desk.store, self.task
        try:
            async with self.desk.books:
                asked = time.monotonic()
                beat = await store.beat(task.job_id, task.fence, self.desk.lease_s, progress)
        except StoreUnavailable as error:
            log.warning("progress of %s is not written: %s", self.task.job_id, error)
        else:
            self.leased_at = max(self.leased_at, asked)
            if beat.cancel:
                self.news.cancel()

    # --- the store ---------------------------------------------------------------------------------

    async def write(self, write: Callable[[], Awaitable[object]]) -> None:
        """Write, and again while the store is away; after that the attempt is left to its lease.

        Raises:
            StaleFence: a later attempt exists, or the store stayed away for `outcome_s`: the call is in the
                books, whoever comes after goes on with it.
        """
        deadline = time.monotonic() + self.desk.pace.outcome_s
        while True:
            try:
                async with self.desk.books:
                    await write()
            except StoreUnavailable as error:
                if time.monotonic() > deadline:
                    raise StaleFence("the store stayed away; the lease runs out") from error
                log.warning("a write for %s waits for the store: %s", self.task.job_id, error)
                await asyncio.sleep(self.desk.pace.retry_s)
            else:
                return
