"""Bring a database to the newest schema, once, however many processes open it at the same moment."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import ConfigError, StoreUnavailable
from router.jobs.schema import REVISION

_MIGRATIONS = Path(__file__).with_name("migrations")
_ADVISORY_LOCK = 0x69327672  # "i2vr" in ASCII: any number that nothing else in the database locks
_POLL_S = 0.02


@asynccontextmanager
async def file_lock(path: Path, timeout_s: float) -> AsyncIterator[None]:
    """Hold an exclusive lock on `path` (created when missing); the kernel frees it with the process.

    Raises:
        StoreUnavailable: another process held it longer than `timeout_s`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if asyncio.get_running_loop().time() >= deadline:
                    raise StoreUnavailable(f"{path} stayed locked by another process") from None
                await asyncio.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


async def use_wal(conn: AsyncConnection) -> None:
    """Switch a SQLite file to its write-ahead log.

    Raises:
        ConfigError: it stays in another mode, as on network file systems.
    """
    mode = (await conn.execute(text("PRAGMA journal_mode = WAL"))).scalar_one()
    if mode != "wal":
        raise ConfigError(
            f"SQLite cannot use its write-ahead log here (it stays in {mode!r}): "
            "the file must lie on a local disk",
            param="database_url",
        )


async def current_revision(conn: AsyncConnection) -> str | None:
    """The revision a database is at; None when it is new."""
    if not await conn.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return None
    revision = (await conn.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    return None if revision is None else str(revision)


async def upgrade(conn: AsyncConnection) -> None:
    """Migrate inside the caller's transaction, which is the lock on SQLite; PostgreSQL takes one here.

    Raises:
        ConfigError: the database was migrated by a newer version of the product.
    """
    if conn.dialect.name == "postgresql":
        await conn.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    revision = await current_revision(conn)
    if revision == REVISION:
        return
    if revision is not None and revision > REVISION:
        raise ConfigError(
            f"the database is at revision {revision}, this version knows {REVISION}: it was migrated by a "
            "newer version of the product",
            param="database_url",
        )
    await conn.run_sync(_run_alembic)


def _run_alembic(connection: Connection) -> None:
    # Alembic takes a fifth of a second to import: only a database that is behind needs it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
