"""A database of the version before is brought up without losing anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

import router.jobs

MIGRATIONS = Path(router.jobs.__file__).with_name("migrations")
ROUTING = {
    "chosen": {"model": "alpha", "offer": "local", "predicted": {"seconds": 12.5, "gpu_seconds": 25.0}}
}


def _at_0001(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")
    job = {
        "tenant": "acme", "model": "auto", "prompt": "x", "request": "{}", "features": "{}",
        "routing": json.dumps(ROUTING), "priority": 1, "created_at": 1.0, "due_at": 9e9, "expires_at": 9e9,
        "fence": 1, "attempts": 1, "max_attempts": 5, "progress": 0, "cancel_requested": False,
        "not_before": 0.0, "excluded": "[]", "fingerprint": "f", "last_event": 0,
    }  # fmt: skip
    for changes in (
        {"id": "vid_waits", "status": "queued", "idempotency_key": "a"},
        {"id": "vid_done", "status": "completed", "progress": 100, "idempotency_key": "b"},
    ):
        row = job | changes
        names = ", ".join(row)
        connection.execute(
            text(f"INSERT INTO jobs ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row
        )
    connection.execute(
        text(
            "INSERT INTO attempts (job_id, fence, status, pool, model, offer, gpus, decision, dispatched_at) "
            "VALUES ('vid_done', 1, 'completed', 'p', 'alpha', 'local', 1, '{}', 1.0)"
        )
    )
    connection.execute(
        text(
            "INSERT INTO pools (name, model, offer, gpu, gang_size, min_replicas, max_replicas, healthy, "
            "reason, updated_at) VALUES ('p', 'alpha', 'local', 'cpu', 1, 0, 1, TRUE, '', 1.0)"
        )
    )
    connection.execute(text("INSERT INTO feedback VALUES ('vid_done', 'acme', -1, 'too fast', 2.0)"))


@pytest.fixture
async def of_before(database_url: str) -> str:
    """A database at the first revision with a waiting job, a completed one and its thumb."""
    url = database_url.replace("sqlite:", "sqlite+aiosqlite:").replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(url)
    async with engine.begin() as conn:
        await conn.run_sync(_at_0001)
    await engine.dispose()
    return url


async def test_estimates_become_columns_and_thumbs_stay(of_before, make_store):
    store = make_store()
    await store.open()
    try:
        (waits,) = await store.backlog()
        assert (waits.id, waits.model, waits.seconds, waits.gpu_seconds) == ("vid_waits", "alpha", 12.5, 25.0)
        assert (await store.learned()).beliefs == {}, "which cell they were for is not known"
        (job,) = await store.queued()
        assert (job.id, job.open_call, job.spent_usd, job.ceiling_usd) == ("vid_waits", None, 0.0, None)
        assert await store.calls.of_job("vid_waits") == ()
        assert [(pool.name, pool.backend) for pool in await store.pools()] == [("p", "local")]
    finally:
        await store.close()
    engine = create_async_engine(of_before)
    async with engine.connect() as conn:
        (row,) = (await conn.execute(text("SELECT * FROM feedback"))).all()
    await engine.dispose()
    assert (row.job_id, row.rating, row.comment, row.model, row.use_case) == (
        "vid_done", -1, "too fast", "alpha", None,
    )  # fmt: skip
