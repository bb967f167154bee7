"""Does the Router grow? `python -m benchmarks.router_memory [--jobs 10000]`.

The dispatcher, the engine over the shipped cards and a real SQLite store in one process, with scripted
workers that complete every job at once (`router.fakes`). Jobs are created, decided, claimed and completed;
the process's memory is read after every tenth. Growth is counted from the first tenth on, when caches and
pools are filled; the peer is the same process's memory at that point.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
from PIL import Image

from benchmarks.report import ROOT, Report, Target, arguments
from models.catalog import load_catalog
from models.gpus import load_gpus
from models.types import Objective
from policies.base import Features
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles
from router.dispatch import Dispatcher
from router.engine import ClipRequest, RouteEngine, StoredImage, new_job, route_request
from router.fakes import FakePool, ScriptedLauncher
from router.features import read_features
from router.features.prompt import read_prompt
from router.jobs.records import NewJob, PoolRecord
from router.jobs.sql import SqlJobStore
from router.media import MediaStore
from router.settings import Settings

LIMIT = 1.02
"""Growth that is told from noise: 2 % of the process, about 3 MB."""
BATCH = 100
PHOTOGRAPH = ROOT / "examples" / "photographs" / "portrait.jpg"


def record(name: str, model: str) -> PoolRecord:
    """A pool of eight warm replicas."""
    return PoolRecord(
        name=name, model=model, offer="local", gpu="cpu", gang_size=1, min_replicas=8, max_replicas=8,
        healthy=True, reason="",
    )  # fmt: skip


def photograph_features() -> Features:
    """Of the bundled portrait, read once: reading photographs is the Gateway's work."""
    with Image.open(PHOTOGRAPH) as image:
        return read_features(image.convert("RGB"), "")


def next_job(engine: RouteEngine, photograph: Features, number: int) -> NewJob:
    """A submission; prompts and photograph shapes differ, so that memos cannot hide growth."""
    prompt = f"camera pans left, walk number {number}"
    shape = replace(photograph.image, width=256 + number % 97, height=256 + number % 89)
    features = Features(shape, read_prompt(prompt))
    clip = ClipRequest(prompt=prompt, model="parallax", objective=Objective.PREVIEW)
    request = route_request(clip, features, has_last_image=False, tenant="default")
    decision = engine.decide(request, idle_fleet(engine.catalog, engine.gpus))
    return new_job(
        clip, features, decision,
        image=StoredImage(f"photographs/{number}", f"{number:064x}"), last_image=None, tenant="default",
        settings=Settings(), idempotency_key=None, client_retry=0,
    )  # fmt: skip


async def measure(jobs: int, home: Path) -> list[tuple[int, float]]:
    """Jobs done and megabytes of resident memory after each tenth."""
    catalog, gpus = load_catalog(), load_gpus()
    engine = RouteEngine(Engine(catalog, gpus, load_profiles()), catalog, gpus)
    store = SqlJobStore(f"sqlite:///{home / 'jobs.db'}")
    await store.open()
    launcher = ScriptedLauncher(store, FakePool(record("parallax", "parallax"), ready=8))
    dispatcher = Dispatcher(
        store=store, media=MediaStore((home / "media").as_uri()), engine=engine.policies, launcher=launcher,
        lease_s=60.0,
    )  # fmt: skip
    photograph = photograph_features()
    seen: list[tuple[int, float]] = []
    made = 0
    while made < jobs:
        for _ in range(BATCH):
            await store.create(next_job(engine, photograph, made))
            made += 1
        while (await store.counts()).get("completed", 0) < made:
            await dispatcher.tick()
            await asyncio.sleep(0)
        launcher.calls.clear()
        if made % (jobs // 10) == 0:
            gc.collect()
            seen.append((made, psutil.Process().memory_info().rss / 2**20))
    await dispatcher.close()
    await store.close()
    return seen


def main() -> None:
    given = arguments(__doc__, jobs=(10_000, "jobs to run through the Router"))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="i2v-bench-") as folder:
        seen = asyncio.run(measure(given.jobs, Path(folder)))
    (first_jobs, first), (last_jobs, last) = seen[0], seen[-1]
    Report(
        name="router_memory",
        summary="Resident memory of the dispatcher's process over its jobs",
        figures={
            "rss_mib_by_jobs": {str(jobs): round(mib, 1) for jobs, mib in seen},
            "growth_mib": round(last - first, 2),
            "growth_kib_per_job": round((last - first) * 1024 / (last_jobs - first_jobs), 3),
            "seconds": round(time.perf_counter() - began, 1),
        },
        peer={"what": f"the same process after {first_jobs} jobs", "rss_mib": round(first, 1)},
        targets=[Target(f"memory after {last_jobs} jobs over {first_jobs}", last / first, "<=", LIMIT)],
        settings={"jobs": given.jobs},
    ).write()


if __name__ == "__main__":
    main()
