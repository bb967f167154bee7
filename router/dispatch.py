"""The dispatcher: keeps the order, decides late, hands jobs to pools, and mends what broke.

One tick reads the queue in order (priority, then due time), decides each job with the same engine that made
its estimate, and claims those whose chosen pool has room. A job whose pool is full waits and is decided again
later. The dispatcher is not in the data path: a worker writes its outcome to the store itself, so a
dispatcher that dies takes nothing with it, and the next one goes on from the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from models.errors import I2VError, JobNotFound, StaleFence, StoreUnavailable
from policies.base import Decision, Fleet, Pool, RouteRequest, Scored
from policies.engine import Engine
from policies.render import candidate_json, decision_json, plan_json
from router.engine import route_request_from_job
from router.fleet import build_fleet
from router.jobs.records import Attempt, Job, PoolRecord, Worker
from router.jobs.store import JobStore
from router.media import MediaStore

log = logging.getLogger("i2v.dispatch")

TICK_S = 0.5
"""Without a nudge the queue is looked at twice a second."""
HOUSEKEEPING_S = 1.0
"""Leases, expiry and the table of pools."""
PURGE_S = 60.0
MAX_FALLBACKS = 5


class WorkerLost(Exception):
    """The process that had taken (or would have taken) the job is gone."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a worker answered: whether it took the job, and why not."""

    taken: bool
    reason: str = ""


class Launcher(Protocol):
    """How the dispatcher reaches workers; `deployments.router` does it through Serve handles."""

    async def pools(self) -> Sequence[PoolRecord]:
        """The applications that run models now."""
        ...

    async def launch(self, pool: str, job_id: str, fence: int) -> Taken:
        """Hand a claimed job to a pool; returns when the worker is done with it.

        Raises:
            WorkerLost: the worker died, or the pool is gone.
        """
        ...


