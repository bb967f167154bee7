"""From rows of the job store to the fleet that policies see."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log2

from models.card import HOSTED
from models.catalog import Catalog
from models.sharding import DEGREES
from models.types import Priority
from policies.base import Fleet, Pool, Waiting
from policies.breaker import Circuit, Verdict
from policies.calibration import FORMULA_ERROR, HOSTED_ERROR, TimeFit, in_force, sigma_of, speed_of
from policies.fleet import SELF_HOSTED_SIGMA, prior_sigma
from router.accounts import Places, is_account, offers_on
from router.crews import Crew, broken_pools, crews_of
from router.health import OfferKey, verdicts
from router.jobs.records import Attempt, Calibration, Learned, PoolRecord, Queued, Worker
from router.jobs.store import JobStore
from router.recent import Recent

PROCESS_START_S = 6.0
"""From the first call to an empty pool to the start of loading: Ray Serve 2.60 takes 1.3-1.8 s for a replica
and the import of torch and diffusers 4 s, measured on two x86 cores."""
COLD_START_S = 30.0
"""Assumed until one of a pool's replicas has reported how long its weights took to load: 20 GB from NVMe at
1 GB/s take 20 s, on top of the start of its processes."""
BANDS = (Priority.LOW, Priority.NORMAL, Priority.HIGH)
"""Priorities by their number in the job store."""


@dataclass(frozen=True, slots=True)
class LiveFleet(Fleet):
    """A fleet that really runs: what policies see of it, and what is known of its sick pools."""

    broken: frozenset[str] = frozenset()
    """Pools all of whose workers are up but cannot work: waiting does not mend them, an operator does."""
    probation: frozenset[OfferKey] = frozenset()
    """Offers whose circuit is half-open: one attempt at a time."""
    flagged: frozenset[tuple[str, OfferKey]] = frozenset()
    """Offers that a pool's own workers say are out: dropped or changed by their provider, waiting is vain."""
    accounts: Mapping[str, Places] = field(default_factory=dict, hash=False)
    """Load of the pools that are provider accounts, by name."""
    rolled_back: bool = False
    """What votes taught is ignored: it was shown to do harm."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Rows of the job store that make a fleet."""

    pools: Sequence[PoolRecord]
    workers: Sequence[Worker] = ()
    running: Sequence[Attempt] = ()
    backlog: Sequence[Queued] = ()
    """What waits; empty where the caller promises it one by one."""
    calibrations: Sequence[Calibration] = ()
    remembered: Sequence[Worker] = ()
    """Workers of the last hour: an empty pool's cold start is told by those it had."""
    health: Mapping[OfferKey, Verdict] = field(default_factory=dict)
    learned: Learned | None = None


def build_fleet(sources: Sources, catalog: Catalog | None = None, *, now: float) -> LiveFleet:
    """Join what is stored into pools with their load. Pure.

    An offer that runs on another one's replicas (`Offer.replica` in `catalog`) gets a pool of its own under
    the same name: both see the same replicas and the same load. So does each offer of a provider's account.
    """
    crews = crews_of(sources.workers)
    busy: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for attempt in sources.running:
        predicted = float(attempt.decision["predicted"]["seconds"])
        spent = now - (attempt.started_at or attempt.dispatched_at)
        busy[attempt.pool].append((max(0.0, predicted - spent), attempt.gpus))
    starts = _cold_starts(sources.remembered)
    fits = {
        (c.model, c.offer, c.gpu, c.gpus): TimeFit(c.log_ratio, c.sigma, c.samples)
        for c in sources.calibrations
    }
    loads = {
        record.name: _load(record, crews.get(record.name, Crew()), busy[record.name])
        for record in sources.pools
    }
    made = [
        _pool(record, offer, catalog, loads[record.name], fits, starts, sources)
        for record in sources.pools
        for offer in offers_on(record, catalog)
    ]
    waiting = waiting_by_pool(made, sources.backlog, now)
    learned = sources.learned
    return LiveFleet(
        pools=tuple(_with_waiting(pool, waiting) for pool in made),
        now=now,
        beliefs=in_force(learned.beliefs, learned.ledger) if learned is not None else {},
        broken=broken_pools(sources.workers),
        probation=frozenset(
            offer for offer, found in sources.health.items() if found.circuit is Circuit.HALF_OPEN
        ),
        flagged=frozenset(
            (name, offer)
            for name, crew in crews.items()
            for told in crew.flagged
            for offer in [_offer_key(told)]
        ),
        accounts={name: load.places for name, load in loads.items() if load.places is not None},
        rolled_back=learned is not None and learned.ledger.rolled_back,
    )


