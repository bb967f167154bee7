"""What the Router does to jobs: read the queue, claim, keep, give back. One function is one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import and_, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from router.jobs.clock import db_now
from router.jobs.records import Attempt, AttemptStatus, Job, JobStatus, Json
from router.jobs.rows import attempt_of, job_of
from router.jobs.schema import VISIBLE, WAITING, attempts, jobs
from router.jobs.standing import place_of
from router.jobs.states import LEASED, EventType, Move, Phase
from router.jobs.transitions import (
    Rules,
    advance,
    cancel_now,
    end_attempt,
    hold,
    hold_fenced,
    stale,
)

_ORDER = (jobs.c.priority.desc(), jobs.c.due_at, jobs.c.created_at, jobs.c.id)

_UNEXPIRED = or_(jobs.c.started_at.is_not(None), jobs.c.expires_at > db_now())
"""A job that has begun once does not expire while it waits to run again."""


async def queued(conn: AsyncConnection, limit: int) -> Sequence[Job]:
    """Jobs ready to run now, in order."""
    stmt = select(jobs).where(WAITING, jobs.c.not_before <= db_now(), _UNEXPIRED).order_by(*_ORDER)
    return tuple(job_of(row) for row in await conn.execute(stmt.limit(limit)))


async def queue_position(conn: AsyncConnection, job_id: str) -> int | None:
    """1 + waiting jobs ahead; 1 for a dispatched job; None when it is not queued."""
    me = (await conn.execute(select(jobs).where(jobs.c.id == job_id))).one_or_none()
    return None if me is None else await place_of(conn, me)


async def counts(conn: AsyncConnection) -> dict[str, int]:
    """Jobs by status, zeros included."""
    stmt = select(jobs.c.status, func.count().label("n")).where(VISIBLE).group_by(jobs.c.status)
    found: Mapping[str, int] = {row.status: row.n for row in await conn.execute(stmt)}
    return {str(status): found.get(status, 0) for status in JobStatus}


async def running(conn: AsyncConnection) -> Sequence[Attempt]:
    """Attempts that hold a lease, oldest dispatch first."""
    stmt = (
        select(attempts, jobs.c.lease_until)
        .join_from(jobs, attempts, and_(attempts.c.job_id == jobs.c.id, attempts.c.fence == jobs.c.fence))
        .where(jobs.c.lease_until.is_not(None))
        .order_by(attempts.c.dispatched_at, attempts.c.job_id)
    )
    return tuple(attempt_of(row) for row in await conn.execute(stmt))


async def claim(
    conn: AsyncConnection,
    job_id: str,
    *,
    pool: str,
    model: str,
    offer: str,
    gpus: int,
    decision: Json,
    routing: Json,
    lease_s: float,
) -> Attempt | None:
    """Take a waiting job; None when somebody or something was faster."""
    held = await hold(conn, job_id)
    job, now = held.row, held.now
    expired = job.started_at is None and job.expires_at <= now
    if held.phase is not Phase.WAITING or job.not_before > now or expired:
        return None
    fence, lease_until = job.fence + 1, now + lease_s
    attempt = {"fence": fence, "pool": pool, "model": model, "offer": offer, "gpus": gpus}
    await advance(
        conn,
        held,
        Move.CLAIM,
        {"fence": fence, "attempts": job.attempts + 1, "lease_until": lease_until, "routing": routing},
        event=EventType.DISPATCHED,
        detail=attempt,
    )
    values = {
        **attempt,
        "job_id": job_id,
        "status": AttemptStatus.DISPATCHED,
        "decision": decision,
        "dispatched_at": now,
    }
    await conn.execute(insert(attempts).values(values))
    return Attempt(
        job_id=job_id,
        fence=fence,
        status=AttemptStatus.DISPATCHED,
        pool=pool,
        model=model,
        offer=offer,
        gpus=gpus,
        worker=None,
        decision=decision,
        dispatched_at=now,
        lease_until=lease_until,
    )


async def renew(conn: AsyncConnection, job_id: str, fence: int, lease_s: float) -> None:
    """Extend the lease of a dispatched attempt; one that runs is kept by its worker alone."""
    held = await hold(conn, job_id)
    if held.row.fence != fence or held.phase not in LEASED:
        raise stale(job_id, fence, f"the job is {held.phase} under fence {held.row.fence}")
    if held.phase is Phase.DISPATCHED:
        await advance(conn, held, Move.RENEW, {"lease_until": held.now + lease_s})


async def release(conn: AsyncConnection, job_id: str, fence: int, reason: str) -> None:
    """Give a dispatched attempt back, uncounted."""
    held = await hold_fenced(conn, job_id, fence, Move.RELEASE)
    note = {"code": "released", "message": reason}
    await end_attempt(conn, held, AttemptStatus.CANCELLED, error=note)
    await advance(
        conn,
        held,
        Move.RELEASE,
        {"attempts": held.row.attempts - 1},
        event=EventType.QUEUED,
        detail={"fence": fence, "reason": reason},
    )


async def fail_queued(conn: AsyncConnection, job_id: str, error: Json, rules: Rules) -> Job:
    """End a waiting job that nothing can run; any other is left as it is."""
    held = await hold(conn, job_id)
    if held.phase is not Phase.WAITING:
        return job_of(held.row)
    if held.row.cancel_requested:
        return job_of((await cancel_now(conn, held, rules)).row)
    ended = await advance(
        conn,
        held,
        Move.FAIL,
        {"error": error, "retain_until": held.now + rules.retain_ended_s},
        event=EventType.FAILED,
        detail={"fence": held.row.fence, "error": error},
    )
    return job_of(ended.row)
