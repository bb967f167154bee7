"""Run an image-to-video pipeline of diffusers: the runner behind the Wan, LTX-Video and SVD cards.

The checkpoint is a local directory or the card's hub id at its pinned revision. The plan decides the shape:
the photograph is cropped or padded to the native size (the pipelines would stretch it), segments are chained
by their last frame, gaps are filled by interpolation, and exactly the planned frames come out.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from models.errors import ConfigError, InputRefused, RunnerError
from models.runners.base import RunResult, Stage
from models.runners.checkpoints import load_pipeline
from models.runners.failures import typed_failures
from models.runners.families import Family, Segment
from models.runners.framing import face_focus, fit_photograph
from models.runners.interpolate import interpolate
from models.runners.ltx import LtxFamily
from models.runners.preview import preview_picture, to_frames
from models.runners.progress import Latest, Progress, StepBar
from models.runners.svd import SvdFamily
from models.runners.wan import WanFamily
from models.runners.wording import worded

if TYPE_CHECKING:
    from models.card import Card, Offer, Sampling
    from models.runners.base import Frame, RunMonitor, RunRequest

_ALL: tuple[Family, ...] = (WanFamily(), LtxFamily(), SvdFamily())
FAMILIES = {family.pipeline: family for family in _ALL}
"""By the diffusers class that a card names in `weights.pipeline`."""

_SEED_STRIDE = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio (Knuth): seeds of segments of neighbouring requests do not meet."""


def load(card: Card, offer: Offer, *, checkpoint: str | None, device: str) -> DiffusersRunner:
    """Load the weights that the card names; slow, once per rank process.

    Args:
        card: The model; `weights.pipeline` names the diffusers class.
        offer: Its `sampling` gives steps, guidance and flow shift.
        checkpoint: A diffusers directory with safetensors, or None for the hub id at its pinned revision.
        device: A torch device string.

    Raises:
        CheckpointMissing: the weights cannot be had, or are not what the card says.
        ConfigError: no family runs that pipeline, or the offer has no sampling block.
        OutOfMemory: the weights do not fit.
    """
    family = FAMILIES.get(card.weights.pipeline or "")
    if family is None:
        raise ConfigError(
            f"{card.id}: no runner for the pipeline {card.weights.pipeline}",
            param="weights.pipeline",
            allowed=sorted(FAMILIES),
        )
    if offer.sampling is None:
        raise ConfigError(
            f"{card.id}: offer {offer.id} says nothing of steps and guidance", param="offers.sampling"
        )
    pipe = load_pipeline(card, checkpoint, device=device, float32=family.float32)
    shift = offer.sampling.flow_shift
    if shift is not None and pipe.scheduler.config.get("flow_shift", shift) != shift:
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, flow_shift=shift)
    return DiffusersRunner(card, offer.sampling, family, pipe, device)


