"""The database's clock as an SQL expression: one clock for all processes, whatever their own say."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class db_now(FunctionElement[float]):
    """Unix seconds now, as a float (microseconds on PostgreSQL, milliseconds on SQLite)."""

    type = Double()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(element: db_now, compiler: Any, **_: Any) -> str:
    # unixepoch('subsec') needs SQLite 3.42; the Julian day works everywhere and holds milliseconds
    # (2440587.5 is the Julian day of 1970-01-01T00:00Z, https://www.sqlite.org/lang_datefunc.html).
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _postgresql_now(element: db_now, compiler: Any, **_: Any) -> str:
    # clock_timestamp() moves inside a transaction, now() does not: a lease counts from when it is granted.
    return "(extract(epoch from clock_timestamp())::double precision)"
