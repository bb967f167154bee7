"""What tests of the coordinator share: a store, media, and coordinators over scripted ranks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deployments.attempt import Terms
from deployments.clip_run import ClipTimes
from deployments.coordinator import Coordinator
from deployments.fake_gang import InTurn
from deployments.fakes import Scene, ScriptedRanks
from deployments.pace import Pace
from deployments.ranks import Ranks
from models.errors import StoreUnavailable
from models.types import ClipPlan, Fit, Framing, Geometry
from policies.gang import GangPolicy
from policies.render import plan_json
from router.jobs.records import Attempt, Job, NewJob, Worker
from router.jobs.sql import SqlJobStore
from router.media import MediaStore

QUICK = Pace(
    beat_s=0.02, worker_beat_s=0.05, stall_floor_s=0.3, stall_factor=3.0, outcome_s=5.0, retry_s=0.02
)


def times(attempt: Attempt) -> ClipTimes:
    """All of what was predicted is the steps', by the formula's own word."""
    seconds = float(attempt.decision["predicted"]["seconds"]) / float(attempt.decision.get("speed", 1.0))
    per_step = {degree: seconds / 4 / degree for degree in (1, 2, 4)}
    return ClipTimes(0.0, per_step, 0.0, 4, 1, seconds)


TERMS = Terms("fake-i2v", "local", "cpu", usd_per_gpu_s=0.001, lease_s=5.0, retain_s=3600.0, times=times)
SHAPE = Geometry(64, 64, 8, 8.0)
PLAN = plan_json(ClipPlan(effective=SHAPE, native=SHAPE, framing=Framing(Fit.EXACT, 1.0, 1.0)))
WORKER = Worker("w1", "fake", "fake-i2v", "local", "cpu", 1, 1, "here", "starting", {})


class Flaky:
    """A store whose calls named in `away` are refused as often as it says."""

    def __init__(self, store: SqlJobStore) -> None:
        self._store = store
        self.away: dict[str, int] = {}
        self.refused: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if self.away.get(name, 0) < 1:
            return real

        async def refuse(*_: object, **__: object) -> None:
            self.away[name] -= 1
            self.refused.append(name)
            raise StoreUnavailable("away, as scripted")

        return refuse


@dataclass
class Bench:
    """A store, media, and coordinators over them."""

    store: SqlJobStore
    flaky: Flaky
    media: MediaStore
    opened: list[Coordinator]
    scratch: Path

    async def coordinator(
        self, *scenes: Scene, pace: Pace = QUICK, failure: dict[str, Any] | None = None
    ) -> tuple[Coordinator, ScriptedRanks]:
        ranks = ScriptedRanks(self.media, *scenes)
        ranks.failure = failure
        coordinator = self.over(ranks, pace=pace)
        await coordinator.open()
        self.opened.append(coordinator)
        return coordinator, ranks

    def over(
        self,
        ranks: Ranks,
        *,
        pace: Pace = QUICK,
        policy: GangPolicy | None = None,
        terms: Terms = TERMS,
        slots: int = 1,
        worker: str = "w1",
    ) -> Coordinator:
        """A coordinator that is not open yet."""
        row = replace(WORKER, id=worker, gang_size=ranks.size, slots=slots)
        return Coordinator(
            row,
            store=self.flaky,
            media=self.media,
            ranks=ranks,
            policy=policy or InTurn(),
            terms=terms,
            scratch=self.scratch / worker,
            pace=pace,
        )

    async def claimed(
        self,
        seconds: float = 0.01,
        offer: str = "local",
        *,
        speed: float = 1.0,
        request: dict[str, Any] | None = None,
    ) -> tuple[str, int]:
        """A new job, claimed for this worker's pool."""
        made = await self.store.create(
            NewJob(
                tenant="t", model="fake-i2v", prompt="walk",
                request={"prompt": "walk", "seed": 1, "media": {"image": "photographs/p"}, **(request or {})},
                features={"image": {"faces": []}}, routing={}, priority=1, due_in_s=60, expires_in_s=600,
                fingerprint="f",
            )
        )  # fmt: skip
        return made.job.id, await self.claim(made.job.id, seconds, offer, speed)

    async def claim(
        self, job_id: str, seconds: float = 0.01, offer: str = "local", speed: float = 1.0
    ) -> int:
        attempt = await self.store.claim(
            job_id, pool="fake", model="fake-i2v", offer=offer, gpus=1,
            decision={
                "plan": PLAN, "camera": [], "predicted": {"seconds": seconds, "usd": 0.0}, "speed": speed,
            },
            routing={}, lease_s=5.0,
        )  # fmt: skip
        assert attempt is not None
        return attempt.fence

    async def job(self, job_id: str) -> Job:
        return await self.store.get(job_id)

    async def error(self, job_id: str) -> dict[str, Any]:
        attempt = (await self.store.attempts(job_id))[-1]
        assert attempt.error is not None
        return dict(attempt.error)

    async def state(self) -> str:
        workers = await self.store.workers()
        return workers[0].state if workers else "none"


async def until(check: Callable[[], Any], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        seen = check()
        if asyncio.iscoroutine(seen):
            seen = await seen
        if seen:
            return
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)
