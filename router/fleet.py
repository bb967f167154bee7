"""From rows of the job store to the fleet that policies see."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import exp

from policies.base import Fleet, Pool
from router.jobs.records import Attempt, Calibration, Job, PoolRecord, Worker
from router.jobs.store import JobStore

PROCESS_START_S = 6.0
"""From the first call to an empty pool to the start of loading: Ray Serve 2.60 takes 1.3-1.8 s for a replica
and the import of torch and diffusers 4 s, measured on two x86 cores."""
COLD_START_S = 30.0
"""Assumed until one of a pool's replicas has reported how long its weights took to load: 20 GB from NVMe at
1 GB/s take 20 s, on top of the start of its processes."""
REMEMBERED_S = 3600.0
"""A replica that went away still tells for an hour how long its weights took to load."""


def build_fleet(
    pools: Iterable[PoolRecord],
    workers: Iterable[Worker],
    running: Iterable[Attempt],
    queued: Iterable[Job],
    calibrations: Iterable[Calibration],
    *,
    now: float,
    remembered: Iterable[Worker] = (),
) -> Fleet:
    """Join what is stored into pools with their load. Pure.

    `remembered` are workers of the last hour: an empty pool's cold start is told by those it had.
    """
    ready: dict[str, list[Worker]] = defaultdict(list)
    broken: dict[str, str] = {}
    for worker in workers:
        if worker.state in {"ready", "rebuilding"}:
            ready[worker.pool].append(worker)
        elif worker.state in {"broken", "lost"}:
            broken[worker.pool] = str(worker.detail.get("reason", worker.state))
    busy: dict[str, list[float]] = defaultdict(list)
    for attempt in running:
        predicted = float(attempt.decision["predicted"]["seconds"])
        spent = now - (attempt.started_at or attempt.dispatched_at)
        busy[attempt.pool].append(max(0.0, predicted - spent))
    waiting = promised_seconds(queued)
    starts = _cold_starts(remembered)
    fits = {(c.model, c.offer, c.gpu, c.gpus): c for c in calibrations}
    return Fleet(
        pools=tuple(
            _pool(
                record,
                ready[record.name],
                broken,
                busy[record.name],
                waiting,
                fits,
                starts.get(record.name, COLD_START_S),
            )
            for record in pools
        ),
        now=now,
    )


def promised_seconds(queued: Iterable[Job]) -> Mapping[tuple[str, str], float]:
    """Predicted seconds of queued work by the (model, offer) that each job's estimate chose."""
    totals: dict[tuple[str, str], float] = defaultdict(float)
    for job in queued:
        if chosen := job.routing.get("chosen"):
            totals[chosen["model"], chosen["offer"]] += float(chosen["predicted"]["seconds"])
    return totals


def _pool(
    record: PoolRecord,
    ready: Sequence[Worker],
    broken: Mapping[str, str],
    busy: Sequence[float],
    waiting: Mapping[tuple[str, str], float],
    fits: Mapping[tuple[str, str, str, int], Calibration],
    cold_start_s: float,
) -> Pool:
    fit = fits.get((record.model, record.offer, record.gpu, 1))
    dead = record.name in broken and not ready
    return Pool(
        name=record.name,
        model=record.model,
        offer=record.offer,
        gpu=record.gpu,
        gang_size=record.gang_size,
        replicas=len(ready),
        max_replicas=record.max_replicas,
        busy_seconds=tuple(sorted(busy)),
        queued_seconds=waiting.get((record.model, record.offer), 0.0),
        cold_start_s=0.0 if ready else cold_start_s,
        healthy=record.healthy and not dead,
        reason=broken.get(record.name, "") if dead else record.reason,
        speed=exp(fit.log_ratio) if fit else 1.0,
        sigma=max(fit.sigma, 0.05) if fit else 0.05,
    )


def _cold_starts(workers: Iterable[Worker]) -> Mapping[str, float]:
    """Seconds from nothing to ready by pool: the slowest load that its workers reported."""
    starts: dict[str, float] = {}
    for worker in workers:
        load = worker.detail.get("load_seconds")
        if load is not None and worker.state != "broken":  # what could not be loaded took no time
            starts[worker.pool] = max(starts.get(worker.pool, 0.0), PROCESS_START_S + float(load))
    return starts


async def remembered_workers(store: JobStore) -> Sequence[Worker]:
    """Workers of the last hour, living and gone."""
    return await store.workers(stale_after_s=REMEMBERED_S)


async def read_fleet(store: JobStore, *, queued_limit: int = 500) -> Fleet:
    """The fleet as the store knows it now."""
    return build_fleet(
        await store.pools(),
        await store.workers(),
        await store.running(),
        await store.queued(queued_limit),
        await store.calibrations(),
        remembered=await remembered_workers(store),
        now=time.time(),
    )


class CachedFleet:
    """`read_fleet` at most once in `ttl_s`: submissions and dry runs share one snapshot."""

    def __init__(self, store: JobStore, *, ttl_s: float = 0.5) -> None:
        self._store = store
        self._ttl_s = ttl_s
        self._fleet: Fleet | None = None
        self._read_at = 0.0

    async def __call__(self) -> Fleet:
        """A fleet no older than `ttl_s`."""
        if self._fleet is None or time.monotonic() - self._read_at > self._ttl_s:
            self._fleet = await read_fleet(self._store)
            self._read_at = time.monotonic()
        return self._fleet
