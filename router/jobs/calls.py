"""What becomes of calls to providers, from the intent to the end. One function is one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, func, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import Cancelled, SpendCapReached
from policies.words import usd_word
from router.jobs.call_store import (
    CallEnd,
    CallOutcome,
    CallState,
    LeaseNews,
    NewCall,
    RemoteCall,
    Spending,
)
from router.jobs.clock import db_now
from router.jobs.records import Job, JobStatus, Json
from router.jobs.rows import call_of, job_of
from router.jobs.schema import calls, jobs
from router.jobs.settling import settle, settle_ended
from router.jobs.states import FINAL, STATUS_OF, EventType, Move, Phase, allows
from router.jobs.transitions import Held, hold, not_found, record_event, stale

_OVER = [STATUS_OF[phase] for phase in sorted(FINAL)]
_ROUNDING_USD = 1e-9
"""Sums of prices that should equal a cap may miss it by this much."""
_LEASES_AT_ONCE = 500
"""Leases renewed by one statement: three parameters each, far below the 32,766 that SQLite takes."""


async def intend(conn: AsyncConnection, job_id: str, fence: int, new: NewCall) -> RemoteCall:
    """Write a call before it is sent; an attempt may say it twice (its first reply may have been lost)."""
    held = await _hold_narrow(conn, job_id)
    job = held.row
    if job.fence != fence:
        raise stale(job_id, fence, f"attempt {job.fence} exists")
    if not allows(Move.BEAT, held.phase):
        raise stale(job_id, fence, f"no call can be sent while the job is {held.phase}")
    if job.open_call == new.id:
        return call_of(await _row(conn, new.id))
    if job.open_call is not None:
        raise stale(job_id, fence, f"call {job.open_call} is not settled")
    if job.cancel_requested:
        raise Cancelled(f"job {job_id} was cancelled before its call was sent")
    if new.cap_usd is not None:
        await _check_cap(conn, new, new.cap_usd)
    row = (
        await conn.execute(
            insert(calls)
            .values(
                id=new.id,
                job_id=job_id,
                fence=fence,
                provider=new.provider,
                account=new.account,
                model=new.model,
                offer=new.offer,
                state=CallState.INTENDED,
                marker=new.marker,
                usd=new.usd,
                intended_at=held.now,
                urls={},
            )
            .returning(calls)
        )
    ).one()
    await conn.execute(update(jobs).where(jobs.c.id == job_id).values(open_call=new.id))
    return call_of(row)


_NARROW = (
    *(jobs.c.id, jobs.c.fence, jobs.c.status, jobs.c.lease_until),
    *(jobs.c.open_call, jobs.c.cancel_requested),
)


async def _hold_narrow(conn: AsyncConnection, job_id: str) -> Held:
    """Lock a job and read only what calls depend on: a submission waits for this, and documents are large."""
    stmt = select(*_NARROW, db_now().label("now")).where(jobs.c.id == job_id).with_for_update()
    row = (await conn.execute(stmt)).one_or_none()
    if row is None:
        raise not_found(job_id)
    return Held(row, row.now)


async def _check_cap(conn: AsyncConnection, new: NewCall, cap_usd: float) -> None:
    """Intents of an account are judged one by one: SQLite has one writer, PostgreSQL takes a lock."""
    if conn.dialect.name == "postgresql":
        name = func.hashtextextended(f"spend\n{new.provider}\n{new.account}", 0)
        await conn.execute(select(func.pg_advisory_xact_lock(name)))
    spent, now = await _spending(conn, new.provider, new.account, new.window_s)
    if spent.usd + new.usd <= cap_usd + _ROUNDING_USD:
        return
    left = max(0.0, cap_usd - spent.usd)
    raise SpendCapReached(
        f"account {new.provider}/{new.account} may spend {usd_word(cap_usd)} within {new.window_s:g} s: "
        f"{usd_word(left)} are left, and the clip costs {usd_word(new.usd)}",
        retry_after_s=None if spent.frees_at is None else max(0.0, spent.frees_at - now),
    )


async def spending(conn: AsyncConnection, provider: str, account: str, window_s: float) -> Spending:
    """What calls intended within the window cost, or are to cost."""
    return (await _spending(conn, provider, account, window_s))[0]


async def _spending(
    conn: AsyncConnection, provider: str, account: str, window_s: float
) -> tuple[Spending, float]:
    stmt = select(
        func.coalesce(func.sum(calls.c.usd), 0.0).label("usd"),
        func.min(calls.c.intended_at).label("oldest"),
        db_now().label("now"),
    ).where(
        calls.c.provider == provider,
        calls.c.account == account,
        calls.c.intended_at > db_now() - window_s,
        calls.c.usd > 0,
    )
    row = (await conn.execute(stmt)).one()
    frees_at = None if row.oldest is None else float(row.oldest) + window_s
    return Spending(float(row.usd), frees_at), float(row.now)


async def accepted(
    conn: AsyncConnection, call_id: str, fence: int, ticket: str, urls: Mapping[str, str]
) -> str | None:
    """Write the ticket of an open call; returns why the attempt must stop, None when it goes on.

    The ticket is kept even where the attempt was overtaken meanwhile: whoever follows the call needs it, and
    nobody else knows it.
    """
    job_id = await conn.scalar(
        update(calls)
        .where(
            calls.c.id == call_id,
            calls.c.closed_at.is_(None),
            or_(calls.c.ticket.is_(None), calls.c.ticket == ticket),
        )
        .values(
            state=CallState.SUBMITTED,
            ticket=ticket,
            urls=urls,
            submitted_at=func.coalesce(calls.c.submitted_at, db_now()),
        )
        .returning(calls.c.job_id)
    )
    if job_id is None:
        return await _why_not(conn, call_id)
    row = (await conn.execute(select(*_NARROW, db_now().label("now")).where(jobs.c.id == job_id))).one()
    held = Held(row, row.now)
    if held.row.fence != fence:
        return f"attempt {held.row.fence} exists"
    return None if held.phase is Phase.RUNNING else f"the job is {held.phase}"


async def _why_not(conn: AsyncConnection, call_id: str) -> str:
    row = (await conn.execute(select(calls.c.closed_at).where(calls.c.id == call_id))).one_or_none()
    if row is None:
        return f"there is no call {call_id}"
    return f"call {call_id} is closed" if row.closed_at is not None else f"call {call_id} has another ticket"


async def get(conn: AsyncConnection, call_id: str) -> RemoteCall | None:
    """One call."""
    row = (await conn.execute(select(calls).where(calls.c.id == call_id))).one_or_none()
    return None if row is None else call_of(row)


async def of_job(conn: AsyncConnection, job_id: str) -> Sequence[RemoteCall]:
    """All calls of a job, oldest first."""
    stmt = select(calls).where(calls.c.job_id == job_id).order_by(calls.c.intended_at, calls.c.fence)
    return tuple(call_of(row) for row in await conn.execute(stmt))


async def heard(conn: AsyncConnection, call_id: str, ticket: str) -> bool:
    """A webhook spoke of an open call, perhaps before we knew its ticket."""
    done = await conn.execute(
        update(calls)
        .where(
            calls.c.id == call_id,
            calls.c.closed_at.is_(None),
            calls.c.ticket.is_(None) | (calls.c.ticket == ticket),
        )
        .values(
            state=CallState.SUBMITTED,
            ticket=ticket,
            heard_at=db_now(),
            submitted_at=func.coalesce(calls.c.submitted_at, db_now()),
        )
    )
    return done.rowcount == 1


async def tickets(conn: AsyncConnection, provider: str, account: str, since: float) -> frozenset[str]:
    """Tickets of the account's calls intended since then (Unix seconds)."""
    stmt = select(calls.c.ticket).where(
        calls.c.provider == provider,
        calls.c.account == account,
        calls.c.intended_at >= since,
        calls.c.ticket.is_not(None),
    )
    return frozenset((await conn.scalars(stmt)).all())


