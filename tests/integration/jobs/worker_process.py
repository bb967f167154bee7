"""A worker without Ray, to be killed: takes jobs, beats, publishes a file named by its fence, completes."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from models.errors import Cancelled, StaleFence, StoreUnavailable
from router.jobs.records import Progress
from router.jobs.retry import Backoff
from router.jobs.sql import SqlJobStore

LEASE_S = 0.6
STEPS = 4


async def work(url: str, name: str, published: Path) -> None:
    store = SqlJobStore(url, backoff=Backoff(base_s=0.0), timeout_s=3.0)
    await store.open()
    print("ready", flush=True)
    dice = random.Random(name)
    while True:
        try:
            await one_job(store, name, published, dice)
        except (StaleFence, Cancelled):
            continue  # overtaken, as a worker that slept must be
        except StoreUnavailable:
            await asyncio.sleep(0.05)


async def one_job(store: SqlJobStore, name: str, published: Path, dice: random.Random) -> None:
    queued = await store.queued(limit=5)
    if not queued:
        await asyncio.sleep(0.05)
        return
    job = dice.choice(queued)
    attempt = await store.claim(
        job.id,
        pool="pool",
        model="parallax",
        offer="local",
        gpus=1,
        decision={},
        routing={},
        lease_s=LEASE_S,
    )
    if attempt is None:
        return
    await store.start(job.id, attempt.fence, name, LEASE_S)
    for step in range(1, STEPS + 1):
        await asyncio.sleep(dice.uniform(0.0, 0.05))
        await store.beat(job.id, attempt.fence, LEASE_S, Progress("denoising", step, STEPS))
    key = f"{job.id}.{attempt.fence}"
    (published / key).touch()
    await store.complete(
        job.id,
        attempt.fence,
        result={"media": {"video": {"key": key}}},
        usage={},
        gpu_seconds=0.1,
        retain_s=600.0,
        observation=None,
    )


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
