"""A model replica: the coordinator of a gang. It takes a job under a fence and writes what came of it.

The coordinator guards its GPUs itself (Serve frees a request slot when a caller goes away, the GPU is busy
all the same), beats for its attempt, sees the cancel flag, and rebuilds its ranks inside its own placement
group when one is lost. It answers its caller only whether it took the job: every result goes to the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import time
from collections.abc import AsyncIterator
from typing import Any

from ray import serve

from deployments.args import ModelArgs
from deployments.gang import Gang
from deployments.rank import ClipTask, Event
from deployments.wiring import job_store, media_store
from models.errors import Disposition, I2VError, RankLost, StaleFence, Stalled, StoreUnavailable
from models.gpus import load_gpus
from router.jobs.records import Attempt, Job, Observation, Progress, Worker
from router.settings import Settings

log = logging.getLogger("i2v.model")

BEAT_EVERY_S = 0.5
"""Progress and cancel flag twice a second: a cancel is seen within one step or half a second."""
WORKER_BEAT_EVERY_S = 2.0
STALL_FLOOR_S = 120.0
"""No watchdog is faster than this: first steps compile kernels and load codecs."""
STALL_FACTOR = 3.0
"""Silence longer than three predicted runs of the whole clip is a stall (self-hosted runs vary by 5 %)."""


class ModelReplica:
    """Serve deployment class; `Model` in `deployments.app` binds it."""

    async def __init__(self, args: dict[str, Any]) -> None:  # type: ignore[misc]
        self._args = ModelArgs.model_validate(args)
        self._settings = Settings()
        self._store = job_store(self._settings)
        self._media = media_store(self._settings)
        self._price_per_s = load_gpus()[self._args.gpu].usd_per_hour / 3600
        self._busy = asyncio.Lock()
        self._state = "starting"
        self._broken_because = ""
        context = serve.get_replica_context()
        self._pool = context.app_name
        self._id = context.replica_id.unique_id
        await self._store.open()
        self._gang = Gang(self._args)
        await self._gang.spawn()
        self._state = "ready" if self._gang.failure is None else "broken"
        await self._register()
        self._beating = asyncio.create_task(self._beat_for_ever())

    async def _register(self) -> None:
        args = self._args
        await self._store.register(
            Worker(
                id=self._id,
                pool=self._pool,
                model=args.model,
                offer=args.offer,
                gpu=args.gpu,
                gang_size=args.gang_size,
                slots=1,
                node=platform.node(),
                state=self._state,
                detail=self._detail(),
            )
        )

    def _detail(self) -> dict[str, Any]:
        failure = self._gang.failure
        return {
            "pid": os.getpid(),
            **self._gang.facts,
            "reason": self._broken_because or (failure["message"] if failure else ""),
        }

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(WORKER_BEAT_EVERY_S)
            try:
                if not await self._store.worker_beat(self._id, self._state, self._detail()):
                    await self._register()
            except StoreUnavailable as error:
                log.warning("worker heartbeat missed: %s", error)

    # --- Serve ------------------------------------------------------------------------------------

    async def check_health(self) -> None:
        """Serve's health check: fails when the ranks are lost and could not be rebuilt."""
        if self._state == "lost":
            raise RankLost(self._broken_because)

    async def run(self, job_id: str, fence: int) -> dict[str, Any]:
        """Take a job and see it through. Returns `{"taken": bool, "reason": str}`.

        The work is shielded: a caller that dies or goes away does not stop it.
        """
        task = asyncio.create_task(self._take(job_id, fence))
        return await asyncio.shield(task)

    async def _take(self, job_id: str, fence: int) -> dict[str, Any]:
        async with self._busy:
            if self._state == "lost":
                return {"taken": False, "reason": self._broken_because}
            try:
                job = await self._store.start(job_id, fence, self._id, self._settings.lease_s)
                attempt = (await self._store.attempts(job_id))[-1]
            except StaleFence:
                return {"taken": False, "reason": "a later attempt exists"}
            if self._gang.failure is not None:
                await self._give_up(attempt, self._gang.failure, 0.0)
                return {"taken": True, "reason": self._gang.failure["code"]}
            await self._run(job, attempt)
            return {"taken": True, "reason": ""}

    # --- one clip ---------------------------------------------------------------------------------

    async def _run(self, job: Job, attempt: Attempt) -> None:
        began = time.monotonic()
        task = _task(job, attempt)
        try:
            last = await self._follow(task, attempt)
        except StaleFence:
            log.info("attempt %s of %s is overtaken; its work is dropped", attempt.fence, job.id)
            return
        except (RankLost, Stalled) as error:
            await self._give_up(attempt, _error_json(error), time.monotonic() - began)
            await self._rebuild(str(error))
            return
        seconds = time.monotonic() - began
        if last["type"] == "error":
            await self._give_up(attempt, last["error"], seconds)
            if last["error"]["code"] == "out_of_memory":
                await self._rebuild("out of memory: the ranks are recycled")
            return
        await self._publish(job, attempt, last, seconds)

    async def _follow(self, task: ClipTask, attempt: Attempt) -> Event:
        """Pass the rank's events on to the store until its last word, which is returned.

        Raises:
            StaleFence: a later attempt exists; the rank was stopped and is free again.
            RankLost: the rank died.
            Stalled: the rank said nothing for too long.
        """
        predicted = float(attempt.decision["predicted"]["seconds"])
        patience = max(STALL_FLOOR_S, STALL_FACTOR * predicted)
        began = heard = time.monotonic()
        beaten = 0.0
        progress: Progress | None = None
        stopping: StaleFence | bool = False
        events = self._gang.generate(task)
        pending = asyncio.ensure_future(_next(events))
        try:
            while True:
                await asyncio.wait({pending}, timeout=BEAT_EVERY_S)
                now = time.monotonic()
                if pending.done():
                    event = pending.result()
                    if event is None:
                        raise RankLost("the rank's stream ended without an outcome")
                    if event["type"] != "progress":
                        if isinstance(stopping, StaleFence):
                            raise stopping
                        return event
                    heard = now
                    progress = _progress(event, predicted, now - began)
                    pending = asyncio.ensure_future(_next(events))
                if now - heard > patience:
                    raise Stalled(
                        f"silent for {now - heard:.0f} s; the clip was predicted at {predicted:.0f} s"
                    )
                if not stopping and now - beaten >= BEAT_EVERY_S:
                    beaten = now
                    stopping = await self._beat(attempt, progress)
                    if stopping:
                        await self._gang.cancel(task)
        finally:
            pending.cancel()

    async def _beat(self, attempt: Attempt, progress: Progress | None) -> StaleFence | bool:
        """Renew the lease; truthy when the clip must stop. A store away for a moment does not stop it."""
        try:
            beat = await self._store.beat(attempt.job_id, attempt.fence, self._settings.lease_s, progress)
        except StoreUnavailable as error:
            log.warning("heartbeat of %s missed: %s", attempt.job_id, error)
            return False
        except StaleFence as error:
            return error
        return beat.cancel

    async def _publish(self, job: Job, attempt: Attempt, last: Event, seconds: float) -> None:
        predicted = attempt.decision["predicted"]
        gpu_seconds = seconds * attempt.gpus
        usage = {
            "gpu_seconds": round(gpu_seconds, 3),
            "usd": round(gpu_seconds * self._price_per_s, 6),
            "predicted_seconds": predicted["seconds"],
            "predicted_usd": predicted["usd"],
            "actual_seconds": round(seconds, 3),
        }
        result = {
            "media": last["media"],
            "geometry": last["geometry"],
            "stages": last["stages"],
            "notes": last["notes"],
            "served_model": self._args.model,
            "offer": self._args.offer,
        }
        observation = Observation(
            self._args.model,
            self._args.offer,
            self._args.gpu,
            attempt.gpus,
            float(predicted["seconds"]),
            seconds,
        )
        try:
            await self._retry_store(
                lambda: self._store.complete(
                    job.id,
                    attempt.fence,
                    result=result,
                    usage=usage,
                    gpu_seconds=gpu_seconds,
                    retain_s=self._settings.retain_s,
                    observation=observation,
                )
            )
        except StaleFence:
            log.info("result of %s under fence %s came too late and is dropped", job.id, attempt.fence)
            keys = [stored["key"] for stored in last["media"].values()]
            await asyncio.to_thread(self._media.delete, keys)

    async def _give_up(self, attempt: Attempt, error: dict[str, Any], seconds: float) -> None:
        gpu_seconds = seconds * attempt.gpus
        shown = {key: error.get(key) for key in ("code", "message", "param")}
        with contextlib.suppress(StaleFence):
            if error["code"] == "cancelled":
                await self._retry_store(
                    lambda: self._store.finish_cancelled(attempt.job_id, attempt.fence, gpu_seconds)
                )
            else:
                await self._retry_store(
                    lambda: self._store.fail(
                        attempt.job_id,
                        attempt.fence,
                        error=shown,
                        disposition=Disposition(error["disposition"]),
                        gpu_seconds=gpu_seconds,
                    )
                )

    async def _retry_store(self, write: Any) -> Any:
        """An outcome is written even when the store is away for a while; the lease is the limit."""
        deadline = time.monotonic() + self._settings.lease_s
        while True:
            try:
                return await write()
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1.0)

    async def _rebuild(self, reason: str) -> None:
        """New ranks in the same bundles (measured 4 s against 9 s for a new replica); twice, then give up."""
        self._state, self._broken_because = "rebuilding", reason
        await self._register()
        for _ in range(2):
            self._gang.kill()
            try:
                await self._gang.spawn()
            except RankLost as error:
                self._broken_because = str(error)
                continue
            self._state = "ready" if self._gang.failure is None else "broken"
            self._broken_because = ""
            await self._register()
            return
        self._state = "lost"
        await self._register()


async def _next(events: AsyncIterator[Event]) -> Event | None:
    try:
        return await anext(events)
    except StopAsyncIteration:
        return None


def _progress(event: Event, predicted: float, elapsed: float) -> Progress:
    return Progress(
        stage=event["stage"],
        step=event["step"],
        steps=event["steps"],
        eta_seconds=max(0.0, predicted - elapsed),
        preview_key=event["preview_key"],
    )


def _task(job: Job, attempt: Attempt) -> ClipTask:
    request = job.request
    return ClipTask(
        job_id=job.id,
        fence=attempt.fence,
        prompt=request["prompt"],
        negative_prompt=request.get("negative_prompt") or "",
        seed=int(request["seed"]),
        image_key=request["media"]["image"],
        last_image_key=request["media"].get("last_image"),
        plan=attempt.decision["plan"],
        camera=tuple(attempt.decision.get("camera", ())),
        intensity=request.get("motion"),
        faces=tuple(tuple(face) for face in job.features["image"].get("faces", ())),
    )


def _error_json(error: I2VError) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "disposition": error.disposition.value,
    }
