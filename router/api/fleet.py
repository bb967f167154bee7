"""`GET /v1/fleet`: pools, workers and how many jobs are where."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from router.api.context import Context
from router.api.videos import json_answer

router = APIRouter(tags=["operations"])


class PoolView(BaseModel):
    """One application that runs one offer."""

    name: str
    model: str
    offer: str
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
    load = {(pool.name, pool.offer): pool for pool in (await context.fleet()).pools}
    pools = []
    for record in await context.store.pools():
        pool = load.get((record.name, record.offer))
        pools.append(
            PoolView(
                name=record.name,
                model=record.model,
                offer=record.offer,
                gpu=record.gpu,
                gang_size=record.gang_size,
                replicas=pool.replicas if pool is not None else 0,
                min_replicas=record.min_replicas,
                max_replicas=record.max_replicas,
                busy=len(pool.busy_seconds) if pool is not None else 0,
                queued_seconds=sum(job.seconds for job in pool.waiting) if pool is not None else 0.0,
                healthy=pool.healthy if pool is not None else record.healthy,
                reason=pool.reason if pool is not None else record.reason,
            )
        )
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
        for worker in await context.store.workers()
    ]
    return json_answer(FleetView(pools=pools, workers=workers, jobs=await context.store.counts()))
