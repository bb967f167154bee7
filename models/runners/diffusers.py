"""Run an image-to-video pipeline of diffusers: the runner behind all cards with open weights.

The checkpoint is a local directory or the card's hub id at its pinned revision. The plan decides the shape:
the photograph is cropped or padded to the native size (the pipelines would stretch it), segments are chained
by their last frame, gaps are filled by interpolation, and exactly the planned frames come out.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch

from models.errors import ConfigError, RunnerError
from models.runners.base import Stage
from models.runners.checkpoints import load_pipeline
from models.runners.crew import ALONE, Crew
from models.runners.families import Resumes
from models.runners.reel import FolderReel, MemoryReel
from models.runners.refusals import refuse_the_impossible
from models.runners.registry import FAMILIES, family_of
from models.runners.segments import Chain
from models.runners.sharing import Sharing
from models.runners.solver import can_start_late
from models.runners.stepped import DiffusersClip
from models.runners.underway import Loaded
from models.runners.variants import Variants

if TYPE_CHECKING:
    from pathlib import Path

    from models.card import Card, Offer
    from models.runners.base import RunMonitor, RunRequest, RunResult
    from models.runners.families import Family
    from models.runners.parallel import Blocks
    from models.runners.reel import Reel


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
    """One pipeline; any number of clips under way, each at its own step."""

    def __init__(self, card: Card, variants: Variants, family: Family, pipe: Any, device: str) -> None:
        self._card = card
        self._variants = variants
        self._family = family
        self._pipe: Any = pipe
        self._device = torch.device(device)
        self._sharing: Sharing | None = None
        self._alone: DiffusersClip | None = None
        self._clips: WeakSet[DiffusersClip] = WeakSet()

    @property
    def stepped(self) -> bool:
        """Whether clips can be taken up in the middle of a segment, in this process or another one.

        The others can be paused, too, but resume at their segment's beginning.
        """
        return bool(isinstance(self._family, Resumes) and self._family.prepared) and can_start_late(
            self._pipe.scheduler
        )

    def join(self, blocks: Blocks) -> None:
        """Take part in a gang: forwards may be shared over its blocks from now on."""
        self._sharing = Sharing(blocks)

    def begin(self, request: RunRequest, folder: Path, monitor: RunMonitor) -> DiffusersClip:
        """Encode the photograph and the words; the folder then holds the state before the first step.

        Raises:
            Cancelled: the monitor saw the cancel flag.
            OutOfMemory: this geometry does not fit.
            InputRefused: shape, last image or another input is nothing that this pipeline makes or takes, or
                these weights do not serve the offer.
            CheckpointMissing: the offer's adapter cannot be had; other offers go on.
        """
        return self._begun(request, folder, FolderReel(folder), monitor)

    def resume(self, request: RunRequest, folder: Path) -> DiffusersClip:
        """Go on from the folder's state, which `begin` or `save` left there, here or in another process.

        Where the model cannot be taken up in mid-segment, the clip stands at its segment's beginning.

        Raises:
            CheckpointUnusable: it was cut short, or another model, shape or version wrote it.
        """
        clip = self._clip(request, folder, FolderReel(folder))
        clip.resume()
        return clip

    def generate(self, request: RunRequest, monitor: RunMonitor) -> RunResult:
        """Make one clip.

        All denoising is done when this returns. The frames of the last segment are decoded while they are
        taken (each call of `next` may raise `OutOfMemory` or `Cancelled`), so that no clip of floats is held
        and encoding overlaps decoding. Frames must be taken before the next clip is made.

        Steps are counted over all segments. In a chain, earlier segments are decoded between their
        denoising runs without a change of stage, so that stages only ever go forward.

        Raises:
            Cancelled, OutOfMemory, InputRefused, CheckpointMissing: as `begin`; the runner can be used again.
        """
        self._drop_open_clip()
        clip = self._alone = self._begun(request, None, MemoryReel(), monitor)
        alone = ALONE if self._sharing is None else Crew((self._sharing.blocks.rank,))
        try:
            while True:
                clip.advance(clip.place.steps, alone, monitor)
                if clip.place.last:
                    return clip.finish(monitor)
                clip.turn(monitor)
        except BaseException:
            self._drop_open_clip()
            raise

    def unload(self) -> None:
        """Free weights and caches; the runner cannot be used afterwards, nor any clip of it."""
        self._drop_open_clip()
        for clip in list(self._clips):
            clip.close()
        self._variants.drop()
        self._pipe = self._sharing = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _begun(
        self, request: RunRequest, folder: Path | None, reel: Reel, monitor: RunMonitor
    ) -> DiffusersClip:
        clip = self._clip(request, folder, reel)
        monitor.stage(Stage.ENCODING_INPUT)
        clip.begin()
        return clip

    def _clip(self, request: RunRequest, folder: Path | None, reel: Reel) -> DiffusersClip:
        if self._pipe is None:
            raise RunnerError(f"{self._card.id} was unloaded")
        offer, sampling = self._variants.offer(request.offer), self._variants.sampling(request.offer)
        steps = sampling.steps if request.steps is None else request.steps
        refuse_the_impossible(self._card, self._family, self._pipe, request, steps)
        guidance = sampling.guidance if request.guidance is None else request.guidance
        row = Chain.of(self._card, self._family, self._pipe, request, steps=steps, guidance=guidance)
        loaded = Loaded(self._card, self._variants, self._family, self._pipe, self._device)
        clip = DiffusersClip(loaded, offer, row, reel, folder, self._sharing)
        self._clips.add(clip)
        return clip

    def _drop_open_clip(self) -> None:
        """A clip whose frames were not all taken still holds its latents: end it."""
        if self._alone is not None:
            self._alone.close()
            self._alone = None