class DiffusersRunner:
    """One pipeline, one clip at a time."""

    def __init__(self, card: Card, sampling: Sampling, family: Family, pipe: Any, device: str) -> None:
        self._card = card
        self._sampling = sampling
        self._family = family
        self._pipe: Any = pipe
        self._device = torch.device(device)
        self._open: Iterator[Frame] | None = None

    def generate(self, request: RunRequest, monitor: RunMonitor) -> RunResult:
        """Make one clip.

        All denoising is done when this returns. The frames of the last segment are decoded while they are
        taken (each call of `next` may raise `OutOfMemory` or `Cancelled`), so that no clip of floats is held
        and encoding overlaps decoding. Frames must be taken before the next clip is made.

        Steps are counted over all segments. In a chain, earlier segments are decoded between their
        denoising runs without a change of stage, so that stages only ever go forward.

        Raises:
            Cancelled: the monitor saw the cancel flag; the runner can be used again.
            OutOfMemory: this geometry does not fit.
            InputRefused: shape, last image or another input is nothing that this pipeline makes or takes.
        """
        if self._pipe is None:
            raise RunnerError(f"{self._card.id} was unloaded")
        self._drop_open_clip()
        self._refuse_the_impossible(request)
        monitor.stage(Stage.ENCODING_INPUT)
        steps = self._steps(request)
        progress = Progress(monitor, steps * request.plan.segments)
        photograph = self._fitted(request.image, request)
        whole: list[Frame] = []
        for index in range(request.plan.segments - 1):
            segment = self._segment(request, index, photograph)
            latents = self._denoise(segment, progress)
            whole += islice(self._decode(segment, latents, progress), 0 if index == 0 else 1, None)
            photograph = Image.fromarray(whole[-1])
        segment = self._segment(request, request.plan.segments - 1, photograph)
        latents = self._denoise(segment, progress)
        monitor.stage(Stage.DECODING)
        last = islice(self._decode(segment, latents, progress), 1 if whole else 0, None)
        self._open = _delivered(chain(whole, last), request)
        return RunResult(frames=self._open, notes=self._notes(request))

    def unload(self) -> None:
        """Free weights and caches; the runner cannot be used afterwards."""
        self._drop_open_clip()
        self._pipe = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    # --- what goes in ----------------------------------------------------------------------

    def _refuse_the_impossible(self, request: RunRequest) -> None:
        """Refuse before any work what the pipeline would round, ignore or choke on."""
        plan, lattice = request.plan, self._family.lattice(self._pipe)
        native, multiple, step = plan.native, lattice.multiple, lattice.frame_step
        if native.width % multiple or native.height % multiple:
            raise InputRefused(
                f"{self._card.id} makes sizes in multiples of {multiple} pixels; planned were {native.size}",
                param="size",
                allowed=f"multiples of {multiple}",
            )
        if native.num_frames < 1 or (native.num_frames - 1) % step:
            raise InputRefused(
                f"{self._card.id} makes {step}k+1 frames; planned were {native.num_frames}",
                param="num_frames",
                allowed=f"{step}k+1",
            )
        effective = plan.effective
        made = (plan.segments * (native.num_frames - 1)) * plan.interpolation + 1
        if effective.num_frames > made or effective.width > native.width or effective.height > native.height:
            raise InputRefused(
                f"the plan promises {effective.num_frames} frames of {effective.size}, but makes {made} of "
                f"{native.size}",
                param="plan",
            )
        if self._steps(request) < 1:
            raise InputRefused(
                f"steps must be at least 1; got {request.steps}", param="steps", allowed=">= 1"
            )
        need = self._card.controls.last_image
        if request.last_image is None and need == "required":
            raise InputRefused(f"{self._card.id} needs a last image; none was given", param="last_image")
        takes = need != "none" and self._family.takes_last_image(self._pipe)
        if request.last_image is not None and not takes:
            raise InputRefused(f"{self._card.id} takes no last image; one was given", param="last_image")

    def _segment(self, request: RunRequest, index: int, photograph: Image.Image) -> Segment:
        """The call for one segment; a last image belongs to the last one only."""
        controls = self._card.controls
        by_words = controls.camera.kind == "prompt"
        ends = index == request.plan.segments - 1 and request.last_image is not None
        seed = (request.seed + index * _SEED_STRIDE) % 2**63
        return Segment(
            image=photograph,
            last_image=self._fitted(request.last_image, request) if ends and request.last_image else None,
            prompt=worded(request.prompt, request.camera, request.intensity) if by_words else request.prompt,
            negative_prompt=request.negative_prompt if controls.negative_prompt else "",
            native=request.plan.native,
            steps=self._steps(request),
            guidance=self._sampling.guidance if request.guidance is None else request.guidance,
            intensity=request.intensity,
            seed=seed,
            generator=torch.Generator("cpu").manual_seed(seed),
        )

    def _steps(self, request: RunRequest) -> int:
        return self._sampling.steps if request.steps is None else request.steps

    def _fitted(self, image: Image.Image, request: RunRequest) -> Image.Image:
        """Exactly native size, cropped around the faces or padded; never stretched."""
        return fit_photograph(
            image, request.plan.native.size, request.plan.framing, focus=face_focus(request.faces)
        )

    def _notes(self, request: RunRequest) -> tuple[str, ...]:
        """What was asked and could not be passed on."""
        controls, notes = self._card.controls, []
        if request.camera and controls.camera.kind != "prompt":
            moves = ", ".join(request.camera)
            notes.append(f"{self._card.id} has no way to be told a camera move; ignored: {moves}")
        if request.prompt.strip() and not controls.prompt:
            notes.append(f"{self._card.id} reads no words; the prompt was ignored")
        if request.negative_prompt.strip() and not controls.negative_prompt:
            notes.append(f"{self._card.id} takes no negative prompt; it was ignored")
        return tuple(notes)

    # --- the run ---------------------------------------------------------------------------

    def _denoise(self, segment: Segment, progress: Progress) -> torch.Tensor:
        """Call the pipeline up to its final latents, reporting and listening at every step.

        The pipelines differ in callbacks and interrupt flags, but all drive a progress bar once a step; an
        exception from its `update` leaves the pipeline's loop at once and the pipeline as good as new.
        """
        pipe, latest = self._pipe, Latest()

        def picture() -> Frame | None:
            return (
                None
                if latest.latents is None
                else preview_picture(self._family, pipe, latest.latents, segment)
            )

        def bar(iterable: object = None, total: int | None = None) -> StepBar:
            return StepBar(lambda: progress.tick(picture), progress.enter)

        pipe.progress_bar = bar
        try:
            with typed_failures(f"denoising {_figures(segment)}"), _own_randomness(segment, self._device):
                latents: torch.Tensor = pipe(
                    **self._family.arguments(pipe, segment),
                    output_type="latent",
                    callback_on_step_end=latest.keep,
                    callback_on_step_end_tensor_inputs=["latents"],
                ).frames
        finally:
            del pipe.progress_bar  # the class has its own
        return latents

    def _decode(self, segment: Segment, latents: torch.Tensor, progress: Progress) -> Iterator[Frame]:
        chunks = self._family.decode(self._pipe, latents, segment)
        while True:
            with typed_failures(f"decoding {_figures(segment)}"), _own_randomness(segment, self._device):
                chunk = next(chunks, None)
                frames = [] if chunk is None else to_frames(chunk)
            if chunk is None:
                return
            progress.beat()
            yield from frames

    def _drop_open_clip(self) -> None:
        """A clip whose frames were not all taken still holds the codec's caches: end it."""
        close = getattr(self._open, "close", None)
        if close is not None:
            close()
        self._open = None


def _figures(segment: Segment) -> str:
    return f"{segment.native.size}, {segment.native.num_frames} frames, {segment.steps} steps"


@contextmanager
def _own_randomness(segment: Segment, device: torch.device) -> Iterator[None]:
    """Keep the process's random state out of the clip, and the clip out of it.

    Explicit generators cover the pipelines, but some modules draw from the global one (the LTX decoder's
    `inject_noise`); torch seeds that one differently in every process.
    """
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(segment.seed)
        yield


def _delivered(frames: Iterator[Frame], request: RunRequest) -> Iterator[Frame]:
    """Interpolated, cut to the promised length and size (around the centre); raises when too few came."""
    plan, effective = request.plan, request.plan.effective
    left = (plan.native.width - effective.width) // 2
    top = (plan.native.height - effective.height) // 2
    rows, columns = slice(top, top + effective.height), slice(left, left + effective.width)
    count = 0
    smooth = interpolate(frames, plan.interpolation) if plan.interpolation > 1 else frames
    for frame in islice(smooth, effective.num_frames):
        count += 1
        yield np.ascontiguousarray(frame[rows, columns])
    if count != effective.num_frames:
        raise RunnerError(f"the pipeline made {count} of {effective.num_frames} frames")
