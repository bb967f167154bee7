"""Connections and transactions on SQLite and PostgreSQL, with one meaning of "unavailable"."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from models.errors import ConfigError, StoreUnavailable
from router.jobs.encoding import encode_json

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}

# Primary result codes (https://www.sqlite.org/rescode.html): BUSY, LOCKED, NOMEM, READONLY, IOERR, CORRUPT,
# FULL, CANTOPEN, PROTOCOL, NOTADB. The database is there but cannot serve; the statement was fine.
_SQLITE_UNAVAILABLE = frozenset({5, 6, 7, 8, 10, 11, 13, 14, 15, 26})

# Classes and codes of https://www.postgresql.org/docs/current/errcodes-appendix.html: connection lost, out of
# resources, operator intervention (also a statement time-out), system error; lock time-out, read only.
_PG_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")
_PG_UNAVAILABLE = frozenset({"55P03", "25006", "25P03"})
_PG_TRY_AGAIN = frozenset({"40001", "40P01"})  # serialization failure, deadlock: the transaction is undone

_READERS = 4  # SQLite readers do not block; more threads than this only wait for the same disk


class Database:
    """One database, a transaction at a time.

    SQLite has a single writer connection per process, so that writers of one process queue in order in
    memory and only processes meet at the file's lock.
    """

    def __init__(self, url: str, *, timeout_s: float, pool_size: int) -> None:
        self._url = _parse(url)
        self._timeout_s = timeout_s
        self._pool_size = pool_size
        self._writer: AsyncEngine | None = None
        self._reader: AsyncEngine | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def sqlite_path(self) -> Path | None:
        """The database file; None for PostgreSQL."""
        return Path(self._url.database or "") if self._url.get_backend_name() == "sqlite" else None

    @property
    def timeout_s(self) -> float:
        """Seconds that a call waits for a lock, a connection or an answer."""
        return self._timeout_s

    def connect(self) -> None:
        """Make the engines; nothing is opened before the first transaction."""
        if self._writer is not None:
            return
        if self.sqlite_path is None:
            self._writer = _postgresql_engine(self._url, self._timeout_s, self._pool_size)
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")
        else:
            self._writer = _sqlite_engine(self._url, self._timeout_s, connections=1, writes=True)
            self._reader = _sqlite_engine(self._url, self._timeout_s, connections=_READERS, writes=False)

    async def close(self) -> None:
        """End what runs and close all connections; `connect` may follow."""
        engines, self._writer, self._reader = (self._writer, self._reader), None, None
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for engine in engines:
            if engine is not None:
                await engine.dispose()

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and commit it.

        A transaction that was undone before its commit (connection lost, deadlock) runs once more.
        """
        return await self._whole(self._run(_opened(self._writer), work, commit=True))

    async def read(self, work: Work[T]) -> T:
        """Run `work` outside a transaction: each statement sees what is committed."""
        return await self._whole(self._run(_opened(self._reader), work, commit=False))

    async def _whole(self, run: Coroutine[Any, Any, T]) -> T:
        """Let a transaction end in its own time although its caller was cancelled.

        A driver that is interrupted inside a statement drops its connection; on SQLite the write lock then
        stays until the garbage collector finds the cursor, and everybody waits.
        """
        task = asyncio.create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    async def _run(self, engine: AsyncEngine, work: Work[T], *, commit: bool, again: bool = True) -> T:
        committing = False
        try:
            async with engine.connect() as conn:
                outcome = await work(conn)
                if commit:
                    committing = True
                    await conn.commit()
                return outcome
        except (DBAPIError, PoolTimeout, OSError) as exc:
            if again and not committing and _undone(exc):
                return await self._run(engine, work, commit=commit, again=False)
            if _unavailable(exc):
                raise StoreUnavailable(self._complaint(exc)) from exc
            raise

    def _complaint(self, exc: Exception) -> str:
        cause = exc.orig if isinstance(exc, DBAPIError) else exc
        where = self._url.render_as_string(hide_password=True)
        return f"the job store {where} did not answer in time or refused: {cause}"


def _parse(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError:
        raise ConfigError(
            "the database URL cannot be read", param="database_url", allowed=sorted(_DRIVERS)
        ) from None
    if url.drivername not in _DRIVERS:
        raise ConfigError(
            f"the database URL starts with {url.drivername!r}; allowed: {', '.join(sorted(_DRIVERS))}",
            param="database_url",
            allowed=sorted(_DRIVERS),
        )
    url = url.set(drivername=_DRIVERS[url.drivername])
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigError(
            "an in-memory SQLite database cannot be shared by the processes of a stack; name a file",
            param="database_url",
            allowed="sqlite:///path/to/jobs.db",
        )
    return url


def _opened(engine: AsyncEngine | None) -> AsyncEngine:
    if engine is None:
        raise StoreUnavailable("the job store is not open")
    return engine


def _sqlite_engine(url: URL, timeout_s: float, *, connections: int, writes: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=timeout_s,
        isolation_level="AUTOCOMMIT",  # the driver begins nothing by itself
        skip_autocommit_rollback=not writes,
        json_serializer=encode_json,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(timeout_s * 1000)}")
        cursor.execute("PRAGMA synchronous = FULL")  # a commit is on disk before it is acknowledged
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA secure_delete = ON")  # the words of deleted jobs are overwritten
        cursor.close()

    if writes:

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Connection) -> None:
            # Taking the write lock first makes writers wait for each other; a reader that turns writer
            # half-way fails at once instead (https://www.sqlite.org/lang_transaction.html).
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgresql_engine(url: URL, timeout_s: float, pool_size: int) -> AsyncEngine:
    limit_ms = str(int(timeout_s * 1000))
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_s,
        json_serializer=encode_json,
        connect_args={
            "timeout": timeout_s,
            "command_timeout": 2.0 * timeout_s,  # the server's own limits come first
            "server_settings": {
                "application_name": "i2v-router",
                "lock_timeout": limit_ms,
                "statement_timeout": limit_ms,
                # A process that was stopped inside a transaction must not hold its row locks for ever.
                "idle_in_transaction_session_timeout": limit_ms,
            },
        },
    )


def _sqlstate(exc: BaseException) -> str | None:
    state = getattr(exc, "sqlstate", None)
    return state if isinstance(state, str) else None


def _undone(exc: Exception) -> bool:
    if not isinstance(exc, DBAPIError):
        return False
    return exc.connection_invalidated or _sqlstate(exc.orig or exc) in _PG_TRY_AGAIN


def _unavailable(exc: Exception) -> bool:
    if not isinstance(exc, DBAPIError) or exc.connection_invalidated:
        return True
    cause = exc.orig or exc
    code = getattr(cause, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF in _SQLITE_UNAVAILABLE
    state = _sqlstate(cause)
    if state is None:
        return type(cause).__name__ == "InterfaceError"
    return state.startswith(_PG_UNAVAILABLE_CLASSES) or state in _PG_UNAVAILABLE or state in _PG_TRY_AGAIN