async def orphans(conn: AsyncConnection, provider: str, account: str, limit: int) -> Sequence[RemoteCall]:
    """Open calls of jobs that are over, oldest first."""
    stmt = (
        select(calls)
        .join(jobs, jobs.c.id == calls.c.job_id)
        .where(
            calls.c.provider == provider,
            calls.c.account == account,
            calls.c.closed_at.is_(None),
            jobs.c.status.in_(_OVER),
        )
        .order_by(calls.c.intended_at, calls.c.id)
        .limit(limit)
    )
    return tuple(call_of(row) for row in await conn.execute(stmt))


async def close(conn: AsyncConnection, call_id: str, end: CallEnd) -> None:
    """Close an orphan; anything else is left as it is."""
    job_id = await conn.scalar(select(calls.c.job_id).where(calls.c.id == call_id))
    if job_id is None:
        return
    held = await hold(conn, job_id)
    if held.phase in FINAL and held.row.open_call == call_id:
        await settle_ended(conn, held.row, held.now, end)


async def abandon(conn: AsyncConnection, job_id: str, call_id: str, error: Json) -> Job:
    """Nobody can follow a waiting job's call: its outcome is unknown, and its offer is not asked again."""
    held = await hold(conn, job_id)
    job = held.row
    if held.phase is not Phase.WAITING or job.open_call != call_id:
        return job_of(job)
    call = await _row(conn, call_id)
    changes = await settle(conn, job, held.now, CallEnd(CallOutcome.UNKNOWN, float(call.usd)))
    offer = f"{call.model}/{call.offer}"
    changes["excluded"] = [*job.excluded, *([] if offer in job.excluded else [offer])]
    changes["last_event"] = job.last_event + 1
    row = (await conn.execute(update(jobs).where(jobs.c.id == job_id).values(changes).returning(jobs))).one()
    detail = {"fence": job.fence, "error": error}
    await record_event(conn, job_id, row.last_event, held.now, EventType.FALLBACK, detail)
    return job_of(row)


