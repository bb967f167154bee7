"""The one way a job's row is locked, judged and moved; every status and event is written here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import Table

from models.errors import Disposition, JobNotFound, StaleFence
from router.jobs.clock import db_now
from router.jobs.records import AttemptStatus, JobStatus
from router.jobs.retry import Backoff, judge
from router.jobs.schema import WAITING, attempts, events, jobs, media
from router.jobs.states import FINAL, LEASED, STATUS_OF, TRANSITIONS, EventType, Move, Phase, allows, phase_of

_IN_PHASE: Mapping[Phase, ColumnElement[bool]] = {
    Phase.WAITING: WAITING,
    Phase.DISPATCHED: and_(jobs.c.status == JobStatus.QUEUED, jobs.c.lease_until.is_not(None)),
    Phase.RUNNING: jobs.c.status == JobStatus.IN_PROGRESS,
    **{phase: jobs.c.status == STATUS_OF[phase] for phase in FINAL},
}


@dataclass(frozen=True, slots=True)
class Rules:
    """How the store treats what ends."""

    backoff: Backoff
    retain_ended_s: float
    """How long media of a job that ended without a result is kept."""


@dataclass(frozen=True, slots=True)
class Held:
    """A job's row, locked until the transaction ends, and the database's time when it was."""

    row: Row[Any]
    now: float

    @property
    def phase(self) -> Phase:
        """Where the job is."""
        return phase_of(JobStatus(self.row.status), leased=self.row.lease_until is not None)


ESTIMATES = ("estimate_model", "estimate_offer", "estimate_seconds", "estimate_gpu_seconds")
"""Columns of `jobs` that repeat what the newest decision predicts."""


def estimate(routing: Mapping[str, Any]) -> dict[str, Any]:
    """`ESTIMATES` of a Decision JSON; nothing was predicted where nothing was chosen."""
    chosen = routing.get("chosen") or {}
    predicted = chosen.get("predicted") or {}
    found = (chosen.get("model"), chosen.get("offer"), predicted.get("seconds"), predicted.get("gpu_seconds"))
    return dict(zip(ESTIMATES, found, strict=True))


def not_found(job_id: str) -> JobNotFound:
    """The error for a job that is not there for this caller."""
    return JobNotFound(f"no job {job_id!r}", param="id")


def stale(job_id: str, fence: int, why: str) -> StaleFence:
    """The error for a write that comes too late."""
    return StaleFence(f"write to job {job_id} under fence {fence} refused: {why}", param="fence")


def upsert(conn: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT of the connection's dialect, for `on_conflict_do_…`."""
    return sqlite.insert(table) if conn.dialect.name == "sqlite" else postgresql.insert(table)


async def hold(conn: AsyncConnection, job_id: str) -> Held:
    """Lock a job (the whole database on SQLite). Raises `JobNotFound`; deleted jobs are found."""
    row = (
        await conn.execute(select(jobs, db_now().label("now")).where(jobs.c.id == job_id).with_for_update())
    ).one_or_none()
    if row is None:
        raise not_found(job_id)
    return Held(row, row.now)


async def hold_visible(conn: AsyncConnection, job_id: str, tenant: str | None) -> Held:
    """Lock a job for a client: another tenant's and a deleted one raise `JobNotFound`."""
    held = await hold(conn, job_id)
    if held.row.deleted_at is not None or tenant not in (None, held.row.tenant):
        raise not_found(job_id)
    return held


async def hold_fenced(conn: AsyncConnection, job_id: str, fence: int, move: Move) -> Held:
    """Lock a job for the attempt `fence`, which is about to make `move`. Raises `StaleFence`."""
    held = await hold(conn, job_id)
    if held.row.fence != fence:
        raise stale(job_id, fence, f"attempt {held.row.fence} exists")
    if not allows(move, held.phase):
        raise stale(job_id, fence, f"{move} is not possible while the job is {held.phase}")
    return held


async def advance(
    conn: AsyncConnection,
    held: Held,
    move: Move,
    changes: Mapping[str, object],
    *,
    event: EventType | None = None,
    detail: Mapping[str, object] | None = None,
) -> Held:
    """Make `move`, write `changes` with it, and record `event`. The only writer of `jobs.status`.

    Raises:
        StaleFence: the job was not where the move may start (a lock was not held).
    """
    rule = TRANSITIONS[move]
    seq = held.row.last_event + (event is not None)
    values = {**changes, "status": STATUS_OF[rule.target], "last_event": seq}
    if rule.target not in LEASED:
        values["lease_until"] = None
    if rule.target in FINAL:
        values["finished_at"] = held.now
        values["checkpoint"] = None
    row = (
        await conn.execute(
            update(jobs)
            .where(
                jobs.c.id == held.row.id,
                jobs.c.fence == held.row.fence,
                or_(*(_IN_PHASE[phase] for phase in sorted(rule.sources))),
            )
            .values(values)
            .returning(jobs)
        )
    ).one_or_none()
    if row is None:
        raise stale(held.row.id, held.row.fence, f"{move} is not possible any more")
    if event is not None:
        await record_event(conn, row.id, seq, held.now, event, detail or {})
    if rule.target in FINAL and held.row.checkpoint is not None:
        for key in held.row.checkpoint["files"].values():
            await drop_media(conn, [row.id], held.now, key=key)
    return Held(row, held.now)


