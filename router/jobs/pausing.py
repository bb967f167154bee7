"""What lets a clip go on elsewhere: its checkpoint, and a running attempt that is handed back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from router.jobs.call_store import CallEnd
from router.jobs.records import AttemptStatus, Checkpoint, Job
from router.jobs.rows import checkpoint_of, job_of
from router.jobs.settling import settle
from router.jobs.states import EventType, Move
from router.jobs.transitions import (
    Held,
    Rules,
    advance,
    cancel_now,
    drop_media,
    end_attempt,
    hold_fenced,
    use_media,
)

HANDED_BACK = "handed_back"
"""Error code of an attempt that a worker on its way out gave back."""


async def keep_checkpoint(conn: AsyncConnection, job_id: str, fence: int, checkpoint: Checkpoint) -> None:
    """From now on the job resumes there; files of the checkpoint before that this one lacks are let go."""
    held = await hold_fenced(conn, job_id, fence, Move.BEAT)
    before = checkpoint_of(held.row.checkpoint)
    kept = await advance(conn, held, Move.BEAT, {"checkpoint": _document(checkpoint)})
    await use_media(conn, kept, checkpoint.files.values())
    if before is not None:
        await _let_go(conn, held, set(before.files.values()) - set(checkpoint.files.values()))


async def drop_checkpoint(conn: AsyncConnection, job_id: str, fence: int) -> None:
    """The job's checkpoint is of no use: it will begin anew."""
    held = await hold_fenced(conn, job_id, fence, Move.BEAT)
    before = checkpoint_of(held.row.checkpoint)
    if before is not None:
        await advance(conn, held, Move.BEAT, {"checkpoint": None})
        await _let_go(conn, held, before.files.values())


async def hand_back(
    conn: AsyncConnection,
    job_id: str,
    fence: int,
    rules: Rules,
    *,
    reason: str,
    gpu_seconds: float,
    call: CallEnd | None = None,
) -> Job:
    """A worker that leaves gives a running job back, uncounted; it goes on from its checkpoint elsewhere."""
    held = await hold_fenced(conn, job_id, fence, Move.REQUEUE)
    settled = await settle(conn, held.row, held.now, call)
    if held.row.cancel_requested:
        return job_of((await cancel_now(conn, held, rules, gpu_seconds=gpu_seconds, also=settled)).row)
    note = {"code": HANDED_BACK, "message": reason}
    await end_attempt(conn, held, AttemptStatus.CANCELLED, error=note, gpu_seconds=gpu_seconds)
    back = await advance(
        conn,
        held,
        Move.REQUEUE,
        {**settled, "attempts": held.row.attempts - 1, "heartbeat_at": None, "not_before": held.now},
        event=EventType.QUEUED,
        detail={"fence": fence, "reason": reason},
    )
    return job_of(back.row)


async def _let_go(conn: AsyncConnection, held: Held, keys: Iterable[str]) -> None:
    for key in keys:
        await drop_media(conn, [held.row.id], held.now, key=key)


def _document(checkpoint: Checkpoint) -> Mapping[str, Any]:
    return {
        "model": checkpoint.model,
        "offer": checkpoint.offer,
        "files": dict(checkpoint.files),
        "place": dict(checkpoint.place),
    }
