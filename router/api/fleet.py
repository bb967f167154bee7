"""`GET /v1/fleet`: pools, workers and how many jobs are where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from policies.base import Fleet, Pool
from router.accounts import is_account
from router.api.context import Context
from router.api.videos import json_answer
from router.fleet import LiveFleet
from router.jobs.records import PoolRecord, Worker

router = APIRouter(tags=["operations"])


class PoolView(BaseModel):
    """One application that runs one offer, or a provider's account that runs many (`model` is empty then)."""

    name: str
    model: str
    offer: str
    backend: str
    """`local`, `engine`, or the host of an account."""
    offers: int
    """How many offers it can run."""
    gpu: str
    gang_size: int
    replicas: int
    min_replicas: int
    max_replicas: int
    busy: int
    """Runs that hold a lease."""
    queued_seconds: float
    """Predicted seconds of queued work whose estimate chose this pool's offer."""
    healthy: bool
    reason: str


class WorkerView(BaseModel):
    """One replica."""

    id: str
    pool: str
    state: str
    gpu: str
    gang_size: int
    slots: int
    node: str
    registered_at: float
    heartbeat_at: float
    detail: dict[str, Any]


class FleetView(BaseModel):
    """What there is."""

    pools: list[PoolView]
    workers: list[WorkerView]
    jobs: dict[str, int]
    """Jobs by status."""


@router.get("/v1/fleet", responses={200: {"model": FleetView}})
async def fleet(context: Context) -> Response:
    """Pools with their load, the workers behind them, and jobs by status."""
    seen = await context.fleet()
    sharing: dict[str, list[Pool]] = defaultdict(list)
    for pool in seen.pools:
        sharing[pool.name].append(pool)
    crew = await context.store.workers()
    pools = [_pool_view(record, sharing[record.name], seen, crew) for record in await context.store.pools()]
    workers = [
        WorkerView(
            id=worker.id,
            pool=worker.pool,
            state=worker.state,
            gpu=worker.gpu,
            gang_size=worker.gang_size,
            slots=worker.slots,
            node=worker.node,
            registered_at=worker.registered_at,
            heartbeat_at=worker.heartbeat_at,
            detail=dict(worker.detail),
        )
        for worker in crew
    ]
    return json_answer(FleetView(pools=pools, workers=workers, jobs=await context.store.counts()))


def _pool_view(
    record: PoolRecord, pools: Sequence[Pool], fleet: Fleet, workers: Sequence[Worker]
) -> PoolView:
    """One row: of a model's replicas what their own offer shows, of an account what its offers share."""
    places = fleet.accounts.get(record.name) if isinstance(fleet, LiveFleet) else None
    own = next((pool for pool in pools if (pool.model, pool.offer) == (record.model, record.offer)), None)
    shown = own or next((pool for pool in pools if pool.healthy), next(iter(pools), None))
    replicas = shown.replicas if shown is not None else 0
    busy = shown.busy_seconds if shown is not None else ()
    if is_account(record):
        replicas = sum(worker.pool == record.name and worker.state == "ready" for worker in workers)
        busy = places.busy if places is not None else ()
    return PoolView(
        name=record.name,
        model=record.model,
        offer=record.offer,
        backend=record.backend,
        offers=len(pools),
        gpu=record.gpu,
        gang_size=record.gang_size,
        replicas=replicas,
        min_replicas=record.min_replicas,
        max_replicas=record.max_replicas,
        busy=len(busy),
        queued_seconds=sum(job.seconds for job in shown.waiting) if shown is not None else 0.0,
        healthy=shown.healthy if shown is not None else record.healthy,
        reason=shown.reason if shown is not None else record.reason,
    )
