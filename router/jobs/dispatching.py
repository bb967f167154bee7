"""What the Router does to jobs: read the queue, claim, keep, give back. One function is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, insert, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from router.jobs.clock import db_now
from router.jobs.records import Attempt, AttemptStatus, Ended, Job, JobStatus, Json, Queued
from router.jobs.rows import attempt_of, ended_of, job_of, queued_of
from router.jobs.schema import VISIBLE, WAITING, attempts, calls, jobs
from router.jobs.standing import place_of
from router.jobs.states import LEASED, EventType, Move, Phase
from router.jobs.transitions import (
    ESTIMATES,
    Rules,
    advance,
    cancel_now,
    end_attempt,
    estimate,
    hold,
    hold_fenced,
    stale,
)

_ORDER = (jobs.c.priority.desc(), jobs.c.due_at, jobs.c.created_at, jobs.c.id)

_UNEXPIRED = or_(jobs.c.started_at.is_not(None), jobs.c.expires_at > db_now())
"""A job that has begun once does not expire while it waits to run again."""


_READY = and_(WAITING, jobs.c.not_before <= db_now(), _UNEXPIRED)


async def queued(
    conn: AsyncConnection, limit: int, after: Job | None, other_than: Collection[str]
) -> Sequence[Job]:
    """Jobs ready to run now, in order: those behind `after`, of tenants `other_than` these."""
    stmt = select(jobs).where(_READY).order_by(*_ORDER)
    if after is not None:
        stmt = stmt.where(_behind(after))
    if other_than:
        stmt = stmt.where(jobs.c.tenant.not_in(sorted(other_than)))
    return tuple(job_of(row) for row in await conn.execute(stmt.limit(limit)))


def _behind(job: Job) -> ColumnElement[bool]:
    """Priorities fall, all else rises: no single comparison of tuples says that."""
    same_band = jobs.c.priority == job.priority
    later = tuple_(jobs.c.due_at, jobs.c.created_at, jobs.c.id) > tuple_(
        *(literal(value) for value in (job.due_at, job.created_at, job.id))
    )
    return or_(jobs.c.priority < job.priority, and_(same_band, later))


async def backlog(conn: AsyncConnection, limit: int) -> Sequence[Queued]:
    """Every job that waits (for its turn or for its back-off), narrow, in order."""
    columns = (jobs.c.id, jobs.c.tenant, jobs.c.priority, jobs.c.due_at)
    stmt = select(*columns, *(jobs.c[name] for name in ESTIMATES)).where(WAITING, _UNEXPIRED)
    return tuple(queued_of(row) for row in await conn.execute(stmt.order_by(*_ORDER).limit(limit)))


_ENDED = (
    *(attempts.c.job_id, attempts.c.model, attempts.c.offer),
    *(attempts.c.finished_at, attempts.c.status, attempts.c.error),
)


async def ended(conn: AsyncConnection, within_s: float, limit: int) -> Sequence[Ended]:
    """Attempts that began and ended lately, oldest first."""
    stmt: Select[Any] = (
        select(*_ENDED)
        .where(attempts.c.finished_at > db_now() - within_s, attempts.c.started_at.is_not(None))
        .order_by(attempts.c.finished_at.desc(), attempts.c.job_id)
        .limit(limit)
    )
    return tuple(ended_of(row) for row in (await conn.execute(stmt)).all()[::-1])


async def received(conn: AsyncConnection, within_s: float) -> dict[str, float]:
    """Predicted GPU-seconds of what runs, or ended lately, by tenant."""
    lately = or_(attempts.c.finished_at.is_(None), attempts.c.finished_at > db_now() - within_s)
    began = or_(attempts.c.finished_at.is_(None), attempts.c.started_at.is_not(None))
    stmt = (
        select(jobs.c.tenant, func.sum(jobs.c.estimate_gpu_seconds).label("spent"))
        .join_from(attempts, jobs, attempts.c.job_id == jobs.c.id)
        .where(lately, began)
        .group_by(jobs.c.tenant)
    )
    return {row.tenant: float(row.spent or 0.0) for row in await conn.execute(stmt)}


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
    """Take a waiting job; None when somebody or something was faster.

    A job with an open call is only taken to follow it: for the offer that it was sent to.
    """
    held = await hold(conn, job_id)
    job, now = held.row, held.now
    expired = job.started_at is None and job.expires_at <= now
    if held.phase is not Phase.WAITING or job.not_before > now or expired:
        return None
    if job.open_call is not None:
        sent_to = select(calls.c.model, calls.c.offer).where(calls.c.id == job.open_call)
        if tuple((await conn.execute(sent_to)).one()) != (model, offer):
            return None
    fence, lease_until = job.fence + 1, now + lease_s
    attempt = {"fence": fence, "pool": pool, "model": model, "offer": offer, "gpus": gpus}
    await advance(
        conn,
        held,
        Move.CLAIM,
        {
            "fence": fence,
            "attempts": job.attempts + 1,
            "lease_until": lease_until,
            "routing": routing,
            **estimate(routing),
        },
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
