"""Jobs accepted per second, against what the database itself can commit: `python -m benchmarks.jobstore`.

The peer is the bare driver inserting one row of the same size per transaction, with the same durability
(SQLite: WAL, synchronous=FULL; PostgreSQL: defaults, fsync on). Peer and store take turns in every round.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg

from benchmarks.report import Report, Target, arguments
from router.jobs.encoding import encode_json
from router.jobs.records import NewJob
from router.jobs.sql import SqlJobStore
from tests.conftest import running_postgres

CONNECTIONS = 4
CREATE = "CREATE TABLE bare (id TEXT PRIMARY KEY, body TEXT NOT NULL)"
INSERT = "INSERT INTO bare (id, body) VALUES ({}, {})"


def a_job(number: int) -> NewJob:
    chosen = {
        "model": "parallax",
        "offer": "local",
        "geometry": {"width": 768, "height": 512, "num_frames": 72},
    }
    candidates = [{**chosen, "scores": {"quality": {"value": 0.5, "weight": 1.0, "reason": "prior"}}}] * 6
    return NewJob(
        tenant="bench",
        model="auto",
        prompt="a slow push in on the lighthouse while waves roll under it",
        request={"size": "768x512", "seconds": 3, "media": {"image": {"key": f"in/{number}.png"}}},
        features={"width": 768, "height": 512, "subject": "landscape", "confidence": 0.7},
        routing={"profile": "balanced", "chosen": chosen, "candidates": candidates, "rejected": []},
        priority=1,
        due_in_s=600.0,
        expires_in_s=3600.0,
        fingerprint=f"{number:064x}",
        idempotency_key=f"key-{number}",
    )


def a_body() -> str:
    job = a_job(0)
    fields = (job.prompt, job.request, job.features, job.routing, job.fingerprint, job.idempotency_key)
    return encode_json(fields)


async def rate(count: int, at_once: int, one: Callable[[int], Awaitable[object]]) -> float:
    """Calls per second, `at_once` in flight."""
    numbers = iter(range(count))

    async def lane() -> None:
        for number in numbers:
            await one(number)

    begin = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(at_once)))
    return count / (time.perf_counter() - begin)


def bare_sqlite(path: Path, count: int, offset: int) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(CREATE.replace("TABLE", "TABLE IF NOT EXISTS"))
    body = a_body()
    begin = time.perf_counter()
    for number in range(offset, offset + count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT.format("?", "?"), (str(number), body))
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begin
    connection.close()
    return count / seconds


async def bare_postgres(pool: asyncpg.Pool, count: int, offset: int, at_once: int) -> float:
    body = a_body()

    async def one(number: int) -> None:
        async with pool.acquire() as connection:
            await connection.execute(INSERT.format("$1", "$2"), str(offset + number), body)

    return await rate(count, at_once, one)


async def created(store: SqlJobStore, count: int, offset: int, at_once: int) -> float:
    return await rate(count, at_once, lambda number: store.create(a_job(offset + number)))


def summary(peer: list[float], ours: list[float]) -> dict[str, float]:
    ratios = [mine / theirs for mine, theirs in zip(ours, peer, strict=True)]
    return {
        "bare_commits_per_s": round(statistics.median(peer), 1),
        "creates_per_s": round(statistics.median(ours), 1),
        "ratio": round(statistics.median(ratios), 3),
    }


async def on_sqlite(rounds: int, count: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="i2v-bench-") as folder:
        store = SqlJobStore(f"sqlite:///{folder}/jobs.db")
        await store.open()
        peer: list[float] = []
        ours: dict[int, list[float]] = {1: [], 16: []}
        try:
            for turn in range(rounds):
                peer.append(bare_sqlite(Path(folder) / "bare.db", count, turn * count))
                for lane, (at_once, rates) in enumerate(ours.items()):
                    rates.append(await created(store, count, (2 * turn + lane) * count, at_once))
        finally:
            await store.close()
    return {f"{at_once}_at_once": summary(peer, rates) for at_once, rates in ours.items()}


async def on_postgres(rounds: int, count: int) -> dict[str, dict[str, float]]:
    with running_postgres() as server:
        url = server.empty_database()
        store = SqlJobStore(url, pool_size=CONNECTIONS)
        await store.open()
        pool = await asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS)
        peer: dict[int, list[float]] = {1: [], 16: []}
        ours: dict[int, list[float]] = {1: [], 16: []}
        try:
            await pool.execute(CREATE)
            for turn in range(rounds):
                for lane, at_once in enumerate(ours):
                    offset = (2 * turn + lane) * count
                    peer[at_once].append(await bare_postgres(pool, count, offset, at_once))
                    ours[at_once].append(await created(store, count, offset, at_once))
        finally:
            await pool.close()
            await store.close()
    return {f"{at_once}_at_once": summary(peer[at_once], ours[at_once]) for at_once in ours}


def main() -> None:
    given = arguments(__doc__, rounds=(5, "rounds of peer and store"), count=(300, "jobs a round"))
    figures = {
        "sqlite": asyncio.run(on_sqlite(given.rounds, given.count)),
        "postgresql": asyncio.run(on_postgres(given.rounds, given.count)),
    }
    told = []
    for database, lanes in figures.items():
        for lane, row in lanes.items():
            where = f"{database}, {lane.replace('_', ' ')}"
            told.append(Target(f"jobs created, {where}", row["creates_per_s"], unit="/s"))
            told.append(Target(f"of bare commits, {where}", row["ratio"]))
    Report(
        name="jobstore",
        summary="jobs created per second beside what the database commits by itself",
        figures=figures,
        peer={
            "what": "the bare driver inserting one row of the same size a transaction, equally durable",
            "row_bytes": len(a_body()),
        },
        targets=told,
        settings={"rounds": given.rounds, "count": given.count, "connections": CONNECTIONS},
    ).write()


if __name__ == "__main__":
    main()