class Dispatcher:
    """Owns the order of the queue. One is active; two at once are harmless, since claims are conditional."""

    def __init__(
        self, *, store: JobStore, media: MediaStore, engine: Engine, launcher: Launcher, lease_s: float
    ) -> None:
        self._store = store
        self._media = media
        self._engine = engine
        self._launcher = launcher
        self._lease_s = lease_s
        self._wake = asyncio.Event()
        self._flights: set[asyncio.Task[None]] = set()
        self._kept_house = 0.0
        self._purged = 0.0

    def nudge(self) -> None:
        """Something changed: look at the queue now."""
        self._wake.set()

    async def run(self) -> None:
        """Tick for ever. A store that is away is waited for; any other fault of a tick is logged."""
        while True:
            try:
                await self.tick()
            except (StoreUnavailable, ConnectionError) as error:
                log.warning("tick skipped: %s", error)
            except I2VError:
                log.exception("tick failed")
            try:
                await asyncio.wait_for(self._wake.wait(), TICK_S)
            except TimeoutError:
                continue
            finally:
                self._wake.clear()

    async def tick(self) -> int:
        """One look at everything; returns how many jobs were handed out."""
        now = time.monotonic()
        if now - self._kept_house >= HOUSEKEEPING_S:
            self._kept_house = now
            await self._store.publish_pools(await self._launcher.pools())
            await self._store.reap()
        if now - self._purged >= PURGE_S:
            self._purged = now
            await self._purge()
        queued = await self._store.queued()
        if not queued:
            return 0
        pools = await self._store.pools()
        workers = await self._store.workers()
        running = await self._store.running()
        fleet = build_fleet(pools, workers, running, (), await self._store.calibrations(), now=time.time())
        room = free_slots(pools, workers, running, waiting=len(queued))
        handed = 0
        for job in queued:
            if not any(room.values()):
                break
            fleet, taken = await self._place(job, fleet, room)
            handed += taken
        return handed

    async def _place(self, job: Job, fleet: Fleet, room: Counter[str]) -> tuple[Fleet, int]:
        """Decide one job; claim and launch it when its pool has room. Returns the fleet as it is then."""
        request = route_request_from_job(job, fleet.now)
        decision = self._decide(job, request, fleet)
        if decision.chosen is None and request.deadline_s is not None:
            # The deadline was promised in good faith and cannot be met any more: late is better than never.
            decision = self._decide(job, replace(request, deadline_s=None), fleet)
        chosen = decision.chosen
        if chosen is None:
            await self._no_candidate(job, decision, fleet)
            return fleet, 0
        pool = chosen.candidate.pool
        if room[pool.name] < 1:
            return _promise(fleet, pool.name, chosen.candidate.prediction.seconds), 0
        attempt = await self._claim(job, decision, chosen)
        if attempt is None:
            return fleet, 0
        room[pool.name] -= 1
        self._launch(attempt)
        return _occupy(fleet, pool.name, chosen.candidate.prediction.seconds), 1

    def _decide(self, job: Job, request: RouteRequest, fleet: Fleet) -> Decision:
        return self._engine.decide(request, fleet, counter_offers=False, exclude=frozenset(job.excluded))

    async def _claim(self, job: Job, decision: Decision, chosen: Scored) -> Attempt | None:
        candidate = chosen.candidate
        request = job.request
        binding = {
            **candidate_json(chosen),
            "plan": plan_json(candidate.plan),
            "camera": [wish["move"] for wish in request.get("camera", ())]
            or [move.value for move in decision.features.prompt.camera],
        }
        return await self._store.claim(
            job.id,
            pool=candidate.pool.name,
            model=candidate.card.id,
            offer=candidate.offer.id,
            gpus=candidate.gpus,
            decision=binding,
            routing=decision_json(decision),
            lease_s=self._lease_s,
        )

    async def _no_candidate(self, job: Job, decision: Decision, fleet: Fleet) -> None:
        """Nothing can take the job now. It waits if a sick pool could, and fails if none ever could."""
        healed = replace(fleet, pools=tuple(replace(p, healthy=True) for p in fleet.pools))
        request = route_request_from_job(job, fleet.now)
        again = self._decide(job, replace(request, deadline_s=None), healed)
        if again.chosen is not None or not fleet.pools:
            return
        reasons = "; ".join(f"{row.model}/{row.offer}: {row.reason}" for row in decision.rejected[:8])
        refused = f" Refused by {', '.join(job.excluded)}." if job.excluded else ""
        message = f"No model can make this clip.{refused} {reasons}"
        await self._quietly(self._store.fail_queued(job.id, error={"code": "no_route", "message": message}))

    # --- flights ----------------------------------------------------------------------------------

    def _launch(self, attempt: Attempt) -> None:
        flight = asyncio.create_task(self._fly(attempt), name=f"{attempt.job_id}#{attempt.fence}")
        self._flights.add(flight)
        flight.add_done_callback(self._landed)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self._wake.set()
        if not flight.cancelled() and (error := flight.exception()) is not None:
            log.error("flight %s failed", flight.get_name(), exc_info=error)

    async def _fly(self, attempt: Attempt) -> None:
        """Hand one claimed job over and see that it is either taken or given back."""
        job_id, fence = attempt.job_id, attempt.fence
        renewing = asyncio.create_task(self._renew(job_id, fence))
        try:
            answer = await self._launcher.launch(attempt.pool, job_id, fence)
        except WorkerLost as error:
            await self._bury(job_id, fence, str(error))
            return
        finally:
            renewing.cancel()
        if not answer.taken:
            await self._quietly(self._store.release(job_id, fence, answer.reason))

    async def _bury(self, job_id: str, fence: int, reason: str) -> None:
        """The worker is dead: its attempt is lost and its slot counts no more (a live one registers again)."""
        attempt = (await self._store.attempts(job_id))[-1]
        if attempt.fence == fence and attempt.worker is not None:
            await self._quietly(self._store.deregister(attempt.worker))
        await self._quietly(self._store.lose(job_id, fence, reason))

    async def _renew(self, job_id: str, fence: int) -> None:
        """While no worker has begun (a cold start), the dispatcher keeps the lease."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._store.renew(job_id, fence, self._lease_s)
            except (StaleFence, JobNotFound):
                return
            except StoreUnavailable as error:
                log.warning("renewal of %s missed: %s", job_id, error)

    async def _quietly(self, write: Any) -> None:
        """A write about an attempt that may have ended by itself; the reaper does what fails here."""
        try:
            await write
        except (StaleFence, JobNotFound):
            return
        except StoreUnavailable as error:
            log.warning("left to the reaper: %s", error)

    async def _purge(self) -> None:
        """Delete from the media store what jobs no longer need."""
        while keys := await self._store.garbage():
            await asyncio.to_thread(self._media.delete, keys)
            await self._store.forget_garbage(keys)


def free_slots(
    pools: Sequence[PoolRecord], workers: Sequence[Worker], running: Sequence[Attempt], *, waiting: int
) -> Counter[str]:
    """How many more jobs each pool may be handed now.

    Ready slots less attempts in hand; one more while the pool may still grow and no call of ours waits in it,
    since Serve scales on calls that wait (from zero, and upwards when all replicas are busy).
    """
    slots: Counter[str] = Counter()
    live: Counter[str] = Counter()
    for worker in workers:
        if worker.state in {"ready", "broken"}:
            slots[worker.pool] += worker.slots
        live[worker.pool] += 1
    held: Counter[str] = Counter(attempt.pool for attempt in running)
    room: Counter[str] = Counter()
    for pool in pools:
        free = slots[pool.name] - held[pool.name]
        grows = live[pool.name] < pool.max_replicas and held[pool.name] <= slots[pool.name]
        room[pool.name] = max(free, 1 if grows and waiting else 0, 0)
    return room


def _occupy(fleet: Fleet, name: str, seconds: float) -> Fleet:
    return _change(fleet, name, lambda pool: replace(pool, busy_seconds=(*pool.busy_seconds, seconds)))


def _promise(fleet: Fleet, name: str, seconds: float) -> Fleet:
    return _change(fleet, name, lambda pool: replace(pool, queued_seconds=pool.queued_seconds + seconds))


def _change(fleet: Fleet, name: str, change: Any) -> Fleet:
    pools: tuple[Pool, ...] = tuple(change(pool) if pool.name == name else pool for pool in fleet.pools)
    return replace(fleet, pools=pools)
