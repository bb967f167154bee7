"""Schema, locks, lost connections and other people's nodes."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

import router.jobs
from models.errors import ConfigError, StoreUnavailable
from router.jobs.database import Database
from router.jobs.records import Progress
from router.jobs.schema import REVISION, metadata
from router.jobs.sql import SqlJobStore

MIGRATIONS = Path(router.jobs.__file__).with_name("migrations")


def test_the_newest_migration_is_the_one_that_opens_without_a_look():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "target_metadata": metadata})
    return compare_metadata(context, metadata)


async def test_a_migrated_database_has_exactly_the_schema(store, database_url):
    engine = create_async_engine(
        database_url.replace("sqlite:", "sqlite+aiosqlite:").replace("postgresql:", "postgresql+asyncpg:")
    )
    try:
        async with engine.connect() as conn:
            assert await conn.run_sync(_differences) == []
            indexes = await conn.run_sync(lambda sync: inspect(sync).get_indexes("jobs"))
            conditions = {
                index["name"]: index["dialect_options"].get(f"{sync_name(database_url)}_where")
                for index in indexes
                if index["dialect_options"]
            }
        assert {"ix_jobs_queue", "ix_jobs_lease", "ix_jobs_listing"} <= set(conditions)
    finally:
        await engine.dispose()


def sync_name(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "postgresql"


async def test_migrated_and_created_sqlite_tables_are_word_for_word_equal(tmp_path):
    store = SqlJobStore(f"sqlite:///{tmp_path / 'migrated.db'}")
    await store.open()
    await store.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    metadata.create_all(engine)
    engine.dispose()
    migrated, created = _ddl(tmp_path / "migrated.db"), _ddl(tmp_path / "created.db")
    del migrated["alembic_version"]
    assert migrated == created


def _ddl(path: Path) -> dict[str, list[str]]:
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    finally:
        connection.close()
    # Constraints may come in another order, and columns that were added later stand behind them in one line;
    # each part is a column, a constraint or a whole index.
    return {
        name: sorted(part for line in re.split(r"\n|, (?=\w+ [A-Z])", sql) if (part := _plain(line)))
        for name, sql in rows
    }


def _plain(line: str) -> str:
    text = re.sub(r"\s+", " ", line).strip(" ,")
    return text.removesuffix(")") if text.count(")") > text.count("(") else text


async def test_many_processes_may_open_a_new_database_at_once(make_store):
    stores = [make_store() for _ in range(6)]
    try:
        await asyncio.gather(*(store.open() for store in stores))
        await asyncio.gather(*(store.ping() for store in stores))
    finally:
        await asyncio.gather(*(store.close() for store in stores))


async def test_a_database_of_a_newer_version_is_left_alone(store, make_store, database_url):
    db = Database(database_url, timeout_s=5.0, pool_size=1)
    db.connect()
    await db.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    await db.close()
    with pytest.raises(ConfigError, match="newer version"):
        await make_store().open()


async def test_the_queue_and_the_reaper_use_their_indexes(tmp_path):
    store = SqlJobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    await store.open()
    await store.close()
    connection = sqlite3.connect(tmp_path / "jobs.db")
    seen: list[str] = []
    try:
        for query in (
            "SELECT * FROM jobs WHERE status = 'queued' AND lease_until IS NULL AND not_before <= 1 "
            "ORDER BY priority DESC, due_at, created_at, id LIMIT 5",
            "SELECT * FROM jobs WHERE lease_until <= 1 ORDER BY lease_until",
            "SELECT * FROM jobs WHERE tenant = 'a' AND deleted_at IS NULL ORDER BY created_at DESC, id DESC",
        ):
            plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
            assert "TEMP B-TREE" not in plan
            seen += re.findall(r"INDEX (\w+)", plan)
    finally:
        connection.close()
    assert seen == ["ix_jobs_queue", "ix_jobs_lease", "ix_jobs_listing"]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://h/d", "not a url"])
def test_urls_that_cannot_hold_jobs_are_refused(url):
    with pytest.raises(ConfigError) as caught:
        SqlJobStore(url)
    assert caught.value.param == "database_url"


# --- unavailable -------------------------------------------------------------------------------------


async def test_a_locked_sqlite_is_unavailable_and_loses_nothing(tmp_path, make_new_job):
    path = tmp_path / "jobs.db"
    store = SqlJobStore(f"sqlite:///{path}", timeout_s=0.2)
    await store.open()
    other = sqlite3.connect(path, isolation_level=None)
    try:
        kept = (await store.create(make_new_job())).job
        other.execute("BEGIN IMMEDIATE")
        tries = [store.create(make_new_job()), store.cancel(kept.id), store.ping(), store.reap()]
        refused = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(each) for each in refused] == [StoreUnavailable] * 4
        assert await store.get(kept.id) == kept  # readers go on
        other.execute("ROLLBACK")
        assert not (await store.create(make_new_job())).replayed
        assert len((await store.list("acme")).jobs) == 2
    finally:
        other.close()
        await store.close()


@pytest.mark.postgres
async def test_a_locked_postgres_row_is_unavailable_and_loses_nothing(postgres, make_new_job):
    url = postgres.empty_database()
    store = SqlJobStore(url, timeout_s=0.3)
    other = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
    await store.open()
    try:
        job = (await store.create(make_new_job())).job
        async with other.begin() as conn:
            await conn.execute(text("SELECT id FROM jobs FOR UPDATE"))
            with pytest.raises(StoreUnavailable):
                await store.cancel(job.id)
            assert (await store.reap()).requeued == ()  # skips what another holds
        assert (await store.cancel(job.id)).status == "cancelled"
    finally:
        await other.dispose()
        await store.close()


@pytest.mark.postgres
async def test_a_lost_postgres_is_unavailable_until_it_is_back(postgres, make_new_job):
    store = SqlJobStore(postgres.empty_database(), timeout_s=2.0)
    await store.open()
    try:
        job = (await store.create(make_new_job())).job
        await asyncio.to_thread(postgres.stop)
        for call in (store.get(job.id), store.create(make_new_job()), store.ping()):
            with pytest.raises(StoreUnavailable):
                await call
        await asyncio.to_thread(postgres.start)
        assert await store.get(job.id) == job
        assert not (await store.create(make_new_job())).replayed
    finally:
        await store.close()


@pytest.mark.postgres
async def test_a_connection_cut_while_idle_is_not_even_noticed(postgres, make_new_job):
    url = postgres.empty_database()
    store = SqlJobStore(url)
    await store.open()
    try:
        job = (await store.create(make_new_job())).job
        await asyncio.to_thread(
            postgres.run, "psql", "-X", "-q", "-d", url, "-c",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'i2v-router'",
        )  # fmt: skip
        assert (await store.cancel(job.id)).status == "cancelled"
    finally:
        await store.close()


@pytest.mark.postgres
async def test_a_server_that_is_not_there_is_unavailable(postgres):
    store = SqlJobStore("postgresql://postgres@127.0.0.1:1/none", timeout_s=1.0)
    with pytest.raises(StoreUnavailable) as caught:
        await store.open()
    assert "127.0.0.1:1" in str(caught.value)


async def test_a_closed_store_is_unavailable(store):
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.counts()


async def test_a_place_that_cannot_be_written_is_unavailable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        await SqlJobStore(f"sqlite:///{tmp_path}/file/jobs.db").open()
    (tmp_path / "text.db").write_text(
        "this is no database, but long enough to be taken for a damaged one" * 9
    )
    with pytest.raises(StoreUnavailable):
        await SqlJobStore(f"sqlite:///{tmp_path}/text.db").open()


async def test_calls_that_are_cut_off_leave_no_lock_behind(database_url, make_steps):
    store = SqlJobStore(database_url, timeout_s=1.0)
    await store.open()
    try:
        steps = make_steps(store)
        job = await steps.create()
        run = await steps.run(job.id)
        dice = random.Random(7)
        for step in range(40):
            call = asyncio.create_task(store.beat(job.id, run.fence, 30.0, Progress("denoising", step, 60)))
            await asyncio.sleep(dice.uniform(0.0, 0.006))
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await store.beat(job.id, run.fence, 30.0)  # StoreUnavailable if the other still held the lock
        assert set((await steps.types(job.id))[3:]) == {"progress"}
    finally:
        await store.close()


# --- one node on SQLite ------------------------------------------------------------------------------


async def test_sqlite_turns_a_second_node_away_until_the_first_is_gone(tmp_path):
    path = tmp_path / "jobs.db"
    url = f"sqlite:///{path}"
    first, twin, second = (SqlJobStore(url, host=host) for host in ("node-a", "node-a", "node-b"))
    await first.open()
    await twin.open()
    with pytest.raises(ConfigError, match=r"'node-a'.*'node-b'.*PostgreSQL"):
        await second.open()
    _age_marker(path)
    await second.open()
    try:
        for call in (first.reap(), first.ping(), twin.worker_beat("w", "ready", {})):
            with pytest.raises(ConfigError):
                await call
    finally:
        for store in (first, twin, second):
            await store.close()


async def test_a_node_that_lives_keeps_its_mark_fresh(tmp_path):
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    first, second = SqlJobStore(url, host="node-a"), SqlJobStore(url, host="node-b")
    await first.open()
    try:
        _age_marker(tmp_path / "jobs.db")
        await first.reap()
        with pytest.raises(ConfigError):
            await second.open()
    finally:
        await first.close()


def _age_marker(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET at = at - 3600 WHERE key = 'node'")
    connection.commit()
    connection.close()
