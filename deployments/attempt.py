"""One attempt on a gang: its events go to the job store, its state to the media store, then its outcome.

Everything is written under the attempt's fence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import shutil
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deployments.checkpoints import CheckpointFiles, fetch_checkpoint, place_of
from deployments.clip_run import ClipTimes, Work
from deployments.executor import Executor
from deployments.pace import Pace
from deployments.ranks import ClipTask, Event, error_json
from deployments.told import Told
from models.errors import (
    Cancelled,
    CheckpointUnusable,
    ConfigError,
    Disposition,
    I2VError,
    MediaUnavailable,
    RunnerError,
    StaleFence,
    StoreUnavailable,
)
from models.runners.base import Place
from policies.fairness import BANDS
from router.fleet import band
from router.jobs.records import Attempt, Checkpoint, Job, Observation
from router.jobs.store import JobStore
from router.media import MediaStore

log = logging.getLogger("i2v.attempt")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a replica runs, and how its work is leased, kept and priced."""

    model: str
    offer: str
    gpu: str
    usd_per_gpu_s: float
    lease_s: float
    retain_s: float
    times: Callable[[Attempt], ClipTimes]
    """What the parts of an attempt's clip should take here."""
    also: tuple[str, ...] = ()
    """Offers of the same card that run on these weights too, with an adapter laid over them."""

    def serves(self, model: str, offer: str) -> bool:
        """Whether this replica can run that offer."""
        return model == self.model and offer in (self.offer, *self.also)


