"""The process that holds one GPU: weights in memory, one thing at a time, told what to do by its coordinator.

A rank knows nothing of jobs' states, leases or fences. It reads the photograph from the media store, runs the
runner, encodes while frames arrive, writes the clip to the media store and says what happened in small
dictionaries. Bytes never travel through Ray: ranks of one gang hand a clip on through its folder.

All work is done by one thread of the process, whoever asks: process groups, and clips that stand between two
steps, belong to it.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import ray
from PIL import Image

from deployments.deliver import deliver
from deployments.monitor import Monitor
from deployments.ranks import ClipTask, Event, Quantum, Report, error_json
from models.catalog import load_catalog
from models.errors import CheckpointMissing, I2VError, OutOfMemory, RankLost, RunnerError
from models.runners.base import OpenClip, Runner, RunnerFactory, RunRequest, Stage, SteppedRunner
from models.runners.crew import Crew
from models.types import CameraMove, Intensity
from policies.render import plan_from_json
from router.media import MediaStore, preview_key
from router.settings import Settings

if TYPE_CHECKING:
    from models.runners.base import Frame

log = logging.getLogger("i2v.rank")

PREVIEW_SIDE = 384
COLLECTIVE_TIMEOUT_S = 300.0
"""No collective waits longer for a rank that does not come. The coordinator's watchdog, which knows what a
step should take, is faster; this one ends ranks whose coordinator is gone."""
ADDRESS = "127.0.0.1"
"""The ranks of a gang live on one node."""


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


@dataclass(frozen=True, slots=True)
class Post:
    """A rank's place in its gang.

    Attributes:
        rank: Which one it is, from 0.
        size: Ranks of the gang.
        port: Where they meet; 0 in a gang of one, which has nobody to meet.
    """

    rank: int = 0
    size: int = 1
    port: int = 0


@dataclass(slots=True)
class _Held:
    """A clip that this rank holds."""

    request: RunRequest
    clip: OpenClip
    previewed_at: float = field(default_factory=time.monotonic)


class RankProcess:
    """One rank. `Rank` below is the Ray actor around it; tests drive this class directly."""

    def __init__(self, model: str, offer: str, checkpoint: str | None, post: Post = Post()) -> None:
        self._settings = Settings()
        self._card = load_catalog(self._settings.cards).get(model)
        self._offer = self._card.offer(offer)
        self._checkpoint = checkpoint
        self._post = post
        self._media = MediaStore(self._settings.resolved_media_url)
        self._runner: Runner | None = None
        self._held: dict[str, _Held] = {}
        self._cancel: dict[str, threading.Event] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rank")

    def pid(self) -> int:
        """Process id, for operators and for tests that kill it."""
        return os.getpid()

    def ping(self) -> bool:
        """True; answered on another thread while a clip is made."""
        return True

    def load(self) -> Event:
        """Load the weights and meet the other ranks.

        Returns `{"ok": True, "seconds", "rss_bytes", "stepped"}` or `{"ok": False, "error"}`.
        """
        return self._thread.submit(self._load).result()

    def begin(self, task: ClipTask) -> Report:
        """Encode photograph and words; this rank then holds the clip, and its folder the state."""
        return self._work(task, lambda monitor: self._begin(task, monitor))

    def advance(self, task: ClipTask, quantum: Quantum) -> Report:
        """Take part in a quantum; every rank of the crew is asked for the same one."""
        return self._work(task, lambda monitor: self._advance(task, quantum, monitor), quantum=quantum)

    def save(self, task: ClipTask) -> Report:
        """Write the state that this rank holds to the clip's folder."""
        return self._work(task, lambda _: self._save(task))

    def turn(self, task: ClipTask, resume: bool) -> Report:
        """Decode a segment and begin the next one."""
        return self._work(task, lambda monitor: self._turn(task, resume, monitor))

    def finish(self, task: ClipTask, resume: bool) -> Iterator[Event]:
        """Decode the last segment, encode and store the clip; events, the last word last."""
        # Generators themselves: Ray streams nothing else.
        yield from self._stream(task, lambda monitor, scratch: self._finish(task, resume, monitor, scratch))

    def whole(self, task: ClipTask) -> Iterator[Event]:
        """Make a clip from beginning to end; events, the last word last."""
        yield from self._stream(task, lambda monitor, scratch: self._whole(task, monitor, scratch))

    def close(self, name: str) -> None:
        """Let go of a clip."""
        self._thread.submit(self._close, name).result()

    def cancel(self, name: str) -> None:
        """Raise the flag that the clip's next report will see, when it is being finished or made whole."""
        if flag := self._cancel.get(name):
            flag.set()

    # --- the work, on its thread ------------------------------------------------------------------

    def _load(self) -> Event:
        import psutil

        began = time.monotonic()
        try:
            factory = runner_factory(self._offer.runner or "diffusers")
            runner = factory(self._card, self._offer, checkpoint=self._resolve_checkpoint(), device=_device())
        except I2VError as error:
            return {"ok": False, "error": error_json(error)}
        self._runner = runner
        stepped = isinstance(runner, SteppedRunner) and runner.stepped
        if self._post.size > 1 and stepped:
            self._meet(cast("SteppedRunner", runner))
        rss = psutil.Process().memory_info().rss
        return {"ok": True, "seconds": time.monotonic() - began, "rss_bytes": rss, "stepped": stepped}

    def _meet(self, runner: SteppedRunner) -> None:
        from models.runners.parallel import Blocks, connect

        post, device = self._post, _device()
        connect(post.rank, post.size, ADDRESS, post.port, device, COLLECTIVE_TIMEOUT_S)
        runner.join(Blocks.build(post.rank, post.size, device, COLLECTIVE_TIMEOUT_S))

    def _begin(self, task: ClipTask, monitor: Monitor) -> Report:
        monitor.stage(Stage.ENCODING_INPUT)
        self._close(task.name)
        request = self._request(task, Path(task.folder))
        clip = self._stepped().begin(request, Path(task.folder), monitor)
        self._held[task.name] = _Held(request, clip)
        return Report(clip.place, saved=True)

    def _advance(self, task: ClipTask, quantum: Quantum, monitor: Monitor) -> Report:
        mine = self._rank_in(quantum)
        held = self._hold(task, resume=mine in quantum.resume)
        crew: Crew = held.clip.crew(quantum.ranks)
        place = held.clip.advance(quantum.steps, crew, monitor)
        saved = quantum.save and mine == quantum.ranks[0] and _saved(held.clip, task)
        return Report(place, saved=saved)

    def _rank_in(self, quantum: Quantum) -> int:
        return quantum.ranks[0] if self._post.size == 1 else self._post.rank

    def _save(self, task: ClipTask) -> Report:
        held = self._hold(task, resume=False)
        held.clip.save()
        return Report(held.clip.place, saved=True)

    def _turn(self, task: ClipTask, resume: bool, monitor: Monitor) -> Report:
        held = self._hold(task, resume=resume)
        monitor.stage(Stage.DECODING)
        return Report(held.clip.turn(monitor), saved=True)

    def _finish(self, task: ClipTask, resume: bool, monitor: Monitor, scratch: Path) -> Event:
        held = self._hold(task, resume=resume)
        try:
            result = held.clip.finish(monitor)
            return deliver(
                result, held.request, task, self._media, monitor, scratch, sounds=self._sounds(task)
            )
        finally:
            self._close(task.name)

    def _whole(self, task: ClipTask, monitor: Monitor, scratch: Path) -> Event:
        monitor.stage(Stage.ENCODING_INPUT)
        request = self._request(task, scratch)
        result = self._loaded().generate(request, monitor)
        return deliver(result, request, task, self._media, monitor, scratch, sounds=self._sounds(task))

    def _hold(self, task: ClipTask, *, resume: bool) -> _Held:
        held = self._held.get(task.name)
        if resume:
            self._close(task.name)
            request = self._request(task, Path(task.folder))
            held = self._held[task.name] = _Held(request, self._stepped().resume(request, Path(task.folder)))
        if held is None:
            raise RankLost(f"this rank does not hold {task.name}")
        return held

    def _close(self, name: str) -> None:
        held = self._held.pop(name, None)
        if held is not None:
            held.clip.close()

    def _loaded(self) -> Runner:
        if self._runner is None:
            raise CheckpointMissing("the weights of this rank are not loaded")
        return self._runner

    def _stepped(self) -> SteppedRunner:
        return cast("SteppedRunner", self._loaded())

    # --- asking the thread ------------------------------------------------------------------------

    def _work(
        self, task: ClipTask, do: Callable[[Monitor], Report], *, quantum: Quantum | None = None
    ) -> Report:
        """One answer to one question. What fails is told, and the clip is let go."""
        return self._thread.submit(self._answer, task, do, quantum).result()

    def _answer(self, task: ClipTask, do: Callable[[Monitor], Report], quantum: Quantum | None) -> Report:
        began = time.monotonic()
        held = self._held.get(task.name)
        leads = quantum is None or self._rank_in(quantum) == quantum.ranks[0]
        monitor = Monitor(
            lambda event: None,
            threading.Event(),
            (lambda frame: self._publish_preview(task, frame)) if leads else None,
            previewed_at=held.previewed_at if held is not None else None,
        )
        try:
            report = do(monitor)
        except Exception as error:
            log.debug("%s failed", task.name, exc_info=error)
            self._close(task.name)
            return Report(None, time.monotonic() - began, error=_told(error))
        monitor.close()
        held = self._held.get(task.name)
        if held is not None:
            held.previewed_at = monitor.previewed_at
        return Report(
            report.place,
            time.monotonic() - began,
            preview_key=monitor.preview_key,
            stages=monitor.stages,
            saved=report.saved,
        )

    def _stream(self, task: ClipTask, do: Callable[[Monitor, Path], Event]) -> Iterator[Event]:
        """Events while the thread works, and its last word."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        flag = self._cancel[task.name] = threading.Event()
        working = self._thread.submit(self._narrate, task, do, events.put, flag)
        try:
            while True:
                event = events.get()
                yield event
                if event["type"] != "progress":
                    return
        finally:
            flag.set()
            working.result()
            self._cancel.pop(task.name, None)

    def _narrate(
        self,
        task: ClipTask,
        do: Callable[[Monitor, Path], Event],
        emit: Callable[[Event], None],
        cancel: threading.Event,
    ) -> None:
        """Do it and say how it ended; the last word comes when the scratch directory is gone."""
        try:
            with _scratch() as scratch:
                monitor = Monitor(emit, cancel, lambda frame: self._publish_preview(task, frame))
                last = do(monitor, Path(scratch))
        except Exception as error:
            log.debug("%s failed", task.name, exc_info=error)
            last = {"type": "error", "error": _told(error)}
        emit(last)
        _return_freed_memory()

    # --- what goes in -----------------------------------------------------------------------------

    def _sounds(self, task: ClipTask) -> bool:
        """Whether the clip has sound: asked for, given, or made by this model whatever is asked."""
        always = self._card.controls.audio_out == "always"
        return task.generate_audio or task.audio_key is not None or always

    def _request(self, task: ClipTask, scratch: Path) -> RunRequest:
        inputs = scratch / "inputs"
        image, last = self._local(task.image_key, inputs), self._local(task.last_image_key, inputs)
        if image is None:
            raise RunnerError("the clip has no photograph")
        return RunRequest(
            image=_picture(image),
            last_image=_picture(last) if last is not None else None,
            prompt=task.prompt,
            negative_prompt=task.negative_prompt,
            plan=plan_from_json(task.plan),
            seed=task.seed,
            camera=tuple(CameraMove(move) for move in task.camera),
            intensity=Intensity[task.intensity.upper()] if task.intensity else None,
            faces=task.faces,
            offer=task.offer,
            driving_video=self._local(task.driving_video_key, inputs),
            audio=self._local(task.audio_key, inputs),
            generate_audio=task.generate_audio,
        )

    def _local(self, key: str | None, inputs: Path) -> Path | None:
        """An object as a file, which the other ranks of the gang find, too."""
        if key is None:
            return None
        target = inputs / Path(key).name
        if not target.exists():
            inputs.mkdir(parents=True, exist_ok=True)
            fetched = inputs / f"{target.name}.{self._post.rank}"
            self._media.fetch(key, fetched)
            fetched.replace(target)
        return target

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


def _saved(clip: OpenClip, task: ClipTask) -> bool:
    """Whether the state could be written; a full disk does not end the crew's quantum."""
    try:
        clip.save()
    except OSError as error:
        log.warning("the state of %s is not saved: %s", task.name, error)
        return False
    return True


def _told(error: BaseException) -> dict[str, Any]:
    """Any failure, as it travels."""
    if isinstance(error, I2VError):
        return error_json(error)
    if isinstance(error, MemoryError):
        log.error("out of memory", exc_info=error)
        return error_json(OutOfMemory(f"host memory: {error}"))
    log.error("the runner failed in a way that it does not declare", exc_info=error)
    return error_json(RunnerError(f"{type(error).__name__}: {error}"))


def _picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


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
"""The actor: its own thread makes clips; others wait for it, and answer `cancel` and `ping` meanwhile."""
