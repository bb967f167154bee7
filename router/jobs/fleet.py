"""Workers, pools and latency fits. One function is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from router.jobs.clock import db_now
from router.jobs.records import Calibration, Json, PoolRecord, Worker
from router.jobs.rows import calibration_of, pool_of, worker_of
from router.jobs.schema import calibration, pools, workers
from router.jobs.transitions import upsert


async def register(conn: AsyncConnection, worker: Worker) -> None:
    """Insert or replace a worker; the times are ours."""
    values = {**asdict(worker), "registered_at": db_now(), "heartbeat_at": db_now()}
    changed = {name: value for name, value in values.items() if name != "id"}
    stmt = upsert(conn, workers).values(values)
    await conn.execute(stmt.on_conflict_do_update(index_elements=[workers.c.id], set_=changed))


async def worker_beat(conn: AsyncConnection, worker_id: str, state: str, detail: Json) -> bool:
    """Refresh a worker; False when it is not registered."""
    stmt = update(workers).where(workers.c.id == worker_id)
    done = await conn.execute(stmt.values(state=state, detail=detail, heartbeat_at=db_now()))
    return done.rowcount == 1


async def deregister(conn: AsyncConnection, worker_id: str) -> None:
    """Remove a worker."""
    await conn.execute(delete(workers).where(workers.c.id == worker_id))


async def fresh_workers(conn: AsyncConnection, stale_after_s: float) -> Sequence[Worker]:
    """Workers heard of within `stale_after_s`, by id."""
    stmt = select(workers).where(workers.c.heartbeat_at > db_now() - stale_after_s).order_by(workers.c.id)
    return tuple(worker_of(row) for row in await conn.execute(stmt))


async def publish_pools(conn: AsyncConnection, seen: Sequence[PoolRecord]) -> None:
    """Replace the table of pools."""
    names = [pool.name for pool in seen]
    await conn.execute(delete(pools).where(pools.c.name.not_in(names)))
    for pool in sorted(seen, key=lambda pool: pool.name):  # in one order: two Routers never deadlock
        values = {**asdict(pool), "updated_at": db_now()}
        changed = {name: value for name, value in values.items() if name != "name"}
        stmt = upsert(conn, pools).values(values)
        await conn.execute(stmt.on_conflict_do_update(index_elements=[pools.c.name], set_=changed))


async def all_pools(conn: AsyncConnection) -> Sequence[PoolRecord]:
    """Pools by name."""
    return tuple(pool_of(row) for row in await conn.execute(select(pools).order_by(pools.c.name)))


async def calibrations(conn: AsyncConnection) -> Sequence[Calibration]:
    """All latency fits."""
    stmt = select(calibration).order_by(*calibration.primary_key.columns)
    return tuple(calibration_of(row) for row in await conn.execute(stmt))
