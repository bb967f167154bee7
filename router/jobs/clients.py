"""What clients do to jobs: create, read, list, cancel, delete. One function is one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Double, Executable, Row, and_, bindparam, exists, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import IdempotencyMismatch, InvalidRequest, NotReady
from router.jobs.clock import db_now
from router.jobs.encoding import check_text, media_keys
from router.jobs.ids import new_job_id
from router.jobs.records import Created, Event, Job, JobStatus, NewJob, Page, Submission
from router.jobs.rows import event_of, job_of
from router.jobs.schema import VISIBLE, attempts, calls, events, feedback, jobs, media
from router.jobs.states import LEASED, EventType, Phase
from router.jobs.transitions import (
    ESTIMATES,
    Held,
    Rules,
    cancel_now,
    drop_media,
    estimate,
    hold_visible,
    not_found,
    record_event,
    use_media,
)

_MOST_PER_PAGE = 1000


async def create(conn: AsyncConnection, new: NewJob, *, retry_window_s: float) -> Created:
    """Insert a job, or find the one that the key or a client's retry names."""
    for source, param in ((new.remixed_from, "remixed_from"), (new.finalizes, "finalizes")):
        if source is not None:
            await _check_source(conn, source, new.tenant, param)
    if new.idempotency_key is None:
        twin = await _twin(conn, new, retry_window_s)
        if twin is not None:
            return Created(job_of(twin), replayed=True)
    if new.finalizes is not None:
        final = await _final_of(conn, new)
        if final is not None:
            return Created(job_of(final), replayed=True)
    row = await _insert(conn, new)
    if row is None:
        taken = await _keyed(conn, new)
        assert taken is not None  # noqa: S101 - the insertion met it in this transaction
        return Created(taken, replayed=True)
    if new.finalizes is not None:
        await _write(conn, new.finalizes, {"finalized_by": row.id})
    held = Held(row, row.created_at)
    await record_event(conn, row.id, row.last_event, row.created_at, EventType.QUEUED, {})
    await use_media(conn, held, media_keys(new.request))
    return Created(job_of(row), replayed=False)


async def earlier(conn: AsyncConnection, *, submission: Submission, retry_window_s: float) -> Job | None:
    """The job that this submission made before, if it did."""
    if submission.idempotency_key is not None:
        return await _keyed(conn, submission)
    twin = await _twin(conn, submission, retry_window_s)
    return None if twin is None else job_of(twin)


def check_storable(new: NewJob) -> None:
    """Raise `InvalidRequest` for text that a database cannot hold."""
    for param in ("tenant", "model", "prompt", "idempotency_key", "fingerprint"):
        check_text(param, getattr(new, param))


async def _check_source(conn: AsyncConnection, job_id: str, tenant: str, param: str) -> None:
    # Holding the source keeps its photograph from being dropped between this check and our commit.
    source = await hold_visible(conn, job_id, tenant)
    if source.row.purged_at is not None:
        raise NotReady(f"the media of job {source.row.id} were purged", param=param)


async def _final_of(conn: AsyncConnection, new: NewJob) -> Row[Any] | None:
    """A living final of the same preview that asks the same; the held preview keeps two from being made."""
    stmt = (
        select(jobs)
        .where(
            jobs.c.tenant == new.tenant,
            jobs.c.fingerprint == new.fingerprint,
            jobs.c.finalizes == new.finalizes,
            jobs.c.status.in_([JobStatus.QUEUED, JobStatus.IN_PROGRESS, JobStatus.COMPLETED]),
            VISIBLE,
        )
        .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
        .limit(1)
    )
    row: Row[Any] | None = (await conn.execute(stmt)).one_or_none()
    return row


async def descendant(
    conn: AsyncConnection,
    *,
    tenant: str,
    source: str,
    idempotency_key: str | None,
    client_retry: int,
    retry_window_s: float,
) -> Job | None:
    """The job that was made of `source` under this key, or lately when a keyless client says it tries again.

    It is found although `source` may be gone: what it asks must be compared by the caller.
    """
    stmt = select(jobs).where(
        jobs.c.tenant == tenant, or_(jobs.c.remixed_from == source, jobs.c.finalizes == source), VISIBLE
    )
    if idempotency_key is not None:
        stmt = stmt.where(jobs.c.idempotency_key == idempotency_key)
    elif client_retry > 0:
        stmt = stmt.where(jobs.c.idempotency_key.is_(None), jobs.c.created_at >= db_now() - retry_window_s)
    else:
        return None
    row = (
        await conn.execute(stmt.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(1))
    ).one_or_none()
    return None if row is None else job_of(row)