def healed(fleet: LiveFleet) -> Fleet:
    """The fleet as it would be if every pool that may recover by itself had."""
    return replace(
        fleet,
        pools=tuple(
            pool
            if pool.name in fleet.broken or (pool.name, (pool.model, pool.offer)) in fleet.flagged
            else replace(pool, healthy=True)
            for pool in fleet.pools
        ),
    )


def waiting_by_pool(
    pools: Sequence[Pool], backlog: Iterable[Queued], now: float
) -> Mapping[str, tuple[Waiting, ...]]:
    """Waiting jobs by the name of the pool that each one's estimate points to. Pure.

    `due` is the store's own, by which the queue is ordered: of a job without a deadline it is the default.
    Where several pools run the offer, the one with the least work for each replica takes the job.
    """
    serving: dict[tuple[str, str], list[Pool]] = defaultdict(list)
    for pool in pools:
        serving[pool.model, pool.offer].append(pool)
    load = {pool.name: sum(pool.busy_seconds) for pool in pools}
    found: dict[str, list[Waiting]] = defaultdict(list)
    for job in backlog:
        if job.model is None or job.offer is None:
            continue
        candidates = serving.get((job.model, job.offer))
        if not candidates:
            continue
        pool = min(candidates, key=lambda pool: load[pool.name] / max(1, pool.replicas))
        load[pool.name] += job.seconds
        gpus = min(planned_gpus(job.seconds, job.gpu_seconds), pool.gang_size)
        found[pool.name].append(Waiting(job.due_at - now, band(job.priority), job.seconds, gpus))
    return {name: tuple(jobs) for name, jobs in found.items()}


def planned_gpus(seconds: float, gpu_seconds: float) -> int:
    """The degree behind an estimate: the next power of two, since part of a run holds one GPU alone.

    It comes out right while at least four parts in seven are denoising on two or more GPUs.
    """
    if seconds <= 0 or gpu_seconds <= seconds:
        return 1
    return 1 << max(0, ceil(log2(gpu_seconds / seconds) - 1e-6))


def band(priority: int) -> Priority:
    """A stored priority as policies name it."""
    return BANDS[min(max(priority, 0), len(BANDS) - 1)]


@dataclass(frozen=True, slots=True)
class _Load:
    """What all pools of one name share."""

    crew: Crew
    replicas: int
    slots: int
    busy_seconds: tuple[float, ...]
    busy_gpus: tuple[int, ...] = ()
    places: Places | None = None
    """Of a provider's account."""


def _load(record: PoolRecord, crew: Crew, busy: Sequence[tuple[float, int]]) -> _Load:
    ordered = sorted(busy)
    seconds = tuple(left for left, _ in ordered)
    if is_account(record):
        places = Places(crew.places, seconds)
        replicas, seen = places.load
        return _Load(crew, replicas, 1, seen, places=places)
    widths = tuple(gpus for _, gpus in ordered) if record.gang_size > 1 else ()
    return _Load(crew, crew.ready, crew.slots, seconds, widths)


def _offer_key(told: str) -> OfferKey:
    """From `model/offer`."""
    model, _, offer = told.partition("/")
    return model, offer


