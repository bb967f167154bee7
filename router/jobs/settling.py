"""How a call to a provider is closed: in the transaction that moves its job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policies.unknown import ceiling_usd
from router.jobs.call_store import CallEnd, CallOutcome, CallState
from router.jobs.schema import calls, jobs


async def settle(conn: AsyncConnection, job: Row[Any], now: float, end: CallEnd | None) -> dict[str, object]:
    """Close the open call of a held job; returns the columns of `jobs` that change with it.

    Nothing changes where there is no open call, or `end` is None: then the next attempt follows it. A call
    that had no price (an engine of our own) leaves what the job may cost as it is.
    """
    if end is None or job.open_call is None:
        return {}
    closed: dict[str, object] = {
        "state": CallState.CLOSED,
        "outcome": end.outcome,
        "usd": end.usd,
        "closed_at": now,
    }
    if job.deleted_at is not None:
        closed |= {"marker": {}, "urls": {}}
    await conn.execute(
        update(calls).where(calls.c.id == job.open_call, calls.c.closed_at.is_(None)).values(closed)
    )
    spent = float(job.spent_usd) + end.usd
    changes: dict[str, object] = {"open_call": None, "spent_usd": spent}
    if end.outcome is CallOutcome.UNKNOWN and end.usd > 0:
        asked: Mapping[str, Any] = job.request
        changes["ceiling_usd"] = ceiling_usd(
            max_cost_usd=asked.get("max_cost_usd"),
            ceiling_usd=job.ceiling_usd,
            spent_usd=spent,
            promised_usd=end.usd,
        )
    return changes


async def settle_ended(conn: AsyncConnection, job: Row[Any], now: float, end: CallEnd) -> None:
    """Close the open call of a job that is over, without moving it."""
    changes = await settle(conn, job, now, end)
    if changes:
        await conn.execute(update(jobs).where(jobs.c.id == job.id).values(changes))
