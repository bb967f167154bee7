"""What the diffusers runner asks of a pipeline family, and what it gives it for one segment.

The runner knows how a clip is made (fit, denoise, decode, chain); a family knows how its pipeline wants to
be called, how its latents become pictures, and on which lattice its sizes and lengths lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from PIL import Image

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


@dataclass(frozen=True, slots=True)
class Lattice:
    """Sizes are multiples of `multiple` pixels, lengths are `frame_step * k + 1` frames."""

    multiple: int
    frame_step: int


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
        """Keyword arguments of the pipeline call, without output type and callbacks."""
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
