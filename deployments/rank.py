"""The process that holds one GPU: weights in memory, one clip at a time, told what to do by its coordinator.

A rank knows nothing of jobs' states, leases or fences. It reads the photograph from the media store, runs the
runner, encodes while frames arrive, writes the clip to the media store and says what happened as a stream of
small dictionaries. Bytes never travel through Ray.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import ray
from PIL import Image

from deployments.ranks import ClipTask, Event, error_json
from models.catalog import load_catalog
from models.errors import (
    Cancelled,
    CheckpointMissing,
    I2VError,
    MediaUnavailable,
    OutOfMemory,
    RunnerError,
)
from models.runners.base import Runner, RunnerFactory, RunRequest, Stage
from models.runners.encode import Encoded, encode_clip
from models.types import CameraMove, Intensity
from policies.render import plan_from_json
from router.media import MediaStore, clip_key, preview_key
from router.settings import Settings

if TYPE_CHECKING:
    from models.runners.base import Frame

log = logging.getLogger("i2v.rank")

PROGRESS_EVERY_S = 0.2
"""A faster stream would only be thrown away: the coordinator writes progress twice a second."""
PREVIEW_EVERY_S = 2.0
"""One preview picture per two seconds is as often as a person can tell them apart in a thumbnail."""
PREVIEW_SIDE = 384
SIGN_OF_LIFE_S = 5.0
"""Frames that are written without a word from the runner are a sign of life to the coordinator's watchdog."""


