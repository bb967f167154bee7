"""What the diffusers runner asks of a pipeline family, and what it gives it for one segment.

The runner knows how a clip is made (fit, denoise, decode, chain); a family knows how its pipeline wants to
be called, how its latents become pictures, and on which lattice its sizes and lengths lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from models.runners.base import Sound
    from models.types import Geometry, Intensity

TILING_PIXELS = 1280 * 720
"""Frames larger than this are decoded in spatial tiles: 720p is the largest size that the Wan and LTX
repositories themselves decode in one piece, and tiles cost a visible blend at their borders."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One call of the pipeline: a clip of native length from one photograph of exactly native size."""

    image: Image.Image
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
class FollowsVideo(Protocol):
    """A family whose clip follows a driving video, for as long, in runs that the pipeline chains itself."""

    def runs(self, native: Geometry) -> int:
        """Denoising loops in one call of the pipeline."""
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