@dataclass(frozen=True, slots=True)
class AttemptRun:
    """Sees one attempt through, from the first event to the written outcome."""

    store: JobStore
    media: MediaStore
    executor: Executor
    terms: Terms
    pace: Pace
    job: Job
    attempt: Attempt
    folder: Path
    """The clip's state on this machine; removed when the attempt is over."""

    async def see_through(self) -> None:
        """Make the clip, or hand it back when the gang drains."""
        try:
            await self._see_through()
        finally:
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _see_through(self) -> None:
        try:
            task = replace(clip_task(self.job, self.attempt), folder=str(self.folder))
            times = self.terms.times(self.attempt)
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            log.exception("job %s cannot be read", self.job.id)
            unreadable = I2VError(f"the stored request cannot be read: {type(error).__name__}: {error}")
            await self.give_up(error_json(unreadable), 0.0)
            return
        try:
            place = await self._fetched()
        except StaleFence:
            log.info("attempt %s of %s is overtaken before it began", self.attempt.fence, self.job.id)
            return
        files = CheckpointFiles(
            self.media, self.job.id, self.attempt.fence, self._resumable().files if place else {}
        )
        work = Work(
            task,
            times,
            due=self._due(),
            band=BANDS[band(self.job.priority)],
            tenant=self.job.tenant,
            place=place,
            stepped=self.executor.stepped,
        )
        try:
            last = await self._follow(work, files)
        except StaleFence:
            log.info("attempt %s of %s is overtaken; its work is dropped", self.attempt.fence, self.job.id)
            return
        except Exception as error:
            log.exception("attempt %s of %s failed in an undeclared way", self.attempt.fence, self.job.id)
            await self.give_up(error_json(RunnerError(f"{type(error).__name__}: {error}")), 0.0)
            return
        if last["type"] == "paused":
            await self._hand_back(last)
        elif last["type"] == "error":
            await self.give_up(last["error"], last["gpu_seconds"])
        else:
            await self._publish(last)

    def _due(self) -> float:
        """When the clip was promised, on the executor's clock; what was not promised is due at no time."""
        if self.job.request.get("deadline_s") is None:
            return math.inf
        return self.executor.clock() + self.job.due_at - time.time()

    # --- where an earlier attempt stopped ---------------------------------------------------------

    def _resumable(self) -> Checkpoint:
        checkpoint = self.job.checkpoint
        if checkpoint is None:
            raise CheckpointUnusable("the job has no checkpoint")
        if (checkpoint.model, checkpoint.offer) != (self.terms.model, self.attempt.offer):
            raise CheckpointUnusable(f"it was made by {checkpoint.model}/{checkpoint.offer}")
        return checkpoint

    async def _fetched(self) -> Place | None:
        """Where the clip goes on; None when it begins. A checkpoint that cannot be had costs no attempt."""
        if self.job.checkpoint is None or not self.executor.stepped:
            return None
        try:
            checkpoint = self._resumable()
            await self._while_beating(self._fetch(checkpoint))
            return await asyncio.to_thread(place_of, self.folder)
        except StaleFence:
            raise
        except (I2VError, OSError) as error:
            log.warning("job %s begins anew: %s", self.job.id, error)
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
            return None

    async def _fetch(self, checkpoint: Checkpoint) -> None:
        """Copy a checkpoint here; a media store that is away is waited for: to begin anew costs more."""
        deadline = time.monotonic() + self.pace.fetch_s
        while True:
            try:
                await asyncio.to_thread(fetch_checkpoint, self.media, checkpoint.files, self.folder)
            except MediaUnavailable as error:
                if time.monotonic() > deadline or await asyncio.to_thread(self._gone, checkpoint):
                    raise
                log.warning("the checkpoint of %s is waited for: %s", self.job.id, error)
                await asyncio.sleep(self.pace.retry_s)
            else:
                return

    def _gone(self, checkpoint: Checkpoint) -> bool:
        """The media store answers, and a part of the checkpoint is not there. Blocks."""
        try:
            return not all(self.media.exists(key) for key in checkpoint.files.values())
        except MediaUnavailable:
            return False

    async def _while_beating(self, work: Awaitable[None]) -> None:
        """Renew the lease while something takes its time before the clip begins."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=self.terms.lease_s / 4)
                with contextlib.suppress(StoreUnavailable):
                    await self.store.beat(self.job.id, self.attempt.fence, self.terms.lease_s, None)
            await task
        finally:
            task.cancel()

    async def _keep(self, files: CheckpointFiles) -> bool:
        """Copy the saved state to the media store; False when that must be tried again."""
        try:
            keys, place = await asyncio.to_thread(files.store, self.folder)
            checkpoint = Checkpoint(self.terms.model, self.attempt.offer, keys, asdict(place))
            await self.store.keep_checkpoint(self.job.id, self.attempt.fence, checkpoint)
        except (CheckpointUnusable, MediaUnavailable, StoreUnavailable, OSError) as error:
            log.warning("the checkpoint of %s waits: %s", self.job.id, error)
            return False
        return True

    async def _hand_back(self, last: Event) -> None:
        job_id, fence = self.job.id, self.attempt.fence
        with contextlib.suppress(StaleFence):
            await self._write(
                lambda: self.store.hand_back(
                    job_id, fence, reason="the worker drains", gpu_seconds=last["gpu_seconds"]
                )
            )

    # --- while it runs ----------------------------------------------------------------------------

    async def _follow(self, work: Work, files: CheckpointFiles) -> Event:
        """Pass the executor's events on to the store until the last word, which is returned.

        Raises:
            StaleFence: a later attempt exists; the clip was stopped and the ranks are free of it.
        """
        told = Told(kept=work.place)
        events = self.executor.generate(work)
        pending = asyncio.ensure_future(_next(events))
        keeping: asyncio.Task[bool] | None = None
        try:
            while True:
                await asyncio.wait({pending}, timeout=self.pace.beat_s)
                if pending.done():
                    event = pending.result()
                    if event["type"] != "progress":
                        if told.overtaken is not None:
                            await self._drop(event)
                            raise told.overtaken
                        if event["type"] == "paused" and event["saved"] is not None:
                            await _over(keeping)
                            await self._keep(files)
                        return event
                    told.hear(event)
                    if told.anew is not None:
                        await _over(keeping)
                        files.forget()
                        await self._forget_checkpoint()
                        told.anew = told.kept = None
                    pending = asyncio.ensure_future(_next(events))
                if keeping is not None and keeping.done():
                    told.kept = told.keeping if keeping.result() else told.kept
                    keeping = None
                if keeping is None and told.worth_keeping(self.pace.checkpoint_s):
                    told.keep()
                    keeping = asyncio.create_task(self._keep(files), name="checkpoint")
                if told.due(self.pace.beat_s):
                    await self._beat(told)
                if told.stopping:
                    # Again with every beat: a rank that had not begun when first asked did not hear it.
                    await self.executor.cancel(work.task)
        finally:
            pending.cancel()
            await asyncio.gather(pending, *([] if keeping is None else [keeping]), return_exceptions=True)
            await events.aclose()

    async def _beat(self, told: Told) -> None:
        """Renew the lease and see the cancel flag. A store away for a moment does not stop the clip."""
        if told.overtaken is not None:
            return
        progress = told.beaten()
        try:
            beat = await self.store.beat(self.job.id, self.attempt.fence, self.terms.lease_s, progress)
        except StoreUnavailable as error:
            log.warning("heartbeat of %s missed: %s", self.job.id, error)
        except StaleFence as error:
            told.overtaken, told.stopping = error, True
        else:
            told.stopping = told.stopping or beat.cancel

    async def _forget_checkpoint(self) -> None:
        try:
            await self.store.drop_checkpoint(self.job.id, self.attempt.fence)
        except StoreUnavailable as error:
            log.warning("the useless checkpoint of %s stays for now: %s", self.job.id, error)
        except StaleFence:
            return  # the next beat finds out

    # --- the outcome ------------------------------------------------------------------------------

    async def _publish(self, last: Event) -> None:
        terms, predicted = self.terms, self.attempt.decision["predicted"]
        gpu_seconds = last["gpu_seconds"]
        usage = {
            "gpu_seconds": round(gpu_seconds, 3),
            "usd": round(gpu_seconds * terms.usd_per_gpu_s, 6),
            "predicted_seconds": predicted["seconds"],
            "predicted_usd": predicted["usd"],
            "actual_seconds": round(last["run_seconds"], 3),
        }
        result = {
            "media": last["media"],
            "geometry": last["geometry"],
            "stages": last["stages"],
            "notes": last["notes"],
            "served_model": terms.model,
            "offer": self.attempt.offer,
        }
        # The fit is of the formula's own word on the work as it was done: on so many GPUs, for so many steps.
        observation = Observation(
            terms.model,
            self.attempt.offer,
            terms.gpu,
            self.attempt.gpus,
            last["worked_s"],
            last["run_seconds"],
        )
        try:
            await self._write(
                lambda: self.store.complete(
                    self.job.id,
                    self.attempt.fence,
                    result=result,
                    usage=usage,
                    gpu_seconds=gpu_seconds,
                    retain_s=terms.retain_s,
                    observation=observation,
                )
            )
        except StaleFence:
            log.info("result of %s under fence %s is too late", self.job.id, self.attempt.fence)
            await self._drop(last)
        except Cancelled as error:
            await self.give_up(error_json(error), gpu_seconds)
            await self._drop(last)

    async def give_up(self, error: Event, gpu_seconds: float) -> None:
        """Write that the attempt failed (or was cancelled) after so much work."""
        shown = {key: error.get(key) for key in ("code", "message", "param")}
        job_id, fence = self.job.id, self.attempt.fence
        with contextlib.suppress(StaleFence):
            if error["code"] == Cancelled.code:
                await self._write(lambda: self.store.finish_cancelled(job_id, fence, gpu_seconds))
                return
            await self._write(
                lambda: self.store.fail(
                    job_id,
                    fence,
                    error=shown,
                    disposition=Disposition(error["disposition"]),
                    gpu_seconds=gpu_seconds,
                )
            )

    async def _write(self, write: Callable[[], Awaitable[object]]) -> None:
        """Write an outcome, and again while the store is away; then the attempt is left to its lease.

        Raises:
            StaleFence: a later attempt exists.
            Cancelled: the job was cancelled before its result came.
        """
        deadline = time.monotonic() + self.pace.outcome_s
        while True:
            try:
                await write()
            except StoreUnavailable as error:
                # Its media stay: the write may have been done and only its answer lost.
                if time.monotonic() > deadline:
                    log.exception("the outcome of %s could not be written", self.job.id)
                    return
                log.warning("the outcome of %s waits for the store: %s", self.job.id, error)
                await asyncio.sleep(self.pace.retry_s)
            else:
                return

    async def _drop(self, last: Event) -> None:
        """Remove the media of a clip that nobody will see."""
        keys = [stored["key"] for stored in last.get("media", {}).values()]
        try:
            await asyncio.to_thread(self.media.delete, keys)
        except MediaUnavailable as error:
            log.warning("media of a dropped clip stay: %s", error)


def clip_task(job: Job, attempt: Attempt) -> ClipTask:
    """What the ranks are asked for.

    Raises:
        KeyError, TypeError, ValueError: the stored request is not one that this version writes.
    """
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
        offer=attempt.offer,
        driving_video_key=request["media"].get("driving_video"),
        audio_key=request["media"].get("audio"),
        generate_audio=bool(request.get("generate_audio")),
    )


async def _over(keeping: asyncio.Task[bool] | None) -> None:
    """A copy under way ends before the next one begins."""
    if keeping is not None:
        await asyncio.wait({keeping})


async def _next(events: AsyncGenerator[Event, None]) -> Event:
    async for event in events:
        return event
    raise RunnerError("the executor's events ended without an outcome")