def runner_factory(name: str) -> RunnerFactory:
    """The `load` of `models.runners.<name>`, or of an entry point in `i2v_router.runners`."""
    for point in entry_points(group="i2v_router.runners"):
        if point.name == name:
            return cast("RunnerFactory", point.load())
    try:
        module = importlib.import_module(f"models.runners.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"models.runners.{name}":
            raise  # the runner is there; what it imports is not
        raise CheckpointMissing(f"no runner is called {name!r}", param="runner") from error
    return cast("RunnerFactory", module.load)


class _Monitor:
    """Turns a runner's reports into events and its cancel flag into an exception."""

    def __init__(
        self, emit: Callable[[Event], None], cancel: threading.Event, publish: Callable[[Frame], str]
    ) -> None:
        self._emit, self._cancel, self._publish = emit, cancel, publish
        self._stage = Stage.LOADING
        self._place = (0, 0)
        self._last = 0.0
        self._last_preview = time.monotonic()
        self._preview: str | None = None
        self.stages: dict[str, float] = {}
        self._entered = time.monotonic()

    def stage(self, stage: Stage) -> None:
        self._check()
        self._leave()
        self._stage, self._place = stage, (0, 0)
        self._send(0, 0)

    def step(self, done: int, total: int, preview: Frame | None = None) -> None:
        self._check()
        self._place = (done, total)
        if preview is not None and self.wants_preview():
            self._last_preview = time.monotonic()
            try:
                self._preview = self._publish(preview)
            except MediaUnavailable as error:
                log.warning("a preview is left out: %s", error)
        if done in (1, total) or time.monotonic() - self._last >= PROGRESS_EVERY_S:
            self._send(done, total)

    def wants_preview(self) -> bool:
        return time.monotonic() - self._last_preview >= PREVIEW_EVERY_S

    def frame(self, written: int, total: int) -> None:
        """A frame was encoded; its runner may have nothing to say about frames."""
        del written, total
        self._check()
        if time.monotonic() - self._last >= SIGN_OF_LIFE_S:
            self._send(*self._place)

    def close(self) -> None:
        """The last stage is over."""
        self._leave()

    def _leave(self) -> None:
        now = time.monotonic()
        self.stages[self._stage.value] = self.stages.get(self._stage.value, 0.0) + now - self._entered
        self._entered = now

    def _send(self, done: int, total: int) -> None:
        self._last = time.monotonic()
        self._emit(
            {
                "type": "progress",
                "stage": self._stage.value,
                "step": done,
                "steps": total,
                "preview_key": self._preview,
            }
        )

    def _check(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("cancelled at a step boundary")


class RankProcess:
    """One rank. `Rank` below is the Ray actor around it; tests drive this class directly."""

    def __init__(self, model: str, offer: str, checkpoint: str | None) -> None:
        self._settings = Settings()
        self._card = load_catalog(self._settings.cards).get(model)
        self._offer = self._card.offer(offer)
        self._checkpoint = checkpoint
        self._media = MediaStore(self._settings.resolved_media_url)
        self._runner: Runner | None = None
        self._cancel: dict[tuple[str, int], threading.Event] = {}
        self._working = threading.Lock()
        """A runner makes one clip at a time."""

    def pid(self) -> int:
        """Process id, for operators and for tests that kill it."""
        return os.getpid()

    def ping(self) -> bool:
        """True; answered on another thread while a clip is made."""
        return True

    def load(self) -> Event:
        """Load the weights. Returns `{"ok": True, "seconds", "rss_bytes"}` or `{"ok": False, "error"}`."""
        import psutil

        began = time.monotonic()
        try:
            factory = runner_factory(self._offer.runner or "diffusers")
            self._runner = factory(
                self._card, self._offer, checkpoint=self._resolve_checkpoint(), device=_device()
            )
        except I2VError as error:
            return {"ok": False, "error": error_json(error)}
        rss = psutil.Process().memory_info().rss
        return {"ok": True, "seconds": time.monotonic() - began, "rss_bytes": rss}

    def cancel(self, job_id: str, fence: int) -> None:
        """Raise the flag that the next step of that attempt will see."""
        if flag := self._cancel.get((job_id, fence)):
            flag.set()

    def generate(self, task: ClipTask) -> Iterator[Event]:
        """Make one clip; yields progress events and ends with one `done` or `error` event."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        flag = self._cancel[task.job_id, task.fence] = threading.Event()
        thread = threading.Thread(target=self._work, args=(task, events.put, flag), daemon=True)
        thread.start()
        try:
            while True:
                event = events.get()
                yield event
                if event["type"] != "progress":
                    return
        finally:
            flag.set()
            thread.join()
            self._cancel.pop((task.job_id, task.fence), None)

    def _work(self, task: ClipTask, emit: Callable[[Event], None], cancel: threading.Event) -> None:
        """Make the clip and say how it ended; the last word comes when the scratch directory is gone."""
        try:
            with self._working, _scratch() as scratch:
                last = self._make(task, emit, cancel, Path(scratch))
        except I2VError as error:
            last = {"type": "error", "error": error_json(error)}
        except MemoryError as error:
            log.exception("out of memory")
            last = {"type": "error", "error": error_json(OutOfMemory(f"host memory: {error}"))}
        except Exception as error:
            log.exception("the runner failed in a way that it does not declare")
            failure = RunnerError(f"{type(error).__name__}: {error}")
            last = {"type": "error", "error": error_json(failure)}
        emit(last)
        _return_freed_memory()

    def _make(
        self, task: ClipTask, emit: Callable[[Event], None], cancel: threading.Event, scratch: Path
    ) -> Event:
        if self._runner is None:
            raise CheckpointMissing("the weights of this rank are not loaded")
        began = time.monotonic()
        monitor = _Monitor(emit, cancel, lambda frame: self._publish_preview(task, frame))
        monitor.stage(Stage.ENCODING_INPUT)
        request = self._request(task, scratch)
        result = self._runner.generate(request, monitor)
        encoded = encode_clip(
            result.frames,
            request.plan.effective,
            scratch,
            audio=result.audio if self._sounds(task) else None,
            on_frame=monitor.frame,
        )
        monitor.stage(Stage.STORING)
        media = self._store_media(task, encoded)
        monitor.close()
        effective = request.plan.effective
        return {
            "type": "done",
            "media": media,
            "notes": list(result.notes),
            "stages": monitor.stages,
            "seconds": time.monotonic() - began,
            "geometry": {
                "width": effective.width,
                "height": effective.height,
                "num_frames": encoded.num_frames,
                "fps": effective.fps,
                "seconds": encoded.seconds,
            },
        }

    def _store_media(self, task: ClipTask, encoded: Encoded) -> dict[str, dict[str, Any]]:
        """All variants, or none: what was stored before one failed is removed again."""
        media: dict[str, dict[str, Any]] = {}
        try:
            for variant, path, kind in (
                ("video", encoded.video, "video/mp4"),
                ("thumbnail", encoded.thumbnail, "image/jpeg"),
                ("spritesheet", encoded.spritesheet, "image/jpeg"),
            ):
                stored = self._media.put_file(clip_key(task.job_id, task.fence, variant), path, kind)
                media[variant] = {
                    "key": stored.key,
                    "bytes": stored.bytes,
                    "sha256": stored.sha256,
                    "content_type": kind,
                }
        except MediaUnavailable:
            self._media.delete([stored["key"] for stored in media.values()])
            raise
        return media

    def _sounds(self, task: ClipTask) -> bool:
        """Whether the clip has sound: asked for, given, or made by this model whatever is asked."""
        always = self._card.controls.audio_out == "always"
        return task.generate_audio or task.audio_key is not None or always

    def _request(self, task: ClipTask, scratch: Path) -> RunRequest:
        return RunRequest(
            image=self._picture(task.image_key),
            last_image=self._picture(task.last_image_key) if task.last_image_key else None,
            prompt=task.prompt,
            negative_prompt=task.negative_prompt,
            plan=plan_from_json(task.plan),
            seed=task.seed,
            camera=tuple(CameraMove(move) for move in task.camera),
            intensity=Intensity[task.intensity.upper()] if task.intensity else None,
            faces=task.faces,
            offer=task.offer,
            driving_video=self._local(task.driving_video_key, scratch / "driving_video"),
            audio=self._local(task.audio_key, scratch / "audio"),
            generate_audio=task.generate_audio,
        )

    def _local(self, key: str | None, target: Path) -> Path | None:
        """A copy of an object as a file: decoders read back and forth."""
        if key is None:
            return None
        self._media.fetch(key, target)
        return target

    def _picture(self, key: str) -> Image.Image:
        with Image.open(BytesIO(self._media.read(key))) as image:
            return image.convert("RGB")

    def _publish_preview(self, task: ClipTask, frame: Frame) -> str:
        picture = Image.fromarray(frame)
        picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        target = BytesIO()
        picture.save(target, "JPEG", quality=80)
        key = preview_key(task.job_id, task.fence)
        self._media.put_bytes(key, target.getvalue(), "image/jpeg")
        return str(key)

    def _resolve_checkpoint(self) -> str | None:
        if self._checkpoint is not None:
            return self._checkpoint
        if self._settings.models is not None:
            local = self._settings.models / self._card.id
            if local.is_dir():
                return str(local)
        return None


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """A directory that goes with the clip; one that cannot be emptied does not spoil the clip."""
    return tempfile.TemporaryDirectory(prefix="i2v-", ignore_cleanup_errors=True)


def _return_freed_memory() -> None:
    """Hand what the clip's tensors left free in the heap back to the system: 100 to 350 MB in 30 ms.

    `malloc_trim` is glibc's; elsewhere the allocator is left alone.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _device() -> str:
    """`cuda` when Ray gave this process a GPU, else `cpu`."""
    return "cuda" if ray.is_initialized() and ray.get_gpu_ids() and _cuda() else "cpu"


def _cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


Rank = ray.remote(max_restarts=0, max_concurrency=4)(RankProcess)
"""The actor: one thread makes the clip, the others answer `cancel` and `ping` meanwhile."""
