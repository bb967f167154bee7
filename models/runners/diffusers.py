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

from models.errors import ConfigError, RunnerError
from models.runners.base import RunResult, Stage
from models.runners.checkpoints import load_pipeline
from models.runners.failures import typed_failures
from models.runners.families import Family, FollowsVideo, MakesSound, Segment
from models.runners.framing import face_focus, fit_photograph
from models.runners.interpolate import interpolate
from models.runners.preview import preview_picture, to_frames
from models.runners.progress import Latest, Progress, StepBar, listening
from models.runners.refusals import refuse_the_impossible
from models.runners.registry import FAMILIES, family_of
from models.runners.sound import joined, read_sound
from models.runners.variants import Variants
from models.runners.wording import worded

if TYPE_CHECKING:
    from models.card import Card, Offer
    from models.runners.base import Frame, RunMonitor, RunRequest, Sound
    from models.types import ClipPlan

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
    family = family_of(card.weights.pipeline or "")
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
    return DiffusersRunner(card, Variants(card, offer, pipe, checkpoint), family, pipe, device)


class DiffusersRunner:
    """One pipeline, one clip at a time."""

    def __init__(self, card: Card, variants: Variants, family: Family, pipe: Any, device: str) -> None:
        self._card = card
        self._variants = variants
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
            InputRefused: shape, last image or another input is nothing that this pipeline makes or takes, or
                these weights do not serve the offer.
            CheckpointMissing: the offer's adapter cannot be had; other offers go on.
        """
        if self._pipe is None:
            raise RunnerError(f"{self._card.id} was unloaded")
        self._drop_open_clip()
        offer = self._variants.offer(request.offer)
        steps = self._steps(request)
        refuse_the_impossible(self._card, self._family, self._pipe, request, steps)
        monitor.stage(Stage.ENCODING_INPUT)
        progress = Progress(monitor, steps * self._loops(request.plan))
        photograph = self._fitted(request.image, request)
        whole: list[Frame] = []
        sounds: list[Sound] = []
        for index in range(request.plan.segments - 1):
            segment = self._segment(request, index, photograph)
            output = self._denoise(segment, progress, offer)
            whole += islice(self._decode(segment, output.frames, progress), 0 if index == 0 else 1, None)
            sounds += self._sound(segment, output)
            photograph = Image.fromarray(whole[-1])
        segment = self._segment(request, request.plan.segments - 1, photograph)
        output = self._denoise(segment, progress, offer)
        monitor.stage(Stage.DECODING)
        sounds += self._sound(segment, output)
        last = islice(self._decode(segment, output.frames, progress), 1 if whole else 0, None)
        self._open = _delivered(chain(whole, last), request)
        return RunResult(
            frames=self._open,
            notes=self._notes(request),
            audio=joined(sounds, overlap=1 / request.plan.native.fps) or self._carried(request),
        )

    def unload(self) -> None:
        """Free weights and caches; the runner cannot be used afterwards."""
        self._drop_open_clip()
        self._variants.drop()
        self._pipe = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    # --- what goes in ----------------------------------------------------------------------

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
            guidance=self._variants.sampling(request.offer).guidance
            if request.guidance is None
            else request.guidance,
            intensity=request.intensity,
            seed=seed,
            generator=torch.Generator("cpu").manual_seed(seed),
            driving_video=request.driving_video,
        )

    def _steps(self, request: RunRequest) -> int:
        return self._variants.sampling(request.offer).steps if request.steps is None else request.steps

    def _loops(self, plan: ClipPlan) -> int:
        """Denoising loops of the whole clip."""
        inner = self._family.runs(plan.native) if isinstance(self._family, FollowsVideo) else 1
        return plan.segments * inner

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

    def _denoise(self, segment: Segment, progress: Progress, offer: Offer) -> Any:
        """Call the pipeline, as the offer wants it, up to its final latents; report and listen at every step.

        Returns:
            What the pipeline returns: `frames` are its final latents (or what its family asks for).

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
            with (
                self._variants.laid(offer),
                typed_failures(f"denoising {_figures(segment)}"),
                _own_randomness(segment, self._device),
                listening(pipe, latest) as callbacks,
            ):
                arguments = {"output_type": "latent", **self._family.arguments(pipe, segment)}
                return pipe(**arguments, **callbacks)
        finally:
            del pipe.progress_bar  # the class has its own

    def _carried(self, request: RunRequest) -> Sound | None:
        """The driving video's own sound, where the card says that its clips have it."""
        if request.driving_video is None or self._card.controls.audio_out == "none":
            return None
        return read_sound(request.driving_video, request.plan.effective.seconds)

    def _sound(self, segment: Segment, output: Any) -> list[Sound]:
        """The sound of one call, where the pipeline makes some."""
        if not isinstance(self._family, MakesSound):
            return []
        with typed_failures(f"decoding the sound of {_figures(segment)}"):
            return [self._family.sound(self._pipe, output, segment)]

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
