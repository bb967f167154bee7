"""A launcher without a cluster: pools of scripted workers that really write to the job store.

It ships beside the seam so that everything around workers (order, late binding, retry, recovery) can be
tried in one process, and so that the dispatcher can be loaded with more jobs than any laptop could run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from models.errors import Disposition, JobNotFound, StaleFence
from router.jobs.records import PoolRecord, Worker
from router.jobs.store import JobStore
from router.launching import Taken, WorkerLost

Ending = Literal["completes", "refuses", "fails", "dies", "dies_before", "turns_away"]


@dataclass(frozen=True, slots=True)
class Play:
    """What a worker does with one job."""

    ending: Ending = "completes"
    message: str = "as scripted"
    code: str = "runner_error"
    """Of the error of a worker that fails."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that reached a pool."""

    pool: str
    job_id: str
    fence: int


@dataclass(slots=True)
class FakePool:
    """One pool: its record as the fleet shows it, its ready workers, and what they will do."""

    record: PoolRecord
    ready: int = 1
    held: bool = False
    """Workers that have begun go on only when this is False."""
    state: str = "ready"
    plays: deque[Play] = field(default_factory=deque)
    """One for each call, in order; then every job completes."""
    running: int = 0
    waiting: int = 0
    """Calls that no worker has taken yet."""


class ScriptedLauncher:
    """A `router.launching.Launcher` over `FakePool`s; calls above the ready workers wait, as Serve's do."""

    def __init__(self, store: JobStore, *pools: FakePool, lease_s: float = 60.0) -> None:
        self._store = store
        self._lease_s = lease_s
        self._changed = asyncio.Condition()
        self.fleet: dict[str, FakePool] = {pool.record.name: pool for pool in pools}
        self.calls: list[Call] = []
        """Every call, in order."""
        self.away = False
        """True: the pools cannot be seen."""

    async def change(self, pool: str, **changes: object) -> None:
        """Set attributes of a pool and let those that wait for it look again."""
        async with self._changed:
            for name, value in changes.items():
                setattr(self.fleet[pool], name, value)
            self._changed.notify_all()

    async def pools(self) -> Sequence[PoolRecord]:
        """The pools' records; their workers beat now."""
        if self.away:
            raise ConnectionError("the pools cannot be seen, as scripted")
        for pool in self.fleet.values():
            await self._beat(pool)
        return [pool.record for pool in self.fleet.values()]

    async def _beat(self, pool: FakePool) -> None:
        record = pool.record
        for number in range(record.max_replicas):
            name = f"{record.name}-{number}"
            if number >= pool.ready:
                await self._store.deregister(name)
                continue
            detail: Mapping[str, object] = {"reason": "" if pool.state == "ready" else "as scripted"}
            worker = Worker(
                name, record.name, record.model, record.offer, record.gpu, record.gang_size, 1, "fake",
                pool.state, detail,
            )  # fmt: skip
            await self._store.register(worker)

    async def launch(self, pool: str, job_id: str, fence: int) -> Taken:
        """Play the next scene of the pool on this job.

        Raises:
            WorkerLost: the script says that the worker dies.
        """
        self.calls.append(Call(pool, job_id, fence))
        place = self.fleet[pool]
        play = place.plays.popleft() if place.plays else Play()
        if play.ending == "turns_away":
            return Taken(taken=False, reason=play.message)
        if play.ending == "dies_before":
            raise WorkerLost(play.message)
        await self._enter(place)
        try:
            return await self._perform(place, play, job_id, fence)
        finally:
            async with self._changed:
                place.running -= 1
                self._changed.notify_all()

    async def _enter(self, place: FakePool) -> None:
        place.waiting += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: place.running < place.ready)
                place.running += 1
        finally:
            place.waiting -= 1

    async def _perform(self, place: FakePool, play: Play, job_id: str, fence: int) -> Taken:
        try:
            await self._store.start(job_id, fence, f"{place.record.name}-0", self._lease_s)
        except (StaleFence, JobNotFound):
            return Taken(taken=False, reason="a later attempt exists")
        async with self._changed:
            await self._changed.wait_for(lambda: not place.held)
        if play.ending == "dies":
            raise WorkerLost(play.message)
        if play.ending == "completes":
            await self._complete(place, job_id, fence)
        else:
            refuses = play.ending == "refuses"
            await self._store.fail(
                job_id,
                fence,
                error={"code": "input_refused" if refuses else play.code, "message": play.message},
                disposition=Disposition.FALLBACK if refuses else Disposition.RETRY,
            )
        return Taken(taken=True)

    async def _complete(self, place: FakePool, job_id: str, fence: int) -> None:
        await self._store.complete(
            job_id,
            fence,
            result={"media": {}, "served_model": place.record.model},
            usage={},
            gpu_seconds=0.0,
            retain_s=3600.0,
            observation=None,
        )
