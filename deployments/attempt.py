"""One attempt on a gang: the ranks' events go to the job store, its outcome is written under its fence."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from deployments.ranks import ClipTask, Event, Ranks, error_json
from models.errors import (
    Cancelled,
    Disposition,
    I2VError,
    MediaUnavailable,
    OutOfMemory,
    RankLost,
    RunnerError,
    StaleFence,
    Stalled,
    StoreUnavailable,
)
from router.jobs.records import Attempt, Job, Observation, Progress
from router.jobs.store import JobStore
from router.media import MediaStore

log = logging.getLogger("i2v.attempt")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long, in seconds."""

    beat_s: float = 0.5
    """Progress and cancel flag twice a second: a cancel is seen within one step or half a second."""
    worker_beat_s: float = 2.0
    """Five beats fit into the ten seconds after which a worker counts as gone."""
    stall_floor_s: float = 120.0
    """Between stages no watchdog is faster than this: first steps compile kernels and load codecs."""
    step_floor_s: float = 60.0
    """Between steps none is faster than this: a preview picture may wait for an object store. Our choice."""
    stall_factor: float = 3.0
    """Silence longer than three predicted steps (where none are counted, three predicted runs of the clip) is
    a stall: self-hosted runs vary by 5 %."""
    outcome_s: float = 300.0
    """How long a finished clip waits for a store that is away. The fence, not the lease, tells whether it is
    still wanted."""
    retry_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What a replica runs, and how its work is leased, kept and priced."""

    model: str
    offer: str
    gpu: str
    usd_per_gpu_s: float
    lease_s: float
    retain_s: float
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
    ranks: Ranks
    terms: Terms
    pace: Pace
    job: Job
    attempt: Attempt

    async def see_through(self) -> str | None:
        """Make the clip. Returns why the ranks must be rebuilt before they make another, if they must."""
        began = time.monotonic()
        try:
            task = clip_task(self.job, self.attempt)
        except (KeyError, TypeError, ValueError) as error:
            log.exception("job %s cannot be read", self.job.id)
            unreadable = I2VError(f"the stored request cannot be read: {type(error).__name__}: {error}")
            await self.give_up(error_json(unreadable), 0.0)
            return None
        try:
            last = await self._follow(task)
        except StaleFence:
            log.info("attempt %s of %s is overtaken; its work is dropped", self.attempt.fence, self.job.id)
            return None
        except (RankLost, Stalled) as error:
            await self.give_up(error_json(error), time.monotonic() - began)
            return error.message
        except Exception as error:
            log.exception("attempt %s of %s failed in an undeclared way", self.attempt.fence, self.job.id)
            failure = RunnerError(f"{type(error).__name__}: {error}")
            await self.give_up(error_json(failure), time.monotonic() - began)
            return "the ranks may still be at work on a clip that nobody follows"
        seconds = time.monotonic() - began
        if last["type"] == "error":
            await self.give_up(last["error"], seconds)
            return (
                "out of memory: the ranks are recycled" if last["error"]["code"] == OutOfMemory.code else None
            )
        await self._publish(last, seconds)
        return None

    # --- while it runs ----------------------------------------------------------------------------

    async def _follow(self, task: ClipTask) -> Event:
        """Pass the ranks' events on to the store until their last word, which is returned.

        Raises:
            StaleFence: a later attempt exists; the ranks were stopped and are free again.
            RankLost: a rank died.
            Stalled: the ranks said nothing for too long.
        """
        predicted = float(self.attempt.decision["predicted"]["seconds"])
        began = heard = time.monotonic()
        beaten = float("-inf")
        progress: Progress | None = None
        overtaken: StaleFence | None = None
        stopping = False
        events = self.ranks.generate(task)
        pending = asyncio.ensure_future(_next(events))
        try:
            while True:
                await asyncio.wait({pending}, timeout=self.pace.beat_s)
                now = time.monotonic()
                if pending.done():
                    event = pending.result()
                    if event["type"] != "progress":
                        if overtaken is not None:
                            await self._drop(event)
                            raise overtaken
                        return event
                    heard = now
                    progress = _progress(event, predicted, now - began)
                    pending = asyncio.ensure_future(_next(events))
                if now - heard > patience_s(self.pace, predicted, progress):
                    raise Stalled(_silence(now - heard, predicted, progress))
                if now - beaten < self.pace.beat_s:
                    continue
                beaten = now
                if overtaken is None:
                    try:
                        stopping = await self._beat(progress) or stopping
                    except StaleFence as error:
                        overtaken, stopping = error, True
                if stopping:
                    # Again with every beat: a rank that had not begun when first asked did not hear it.
                    await self.ranks.cancel(task)
        finally:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
            await events.aclose()

    async def _beat(self, progress: Progress | None) -> bool:
        """Renew the lease; True when the clip was cancelled. A store away for a moment does not stop it."""
        try:
            beat = await self.store.beat(self.job.id, self.attempt.fence, self.terms.lease_s, progress)
        except StoreUnavailable as error:
            log.warning("heartbeat of %s missed: %s", self.job.id, error)
            return False
        return beat.cancel

    # --- the outcome ------------------------------------------------------------------------------

    async def _publish(self, last: Event, seconds: float) -> None:
        terms, predicted = self.terms, self.attempt.decision["predicted"]
        gpu_seconds = seconds * self.attempt.gpus
        usage = {
            "gpu_seconds": round(gpu_seconds, 3),
            "usd": round(gpu_seconds * terms.usd_per_gpu_s, 6),
            "predicted_seconds": predicted["seconds"],
            "predicted_usd": predicted["usd"],
            "actual_seconds": round(seconds, 3),
        }
        result = {
            "media": last["media"],
            "geometry": last["geometry"],
            "stages": last["stages"],
            "notes": last["notes"],
            "served_model": terms.model,
            "offer": self.attempt.offer,
        }
        # The fit is of the formula's own word, which the calibrated prediction is a multiple of.
        formula_s = float(predicted["seconds"]) / float(self.attempt.decision.get("speed", 1.0))
        observation = Observation(
            terms.model, self.attempt.offer, terms.gpu, self.attempt.gpus, formula_s, seconds
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
            await self.give_up(error_json(error), seconds)
            await self._drop(last)

    async def give_up(self, error: Event, seconds: float) -> None:
        """Write that the attempt failed (or was cancelled) after `seconds`."""
        gpu_seconds = seconds * self.attempt.gpus
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


def patience_s(pace: Pace, predicted_s: float, progress: Progress | None) -> float:
    """How long the ranks may be silent after they said `progress` last.

    Inside a loop of steps, `stall_factor` predicted steps: the whole clip's time over their number, which is
    more than one takes. Elsewhere as many predicted runs of the clip.
    """
    if progress is None or not 0 < progress.step < progress.steps:
        return max(pace.stall_floor_s, pace.stall_factor * predicted_s)
    return max(pace.step_floor_s, pace.stall_factor * predicted_s / progress.steps)


def _silence(seconds: float, predicted_s: float, progress: Progress | None) -> str:
    where = "before the first step" if progress is None else f"in {progress.stage}"
    if progress is not None and progress.steps:
        where += f" after step {progress.step} of {progress.steps}"
    return f"silent for {seconds:.0f} s {where}; the whole clip was predicted at {predicted_s:.0f} s"


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


async def _next(events: AsyncGenerator[Event, None]) -> Event:
    async for event in events:
        return event
    raise RankLost("the rank's stream ended without an outcome")


def _progress(event: Event, predicted: float, elapsed: float) -> Progress:
    return Progress(
        stage=event["stage"],
        step=event["step"],
        steps=event["steps"],
        eta_seconds=max(0.0, predicted - elapsed),
        preview_key=event["preview_key"],
    )