_NEW_EVENT = insert(events)


async def record_event(
    conn: AsyncConnection, job_id: str, seq: int, at: float, event: EventType, detail: Mapping[str, object]
) -> None:
    """Append to a job's history; the caller has written `seq` to `jobs.last_event`."""
    values = {"job_id": job_id, "seq": seq, "at": at, "type": event, "data": detail}
    await conn.execute(_NEW_EVENT, values)


async def end_attempt(
    conn: AsyncConnection,
    held: Held,
    status: AttemptStatus,
    *,
    error: Mapping[str, Any] | None = None,
    gpu_seconds: float | None = None,
) -> Row[Any]:
    """Close the newest attempt of a held job; returns its row."""
    row: Row[Any] = (
        await conn.execute(
            update(attempts)
            .where(attempts.c.job_id == held.row.id, attempts.c.fence == held.row.fence)
            .values(status=status, finished_at=held.now, error=error, gpu_seconds=gpu_seconds)
            .returning(attempts)
        )
    ).one()
    return row


NOTHING: Mapping[str, object] = MappingProxyType({})


async def cancel_now(
    conn: AsyncConnection,
    held: Held,
    rules: Rules,
    *,
    gpu_seconds: float | None = None,
    also: Mapping[str, object] = NOTHING,
) -> Held:
    """End a held job as cancelled, and its attempt when it has one; `also` are further columns to write."""
    if held.phase in LEASED:
        await end_attempt(conn, held, AttemptStatus.CANCELLED, gpu_seconds=gpu_seconds)
    return await advance(
        conn,
        held,
        Move.CANCEL,
        {**also, "cancel_requested": True, "retain_until": held.now + rules.retain_ended_s},
        event=EventType.CANCELLED,
    )


async def attempt_failed(
    conn: AsyncConnection,
    held: Held,
    rules: Rules,
    *,
    status: AttemptStatus,
    error: Mapping[str, Any],
    disposition: Disposition,
    gpu_seconds: float | None = None,
    also: Mapping[str, object] = NOTHING,
) -> Held:
    """Close the newest attempt of a held job as failed or lost, and requeue or end the job.

    `also` are further columns to write with it.
    """
    job = held.row
    if job.cancel_requested:
        return await cancel_now(conn, held, rules, gpu_seconds=gpu_seconds, also=also)
    attempt = await end_attempt(conn, held, status, error=error, gpu_seconds=gpu_seconds)
    verdict = judge(
        disposition,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        excluded=tuple(job.excluded),
        candidate=f"{attempt.model}/{attempt.offer}",
        error=error,
    )
    changes: dict[str, object] = {**also, "excluded": list(verdict.excluded), "heartbeat_at": None}
    detail: dict[str, object] = {"fence": job.fence, "error": verdict.error or error}
    if verdict.move is Move.REQUEUE:
        delay = rules.backoff.delay(verdict.failures) if verdict.backs_off else 0.0
        changes |= {"not_before": held.now + delay, "progress": 0, "progress_detail": None}
        detail |= {"delay_s": delay, "attempts": job.attempts, "max_attempts": job.max_attempts}
    else:
        changes |= {"error": verdict.error, "retain_until": held.now + rules.retain_ended_s}
    return await advance(conn, held, verdict.move, changes, event=verdict.event, detail=detail)


async def use_media(conn: AsyncConnection, held: Held, keys: Iterable[str]) -> None:
    """Record that a job uses these keys; a deleted job's are garbage from the start."""
    dropped_at = held.now if held.row.deleted_at is not None else None
    rows = [{"job_id": held.row.id, "key": key, "dropped_at": dropped_at} for key in keys]
    if rows:
        await conn.execute(upsert(conn, media).on_conflict_do_nothing(), rows)


async def drop_media(
    conn: AsyncConnection, job_ids: Sequence[str], at: float, *, key: str | None = None
) -> None:
    """Record that these jobs need their keys (or only `key`) no more."""
    stmt = update(media).where(media.c.job_id.in_(job_ids), media.c.dropped_at.is_(None))
    if key is not None:
        stmt = stmt.where(media.c.key == key)
    await conn.execute(stmt.values(dropped_at=at))
