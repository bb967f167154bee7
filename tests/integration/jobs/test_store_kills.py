"""Real processes, killed with SIGKILL and stopped with SIGSTOP wherever they happen to be."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from models.errors import StoreUnavailable
from router.jobs.records import AttemptStatus, JobStatus

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
JOBS = 16
WORKERS = 3
BLOWS = 9
SEED = 20_261_121
PATIENCE_S = 120.0  # ends a hang with a message; a healthy run takes a tenth

Spawn = Callable[..., Awaitable[Process]]


@pytest.fixture
async def spawn() -> AsyncIterator[Spawn]:
    """Start one of this folder's scripts; whatever still runs at the end is killed."""
    started: list[Process] = []

    async def start(script: str, *args: str) -> Process:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / script), *args, stdout=PIPE, env={**os.environ, "PYTHONPATH": path}
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()  # works on a stopped process too
        await process.communicate()


async def test_every_job_completes_exactly_once_however_workers_die(
    store, steps, spawn, database_url, tmp_path
):
    dice = random.Random(SEED)
    published = tmp_path / "published"
    published.mkdir()
    ids = [(await steps.create(max_attempts=1000)).id for _ in range(JOBS)]
    names = iter(f"worker-{n}" for n in range(1000))

    crew: dict[str, Process] = {}

    async def hire() -> None:
        name = next(names)
        process = await spawn("worker_process.py", database_url, name, str(published))
        assert await process.stdout.readline() == b"ready\n"
        crew[name] = process

    async def reap() -> None:
        while True:
            # A stopped process may hold SQLite's only write lock for as long as it is stopped.
            try:
                await store.reap()
            except StoreUnavailable:
                continue
            await asyncio.sleep(0.05)

    async def at_work() -> list[str]:
        """Workers with an attempt in hand; a blow that hits an idle one proves nothing."""
        while (await store.counts())["completed"] < JOBS:
            try:
                found = sorted({str(each.worker) for each in await store.running()} & set(crew))
            except StoreUnavailable:
                continue
            if found:
                return found
            await asyncio.sleep(0.01)
        return []

    async def torment() -> None:
        for blow in range(BLOWS):
            await asyncio.sleep(dice.uniform(0.05, 0.4))
            busy = await at_work()
            if not busy:
                return
            name = dice.choice(busy)
            if blow % 3 == 2:
                crew[name].send_signal(signal.SIGSTOP)
                await asyncio.sleep(1.0)  # longer than the lease: it wakes as a zombie
                crew[name].send_signal(signal.SIGCONT)
            else:
                victim = crew.pop(name)
                victim.kill()
                await victim.wait()
                await hire()

    async def all_done() -> None:
        while (await store.counts())["completed"] < JOBS:  # noqa: ASYNC110 (other processes change it)
            await asyncio.sleep(0.1)

    reaper = asyncio.create_task(reap())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(hire() for _ in range(WORKERS)))
            await torment()
            await all_done()
    finally:
        reaper.cancel()
        await asyncio.gather(reaper, return_exceptions=True)

    lost = 0
    for job_id in ids:
        job = await store.get(job_id)
        attempts = await store.attempts(job_id)
        assert [each.fence for each in attempts] == list(range(1, job.fence + 1))
        completed = [each for each in attempts if each.status is AttemptStatus.COMPLETED]
        assert len(completed) == 1
        assert job.status is JobStatus.COMPLETED
        assert job.result["media"]["video"]["key"] == f"{job_id}.{completed[0].fence}"
        assert (published / f"{job_id}.{completed[0].fence}").exists()
        types = await steps.types(job_id)
        assert types.count("completed") == 1
        assert types[-1] == "completed"
        lost += sum(each.status is AttemptStatus.LOST for each in attempts)
        await _progress_rises_within_each_attempt(store, job_id)
    assert lost > 0, "no attempt was interrupted: the test proved nothing"


async def _progress_rises_within_each_attempt(store, job_id):
    bars: dict[int, list[int]] = {}
    for event in await store.events(job_id):
        if event.type == "progress":
            bars.setdefault(event.data["fence"], []).append(event.data["progress"])
    for shown in bars.values():
        assert shown == sorted(shown)


async def test_a_job_committed_before_its_reply_was_sent_is_found_by_its_key(
    store, spawn, database_url, keyed_job
):
    process = await spawn("client_process.py", database_url, "3")
    out, _ = await process.communicate()
    assert process.returncode == -signal.SIGKILL
    replies = [line.split()[1].decode() for line in out.splitlines()]
    assert len(replies) == 3
    assert len((await store.list("acme")).jobs) == 4
    again = await store.create(keyed_job(3))
    assert again.replayed
    assert again.job.id not in replies


async def test_processes_that_open_a_new_database_at_once_all_get_in(spawn, database_url):
    gateways = await asyncio.gather(*(spawn("client_process.py", database_url, "never") for _ in range(5)))
    first = [await gateway.stdout.readline() for gateway in gateways]
    assert first[0].startswith(b"0 vid_")
    assert len(set(first)) == 1  # the same key, so the same job, whoever made it


async def test_creates_killed_anywhere_lose_and_double_nothing(store, spawn, database_url, keyed_job):
    dice = random.Random(SEED)
    process = await spawn("client_process.py", database_url, "never")
    replies = [await process.stdout.readline() for _ in range(5)]
    await asyncio.sleep(dice.uniform(0.0, 0.3))
    process.kill()
    rest, _ = await process.communicate()
    lines = b"".join([*replies, rest]).split(b"\n")[:-1]
    acknowledged = dict(line.decode().split() for line in lines)
    again = {str(n): await store.create(keyed_job(n)) for n in range(len(acknowledged) + 2)}
    for number, job_id in acknowledged.items():
        assert again[number].replayed
        assert again[number].job.id == job_id
    assert not again[str(len(acknowledged) + 1)].replayed
    assert len((await store.list("acme", limit=1000)).jobs) == len(again)
    for created in again.values():
        assert [event.type for event in await store.events(created.job.id)] == ["queued"]
