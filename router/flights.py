"""Flights: claimed jobs on their way to a worker or with one, until the call comes back.

A flight sees that its job is either taken or given back. While no worker has begun (a cold start), it keeps
the lease; a call that waits in a pool that cannot answer it is withdrawn. A pool that turns jobs away rests
for a while, so that a job is not thrown at it in a hot loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import JobNotFound, StaleFence, StoreUnavailable
from router.jobs.records import Attempt, AttemptStatus, PoolRecord
from router.jobs.store import JobStore
from router.launching import Launcher, Taken, WorkerLost

log = logging.getLogger("i2v.flights")

FIRST_REST_S = 0.5
LONGEST_REST_S = 30.0
"""A pool that turns jobs away is asked again after 0.5 s, then twice as long each time, up to this."""


@dataclass(slots=True, eq=False)
class Flight:
    """One call on its way."""

    attempt: Attempt
    expires_at: float
    """Unix seconds; a job that has not begun by then has waited too long."""
    call: asyncio.Task[Taken]
    begun: bool = False
    """A worker runs it and keeps the lease itself."""
    withdrawn: bool = False

    def withdraw(self) -> None:
        """End the call; the attempt is over already."""
        self.withdrawn = True
        self.call.cancel()


@dataclass(frozen=True, slots=True)
class Rest:
    """A pool's rest after it turned a job away."""

    until: float
    seconds: float
    reason: str


class Flights:
    """All flights of one dispatcher."""

    def __init__(
        self,
        *,
        store: JobStore,
        launcher: Launcher,
        lease_s: float,
        landed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._lease_s = lease_s
        self._on_landing = landed
        self._clock = clock
        self._flights: dict[asyncio.Task[None], Flight] = {}
        self._rests: dict[str, Rest] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def launch(self, attempt: Attempt, expires_at: float) -> None:
        """Send a claimed job off."""
        name = f"{attempt.job_id}#{attempt.fence}"
        call = asyncio.create_task(
            self._launcher.launch(attempt.pool, attempt.job_id, attempt.fence), name=f"call {name}"
        )
        flight = Flight(attempt, expires_at, call)
        flying = asyncio.create_task(self._fly(flight), name=name)
        self._flights[flying] = flight
        flying.add_done_callback(self._landed)

    def review(self, running: Iterable[Attempt]) -> None:
        """Compare with the attempts that hold a lease: note who has begun, withdraw what is over.

        An attempt that is over before it began was cancelled by its client, or its lease ran out.
        """
        status = {(attempt.job_id, attempt.fence): attempt.status for attempt in running}
        for flight in self._flights.values():
            now = status.get((flight.attempt.job_id, flight.attempt.fence))
            if now is AttemptStatus.RUNNING:
                flight.begun = True
            elif now is None and not flight.begun:
                flight.withdraw()

    async def recall(self, pools: Sequence[PoolRecord], now: float) -> int:
        """Give back jobs that wait where nobody will take them; returns how many. `now` in Unix seconds."""
        known = {pool.name: pool for pool in pools}
        withdrawn = 0
        for flight in [flight for flight in self._flights.values() if not flight.begun]:
            reason = _in_vain(flight, known.get(flight.attempt.pool), now)
            if reason and await self._end(flight.attempt, self._release(flight.attempt, reason)):
                flight.withdraw()
                withdrawn += 1
        return withdrawn

    def resting(self) -> Mapping[str, str]:
        """Pools that rest now, with the reason."""
        now = self._clock()
        return {
            pool: f"it turned a job away: {rest.reason}"
            for pool, rest in self._rests.items()
            if now < rest.until
        }

    async def close(self) -> None:
        """Stop waiting for the calls; workers that have begun go on, leases of the others run out."""
        flying = list(self._flights)
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)

    # --- one flight -------------------------------------------------------------------------------

    async def _fly(self, flight: Flight) -> None:
        attempt = flight.attempt
        renewing = asyncio.create_task(self._renew(flight), name=f"renew {attempt.job_id}#{attempt.fence}")
        renewing.add_done_callback(_complain)
        try:
            answer = await flight.call
        except asyncio.CancelledError:
            if flight.withdrawn:
                return
            flight.call.cancel()
            raise
        except WorkerLost as error:
            await self._bury(attempt, str(error))
            return
        finally:
            renewing.cancel()
        if answer.taken:
            self._rests.pop(attempt.pool, None)
        elif await self._end(attempt, self._release(attempt, answer.reason)):
            # A refused release means that the attempt was over: then the pool was right to refuse it.
            self._rest(attempt.pool, answer)

    async def _bury(self, attempt: Attempt, reason: str) -> None:
        """The worker is dead: its attempt is lost, its slot counts no more (a live one registers again)."""
        try:
            attempts = await self._store.attempts(attempt.job_id)
            worker = next((row.worker for row in attempts if row.fence == attempt.fence), None)
            if worker is not None:
                await self._store.deregister(worker)
        except StoreUnavailable as error:
            log.warning("a dead worker is left to grow stale: %s", error)
        await self._end(attempt, self._store.lose(attempt.job_id, attempt.fence, reason))

    def _release(self, attempt: Attempt, reason: str) -> Coroutine[Any, Any, None]:
        return self._store.release(attempt.job_id, attempt.fence, reason)

    async def _renew(self, flight: Flight) -> None:
        attempt = flight.attempt
        while not flight.begun:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._store.renew(attempt.job_id, attempt.fence, self._lease_s)
            except (StaleFence, JobNotFound):
                return
            except StoreUnavailable as error:
                log.warning("renewal of %s missed: %s", attempt.job_id, error)

    async def _end(self, attempt: Attempt, write: Coroutine[Any, Any, None]) -> bool:
        """Write the end of an attempt; False when it was over by itself or is left to the reaper."""
        try:
            await write
        except (StaleFence, JobNotFound):
            return False
        except StoreUnavailable as error:
            log.warning("attempt %s of %s is left to the reaper: %s", attempt.fence, attempt.job_id, error)
            return False
        return True

    def _rest(self, pool: str, answer: Taken) -> None:
        """A pool that is full or away rests longer each time; one whose next worker may take it does not."""
        last = self._rests.get(pool)
        seconds = FIRST_REST_S
        if last is not None and not answer.elsewhere:
            seconds = min(2 * last.seconds, LONGEST_REST_S)
        self._rests[pool] = Rest(self._clock() + seconds, seconds, answer.reason)

    def _landed(self, flying: asyncio.Task[None]) -> None:
        del self._flights[flying]
        _complain(flying)
        self._on_landing()


def _in_vain(flight: Flight, pool: PoolRecord | None, now: float) -> str:
    """Why this call will not be answered; empty when it may be."""
    if pool is None:
        return f"pool {flight.attempt.pool} is gone"
    if not pool.healthy:
        return f"pool {pool.name} cannot take work: {pool.reason}"
    if now > flight.expires_at:
        return f"pool {pool.name} took too long to start"
    return ""


def _complain(task: asyncio.Task[None]) -> None:
    """Log what no one awaits."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s failed", task.get_name(), exc_info=error)
