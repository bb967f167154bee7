"""The broom: attempts that fell silent, jobs that waited too long, media that nobody needs.

Several reapers may run at once: each takes the rows that no other holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Row, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from router.jobs.clock import db_now
from router.jobs.records import JobStatus, Json, Reaped
from router.jobs.running import lost
from router.jobs.schema import VISIBLE, WAITING, events, jobs, media, workers
from router.jobs.states import STATUS_OF, TRANSITIONS, EventType, Move
from router.jobs.transitions import Held, Rules, drop_media

_BATCH = 500  # rows of a kind in one pass: a pass stays short, the next one takes the rest
_FORGET_WORKER_S = 3600.0  # a worker silent for an hour is gone; its row is only kept to be looked at


async def reap(conn: AsyncConnection, rules: Rules) -> Reaped:
    """One pass; what it did, by job id."""
    ends: dict[JobStatus, list[str]] = {status: [] for status in JobStatus}
    for row in await _take(conn, jobs.c.lease_until <= db_now(), jobs.c.lease_until):
        ended = await lost(conn, Held(row, row.now), "its worker fell silent: the lease ran out", rules)
        ends[JobStatus(ended.row.status)].append(row.id)
    expired = await _expire(conn, rules)
    purged = await _purge(conn)
    await conn.execute(delete(workers).where(workers.c.heartbeat_at < db_now() - _FORGET_WORKER_S))
    return Reaped(
        requeued=tuple(ends[JobStatus.QUEUED]),
        failed=tuple(ends[JobStatus.FAILED]),
        cancelled=tuple(ends[JobStatus.CANCELLED]),
        expired=expired,
        purged=purged,
    )


async def _take(
    conn: AsyncConnection, condition: ColumnElement[bool], order: ColumnElement[float]
) -> Sequence[Row[tuple[object, ...]]]:
    """Rows that meet the condition and that nobody else holds, locked."""
    stmt = (
        select(jobs, db_now().label("now"))
        .where(condition)
        .order_by(order)
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
    )
    return (await conn.execute(stmt)).all()


async def _expire(conn: AsyncConnection, rules: Rules) -> tuple[str, ...]:
    waited = WAITING & jobs.c.started_at.is_(None) & (jobs.c.expires_at <= db_now())
    rows = await _take(conn, waited, jobs.c.expires_at)
    if not rows:
        return ()
    # All in one statement: WAITING, the only source of EXPIRE, was checked under the lock just taken.
    ids = [row.id for row in rows]
    await conn.execute(
        update(jobs)
        .where(jobs.c.id.in_(ids), WAITING)
        .values(
            status=STATUS_OF[TRANSITIONS[Move.EXPIRE].target],
            finished_at=rows[0].now,
            retain_until=rows[0].now + rules.retain_ended_s,
            last_event=jobs.c.last_event + 1,
        )
    )
    await conn.execute(
        insert(events),
        [
            {
                "job_id": row.id,
                "seq": row.last_event + 1,
                "at": row.now,
                "type": EventType.EXPIRED,
                "data": {},
            }
            for row in rows
        ],
    )
    return tuple(ids)


async def _purge(conn: AsyncConnection) -> tuple[str, ...]:
    due = (jobs.c.retain_until <= db_now()) & jobs.c.purged_at.is_(None) & VISIBLE
    rows = await _take(conn, due, jobs.c.retain_until)
    for row in rows:
        await conn.execute(
            update(jobs)
            .where(jobs.c.id == row.id)
            .values(purged_at=row.now, result=without_media(row.result))
        )
    ids = tuple(row.id for row in rows)
    if ids:
        await drop_media(conn, ids, rows[0].now)
    return ids


def without_media(result: Json | None) -> Json | None:
    """What stays of a result when its files go: `purged` true and no media."""
    return None if result is None else {**result, "media": {}, "purged": True}


async def garbage(conn: AsyncConnection, limit: int) -> Sequence[str]:
    """Media keys that no job uses any more and that are not yet reported as removed."""
    other = media.alias()
    stmt = (
        select(media.c.key)
        .where(
            media.c.dropped_at.is_not(None),
            ~exists().where(other.c.key == media.c.key, other.c.dropped_at.is_(None)),
        )
        .distinct()
        .limit(limit)
    )
    return tuple((await conn.scalars(stmt)).all())


async def forget_garbage(conn: AsyncConnection, keys: Sequence[str]) -> None:
    """These keys are removed from the media store: name them no more."""
    await conn.execute(delete(media).where(media.c.key.in_(keys), media.c.dropped_at.is_not(None)))
