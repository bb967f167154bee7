"""The worker of a provider account or an engine: takes jobs, keeps their leases, says what ails the account.

It holds up to a thousand calls in one process: each is a task that mostly sleeps, leases are renewed in one
statement, and looks wait for their turn. Whoever hands it a job is answered as soon as it has begun: a Serve
request that waits for the end costs 70 kB here and 50 kB at the caller (measured), and the lease tells as
well that somebody is there. Nothing here knows Ray; `deployments.provider` puts it into a Serve replica.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from deployments.account_health import AccountHealth
from deployments.call_desk import Desk
from deployments.call_orphans import sweep
from deployments.call_run import see_through
from deployments.call_state import CallState
from deployments.call_task import CallTask, call_task
from deployments.clip_media import forget_attempts
from models.catalog import Catalog
from models.errors import (
    ConfigError,
    I2VError,
    JobNotFound,
    ProviderError,
    StaleFence,
    StoreUnavailable,
)
from models.providers.limits import AccountLimits
from router.jobs.records import Attempt, Job, Worker
from router.jobs.store import JobStore
from router.launching import Taken

log = logging.getLogger("i2v.provider")

BEAT_S = 2.0
"""Between heartbeats of the worker's row."""
RENEW_S = 2.0
"""Between renewals of the calls' leases, which also tell of cancels and webhooks."""
STARTS = 4
"""Jobs begun at once: each reads its whole request, and the store has few connections."""
LONG_PAUSE_S = 10.0
"""A pause that the provider asks for and that lasts longer sends new jobs elsewhere. Our choice."""
ROOM_S = 2.0
"""So long a job waits for a place that is about to fall free."""
RECONNECT_S = 15.0
"""Between looks whether a missing key has been set."""

MakeDesk = Callable[["ProviderWorker"], Desk]


