"""The dispatcher: keeps the order, decides late, hands jobs to pools, and mends what broke.

One tick walks the queue in order (see `router.queue`), decides each job with the same engine that made its
estimate, and claims those whose chosen pool has room. A job whose pool is full waits and is decided again
later; a job whose call to a provider is under way is not decided at all (see `router.follow_up`). The
dispatcher is not in the data path: a worker writes its outcome to the store itself, so a
dispatcher that dies takes nothing with it, and the next one goes on from the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import inf

from models.catalog import Catalog
from models.errors import I2VError, OutcomeUnknown, Stalled, StoreUnavailable
from policies import unknown
from policies.base import Decision, Fleet, RouteRequest, Scored, Waiting
from policies.engine import Engine
from policies.render import decision_json
from router.binding import binding, draw_of
from router.board import Board, follow_slots, free_slots
from router.engine import FINAL_ESTIMATE, route_request_from_job
from router.fleet import LiveFleet, band, build_fleet, read_sources
from router.flights import Flights
from router.follow_up import FollowUps
from router.jobs.records import Attempt, Job, PoolRecord
from router.jobs.store import JobStore
from router.launching import Launcher
from router.media import MediaStore
from router.outage import Outage
from router.purging import purge
from router.queue import Queue
from router.recent import Recent

log = logging.getLogger("i2v.dispatch")

TICK_S = 0.5
"""Without a nudge the queue is looked at twice a second."""
BREATH_S = 0.02
"""However many nudges come, fifty ticks a second are enough; and the loop rests as long as a tick took, so
that a long queue takes half a core and no more."""
HOUSEKEEPING_S = 1.0
"""Leases and expiry; and the table of pools while it changes or a pool is sick."""
POOLS_CALM_S = 3.0
"""While it does not: each look costs Serve's controller and the Router some ten milliseconds of processor."""
PURGE_S = 60.0
THOROUGH_S = 5.0
"""With no room anywhere the queue is still decided this often: what no pool can ever take must not wait, and
workers that may send nothing new still take jobs whose call is under way."""
MAX_FAULTS = 20
"""Ticks in a row that may fail for an undeclared reason before the loop ends (and Serve replaces it)."""
REASONS_TOLD = 8