async def _twin(conn: AsyncConnection, new: NewJob | Submission, window_s: float) -> Row[Any] | None:
    """The newest keyless job of the same content, when the client says that this is a retry.

    The OpenAI SDK repeats a POST without an idempotency key (`openai/_base_client.py`, which counts
    in `x-stainless-retry-count`). The first try may still be in its transaction when the second comes:
    on PostgreSQL both take the same lock; SQLite has one writer anyway.
    """
    if conn.dialect.name == "postgresql":
        name = func.hashtextextended(f"{new.tenant}\n{new.fingerprint}", 0)
        await conn.execute(select(func.pg_advisory_xact_lock(name)))
    if new.client_retry <= 0:
        return None
    stmt = (
        select(jobs)
        .where(
            jobs.c.tenant == new.tenant,
            jobs.c.fingerprint == new.fingerprint,
            jobs.c.created_at >= db_now() - window_s,
            jobs.c.idempotency_key.is_(None),
            VISIBLE,
        )
        .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
        .limit(1)
    )
    row: Row[Any] | None = (await conn.execute(stmt)).one_or_none()
    return row


def _insertion(stmt: sqlite.Insert | postgresql.Insert) -> Executable:
    """The statement that accepts a job; nothing is returned when its key is taken."""
    now, due_in_s, expires_in_s = (
        db_now(),
        bindparam("due_in_s", type_=Double),
        bindparam("expires_in_s", type_=Double),
    )
    return (
        stmt.values(
            {name: bindparam(name) for name in (*_GIVEN, *ESTIMATES)}
            | {"created_at": now, "due_at": now + due_in_s, "expires_at": now + expires_in_s}
            | {"id": bindparam("id"), "status": JobStatus.QUEUED, "last_event": 1, "excluded": []}
            | {"fence": 0, "attempts": 0, "progress": 0, "not_before": 0.0, "cancel_requested": False}
            | {"spent_usd": 0.0}
        )
        .on_conflict_do_nothing(index_elements=[jobs.c.tenant, jobs.c.idempotency_key])
        .returning(jobs)
    )


_GIVEN = (
    *("tenant", "model", "prompt", "request", "features", "routing", "priority", "max_attempts"),
    *("remixed_from", "finalizes", "idempotency_key", "fingerprint"),
)

# Built once: making the statement anew costs more than running it.
_INSERTION = {"sqlite": _insertion(sqlite.insert(jobs)), "postgresql": _insertion(postgresql.insert(jobs))}


async def _insert(conn: AsyncConnection, new: NewJob) -> Row[Any] | None:
    values = {name: getattr(new, name) for name in (*_GIVEN, "due_in_s", "expires_in_s")}
    row = {"id": new_job_id(), **values, **estimate(new.routing)}
    done = await conn.execute(_INSERTION[conn.dialect.name], row)
    return done.one_or_none()


async def _keyed(conn: AsyncConnection, new: NewJob | Submission) -> Job | None:
    stmt = select(jobs).where(jobs.c.tenant == new.tenant, jobs.c.idempotency_key == new.idempotency_key)
    row = (await conn.execute(stmt)).one_or_none()
    if row is None:
        return None
    if row.fingerprint != new.fingerprint:
        raise IdempotencyMismatch(
            f"Idempotency-Key {new.idempotency_key!r} was used for another request", param="Idempotency-Key"
        )
    return job_of(row)


_ONE = select(jobs).where(jobs.c.id == bindparam("id"), VISIBLE)  # built once: polling clients read this


async def get(conn: AsyncConnection, job_id: str, tenant: str | None) -> Job:
    """One job that is not deleted."""
    row = (await conn.execute(_ONE, {"id": job_id})).one_or_none()
    if row is None or tenant not in (None, row.tenant):
        raise not_found(job_id)
    return job_of(row)


