"""What the diffusers runner asks of a pipeline family, and what it gives it for one segment.

The runner knows how a clip is made (fit, denoise, decode, chain); a family knows how its pipeline wants to
be called, how its latents become pictures, and on which lattice its sizes and lengths lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from models.runners.base import Frame, Sound
    from models.runners.tape import Calls, Prepared
    from models.types import Geometry, Intensity

TILING_PIXELS = 1280 * 720
"""Frames larger than this are decoded in spatial tiles: 720p is the largest size that the Wan and LTX
repositories themselves decode in one piece, and tiles cost a visible blend at their borders."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One call of the pipeline: a clip of native length from one photograph of exactly native size."""

    image: Image.Image
    """The photograph; in later segments the last picture of the one before (for families that follow a
    video, always the photograph)."""
    last_image: Image.Image | None
    prompt: str
    negative_prompt: str
    native: Geometry
    steps: int
    guidance: float
    intensity: Intensity | None
    seed: int
    generator: torch.Generator
    """On the CPU, so that the same seed gives the same noise on every device."""
    driving_video: Path | None = None
    """A local file whose motion the clip follows."""
    run: int = 0
    """Which run of a driving video's length this is, from 0."""
    before: tuple[Frame, ...] = ()
    """The last pictures of the segment before, as many as neighbours share; none in the first one."""
    prepared: bool = False
    """The call is resumed: what the family's `prepared` methods make is at hand, so inputs that only they
    read may be stand-ins of the right shape."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """Sizes are multiples of `multiple` pixels, lengths are `frame_step * k + 1` frames.

    Where a pipeline knows few shapes, `sizes` (width, height) and `frames` list them all.
    """

    multiple: int
    frame_step: int
    sizes: tuple[tuple[int, int], ...] | None = None
    frames: tuple[int, ...] | None = None


class Family(Protocol):
    """The differences between pipelines; one per diffusers pipeline class."""

    pipeline: str
    """Name of the diffusers class."""
    float32: tuple[str, ...]
    """Components kept in float32 when the rest runs in bfloat16."""

    def lattice(self, pipe: Any) -> Lattice:
        """Shapes that the pipeline makes exactly; anything else it would refuse or silently round."""
        ...

    def takes_last_image(self, pipe: Any) -> bool:
        """True when this checkpoint really uses a last frame."""
        ...

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Keyword arguments of the pipeline call, without callbacks.

        `output_type` is "latent" unless it is given here.
        """
        ...

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """Turn the call's final latents into pictures, in order.

        Yields:
            Chunks of shape 3 x frames x height x width in [-1, 1].
        """
        ...

    def estimate(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        """One frame of the clean latents as they are believed to be after a step, for a preview.

        Args:
            pipe: The pipeline, inside its denoising loop.
            latents: As its step callback gives them.
            segment: What is being made.

        Returns:
            Shape 1 x channels x 1 x height x width, in the pipeline's normalised latent space.
        """
        ...

    def decode_frame(self, pipe: Any, latent: torch.Tensor) -> torch.Tensor:
        """Decode one frame of `estimate` (at any size) to 3 x height x width in [-1, 1]."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """A family whose calls can go on in mid-segment, without encoding again."""

    prepared: tuple[Prepared, ...]
    """What the pipeline prepares before its loop: everything that encodes or draws noise."""


@runtime_checkable
class Replaces(Protocol):
    """A family that needs methods of the pipeline otherwise for some segments."""

    def replaced(self, pipe: Any, segment: Segment) -> Mapping[str, Callable[..., Any]]:
        """Methods that take the place of the pipeline's own, on this clip's pipeline object only."""
        ...


@runtime_checkable
class TwoPasses(Protocol):
    """A family that calls its denoiser twice a step when it is guided: once for each prompt."""

    def branches(self, pipe: Any, calls: Calls) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The prompts' embeddings, wanted and unwanted, as the denoiser gets them; None without guidance.

        Args:
            pipe: The clip's own pipeline.
            calls: What the family's `prepared` methods returned.
        """
        ...


@runtime_checkable
class Continues(Protocol):
    """A family whose segments can begin with several pictures, so that what moves goes on moving.

    The plan says how many neighbours share, on the lattice of lengths; other families share the joint one.
    """

    shared_frames: int
    """How many its makers let them share; what cards say."""


@runtime_checkable
class EndsAtLatents(Protocol):
    """A family whose pipeline is left after its last step, as what follows there belongs to decoding."""

    def ended(self, latents: torch.Tensor) -> Any:
        """What stands for the pipeline's output: `frames` are what `decode` takes."""
        ...


@runtime_checkable
class FollowsVideo(Protocol):
    """A family whose clip follows a driving video, for as long, in runs of fixed length.

    Each run is a segment of its own; they share their `overlap`.
    """

    def runs(self, native: Geometry) -> int:
        """Runs that a clip of this length takes."""
        ...

    def run_frames(self) -> int:
        """Pictures that each run makes; those beyond the clip's length are cut."""
        ...

    def overlap(self, pipe: Any, native: Geometry) -> int:
        """Pictures at a run's start that show the end of the one before; they are delivered once."""
        ...


@runtime_checkable
class MakesSound(Protocol):
    """A family whose pipeline makes sound with the picture."""

    def sound(self, pipe: Any, output: Any, segment: Segment) -> Sound:
        """Decode the sound of one call.

        Args:
            pipe: The pipeline.
            output: What its call returned.
            segment: What was made.
        """
        ...


def tile_when_large(vae: Any, segment: Segment) -> None:
    """Decode (and encode) in tiles above `TILING_PIXELS`; chosen anew for each clip."""
    # Slicing splits a batch; the batch is always one clip, so there is nothing to slice. The flag is set
    # rather than `disable_tiling` called, which LTX-2's codec does not have.
    if segment.native.size.pixels > TILING_PIXELS:
        vae.enable_tiling()
    else:
        vae.use_tiling = False


def unet_lattice(pipe: Any, check: int) -> Lattice:
    """Latents that halve evenly on the way down a UNet (64 pixels for released ones); any length.

    Args:
        pipe: With a `unet`.
        check: Sides must be multiples of this, too: what the pipeline's `check_inputs` asks.
    """
    halvings = 2 ** (len(pipe.unet.config.block_out_channels) - 1)
    return Lattice(math.lcm(check, pipe.vae_scale_factor * halvings), 1)


def ltx_lattice(pipe: Any, check: int) -> Lattice:
    """Cells of LTX codecs times patch: multiples of 32 pixels and 8k+1 frames for the released ones.

    Args:
        pipe: Any of LTX-Video or LTX-2.
        check: Sides must be multiples of this, too: what the pipeline's `check_inputs` asks.
    """
    cell = pipe.vae_spatial_compression_ratio * pipe.transformer_spatial_patch_size
    return Lattice(max(check, cell), pipe.vae_temporal_compression_ratio)
