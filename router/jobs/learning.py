"""Votes: kept as rows, counted into beliefs in the same transaction. One function is one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import InvalidRequest, NotReady
from policies.calibration import Ledger, Tally
from router.jobs.cells import MOST_VOTES, Cast, beliefs_of
from router.jobs.encoding import check_text
from router.jobs.records import Ballot, Learned, Vote
from router.jobs.rows import belief_of
from router.jobs.schema import beliefs, feedback, tallies
from router.jobs.states import Phase
from router.jobs.transitions import Held, hold_visible, upsert

_LOCK = "votes"
"""Name of the lock that voters of all processes meet at."""
LEARNED, HELD_OUT = "learned", "hold_out"
"""The slices that are compared; what was tried counts for neither."""


async def vote(conn: AsyncConnection, given: Vote) -> None:
    """Keep a vote and count its use case anew; a later one on the same clip (or pair) replaces it."""
    if given.rating not in (-1, 1):
        raise InvalidRequest(f"rating must be -1 or 1; got {given.rating}", param="rating", allowed=[-1, 1])
    check_text("comment", given.comment)
    await _lock(conn)
    held = await _completed(conn, given.ballot.job_id, given.tenant, "id")
    if given.over is not None:
        await _completed(conn, given.over.job_id, given.tenant, "better_than")
    touched = {given.ballot.use_case}
    for row in await _replaced(conn, given):
        touched.add(row.use_case)
        await _tally(conn, row.use_case, row.other, row.decided, row.rating, -1)
        await conn.execute(
            delete(feedback).where(feedback.c.job_id == row.job_id, feedback.c.other == row.other)
        )
    await _keep(conn, given, held)
    for use_case in sorted(touched - {None}, key=str):
        await _count(conn, str(use_case), held.now)


async def learned(conn: AsyncConnection) -> Learned:
    """What all votes add up to."""
    known = {(row.model, row.use_case): belief_of(row) for row in await conn.execute(select(beliefs))}
    slices = {row.slice: Tally(row.likes, row.votes) for row in await conn.execute(select(tallies))}
    ledger = Ledger()
    return Learned(
        known,
        replace(
            ledger,
            learned=slices.get(LEARNED, ledger.learned),
            held_out=slices.get(HELD_OUT, ledger.held_out),
        ),
    )


async def _lock(conn: AsyncConnection) -> None:
    """Two voters at once would each count without the other's vote. SQLite has one writer anyway."""
    if conn.dialect.name == "postgresql":
        await conn.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_LOCK, 0))))


async def _completed(conn: AsyncConnection, job_id: str, tenant: str, param: str) -> Held:
    held = await hold_visible(conn, job_id, tenant)
    if held.phase is not Phase.COMPLETED:
        raise NotReady(f"job {job_id} has no clip to rate: it is {held.row.status}", param=param)
    return held


async def _replaced(conn: AsyncConnection, given: Vote) -> list[Row[Any]]:
    """What this vote takes the place of: the clip's thumb, or the word on this pair, whichever way round."""
    mine = given.ballot.job_id
    this = and_(feedback.c.job_id == mine, feedback.c.other == "")
    if given.over is not None:
        theirs = given.over.job_id
        this = or_(
            and_(feedback.c.job_id == mine, feedback.c.other == theirs),
            and_(feedback.c.job_id == theirs, feedback.c.other == mine),
        )
    return list((await conn.execute(select(feedback).where(this))).all())


async def _keep(conn: AsyncConnection, given: Vote, held: Held) -> None:
    ballot, over = given.ballot, given.over
    values: dict[str, Any] = {
        "job_id": ballot.job_id,
        "other": over.job_id if over is not None else "",
        "tenant": given.tenant,
        "rating": given.rating,
        "comment": given.comment,
        "at": held.now,
        **_column_values(ballot),
        "other_model": over.model if over is not None else None,
        "other_elo": over.elo if over is not None else None,
    }
    await conn.execute(upsert(conn, feedback).values(values))
    await _tally(conn, ballot.use_case, values["other"], ballot.decided, given.rating, 1)


def _column_values(ballot: Ballot) -> Mapping[str, Any]:
    return {
        "model": ballot.model,
        "offer": ballot.offer,
        "use_case": ballot.use_case,
        "elo": ballot.elo,
        "reference_elo": ballot.reference_elo,
        "decided": ballot.decided,
    }


async def _tally(
    conn: AsyncConnection, use_case: str | None, other: str, decided: str, rating: int, by: int
) -> None:
    """Count a thumb in (or, with `by` -1, out of) its slice."""
    if use_case is None or other or decided not in (LEARNED, HELD_OUT):
        return
    blank = {"slice": decided, "likes": 0, "votes": 0}
    await conn.execute(upsert(conn, tallies).values(blank).on_conflict_do_nothing())
    likes = by if rating > 0 else 0
    changed = {"likes": tallies.c.likes + likes, "votes": tallies.c.votes + by}
    await conn.execute(update(tallies).where(tallies.c.slice == decided).values(changed))


async def _count(conn: AsyncConnection, use_case: str, now: float) -> None:
    """All beliefs of a use case, from its votes."""
    newest = (
        select(feedback)
        .where(feedback.c.use_case == use_case)
        .order_by(feedback.c.at.desc(), feedback.c.job_id.desc(), feedback.c.other.desc())
        .limit(MOST_VOTES)
    )
    votes = [cast for row in await conn.execute(newest) if (cast := _cast(row)) is not None]
    found = beliefs_of(votes[::-1])
    await conn.execute(
        delete(beliefs).where(beliefs.c.use_case == use_case, beliefs.c.model.not_in(list(found)))
    )
    for model, belief in sorted(found.items()):
        values = {
            "elo_offset": belief.offset,
            "precision": belief.precision,
            "votes": belief.votes,
            "updated_at": now,
        }
        stmt = upsert(conn, beliefs).values(model=model, use_case=use_case, **values)
        await conn.execute(
            stmt.on_conflict_do_update(index_elements=[beliefs.c.model, beliefs.c.use_case], set_=values)
        )


def _cast(row: Row[Any]) -> Cast | None:
    """A row as it counts; None when a model that it names has left the catalog."""
    if row.elo is None or row.reference_elo is None or (row.other and row.other_elo is None):
        return None
    return Cast(
        tenant=row.tenant,
        model=row.model,
        elo=row.elo,
        reference_elo=row.reference_elo,
        rating=row.rating,
        other=row.other_model if row.other else None,
        other_elo=row.other_elo or 0.0,
    )
