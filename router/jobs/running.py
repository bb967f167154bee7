"""What workers do to jobs, each write under its fence. One function is one transaction."""

from __future__ import annotations

import json
from dataclasses import asdict

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import Cancelled, Disposition
from router.jobs.call_store import CallEnd
from router.jobs.encoding import encode_json, media_keys
from router.jobs.fit import Fit, log_ratio
from router.jobs.progress import DONE, raised
from router.jobs.records import AttemptStatus, Beat, Job, JobStatus, Json, Observation, Progress
from router.jobs.retry import LOST
from router.jobs.rows import fit_of, job_of
from router.jobs.schema import attempts, calibration
from router.jobs.settling import settle
from router.jobs.states import EventType, Move, Phase
from router.jobs.transitions import (
    Held,
    Rules,
    advance,
    attempt_failed,
    cancel_now,
    drop_media,
    end_attempt,
    hold,
    hold_fenced,
    stale,
    upsert,
    use_media,
)


async def start(conn: AsyncConnection, job_id: str, fence: int, worker: str, lease_s: float) -> Job:
    """Dispatched to running; the same worker may say it twice (its first reply may have been lost)."""
    held = await hold(conn, job_id)
    if held.phase is Phase.RUNNING and held.row.fence == fence:
        if await _worker_of(conn, held) != worker:
            raise stale(job_id, fence, "another worker runs it")
        changes = {"lease_until": held.now + lease_s, "heartbeat_at": held.now}
        return job_of((await advance(conn, held, Move.BEAT, changes)).row)
    held = await hold_fenced(conn, job_id, fence, Move.START)
    await conn.execute(
        update(attempts)
        .where(attempts.c.job_id == job_id, attempts.c.fence == fence)
        .values(status=AttemptStatus.RUNNING, worker=worker, started_at=held.now)
    )
    begun = await advance(
        conn,
        held,
        Move.START,
        {
            "started_at": held.row.started_at if held.row.started_at is not None else held.now,
            "heartbeat_at": held.now,
            "lease_until": held.now + lease_s,
            "progress": 0,
            "progress_detail": None,
        },
        event=EventType.STARTED,
        detail={"fence": fence, "worker": worker},
    )
    return job_of(begun.row)


async def _worker_of(conn: AsyncConnection, held: Held) -> str | None:
    stmt = select(attempts.c.worker).where(
        attempts.c.job_id == held.row.id, attempts.c.fence == held.row.fence
    )
    worker: str | None = await conn.scalar(stmt)
    return worker


async def beat(
    conn: AsyncConnection, job_id: str, fence: int, lease_s: float, progress: Progress | None
) -> Beat:
    """Renew the lease; an event only when something but the ETA changed."""
    held = await hold_fenced(conn, job_id, fence, Move.BEAT)
    job = held.row
    changes: dict[str, object] = {"lease_until": held.now + lease_s, "heartbeat_at": held.now}
    if progress is None or job.deleted_at is not None:
        await advance(conn, held, Move.BEAT, changes)
        if progress is not None and progress.preview_key is not None:
            await use_media(conn, held, [progress.preview_key])
        return Beat(cancel=job.cancel_requested)
    before = None if job.progress_detail is None else Progress(**job.progress_detail)
    bar = raised(job.progress, progress)
    detail = asdict(progress)
    changes |= {"progress": bar, "progress_detail": detail}
    news = _face(before) != _face(progress)
    await advance(
        conn,
        held,
        Move.BEAT,
        changes,
        event=EventType.PROGRESS if news else None,
        detail={"fence": fence, "progress": bar, **detail},
    )
    await _replace_preview(conn, held, before, progress)
    return Beat(cancel=job.cancel_requested)


def _face(progress: Progress | None) -> tuple[object, ...] | None:
    if progress is None:
        return None
    return (progress.stage, progress.step, progress.steps, progress.preview_key, progress.gpus)


async def _replace_preview(
    conn: AsyncConnection, held: Held, before: Progress | None, progress: Progress
) -> None:
    old = None if before is None else before.preview_key
    if progress.preview_key is None or progress.preview_key == old:
        return
    await use_media(conn, held, [progress.preview_key])
    if old is not None:
        await drop_media(conn, [held.row.id], held.now, key=old)


