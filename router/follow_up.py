"""Follow-ups: jobs whose call to a provider is under way are handed to whoever can look at it.

Such a job is not decided anew. It was sent, it may have been paid, and only the account that sent it can say
what became of it; so it goes back there with the decision that it was sent by, late or not and whatever its
budget. Nothing is sent, so neither an open circuit nor a resting pool stands in its way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from models.catalog import Catalog
from models.errors import OutcomeUnknown
from router.accounts import is_account, offers_on
from router.board import Board
from router.health import OfferKey
from router.jobs.call_store import RemoteCall
from router.jobs.records import Attempt, Job, PoolRecord, Worker
from router.jobs.store import JobStore

log = logging.getLogger("i2v.follow_up")

ABSENT_S = 3600.0
"""So long a job waits for an application that can look at its call: there is none of its account, or it is
unhealthy, starting or without a key; and a job that was begun never expires. Our choice: removing and adding
an application again takes minutes, and providers keep results for an hour at least, so that a clip that was
made is not given up while it can still be fetched. A Router that restarts counts anew."""
AGAIN_S = 5.0
"""A follow-up that came back is handed out again only then, so that a worker that refuses it is not asked in
a hot loop. Our choice."""
LOOKING = frozenset({"ready", "away"})
"""States of workers that look at calls; those that are away send nothing new."""
REMEMBERED = 5000
"""Calls whose origin is kept."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A call and the attempt that made it."""

    call: RemoteCall
    attempt: Attempt

    @property
    def offer(self) -> OfferKey:
        """Where it was sent."""
        return self.call.model, self.call.offer


def pool_of(
    origin: Origin, pools: Iterable[PoolRecord], workers: Sequence[Worker], catalog: Catalog | None
) -> PoolRecord | None:
    """The application that can look at a call now, None where there is none. Pure.

    A healthy one with a worker that can look and tells of the call's account: the one that made it, or
    another, should it have been renamed. Its name alone proves nothing: an application of that name may be
    given another account, which knows nothing of the call and might send it again. One without workers is
    starting.
    """
    found = [
        pool
        for pool in pools
        if pool.healthy and _runs(pool, origin.offer, catalog) and _looks(pool.name, origin.call, workers)
    ]
    return min(found, key=lambda pool: pool.name != origin.attempt.pool, default=None)


def _looks(pool: str, call: RemoteCall, workers: Sequence[Worker]) -> bool:
    """Whether a worker of the pool can look at the call, and whichever is asked is of the right account."""
    crew = [worker for worker in workers if worker.pool == pool]
    told = {(worker.detail.get("provider"), worker.detail.get("account")) for worker in crew}
    return told == {(call.provider, call.account)} and any(worker.state in LOOKING for worker in crew)


def _runs(pool: PoolRecord, offer: OfferKey, catalog: Catalog | None) -> bool:
    """Whether the application knows the offer; an account still does when its card has been retired."""
    if not is_account(pool):
        return offer in offers_on(pool, catalog)
    card = catalog.cards.get(offer[0]) if catalog is not None else None
    return card is not None and any(
        each.id == offer[1] and each.backend == pool.backend for each in card.offers
    )


class FollowUps:
    """Hands jobs with an open call to the pools that made them; one dispatcher's."""

    def __init__(
        self,
        *,
        store: JobStore,
        catalog: Catalog | None,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` counts seconds."""
        self._store = store
        self._catalog = catalog
        self._lease_s = lease_s
        self._clock = clock
        self._pools: Sequence[PoolRecord] = ()
        self._workers: Sequence[Worker] = ()
        self._origins: dict[str, Origin] = {}
        self._absent: dict[str, float] = {}
        self._handed: dict[str, float] = {}

    def see(self, pools: Sequence[PoolRecord], workers: Sequence[Worker]) -> None:
        """The fleet as it is now."""
        self._pools, self._workers = pools, workers
        now = self._clock()
        self._handed = {job: at for job, at in self._handed.items() if now - at < AGAIN_S}

    async def place(self, job: Job, board: Board) -> Attempt | None:
        """Claim a waiting job with an open call for the pool that can follow it; None: it waits.

        Raises:
            StoreUnavailable: the job store is away.
        """
        origin = await self._origin(job)
        if origin is None:
            return None
        pool = pool_of(origin, self._pools, self._workers, self._catalog)
        if pool is None:
            await self._missed(job, origin)
            return None
        self._absent.pop(origin.call.id, None)
        if not board.takes_follow_up(pool.name) or job.id in self._handed:
            return None
        made = origin.attempt
        attempt = await self._store.claim(
            job.id,
            pool=pool.name,
            model=made.model,
            offer=made.offer,
            gpus=made.gpus,
            decision=made.decision,
            routing=job.routing,
            lease_s=self._lease_s,
        )
        if attempt is not None:
            self._handed[job.id] = self._clock()
            seconds = float(made.decision["predicted"]["seconds"])
            board.occupy_following(pool.name, origin.offer, seconds, made.gpus)
        return attempt

    async def _origin(self, job: Job) -> Origin | None:
        """None when the job has moved on since it was read."""
        if job.open_call is None:
            return None
        known = self._origins.get(job.open_call)
        if known is not None:
            return known
        call = await self._store.calls.get(job.open_call)
        if call is None or call.closed_at is not None:
            return None
        attempts = await self._store.attempts(job.id)
        made = next((attempt for attempt in attempts if attempt.fence == call.fence), None)
        if made is None:
            return None
        while len(self._origins) >= REMEMBERED:
            del self._origins[next(iter(self._origins))]
        self._origins[call.id] = found = Origin(call, made)
        return found

    async def _missed(self, job: Job, origin: Origin) -> None:
        call = origin.call
        since = self._absent.setdefault(call.id, self._clock())
        if self._clock() - since < ABSENT_S:
            return
        log.warning("call %s of %s is given up: nobody can look at it", call.id, job.id)
        told = (
            f"no application can reach account {call.provider}/{call.account} any more; "
            "what became of the call cannot be found out, and it may have been charged"
        )
        await self._store.calls.abandon(job.id, call.id, {"code": OutcomeUnknown.code, "message": told})
        del self._absent[call.id]
        self._origins.pop(call.id, None)
