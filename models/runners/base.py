"""What a rank process asks of a runner, and what it hears while a clip is made.

A runner is loaded once, then makes one clip at a time. It reports through `RunMonitor`, whose `step`
raises `Cancelled` when the job was cancelled: a runner calls it at every denoising step (or rendered
frame) and lets the exception through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from models.card import Card, Offer
    from models.runners.crew import Crew
    from models.runners.parallel import Blocks
    from models.types import CameraMove, ClipPlan, Intensity

    Frame = NDArray[np.uint8]
    """One picture: uint8, height x width x 3, RGB."""


class Stage(StrEnum):
    """Stages of a run, in order, as clients see them in `progress_detail.stage`."""

    QUEUED = "queued"
    LOADING = "loading"
    ENCODING_INPUT = "encoding_input"
    DENOISING = "denoising"
    PAUSED = "paused"
    RENDERING = "rendering"
    DECODING = "decoding"
    MUXING = "muxing"
    STORING = "storing"


class RunMonitor(Protocol):
    """How a runner tells its rank where it is."""

    def stage(self, stage: Stage) -> None:
        """Enter a stage; raises `Cancelled` when the job was cancelled."""
        ...

    def step(self, done: int, total: int, preview: Frame | None = None) -> None:
        """Report `done` of `total` steps, with a preview picture when one is at hand.

        Raises `Cancelled` when the job was cancelled.
        """
        ...

    def wants_preview(self) -> bool:
        """True when enough time has passed that computing another preview picture is worth it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A clip's sound.

    Attributes:
        samples: float32 in [-1, 1], channels x samples.
        rate: Samples per second and channel, in Hz.
    """

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        """Playing time."""
        return float(self.samples.shape[1] / self.rate)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One clip to make: the plan decides the shape, never the runner.

    `image` (and `last_image`) are already upright RGB; the runner fits them to `plan.native` as
    `plan.framing` says. `steps` and `guidance` None mean the offer's own.
    """

    image: Image.Image
    prompt: str
    plan: ClipPlan
    seed: int
    negative_prompt: str = ""
    last_image: Image.Image | None = None
    camera: tuple[CameraMove, ...] = ()
    intensity: Intensity | None = None
    faces: tuple[tuple[float, float, float, float], ...] = ()
    """Faces found in the photograph: x, y, width, height as shares of the photograph."""
    steps: int | None = None
    guidance: float | None = None
    offer: str | None = None
    """Id of the card's offer that this clip is for; None means the one that the runner was loaded for.
    Another offer runs on the same weights with its adapter laid over them."""
    driving_video: Path | None = None
    """A local file whose motion the clip follows."""
    audio: Path | None = None
    """A local file whose sound the clip follows."""
    generate_audio: bool = False
    """Sound of the model's own was asked for; without it the clip stays silent."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The finished clip as frames: exactly `plan.effective.num_frames` of its size, RGB uint8.

    `frames` may be a generator (rendered or decoded while it is encoded): it is consumed once.
    """

    frames: Iterator[Frame]
    notes: tuple[str, ...] = field(default=())
    audio: Sound | None = None
    """Sound that belongs to the clip; cut or padded to the pictures' length when it is written."""


class Runner(Protocol):
    """One model (or renderer) ready to make clips in this process."""

    def generate(self, request: RunRequest, monitor: RunMonitor) -> RunResult:
        """Make one clip.

        Raises:
            Cancelled: the monitor saw the cancel flag.
            OutOfMemory: this geometry does not fit; the process should be recycled.
            InputRefused: this model cannot take this photograph or prompt.
        """
        ...

    def unload(self) -> None:
        """Free weights and caches."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a clip stands: so many denoising steps done of a segment, of which a chain has several."""

    segment: int
    """The segment under way, from 0."""
    segments: int
    step: int
    """Steps done of it."""
    steps: int
    """Steps of each segment."""

    @property
    def done(self) -> int:
        """Steps done of the whole clip."""
        return self.segment * self.steps + self.step

    @property
    def total(self) -> int:
        """Steps of the whole clip."""
        return self.segments * self.steps

    @property
    def denoised(self) -> bool:
        """The segment's latents are final: it is to be decoded."""
        return self.step >= self.steps

    @property
    def last(self) -> bool:
        """No segment follows this one."""
        return self.segment == self.segments - 1


class OpenClip(Protocol):
    """A clip under way in this process, standing between two denoising steps.

    Its state also lies in a folder on this machine, so that other ranks (or another process) can go on with
    it: what never changes within a segment once, what every step changes whenever `save` is called.
    """

    @property
    def place(self) -> Place:
        """Where it stands."""
        ...

    def crew(self, ranks: tuple[int, ...]) -> Crew:
        """How these ranks share the clip: guidance's two passes first, then the tokens of each."""
        ...

    def advance(self, steps: int, crew: Crew, monitor: RunMonitor) -> Place:
        """Denoise up to `steps` steps, never beyond the segment's end.

        Every rank of the crew calls this with the same arguments, each holding the clip at the same place.

        Raises:
            Cancelled: the monitor saw the cancel flag (only ever asked for where a crew is one rank).
            OutOfMemory: this geometry does not fit.
        """
        ...

    def save(self) -> None:
        """Write the state of this moment to the folder, in one piece or not at all (the leader does)."""
        ...

    def turn(self, monitor: RunMonitor) -> Place:
        """Decode the denoised segment, keep its pictures in the folder, and begin the next one; saves."""
        ...

    def finish(self, monitor: RunMonitor) -> RunResult:
        """Decode the last segment and deliver the whole clip (frames are decoded while they are taken)."""
        ...

    def close(self) -> None:
        """Let go of what this process holds of it; the folder stays."""
        ...


@runtime_checkable
class SteppedRunner(Runner, Protocol):
    """A runner whose clips can be paused after any step and resumed elsewhere."""

    @property
    def stepped(self) -> bool:
        """False for a model whose clips can only be made as a whole, by `generate`."""
        ...

    def join(self, blocks: Blocks) -> None:
        """Take part in a gang: forwards may be shared over its blocks from now on."""
        ...

    def begin(self, request: RunRequest, folder: Path, monitor: RunMonitor) -> OpenClip:
        """Encode the photograph and the words; the folder then holds the state before the first step.

        Raises:
            InputRefused, OutOfMemory, Cancelled: as `generate`.
        """
        ...

    def resume(self, request: RunRequest, folder: Path) -> OpenClip:
        """Go on from the folder's state, which `begin` or `save` left there, here or in another process.

        Raises:
            CheckpointUnusable: it was cut short, or another model, shape or version wrote it.
        """
        ...


class RunnerFactory(Protocol):
    """What `models.runners.<name>` exports as `load`.

    `checkpoint` is a local directory, or None for the card's hub id at its pinned revision; `device`
    is a torch device string. Raises `CheckpointMissing` when the weights cannot be had.
    """

    def __call__(self, card: Card, offer: Offer, *, checkpoint: str | None, device: str) -> Runner:
        """Load the weights; slow, once per rank process."""
        ...