async def page(
    conn: AsyncConnection,
    tenant: str,
    *,
    after: str | None,
    limit: int,
    descending: bool,
    status: JobStatus | None,
) -> Page:
    """One page of a tenant's jobs; `after` may have been deleted meanwhile."""
    if not 1 <= limit <= _MOST_PER_PAGE:
        raise InvalidRequest(
            f"limit must be from 1 to {_MOST_PER_PAGE}; got {limit}",
            param="limit",
            allowed=[1, _MOST_PER_PAGE],
        )
    order = (jobs.c.created_at, jobs.c.id)
    stmt = select(jobs).where(jobs.c.tenant == tenant, VISIBLE)
    if status is not None:
        stmt = stmt.where(jobs.c.status == status)
    if after is not None:
        cursor = select(*order).where(jobs.c.id == after, jobs.c.tenant == tenant)
        place = (await conn.execute(cursor)).one_or_none()
        if place is None:
            raise not_found(after)
        here, there = tuple_(*order), tuple_(place.created_at, place.id)
        stmt = stmt.where(here < there if descending else here > there)
    stmt = stmt.order_by(*(column.desc() if descending else column.asc() for column in order))
    rows = (await conn.execute(stmt.limit(limit + 1))).all()
    return Page(jobs=tuple(job_of(row) for row in rows[:limit]), has_more=len(rows) > limit)


async def events_of(conn: AsyncConnection, job_id: str, after: int, limit: int) -> Sequence[Event]:
    """Events after a sequence number, in order."""
    stmt = (
        select(events)
        .where(events.c.job_id == job_id, events.c.seq > after)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return tuple(event_of(row) for row in await conn.execute(stmt))


async def cancel(conn: AsyncConnection, job_id: str, tenant: str | None, rules: Rules) -> Job:
    """Cancel what has not begun; flag what runs; leave what is final."""
    held = await hold_visible(conn, job_id, tenant)
    if held.phase in (Phase.WAITING, Phase.DISPATCHED):
        return job_of((await cancel_now(conn, held, rules)).row)
    if held.phase is Phase.RUNNING and not held.row.cancel_requested:
        return job_of(await _write(conn, job_id, {"cancel_requested": True}))
    return job_of(held.row)


async def delete(conn: AsyncConnection, job_id: str, tenant: str | None, rules: Rules) -> Sequence[str]:
    """Hide a job, drop what its owner gave, and name the media that nothing else uses."""
    held = await hold_visible(conn, job_id, tenant)
    if held.phase in (Phase.WAITING, Phase.DISPATCHED):
        held = await cancel_now(conn, held, rules)
    seq = held.row.last_event + 1
    await _write(
        conn,
        job_id,
        {
            "deleted_at": held.now,
            "cancel_requested": held.row.cancel_requested or held.phase in LEASED,
            "last_event": seq,
            "prompt": "",
            "request": {},
            "features": {},
            "routing": {},
            "progress_detail": None,
            "result": None,
            "error": None,
            "idempotency_key": None,  # the key names nothing any more
        },
    )
    # Errors may quote the prompt, progress names a preview.
    await conn.execute(update(events).where(events.c.job_id == job_id).values(data={}))
    await conn.execute(update(attempts).where(attempts.c.job_id == job_id).values(error=None))
    await conn.execute(update(feedback).where(feedback.c.job_id == job_id).values(comment=""))
    # Markers name the uploaded photograph; those of open calls are needed until they are closed.
    settled = and_(calls.c.job_id == job_id, calls.c.closed_at.is_not(None))
    await conn.execute(update(calls).where(settled).values(marker={}, urls={}))
    if held.row.finalizes is not None:
        preview = and_(jobs.c.id == held.row.finalizes, jobs.c.finalized_by == job_id)
        await conn.execute(update(jobs).where(preview).values(finalized_by=None))
    await record_event(conn, job_id, seq, held.now, EventType.DELETED, {})
    await drop_media(conn, [job_id], held.now)
    return await _unused_keys(conn, job_id)


async def _write(conn: AsyncConnection, job_id: str, columns: Mapping[str, object]) -> Row[Any]:
    stmt = update(jobs).where(jobs.c.id == job_id).values(columns).returning(jobs)
    row: Row[Any] = (await conn.execute(stmt)).one()
    return row


async def _unused_keys(conn: AsyncConnection, job_id: str) -> Sequence[str]:
    other = media.alias()
    stmt = (
        select(media.c.key)
        .where(
            media.c.job_id == job_id,
            ~exists().where(other.c.key == media.c.key, other.c.dropped_at.is_(None)),
        )
        .order_by(media.c.key)
    )
    return tuple((await conn.scalars(stmt)).all())
