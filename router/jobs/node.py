"""SQLite is for one node: a marker row names the node that uses the file, and another is turned away."""

from __future__ import annotations

from sqlalchemy import literal, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import ConfigError
from router.jobs.clock import db_now
from router.jobs.schema import meta

_KEY = "node"
FRESH_S = 30.0
"""A marker older than this belongs to a node that is gone (three times its renewal)."""
_RENEW_S = 10.0


async def hold(conn: AsyncConnection, node: str) -> None:
    """Claim the database for `node`, or renew the claim when it has aged.

    Raises:
        ConfigError: another node uses this SQLite file now.
    """
    marker = (
        await conn.execute(
            select(meta.c.value, (db_now() - meta.c.at).label("age")).where(meta.c.key == _KEY)
        )
    ).one_or_none()
    if marker is not None and marker.value != node and marker.age < FRESH_S:
        raise ConfigError(
            f"this SQLite database is in use on node {marker.value!r} (seen {marker.age:.0f} s ago), and "
            f"this is node {node!r}: SQLite serves one node; use PostgreSQL for several",
            param="database_url",
            allowed="postgresql://…",
        )
    if marker is None or marker.value != node or marker.age > _RENEW_S:
        row = insert(meta).values(key=_KEY, value=node, at=db_now())
        await conn.execute(
            row.on_conflict_do_update(
                index_elements=[meta.c.key], set_={"value": literal(node), "at": db_now()}
            )
        )