class ProviderWorker:
    """One worker: its row in the job store, and the calls in its hands."""

    def __init__(
        self,
        worker: Worker,
        *,
        store: JobStore,
        catalog: Catalog,
        backend: str,
        make_desk: MakeDesk,
        limits: AccountLimits,
    ) -> None:
        """Nothing starts before `open`.

        Args:
            worker: Its row; `slots` calls are held at once. `model` is empty for an account of many models.
                What its `detail` says is told with every heartbeat.
            store: The job store.
            catalog: What can be asked for.
            backend: Offers of which backend it serves.
            make_desk: Connects to the provider; raises `ConfigError` while its key is missing.
            limits: What the account allows, as it is learned.
        """
        self._worker = replace(worker, state="starting")
        self._store = store
        self._catalog = catalog
        self._backend = backend
        self._make_desk = make_desk
        self._limits = limits
        self._desk: Desk | None = None
        self._missing = ""
        self._health = AccountHealth()
        self._slots_told = worker.slots
        self._starts = asyncio.Semaphore(STARTS)
        self._takes: dict[str, asyncio.Task[Taken]] = {}
        self._runs: dict[str, CallState] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._changed = asyncio.Event()
        """The row says something else now."""
        self._loops: list[asyncio.Task[None]] = []

    @property
    def state(self) -> str:
        """`ready`; `away` while nothing new may be sent; `broken` without a key."""
        if self._missing:
            return "broken"
        return "away" if self._away() else "ready"

    def _away(self) -> str:
        """Why nothing new may be sent now; empty when it may."""
        now = time.monotonic()
        if reason := self._health.reason(now):
            return reason
        pause = self._limits.paused_s("submit", now)
        return f"the provider asked for a pause of {pause:.0f} s" if pause > LONG_PAUSE_S else ""

    @property
    def in_flight(self) -> int:
        """Calls in hand."""
        return len(self._running)

    def noted(self, task: CallTask, error: I2VError | None) -> None:
        """A request for this job went well, or failed: what `Desk.noted` is bound to."""
        self._note(task.key, task.job_id, error)

    def _note(self, key: str, job: str, error: I2VError | None) -> None:
        before = self.state
        self._health.note(key, job, error, time.monotonic())
        if self.state != before:
            self._changed.set()

    async def open(self) -> None:
        """Connect where a key is there, and be known as a worker. Raises `StoreUnavailable`."""
        self._connect()
        await self._register()
        for loop in (self._beat, self._renew, self._check, self._sweep):
            self._loops.append(asyncio.create_task(loop(), name=f"provider {loop.__name__}"))

    async def close(self) -> None:
        """Hand back what is under way (the calls go on without us), then leave."""
        self._leaving = True
        while self._takes or self._running:
            for run in self._runs.values():
                run.news.drain()
            await asyncio.wait({*self._takes.values(), *self._running}, timeout=1.0)
        for loop in self._loops:
            loop.cancel()
        if self._desk is not None:
            await self._desk.provider.close()
            await self._desk.photographs.close()
            await self._desk.clips.close()
            await asyncio.to_thread(shutil.rmtree, self._desk.scratch, ignore_errors=True)
        try:
            await self._store.deregister(self._worker.id)
        except StoreUnavailable as error:
            log.warning("the worker's row is left to grow stale: %s", error)

    def check(self) -> None:
        """Raise `RuntimeError` when only a new replica can help: a loop of this one has ended."""
        for loop in self._loops:
            if loop.done():
                raise RuntimeError(f"{loop.get_name()} has ended")

    async def take(self, job_id: str, fence: int) -> Taken:
        """Begin a job; it is seen through whether or not the caller waits for the answer."""
        name = f"take {job_id}#{fence}"
        take = self._takes.get(name)
        if take is None:
            take = self._takes[name] = asyncio.create_task(self._take(job_id, fence), name=name)
            take.add_done_callback(lambda _: self._takes.pop(name, None))
        return await asyncio.shield(take)

    # --- one job ----------------------------------------------------------------------------------

    async def _take(self, job_id: str, fence: int) -> Taken:
        if self._leaving:
            return Taken(taken=False, reason="this replica drains", elsewhere=True)
        try:
            async with self._starts:
                if (reason := await self._unable(job_id)) is not None:
                    return Taken(taken=False, reason=reason)
                begun = await self._started(job_id, fence)
        except (StaleFence, JobNotFound):
            return Taken(taken=False, reason="a later attempt exists")
        except StoreUnavailable as error:
            return Taken(taken=False, reason=f"the job could not be begun: {error.message}")
        if isinstance(begun, str):
            return Taken(taken=False, reason=begun)
        if begun is not None and self._desk is not None:
            run = asyncio.create_task(self._run(self._desk, *begun), name=f"call {job_id}#{fence}")
            self._running.add(run)
            run.add_done_callback(self._ended)
        return Taken(taken=True)

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._running.discard(run)
        if not run.cancelled() and (error := run.exception()) is not None:
            log.error("%s failed", run.get_name(), exc_info=error)

    async def _unable(self, job_id: str) -> str | None:
        """Why nothing new is sent now. A call that is under way is followed all the same."""
        if self._missing:
            return self._missing
        reason = self._away()
        if not reason and await self._has_room():
            return None
        reason = reason or f"the account takes {self._limits.concurrency} calls at once"
        job = await self._store.get(job_id)
        return None if job.open_call is not None else reason

    async def _has_room(self) -> bool:
        """Whether another call may be sent; a place that is about to fall free is waited for."""
        deadline = time.monotonic() + ROOM_S
        while self.in_flight >= self._limits.concurrency:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(ROOM_S / 20)
        return True

    async def _started(self, job_id: str, fence: int) -> tuple[CallTask, float] | str | None:
        """Begin; returns the job and when its lease was asked for, or why it is not for this worker.

        None: it cannot be read, and has failed.
        """
        attempts = {attempt.fence: attempt for attempt in await self._store.attempts(job_id)}
        attempt = attempts.get(fence)
        if attempt is not None and not self._serves(attempt):
            return f"this replica does not run {attempt.model}/{attempt.offer}"
        asked = time.monotonic()
        job = await self._store.start(job_id, fence, self._worker.id, self._lease_s)
        try:
            return call_task(job, attempts[fence], self._catalog), asked
        except (KeyError, TypeError, ValueError, I2VError) as error:
            log.exception("job %s cannot be read", job_id)
            told = f"the stored request cannot be read: {type(error).__name__}"
            await self._unreadable(job, told)
            return None

    async def _unreadable(self, job: Job, told: str) -> None:
        shown = {"code": I2VError.code, "message": told, "param": None}
        await self._store.fail(job.id, job.fence, error=shown, disposition=I2VError.disposition)

    def _serves(self, attempt: Attempt) -> bool:
        if self._worker.model:
            return (attempt.model, attempt.offer) == (self._worker.model, self._worker.offer)
        card = self._catalog.cards.get(attempt.model)
        return card is not None and any(
            offer.id == attempt.offer and offer.backend == self._backend for offer in card.offers
        )

    async def _run(self, desk: Desk, task: CallTask, leased_at: float) -> None:
        state = CallState(desk, task, desk.scratch / f"{task.job_id}-{task.fence}", leased_at)
        if (before := self._runs.get(task.job_id)) is not None:
            before.news.overtake()
        self._runs[task.job_id] = state
        try:
            await forget_attempts(desk.media, task.job_id, range(1, task.fence))
            await see_through(state)
        finally:
            if self._runs.get(task.job_id) is state:
                del self._runs[task.job_id]

    @property
    def _lease_s(self) -> float:
        if self._desk is None:
            raise ConfigError(self._missing)
        return self._desk.lease_s

    # --- loops ------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        """Keep all leases, and pass on what the store knows of the jobs."""
        while True:
            await asyncio.sleep(min(RENEW_S, self._desk.lease_s / 4) if self._desk else RENEW_S)
            runs = dict(self._runs)
            if not runs or self._desk is None:
                continue
            leases = [(job_id, run.task.fence) for job_id, run in runs.items()]
            asked = time.monotonic()
            try:
                news = await self._store.calls.renew_all(leases, self._desk.lease_s)
            except StoreUnavailable as error:
                log.warning("leases are renewed later: %s", error)
                continue
            for job_id, run in runs.items():
                if job_id not in news.overtaken:
                    run.leased_at = max(run.leased_at, asked)
            for job_id in news.overtaken:
                runs[job_id].news.overtake()
            for job_id in news.cancel:
                runs[job_id].news.cancel()
            for job_id, at in news.heard.items():
                runs[job_id].news.hear(at)

    async def _check(self) -> None:
        """Connect when a key turns up; ask an account that was out whether it works again."""
        while True:
            await asyncio.sleep(RECONNECT_S if self._desk is None else BEAT_S)
            if self._desk is None:
                self._connect()
                continue
            now = time.monotonic()
            if not self._health.to_check(now):
                continue
            try:
                await self._desk.provider.check()
            except ProviderError as error:
                self._note("", f"check {now}", error)
            except Exception:
                log.exception("the account cannot be checked")
            else:
                self._note("", f"check {now}", None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(RECONNECT_S if self._desk is None else self._desk.pace.orphans_s)
            if self._desk is None:
                continue
            try:
                await sweep(self._desk)
            except StoreUnavailable as error:
                log.warning("orphans are looked for later: %s", error)

    async def _beat(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), BEAT_S)
            self._changed.clear()
            try:
                told = self._slots_told == self._limits.concurrency
                if not (told and await self._store.worker_beat(self._worker.id, self.state, self._detail())):
                    await self._register()
            except StoreUnavailable as error:
                log.warning("worker heartbeat missed: %s", error)

    # --- the worker's row -------------------------------------------------------------------------

    def _connect(self) -> None:
        try:
            self._desk = self._make_desk(self)
        except ConfigError as error:
            self._missing = error.message
        else:
            self._missing = ""

    def _detail(self) -> dict[str, Any]:
        now = time.monotonic()
        return {
            **self._worker.detail,
            "pid": os.getpid(),
            "reason": self._missing or self._away(),
            "flagged": dict(self._health.flagged(now)),
            "in_flight": self.in_flight,
        }

    async def _register(self) -> None:
        slots = self._limits.concurrency
        await self._store.register(
            replace(self._worker, state=self.state, slots=slots, detail=self._detail())
        )
        self._slots_told = slots