async def complete(
    conn: AsyncConnection,
    job_id: str,
    fence: int,
    *,
    result: Json,
    usage: Json,
    gpu_seconds: float,
    retain_s: float,
    observation: Observation | None,
    call: CallEnd | None = None,
) -> Job:
    """Publish once. The same attempt may repeat itself with the same result; nothing changes then."""
    held = await hold(conn, job_id)
    job = held.row
    if _is_repeat(held, fence, result):
        return job_of(job)
    held = await hold_fenced(conn, job_id, fence, Move.COMPLETE)
    if job.deleted_at is not None:
        raise stale(job_id, fence, "the job was deleted")
    if job.cancel_requested:
        raise Cancelled(f"job {job_id} was cancelled before its result came")
    await end_attempt(conn, held, AttemptStatus.COMPLETED, gpu_seconds=gpu_seconds)
    done = await advance(
        conn,
        held,
        Move.COMPLETE,
        {
            **await settle(conn, job, held.now, call),
            "progress": DONE,
            "result": result,
            "usage": usage,
            "error": None,
            "retain_until": held.now + retain_s,
        },
        event=EventType.COMPLETED,
        detail={"fence": fence, "gpu_seconds": gpu_seconds},
    )
    await use_media(conn, done, media_keys(result))
    if observation is not None:
        await _observe(conn, held.now, observation)
    return job_of(done.row)


def _is_repeat(held: Held, fence: int, result: Json) -> bool:
    job = held.row
    return bool(
        job.status == JobStatus.COMPLETED
        and job.fence == fence
        and job.result == json.loads(encode_json(result))
    )


async def _observe(conn: AsyncConnection, now: float, seen: Observation) -> None:
    value = log_ratio(seen.predicted_s, seen.actual_s)
    if value is None:
        return
    key = {"model": seen.model, "offer": seen.offer, "gpu": seen.gpu, "gpus": seen.gpus}
    # The row is made first, so that two first observations meet at its lock and both count.
    blank = asdict(Fit())
    await conn.execute(
        upsert(conn, calibration).values(**key, **blank, updated_at=now).on_conflict_do_nothing()
    )
    this = [calibration.c[name] == part for name, part in key.items()]
    row = (await conn.execute(select(calibration).where(*this).with_for_update())).one()
    fit = fit_of(row).fold(value)
    await conn.execute(update(calibration).where(*this).values(**asdict(fit), updated_at=now))


async def fail(
    conn: AsyncConnection,
    job_id: str,
    fence: int,
    rules: Rules,
    *,
    error: Json,
    disposition: Disposition,
    gpu_seconds: float,
    call: CallEnd | None = None,
) -> Job:
    """End an attempt that failed."""
    held = await hold_fenced(conn, job_id, fence, Move.REQUEUE)
    ended = await attempt_failed(
        conn,
        held,
        rules,
        status=AttemptStatus.FAILED,
        error=error,
        disposition=disposition,
        gpu_seconds=gpu_seconds,
        also=await settle(conn, held.row, held.now, call),
    )
    return job_of(ended.row)


async def finish_cancelled(
    conn: AsyncConnection,
    job_id: str,
    fence: int,
    rules: Rules,
    gpu_seconds: float,
    call: CallEnd | None = None,
) -> Job:
    """The worker stopped at the flag; it may say so twice."""
    held = await hold(conn, job_id)
    if held.phase is Phase.CANCELLED and held.row.fence == fence:
        return job_of(held.row)
    held = await hold_fenced(conn, job_id, fence, Move.REQUEUE)
    settled = await settle(conn, held.row, held.now, call)
    return job_of((await cancel_now(conn, held, rules, gpu_seconds=gpu_seconds, also=settled)).row)


async def lose(conn: AsyncConnection, job_id: str, fence: int, reason: str, rules: Rules) -> None:
    """The attempt's process is dead."""
    held = await hold_fenced(conn, job_id, fence, Move.REQUEUE)
    await lost(conn, held, reason, rules)


async def lost(conn: AsyncConnection, held: Held, reason: str, rules: Rules) -> Held:
    """Requeue or end a held job whose attempt is gone."""
    return await attempt_failed(
        conn,
        held,
        rules,
        status=AttemptStatus.LOST,
        error={"code": LOST, "message": reason},
        disposition=Disposition.RETRY,
    )
