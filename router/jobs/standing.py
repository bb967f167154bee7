"""How one job stands, as polling clients ask it: the row, its attempts, its place in the queue.

The statements exist once. Any connection runs them through SQLAlchemy; on SQLite `Glance` runs their text
on a connection of its own inside the event loop, because a point read of some ten microseconds is cheaper
than handing it to a thread and decoding it through three layers. A coroutine that never waits also spares
Ray Serve a call back to its proxy for each request (`ASGIReceiveProxy`, started at the first wait).
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import JSON, Boolean, Row, Select, and_, bindparam, func, or_, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from router.jobs.records import Attempt, JobStatus, Standing
from router.jobs.rows import attempt_of, job_of
from router.jobs.schema import VISIBLE, WAITING, attempts, jobs
from router.jobs.states import Phase, phase_of
from router.jobs.transitions import not_found

# Built once: making a statement anew costs more than running it.
_ONE = select(jobs).where(jobs.c.id == bindparam("id"), VISIBLE)
_ATTEMPTS = (
    select(attempts, jobs.c.lease_until)
    .outerjoin_from(attempts, jobs, (jobs.c.id == attempts.c.job_id) & (jobs.c.fence == attempts.c.fence))
    .where(attempts.c.job_id == bindparam("id"))
    .order_by(attempts.c.fence)
)
_SAME_PRIORITY = jobs.c.priority == bindparam("priority")
_SAME_DUE = and_(_SAME_PRIORITY, jobs.c.due_at == bindparam("due_at"))
_SAME_CREATED = and_(_SAME_DUE, jobs.c.created_at == bindparam("created_at"))
_AHEAD = (
    select(func.count().label("n"))
    .select_from(jobs)
    .where(
        WAITING,
        or_(
            jobs.c.priority > bindparam("priority"),
            and_(_SAME_PRIORITY, jobs.c.due_at < bindparam("due_at")),
            and_(_SAME_DUE, jobs.c.created_at < bindparam("created_at")),
            and_(_SAME_CREATED, jobs.c.id < bindparam("id")),
        ),
    )
)
"""Waiting jobs that the Router takes first: by (priority descending, due_at, created_at, id)."""


async def standing_of(conn: AsyncConnection, job_id: str, tenant: str | None) -> Standing:
    """One job that is not deleted, with all that a client is shown of it."""
    row = (await conn.execute(_ONE, {"id": job_id})).one_or_none()
    if row is None or tenant not in (None, row.tenant):
        raise not_found(job_id)
    return Standing(
        job=job_of(row),
        attempts=await attempts_of(conn, job_id) if row.fence > 0 else (),
        queue_position=await place_of(conn, row),
    )


async def attempts_of(conn: AsyncConnection, job_id: str) -> tuple[Attempt, ...]:
    """All attempts, oldest first."""
    return tuple(attempt_of(row) for row in await conn.execute(_ATTEMPTS, {"id": job_id}))


async def place_of(conn: AsyncConnection, row: Row[Any]) -> int | None:
    """1 + waiting jobs ahead; 1 for a dispatched job; None when it is not queued."""
    phase = _phase(row)
    if phase is not Phase.WAITING:
        return 1 if phase is Phase.DISPATCHED else None
    return 1 + int((await conn.scalar(_AHEAD, _order(row))) or 0)


def _phase(row: Row[Any]) -> Phase:
    return phase_of(JobStatus(row.status), leased=row.lease_until is not None)


def _order(row: Row[Any]) -> dict[str, Any]:
    return {"id": row.id, "priority": row.priority, "due_at": row.due_at, "created_at": row.created_at}


class _Reading:
    """A statement as SQLite's own driver takes it, and its rows as SQLAlchemy would give them."""

    def __init__(self, statement: Select[Any]) -> None:
        self.sql = str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))
        columns = statement.selected_columns
        # Its fields are the table's columns, which a type checker cannot see.
        make: Any = namedtuple
        self._row: Callable[[Iterable[Any]], Any] = make("Read", columns.keys())._make
        self._json = [at for at, column in enumerate(columns) if isinstance(column.type, JSON)]
        self._boolean = [at for at, column in enumerate(columns) if isinstance(column.type, Boolean)]

    def rows(self, connection: sqlite3.Connection, given: Mapping[str, Any]) -> list[Any]:
        return [self._decoded(list(raw)) for raw in connection.execute(self.sql, given).fetchall()]

    def _decoded(self, values: list[Any]) -> Any:
        for at in self._json:
            if values[at] is not None:
                values[at] = from_json(values[at])
        for at in self._boolean:
            values[at] = bool(values[at])
        return self._row(values)


_READ_ONE = _Reading(_ONE)
_READ_ATTEMPTS = _Reading(_ATTEMPTS)
_READ_AHEAD = _Reading(_AHEAD)


class Glance:
    """Reads standings from a SQLite file at once. It waits for nothing: what is wrong is left to the store.

    It belongs to the event loop that uses it, whichever thread runs that.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def standing(self, job_id: str, tenant: str | None) -> Standing | None:
        """As `standing_of`; None when the file cannot be read this moment (locked, gone, damaged)."""
        try:
            return self._read(self._open(), job_id, tenant)
        except sqlite3.Error:
            self.close()
            return None

    def close(self) -> None:
        """Release the file; the next call opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            uri = f"{self._path.resolve().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False
            )
        return self._connection

    @staticmethod
    def _read(connection: sqlite3.Connection, job_id: str, tenant: str | None) -> Standing:
        found = _READ_ONE.rows(connection, {"id": job_id})
        if not found or tenant not in (None, found[0].tenant):
            raise not_found(job_id)
        (row,) = found
        tried = _READ_ATTEMPTS.rows(connection, {"id": job_id}) if row.fence > 0 else ()
        phase, place = _phase(row), None
        if phase is Phase.DISPATCHED:
            place = 1
        elif phase is Phase.WAITING:
            place = 1 + int(_READ_AHEAD.rows(connection, _order(row))[0].n)
        return Standing(job_of(row), tuple(attempt_of(each) for each in tried), place)