class Dispatcher:
    """Owns the order of the queue. One is active; two at once are harmless, since claims are conditional."""

    def __init__(
        self,
        *,
        store: JobStore,
        media: MediaStore,
        engine: Engine,
        launcher: Launcher,
        lease_s: float,
        catalog: Catalog | None = None,
    ) -> None:
        """`catalog` tells which offers share a pool's replicas; without it each pool runs its own offer."""
        self._store = store
        self._catalog = catalog
        self._media = media
        self._engine = engine
        self._launcher = launcher
        self._lease_s = lease_s
        self._wake = asyncio.Event()
        self._recent = Recent(store)
        self._flights = Flights(store=store, launcher=launcher, lease_s=lease_s, landed=self._landed)
        self._follow_ups = FollowUps(store=store, catalog=catalog, lease_s=lease_s)
        self._outage = Outage(lease_s)
        self._kept_house = float("-inf")
        self._pools: tuple[PoolRecord, ...] = ()
        self._pools_due = float("-inf")
        self._purged = float("-inf")
        self._looked = float("-inf")
        self._purging: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> int:
        """How many handed-out jobs have not come back."""
        return len(self._flights)

    def nudge(self) -> None:
        """Something changed: look at the queue now."""
        self._wake.set()

    def _landed(self) -> None:
        self._recent.ended.outdate()
        self.nudge()

    async def run(self) -> None:
        """Tick for ever. A store that is away is waited for; any other fault of a tick is logged.

        Raises:
            Exception: the last one of `MAX_FAULTS` undeclared faults in a row.
        """
        faults = 0
        while True:
            began = time.monotonic()
            try:
                await self.tick()
            except StoreUnavailable as error:
                log.warning("tick skipped: %s", error)
            except Exception:
                faults += 1
                log.exception("tick failed")
                if faults >= MAX_FAULTS:
                    raise
            else:
                faults = 0
            await asyncio.sleep(max(BREATH_S, time.monotonic() - began))
            try:
                await asyncio.wait_for(self._wake.wait(), TICK_S)
            except TimeoutError:
                continue
            finally:
                self._wake.clear()

    async def close(self) -> None:
        """Stop waiting for workers; what they have begun goes on."""
        if self._purging is not None:
            self._purging.cancel()
        await self._flights.close()

    async def tick(self) -> int:
        """One look at everything; returns how many jobs were handed out.

        Raises:
            StoreUnavailable: the job store is away.
        """
        try:
            handed = await self._tick()
        except StoreUnavailable:
            self._outage.began()
            raise
        self._outage.ended()
        return handed

    async def _tick(self) -> int:
        await self._keep_house()
        pools, running = await self._store.pools(), await self._store.running()
        self._flights.review(running)
        if await self._flights.recall(pools, time.time()):
            running = await self._store.running()
        queue = Queue(self._store)
        first = await queue.next()
        if not first:
            return 0
        board = await self._board(pools, running, waiting=len(first))
        thorough = time.monotonic() - self._looked >= THOROUGH_S
        if thorough:
            self._looked = time.monotonic()
        handed, page = 0, first
        while page:
            for job in page:
                if board.full and not thorough:
                    return handed
                handed += await self._place(job, board, thorough=thorough)
                # A long queue is decided without holding up renewals and health checks.
                await asyncio.sleep(0)
            # Behind thousands of jobs for pools that are full there may be some for a pool that is not.
            page = [] if board.full else await queue.next()
        return handed

    async def _board(self, pools: Sequence[PoolRecord], running: Sequence[Attempt], *, waiting: int) -> Board:
        """Without the backlog: each job that waits is promised when it is looked at."""
        now = time.time()
        sources = await read_sources(self._store, self._recent, now=now, pools=pools, running=running)
        fleet = build_fleet(sources, self._catalog, now=now)
        board = Board(
            fleet,
            free_slots(sources.pools, sources.workers, sources.running, waiting=waiting),
            Counter((attempt.model, attempt.offer) for attempt in sources.running),
            follow_slots(sources.workers, sources.running),
        )
        self._follow_ups.see(sources.pools, sources.workers)
        board.rest(self._flights.resting())
        return board

    async def _keep_house(self) -> None:
        now = time.monotonic()
        if now - self._kept_house < HOUSEKEEPING_S:
            return
        self._kept_house = now
        if now >= self._pools_due:
            await self._publish_pools(now)
        if not self._outage.grace:
            await self._store.reap()
        if now - self._purged >= PURGE_S and self._purging is None:
            self._purged = now
            self._purging = asyncio.create_task(self._purge(), name="purge")

    async def _publish_pools(self, now: float) -> None:
        try:
            seen = tuple(await self._launcher.pools())
        except ConnectionError as error:
            log.warning("pools are as last seen: %s", error)
            return
        await self._store.publish_pools(seen)
        calm = seen == self._pools and all(pool.healthy for pool in seen)
        self._pools = seen
        self._pools_due = now + (POOLS_CALM_S if calm else HOUSEKEEPING_S)

    async def _purge(self) -> None:
        """Beside the ticks: deleting thousands of objects takes minutes."""
        try:
            await purge(self._store, self._media)
        except StoreUnavailable as error:
            log.warning("the purge goes on later: %s", error)
        except Exception:
            log.exception("the purge failed")
        finally:
            self._purging = None

    # --- one job ----------------------------------------------------------------------------------

    async def _place(self, job: Job, board: Board, *, thorough: bool) -> int:
        """Decide one job; claim and launch it when its pool has room. Returns 1 when it was handed out.

        A job that cannot even be decided ends with the reason: it must not stop those behind it.
        """
        if job.open_call is not None:
            return await self._follow(job, board)
        if not thorough and board.knows_no_room(job.model):
            # Whatever is decided, it waits; what no pool can ever take is found at a thorough look.
            board.promise_as_estimated(job)
            return 0
        try:
            decision = self._decide(job, board.fleet, await self._stalled(job))
        except I2VError as error:
            log.warning("job %s cannot be routed: %s", job.id, error)
            await self._give_up(job, error.code, error.message)
            return 0
        except Exception as error:
            log.exception("job %s cannot be routed", job.id)
            await self._give_up(job, I2VError.code, f"the request cannot be routed: {type(error).__name__}")
            return 0
        if decision.chosen is None:
            await self._no_candidate(job, decision, board)
            return 0
        return await self._hand_out(job, decision, decision.chosen, board)

    async def _follow(self, job: Job, board: Board) -> int:
        """Hand out a job whose call is under way; it is not decided anew, and does not expire any more."""
        attempt = await self._follow_ups.place(job, board)
        if attempt is None:
            return 0
        self._flights.launch(attempt, inf)
        return 1

    async def _hand_out(self, job: Job, decision: Decision, chosen: Scored, board: Board) -> int:
        pool, seconds = chosen.candidate.pool, chosen.candidate.prediction.seconds
        gpus = chosen.candidate.gpus
        priority = band(job.priority)
        if not board.has_room(pool, priority):
            board.promise(pool.name, Waiting(job.due_at - board.fleet.now, priority, seconds, gpus))
            return 0
        attempt = await self._claim(job, decision, chosen, board.fleet)
        if attempt is None:
            return 0
        board.occupy(pool, seconds, gpus)
        self._flights.launch(attempt, job.expires_at)
        return 1

    async def _stalled(self, job: Job) -> frozenset[str]:
        """Offers (`model/offer`) where this job stalled last: it runs elsewhere first, if it can."""
        if job.attempts == 0:
            return frozenset()
        last = (await self._store.attempts(job.id))[-1:]
        return frozenset(
            f"{attempt.model}/{attempt.offer}"
            for attempt in last
            if attempt.error is not None and attempt.error.get("code") == Stalled.code
        )

    def _decide(self, job: Job, fleet: Fleet, avoid: frozenset[str] = frozenset()) -> Decision:
        request = replace(route_request_from_job(job, fleet.now), draw=draw_of(job.id))
        if avoid:
            decision = self._ask(job, request, fleet, avoid)
            if decision.chosen is not None:
                return decision
        decision = self._ask(job, request, fleet)
        if decision.chosen is None and request.deadline_s is not None:
            # The deadline was promised in good faith and cannot be met any more: late is better than never.
            return self._ask(job, replace(request, deadline_s=None), fleet)
        return decision

    def _ask(
        self, job: Job, request: RouteRequest, fleet: Fleet, avoid: frozenset[str] = frozenset()
    ) -> Decision:
        return self._engine.decide(
            request, fleet, counter_offers=False, exclude=frozenset(job.excluded) | avoid
        )

    async def _claim(self, job: Job, decision: Decision, chosen: Scored, fleet: LiveFleet) -> Attempt | None:
        candidate = chosen.candidate
        routing = decision_json(decision)
        if FINAL_ESTIMATE in job.routing:
            routing[FINAL_ESTIMATE] = job.routing[FINAL_ESTIMATE]
        return await self._store.claim(
            job.id,
            pool=candidate.pool.name,
            model=candidate.card.id,
            offer=candidate.offer.id,
            gpus=candidate.gpus,
            decision=binding(job, decision, chosen, rolled_back=fleet.rolled_back),
            routing=routing,
            lease_s=self._lease_s,
        )

    async def _no_candidate(self, job: Job, decision: Decision, board: Board) -> None:
        """Nothing can take the job now. It waits if a sick pool could, and fails if none ever could."""
        if not board.fleet.pools or self._decide(job, board.healed).chosen is not None:
            return
        if job.ceiling_usd is not None:
            left = route_request_from_job(job, board.fleet.now).max_cost_usd or 0.0
            told = unknown.ending(spent_usd=job.spent_usd, left_usd=left)
            await self._give_up(job, OutcomeUnknown.code, told)
            return
        refused = f" Refused by {', '.join(job.excluded)}." if job.excluded else ""
        reasons = "; ".join(
            f"{row.model}/{row.offer}: {row.reason}" for row in decision.rejected[:REASONS_TOLD]
        )
        await self._give_up(job, "no_route", f"No model can make this clip.{refused} {reasons}")

    async def _give_up(self, job: Job, code: str, message: str) -> None:
        await self._store.fail_queued(job.id, error={"code": code, "message": message})