def _pool(
    record: PoolRecord,
    key: OfferKey,
    catalog: Catalog | None,
    load: _Load,
    fits: Mapping[tuple[str, str, str, int], TimeFit],
    starts: Mapping[str, float],
    sources: Sources,
) -> Pool:
    model, offer = key
    crew = load.crew
    spread, formula_error = _prior(model, offer, catalog)
    # Runs of every degree tell how fast the pool is; those of the one with the most are heard.
    told = [fit for degree in DEGREES if (fit := fits.get((model, offer, record.gpu, degree)))]
    fit = max(told, key=lambda fit: fit.samples, default=None)
    reason = _sickness(record, crew, key, sources.health.get(key))
    return Pool(
        name=record.name,
        model=model,
        offer=offer,
        gpu=record.gpu,
        gang_size=record.gang_size,
        slots=load.slots,
        replicas=load.replicas,
        max_replicas=record.max_replicas,
        busy_seconds=load.busy_seconds,
        busy_gpus=load.busy_gpus,
        cold_start_s=0.0 if crew.ready else starts.get(record.name, COLD_START_S),
        healthy=reason is None,
        reason=reason or "",
        speed=speed_of(fit, spread, formula_error),
        sigma=sigma_of(fit, spread, formula_error),
    )


def _sickness(record: PoolRecord, crew: Crew, key: OfferKey, health: Verdict | None) -> str | None:
    """Why the pool takes no work for this offer now; None when it does."""
    if crew.ailment is not None and not crew.ready:
        return crew.ailment
    if not record.healthy:
        return record.reason
    if (flag := crew.flagged.get("/".join(key))) is not None:
        return flag
    return health.reason if health is not None and health.circuit is Circuit.OPEN else None


def _prior(model: str, offer_id: str, catalog: Catalog | None) -> tuple[float, float]:
    """What to expect before runs have told: their spread, and what the formula is off by."""
    card = catalog.cards.get(model) if catalog is not None else None
    offer = next((o for o in card.offers if o.id == offer_id), None) if card is not None else None
    if offer is None:
        return SELF_HOSTED_SIGMA, FORMULA_ERROR
    return prior_sigma(offer), HOSTED_ERROR if offer.backend in HOSTED else FORMULA_ERROR


def _with_waiting(pool: Pool, waiting: Mapping[str, tuple[Waiting, ...]]) -> Pool:
    jobs = waiting.get(pool.name)
    return pool if jobs is None else replace(pool, waiting=jobs)


def _cold_starts(workers: Iterable[Worker]) -> Mapping[str, float]:
    """Seconds from nothing to ready by pool: the slowest load that its workers reported."""
    starts: dict[str, float] = {}
    for worker in workers:
        load = worker.detail.get("load_seconds")
        if load is not None and worker.state != "broken":  # what could not be loaded took no time
            starts[worker.pool] = max(starts.get(worker.pool, 0.0), PROCESS_START_S + float(load))
    return starts


async def read_sources(
    store: JobStore,
    recent: Recent,
    *,
    now: float,
    pools: Sequence[PoolRecord],
    running: Sequence[Attempt],
    backlog: Sequence[Queued] = (),
) -> Sources:
    """What the store knows now beside what the caller has read; `recent` reads what changes slowly."""
    return Sources(
        pools=pools,
        workers=await store.workers(),
        running=running,
        backlog=backlog,
        calibrations=await recent.calibrations(),
        remembered=await recent.remembered(),
        health=verdicts(await recent.ended(), now),
        learned=await recent.learned(),
    )


class CachedFleet:
    """The fleet as the store knows it, read at most once in `ttl_s`: submissions and dry runs share it."""

    def __init__(self, store: JobStore, catalog: Catalog | None = None, *, ttl_s: float = 0.5) -> None:
        self._store = store
        self._catalog = catalog
        self._recent = Recent(store)
        self._ttl_s = ttl_s
        self._fleet: LiveFleet | None = None
        self._read_at = 0.0

    async def __call__(self) -> LiveFleet:
        """A fleet no older than `ttl_s`."""
        if self._fleet is None or time.monotonic() - self._read_at > self._ttl_s:
            now = time.time()
            sources = await read_sources(
                self._store,
                self._recent,
                now=now,
                pools=await self._store.pools(),
                running=await self._store.running(),
                backlog=await self._store.backlog(),
            )
            self._fleet = build_fleet(sources, self._catalog, now=now)
            self._read_at = time.monotonic()
        return self._fleet
