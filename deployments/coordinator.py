"""The coordinator of a gang: takes jobs under their fences, keeps its worker's row, mends its ranks.

It guards its GPUs itself (Serve frees a request slot when a caller goes away, the GPU is busy all the same)
and answers its caller only whether it took the job: every result goes to the store. Which clip runs when is
the executor's business. Nothing here knows Ray; `deployments.model` puts it into a Serve replica.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deployments.attempt import AttemptRun, Terms
from deployments.clip_media import forget_attempts
from deployments.executor import Executor
from deployments.pace import Pace
from deployments.ranks import Ranks
from models.errors import I2VError, JobNotFound, RankLost, StaleFence, StoreUnavailable
from policies.gang import GangPolicy
from router.jobs.records import Attempt, Job, Worker
from router.jobs.store import JobStore
from router.launching import Taken
from router.media import MediaStore

log = logging.getLogger("i2v.coordinator")

STARTS = 2
"""So often ranks are started in place; then the replica asks to be replaced."""


class WrongWorker(Exception):
    """The attempt was decided for another offer than the one that this worker runs."""


class Coordinator:
    """One worker: a gang, the clips on it, and its row in the job store."""

    def __init__(
        self,
        worker: Worker,
        *,
        store: JobStore,
        media: MediaStore,
        ranks: Ranks,
        policy: GangPolicy,
        terms: Terms,
        scratch: Path,
        pace: Pace | None = None,
    ) -> None:
        """Nothing starts before `open`.

        Args:
            worker: Its row; `slots` clips are held at once.
            store: The job store.
            media: The media store.
            ranks: The gang.
            policy: Decides which clips run.
            terms: What the worker runs, and how it is leased and priced.
            scratch: Directory of this worker alone, for the clips' states; memory where there is some.
            pace: Periods and time-outs.
        """
        self._worker = replace(worker, state="starting")
        self._store = store
        self._media = media
        self._ranks = ranks
        self._terms = terms
        self._scratch = scratch
        self._pace = pace or Pace()
        self._slots = asyncio.Semaphore(worker.slots)
        self._executor = Executor(ranks, policy, pace=self._pace, rebuild=self._rebuild)
        self._leaving = False
        self._takes: dict[str, asyncio.Task[Taken]] = {}
        self._reason = ""
        self._beating: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """`starting`, `ready`, `broken` (no weights), `rebuilding` or `lost`."""
        return self._worker.state

    async def open(self) -> None:
        """Start the ranks, load their weights, and be known as a worker.

        Raises:
            RankLost: a rank died while it loaded.
            StoreUnavailable: the worker could not be registered.
        """
        if not await self._spawn():
            raise RankLost(self._reason)
        await self._register()
        self._beating = asyncio.create_task(self._beat_for_ever(), name="worker beat")
        self._watching = asyncio.create_task(self._watch_for_ever(), name="rank watch")

    async def close(self) -> None:
        """Finish or hand back what was taken, then leave: for a replica that is told to go."""
        self._leaving = True
        self._executor.drain()
        while self._takes:
            await asyncio.wait(set(self._takes.values()))
        for task in (self._beating, self._watching):
            if task is not None:
                task.cancel()
        self._ranks.kill()
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
        try:
            await self._store.deregister(self._worker.id)
        except StoreUnavailable as error:
            log.warning("the worker's row is left to grow stale: %s", error)

    def check(self) -> None:
        """Raise when only a new replica can help.

        Raises:
            RankLost: the ranks could not be rebuilt, the clips cannot be scheduled, or the worker's heartbeat
                or watch has ended.
        """
        if self.state == "lost":
            raise RankLost(self._reason)
        if self._executor.fault:
            raise RankLost(self._executor.fault)
        for task in (self._beating, self._watching):
            if task is not None and task.done():
                raise RankLost(f"the {task.get_name()} has ended")

    async def take(self, job_id: str, fence: int) -> Taken:
        """Take a job and see it through. A caller that goes away does not stop the work."""
        name = f"take {job_id}#{fence}"
        take = self._takes.get(name)
        if take is None:
            # The loop itself holds tasks weakly; once the caller is gone this is the only reference.
            take = self._takes[name] = asyncio.create_task(self._take(job_id, fence), name=name)
            take.add_done_callback(lambda _: self._takes.pop(name, None))
        return await asyncio.shield(take)

    # --- one job ----------------------------------------------------------------------------------

    async def _take(self, job_id: str, fence: int) -> Taken:
        async with self._slots:
            if (unable := self._unable()) is not None:
                return unable
            try:
                job, attempts = await self._start(job_id, fence)
            except (StaleFence, JobNotFound):
                return Taken(taken=False, reason="a later attempt exists")
            except WrongWorker as error:
                return Taken(taken=False, reason=str(error))
            except StoreUnavailable as error:
                return Taken(taken=False, reason=f"the job could not be begun: {error.message}")
            began = (row for row in attempts.values() if row.fence < fence and row.started_at is not None)
            await forget_attempts(self._media, job.id, [row.fence for row in began])
            await AttemptRun(
                self._store,
                self._media,
                self._executor,
                self._terms,
                self._pace,
                job,
                attempts[fence],
                self._scratch / f"{job.id}-{fence}",
            ).see_through()
            # The slot is not free before the ranks are well again.
            await self._executor.settled()
            return Taken(taken=True)

    def _unable(self) -> Taken | None:
        """Why no job can be taken now, if none can."""
        if self._leaving:
            return Taken(taken=False, reason="this replica drains", elsewhere=True)
        if self.state == "lost":
            return Taken(taken=False, reason=self._reason)
        if self._ranks.failure is not None:
            # Another replica of the pool may have the weights: the job is given back, untouched.
            failure = self._ranks.failure
            told = f"{failure['code']}: {failure['message']}"
            return Taken(taken=False, reason=told, elsewhere=True)
        return None

    async def _start(self, job_id: str, fence: int) -> tuple[Job, Mapping[int, Attempt]]:
        """Begin, and again while the store is away, for as long as the lease may last.

        Returns the job and its attempts by fence.
        """
        deadline = time.monotonic() + self._terms.lease_s
        while True:
            try:
                attempts = {attempt.fence: attempt for attempt in await self._store.attempts(job_id)}
                self._check_offer(attempts.get(fence))
                job = await self._store.start(job_id, fence, self._worker.id, self._terms.lease_s)
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(self._pace.retry_s)
            else:
                return job, attempts

    def _check_offer(self, attempt: Attempt | None) -> None:
        """While an application is updated to another model, replicas of the version before still answer."""
        terms = self._terms
        if attempt is not None and not terms.serves(attempt.model, attempt.offer):
            mine = f"{terms.model}/{terms.offer}"
            raise WrongWorker(f"this replica runs {mine}, not {attempt.model}/{attempt.offer}")

    # --- ranks ------------------------------------------------------------------------------------

    async def _rebuild(self, reason: str) -> bool:
        """New ranks in the same bundles (measured 4 s against 9 s for a new replica); twice, then give up."""
        log.warning("ranks are rebuilt: %s", reason)
        self._become("rebuilding", reason)
        await self._tell()
        mended = await self._spawn()
        if not mended:
            self._become("lost", self._reason)
        await self._tell()
        return mended

    async def _spawn(self) -> bool:
        """Start the ranks and say what that makes of the worker; False when they cannot be started."""
        for _ in range(STARTS):
            try:
                await self._ranks.spawn()
            except RankLost as error:
                self._reason = error.message
                self._ranks.kill()
            else:
                self._become("ready" if self._ranks.failure is None else "broken")
                return True
        return False

    async def _watch_for_ever(self) -> None:
        """Rebuild ranks that die between clips, so that no job's time is spent on finding out."""
        while True:
            await asyncio.sleep(self._pace.worker_beat_s)
            if self.state != "ready" or not self._executor.idle or await self._ranks.alive():
                continue
            self._executor.mend("a rank died between clips")

    # --- the worker's row -------------------------------------------------------------------------

    def _become(self, state: str, reason: str = "") -> None:
        self._reason = reason
        self._worker = replace(self._worker, state=state)

    def _detail(self) -> dict[str, Any]:
        failure = self._ranks.failure
        reason = self._reason or (failure["message"] if failure else "")
        return {"pid": os.getpid(), **self._ranks.facts, "reason": reason}

    async def _register(self) -> None:
        await self._store.register(replace(self._worker, detail=self._detail()))

    async def _tell(self) -> None:
        """Register now; when the store is away the next beat says the same."""
        try:
            await self._register()
        except StoreUnavailable as error:
            log.warning("the worker's state is told later: %s", error)

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._pace.worker_beat_s)
            try:
                if not await self._store.worker_beat(self._worker.id, self.state, self._detail()):
                    await self._register()
            except StoreUnavailable as error:
                log.warning("worker heartbeat missed: %s", error)
            except I2VError:
                log.exception("worker heartbeat failed")