async def renew_all(conn: AsyncConnection, leases: Sequence[tuple[str, int]], lease_s: float) -> LeaseNews:
    """Renew many leases; what their holders must know."""
    cancel: set[str] = set()
    overtaken: set[str] = set()
    heard_at: dict[str, float] = {}
    for first in range(0, len(leases), _LEASES_AT_ONCE):
        part = sorted(leases[first : first + _LEASES_AT_ONCE])
        ids = [job_id for job_id, _ in part]
        renewed = (
            await conn.execute(
                update(jobs)
                .where(
                    jobs.c.id.in_(ids),
                    tuple_(jobs.c.id, jobs.c.fence).in_(part),
                    jobs.c.status == JobStatus.IN_PROGRESS,
                )
                .values(lease_until=db_now() + lease_s, heartbeat_at=db_now())
                .returning(jobs.c.id, jobs.c.cancel_requested)
            )
        ).all()
        cancel.update(row.id for row in renewed if row.cancel_requested)
        overtaken.update({*ids}.difference(row.id for row in renewed))
        spoken_of = select(calls.c.job_id, calls.c.heard_at).where(
            calls.c.job_id.in_(ids), calls.c.closed_at.is_(None), calls.c.heard_at.is_not(None)
        )
        heard_at |= {row.job_id: row.heard_at for row in await conn.execute(spoken_of)}
    return LeaseNews(
        cancel=frozenset(cancel),
        overtaken=frozenset(overtaken),
        heard={job_id: at for job_id, at in heard_at.items() if job_id not in overtaken},
    )


async def _row(conn: AsyncConnection, call_id: str) -> Row[Any]:
    row: Row[Any] = (await conn.execute(select(calls).where(calls.c.id == call_id))).one()
    return row
