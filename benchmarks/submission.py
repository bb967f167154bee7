"""What one submission adds to the provider's own answer: from prepared inputs to the committed ticket."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT
from deployments.args import ProviderArgs
from deployments.call_desk import Desk
from deployments.call_state import CallState
from deployments.call_submission import accepted_call
from deployments.call_task import call_task
from deployments.media_process import MediaProcess
from models.catalog import load_catalog
from models.providers.base import Account, Attachment, Prepared, Provider, Ticket
from models.providers.fake.server import FakeSettings, running
from models.providers.limits import AccountLimits, Turnstile
from models.providers.registry import spec
from router.binding import binding
from router.engine import ClipRequest, StoredImage, new_job, route_request
from router.jobs.records import Worker
from router.jobs.sql import SqlJobStore
from router.media import MediaStore, photograph_key
from router.settings import Settings

KEY = "benchmark-key"
MODEL, OFFER = "hailuo-2.3-fast", "replicate"


class Timed:
    """A provider, and the pixels' process, with the time that they themselves take."""

    def __init__(self, provider: Provider, pixels: MediaProcess) -> None:
        self._provider = provider
        self._pixels = pixels
        self.name, self.abilities = provider.name, provider.abilities
        self.away_s = 0.0
        self.inputs_at = 0.0
        """When the inputs had gone up."""

    async def _away(self, work: Callable[[], Awaitable[Any]]) -> Any:
        began = time.perf_counter()
        try:
            return await work()
        finally:
            self.away_s += time.perf_counter() - began

    def prepare(self, *given: Any) -> Prepared:
        self.inputs_at, self.away_s = time.perf_counter(), 0.0
        return self._provider.prepare(*given)

    async def upload(self, attachment: Attachment) -> str:
        return str(await self._away(lambda: self._provider.upload(attachment)))

    async def submit(self, prepared: Prepared) -> Ticket:
        ticket: Ticket = await self._away(lambda: self._provider.submit(prepared))
        return ticket

    async def close(self) -> None:
        await self._provider.close()

    async def photograph(self, *given: Any) -> None:
        await self._away(lambda: self._pixels.photograph(*given))


async def added_by_submission(count: int) -> list[float]:
    """Seconds between uploaded inputs and the committed ticket, less the POST, of `count` submissions."""
    from benchmarks.hosted import idle_engine, photograph_features

    engine, fleet = idle_engine()
    catalog, features = load_catalog(), photograph_features()
    added: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store = SqlJobStore(f"sqlite:///{home / 'jobs.db'}")
        await store.open()
        media, pixels = MediaStore((home / "media").as_uri()), MediaProcess()
        photograph = ROOT / "examples" / "photographs" / "portrait.jpg"
        media.put_bytes(photograph_key("bench"), photograph.read_bytes(), "image/jpeg")
        await store.register(Worker("w", "replicate", "", "", "hosted", 1, 1000, "n", "ready", {}))
        async with running(FakeSettings("replicate", key=KEY, latency_s=3600.0)) as fake:
            timed = Timed(spec("replicate").connect(Account("replicate", KEY, fake.url)), pixels)
            desk = Desk(
                args=ProviderArgs(provider="replicate"),
                store=store,
                media=media,
                provider=timed,  # type: ignore[arg-type]
                photographs=timed,  # type: ignore[arg-type]
                clips=pixels,
                scratch=home,
                lease_s=60.0,
                retain_s=60.0,
                turns=Turnstile(AccountLimits(ceiling=1000, submits_per_s=1e6, looks_per_s=1e6)),
                noted=lambda task, error: None,
            )
            for number in range(count):
                clip = ClipRequest(
                    prompt=f"walk {number}", model=MODEL, allow=(f"{MODEL}/{OFFER}",), seed=number
                )
                request = route_request(clip, features, has_last_image=False, tenant="default")
                decision = engine.policies.decide(request, fleet)
                image = StoredImage(photograph_key("bench"), "sha")
                new = new_job(
                    clip, features, decision, image=image, last_image=None, tenant="default",
                    settings=Settings(), idempotency_key=None, client_retry=0,
                )  # fmt: skip
                job = (await store.create(new)).job
                assert decision.chosen is not None
                attempt = await store.claim(
                    job.id, pool="replicate", model=MODEL, offer=OFFER, gpus=1,
                    decision=binding(job, decision, decision.chosen, rolled_back=False),
                    routing=job.routing, lease_s=60.0,
                )  # fmt: skip
                assert attempt is not None
                started = await store.start(job.id, attempt.fence, "w", 60.0)
                state = CallState(desk, call_task(started, attempt, catalog), home / job.id)
                await accepted_call(state)
                added.append(time.perf_counter() - timed.inputs_at - timed.away_s)
            await timed.close()
        await pixels.close()
        await store.close()
    return added
