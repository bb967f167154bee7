"""What tests of provider workers share: real store, engine and dispatcher over workers in this process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deployments.args import ProviderArgs
from deployments.call_desk import CallPace
from deployments.provider import provider_worker
from deployments.provider_worker import ProviderWorker
from models.catalog import Catalog, load_catalog
from models.gpus import load_gpus
from models.providers.registry import spec
from policies.base import Features, ImageFeatures, PromptFeatures
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles
from router.dispatch import Dispatcher
from router.engine import ClipRequest, StoredImage, new_job, route_request
from router.jobs.call_store import RemoteCall
from router.jobs.records import Job, PoolRecord
from router.jobs.retry import Backoff
from router.jobs.sql import SqlJobStore
from router.launching import Taken, WorkerLost
from router.media import MediaStore, photograph_key
from router.settings import Settings

KEY = "test-key-of-the-account"
PACE = CallPace(
    submit_s=4.0,
    settle_s=0.3,
    find_s=20.0,
    cancel_s=3.0,
    lost_s=0.5,
    retry_s=0.05,
    outcome_s=5.0,
    store_s=5.0,
    orphans_s=0.3,
    longest_look_s=0.1,
)
FEATURES = Features(ImageFeatures(1280, 720, "landscape"), PromptFeatures(words=6))


def photograph() -> bytes:
    ramp = np.linspace(0, 255, 1280, dtype=np.uint8)
    picture = np.repeat(np.repeat(ramp[None, :, None], 720, axis=0), 3, axis=2)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG")
    return file.getvalue()


class Workers:
    """A `router.launching.Launcher` over provider workers in this process, which can be killed."""

    def __init__(self) -> None:
        self.records: dict[str, PoolRecord] = {}
        self.workers: dict[str, ProviderWorker] = {}
        self.calls: dict[asyncio.Task[Taken], str] = {}

    async def pools(self) -> Sequence[PoolRecord]:
        return list(self.records.values())

    async def launch(self, pool: str, job_id: str, fence: int) -> Taken:
        worker = self.workers.get(pool)
        if worker is None:
            return Taken(taken=False, reason="no worker")
        call = asyncio.ensure_future(worker.take(job_id, fence))
        self.calls[call] = pool
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            if call.cancelled():
                raise WorkerLost("killed") from None
            raise
        finally:
            self.calls.pop(call, None)

    async def kill(self, pool: str) -> None:
        """As kill -9 would: nothing is finished, nothing is written."""
        worker = self.workers.pop(pool)
        tasks = [*worker._takes.values(), *worker._running, *worker._loops]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        desk = worker._desk
        if desk is not None:
            await desk.provider.close()
            await desk.photographs.close()
            await desk.clips.close()


@dataclass
class Providing:
    """A store, an engine, a dispatcher and workers."""

    home: Path
    store: SqlJobStore
    media: MediaStore
    catalog: Catalog
    engine: Engine
    settings: Settings
    launcher: Workers = field(default_factory=Workers)
    dispatcher: Dispatcher | None = None
    made: int = 0

    async def start_worker(
        self, pool: str, provider: str, url: str, *, key_env: str | None = "TEST_KEY", **args: Any
    ) -> ProviderWorker:
        self.made += 1
        given = ProviderArgs(provider=provider, url=url, key_env=key_env, **args)
        worker = provider_worker(
            given, self.settings, self.store, replica=f"{pool}-{self.made}", pool=pool, pace=PACE
        )
        self.launcher.records[pool] = PoolRecord(
            name=pool, model=given.model or "", offer=given.offer or "", gpu=given.gpu or "hosted",
            gang_size=given.gpus, min_replicas=1, max_replicas=1, healthy=True, reason="",
            backend=spec(provider).backend,
        )  # fmt: skip
        await worker.open()
        self.launcher.workers[pool] = worker
        return worker

    def start_dispatcher(self) -> None:
        self.dispatcher = Dispatcher(
            store=self.store, media=self.media, engine=self.engine, launcher=self.launcher,
            lease_s=self.settings.lease_s, catalog=self.catalog,
        )  # fmt: skip

    async def submit(self, model: str = "auto", features: Features = FEATURES, **clip: Any) -> str:
        """Commit a job as the Gateway does, its estimate made on an idle fleet."""
        asked = ClipRequest(**{"prompt": "the waves roll gently", "model": model, **clip})
        request = route_request(asked, features, has_last_image=False, tenant="default")
        estimate = self.engine.decide(request, idle_fleet(self.catalog, load_gpus()))
        assert estimate.chosen is not None, [row for row in estimate.rejected if row.model == model]
        new = new_job(
            asked, features, estimate,
            image=StoredImage(photograph_key("up1"), "sha"), last_image=None, tenant="default",
            settings=self.settings, idempotency_key=None, client_retry=0,
        )  # fmt: skip
        return (await self.store.create(new)).job.id

    async def until(self, check: Callable[[], Any], timeout_s: float = 30.0) -> Any:
        """Tick the dispatcher until `check` (sync or async) is truthy."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.dispatcher is not None:
                await self.dispatcher.tick()
            found = check()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            await asyncio.sleep(0.03)
        raise AssertionError("it did not come to pass")

    async def ended(self, job_id: str, timeout_s: float = 30.0) -> Job:
        """Tick until the job is over."""

        async def over() -> Job | None:
            job = await self.store.get(job_id)
            return job if job.status.final else None

        found: Job = await self.until(over, timeout_s)
        return found

    async def calls(self, job_id: str) -> Sequence[RemoteCall]:
        return await self.store.calls.of_job(job_id)


@cache
def shipped() -> tuple[Catalog, Engine]:
    """The shipped catalog and the engine over it: compiled once for all tests of a process."""
    catalog, gpus = load_catalog(), load_gpus()
    return catalog, Engine(catalog, gpus, load_profiles())


@asynccontextmanager
async def providing(home: Path, monkeypatch: Any, **settings: Any) -> AsyncIterator[Providing]:
    """Everything but the workers; closes those that are left."""
    monkeypatch.setenv("TEST_KEY", KEY)
    chosen = Settings(home=home, scratch=home / "scratch", lease_s=4.0, **settings)
    store = SqlJobStore(chosen.resolved_database_url, backoff=Backoff(base_s=0.05, cap_s=0.2))
    await store.open()
    media = MediaStore(chosen.resolved_media_url)
    media.put_bytes(photograph_key("up1"), photograph(), "image/jpeg")
    catalog, engine = shipped()
    monkeypatch.setattr("deployments.provider.catalog", lambda settings: catalog)
    bench = Providing(home, store, media, catalog, engine, chosen)
    bench.start_dispatcher()
    try:
        yield bench
    finally:
        if bench.dispatcher is not None:
            await bench.dispatcher.close()
        for worker in bench.launcher.workers.values():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker.close(), 10)
        await store.close()
