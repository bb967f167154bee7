"""What tests of the dispatcher share: a real store, the real engine, and jobs as the Gateway makes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.catalog import Catalog
from models.gpus import load_gpus
from policies.base import Features, ImageFeatures, PromptFeatures
from policies.engine import Engine, idle_fleet
from router.dispatch import Dispatcher
from router.engine import ClipRequest, StoredImage, new_job, route_request
from router.fakes import ScriptedLauncher
from router.jobs.records import Job, JobStatus, PoolRecord
from router.jobs.sql import SqlJobStore
from router.media import MediaStore, photograph_key
from router.settings import Settings

CARDS = Path(__file__).resolve().parents[2] / "e2e" / "cards"
BOTH = ("fake-i2v", "fake-second-i2v")
FEATURES = Features(ImageFeatures(640, 480, "landscape"), PromptFeatures(words=4))


def record(name: str, model: str | None = None, **changes: Any) -> PoolRecord:
    row = PoolRecord(
        name=name, model=model or name, offer="local", gpu="cpu", gang_size=1,
        min_replicas=0, max_replicas=1, healthy=True, reason="",
    )  # fmt: skip
    return replace(row, **changes)


@dataclass
class Bench:
    """A store, an engine and what they need to be a dispatcher."""

    store: SqlJobStore
    media: MediaStore
    engine: Engine
    catalog: Catalog
    lease_s: float = 60.0

    def dispatcher(self, launcher: ScriptedLauncher, store: Any = None) -> Dispatcher:
        return Dispatcher(
            store=store or self.store,
            media=self.media,
            engine=self.engine,
            launcher=launcher,
            lease_s=self.lease_s,
        )

    async def submit(self, **clip: Any) -> str:
        """Commit a job as the Gateway does, its estimate made on an idle fleet."""
        model = clip.pop("model", "fake-i2v")
        due_s = clip.pop("due_s", 3600.0)
        ttl_s = clip.pop("ttl_s", 86_400.0)
        asked = ClipRequest(**{"prompt": "a quiet walk", "model": model, **clip})
        request = route_request(asked, FEATURES, has_last_image=False, tenant="default")
        estimate = self.engine.decide(request, idle_fleet(self.catalog, load_gpus()))
        assert estimate.chosen is not None
        new = new_job(
            asked, FEATURES, estimate,
            image=StoredImage(photograph_key("up1"), "sha"), last_image=None, tenant="default",
            settings=Settings(default_due_s=due_s, queue_ttl_s=ttl_s),
            idempotency_key=None, client_retry=0,
        )  # fmt: skip
        return (await self.store.create(new)).job.id

    async def job(self, job_id: str) -> Job:
        return await self.store.get(job_id)

    async def statuses(self, job_id: str) -> list[str]:
        return [attempt.status.value for attempt in await self.store.attempts(job_id)]


async def until(check: Callable[[], Any], dispatcher: Dispatcher | None = None, timeout_s: float = 20) -> Any:
    """Tick (or wait for a running loop) until `check` is truthy; it may be a coroutine function."""
    deadline = time.monotonic() + timeout_s
    while True:
        seen = check()
        if asyncio.iscoroutine(seen):
            seen = await seen
        if seen:
            return seen
        assert time.monotonic() < deadline, "waited in vain"
        if dispatcher is not None:
            await dispatcher.tick()
        await asyncio.sleep(0.01)


def is_now(bench: Bench, job_id: str, status: JobStatus) -> Callable[[], Any]:
    async def check() -> bool:
        return (await bench.job(job_id)).status is status

    return check


def calls(launcher: ScriptedLauncher) -> list[str]:
    return [call.job_id for call in launcher.calls]
