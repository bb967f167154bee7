"""PIA: AnimateDiff's motion modules with the photograph as condition; motion is steered by one number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from models.runners.families import Lattice
from models.types import Intensity

if TYPE_CHECKING:
    from models.runners.families import Segment

MOTION: dict[Intensity, int] = {
    # motion_scale 0 is small, 1 moderate, 2 large motion (open-mmlab/PIA README, "Motion Magnitude");
    # there are three for our five words.
    Intensity.SUBTLE: 0,
    Intensity.GENTLE: 0,
    Intensity.MODERATE: 1,
    Intensity.DYNAMIC: 2,
    Intensity.EXTREME: 2,
}
SIZE_CHECK = 8
"""`PIAPipeline.check_inputs` raises unless both sides are multiples of 8."""
DECODE_CHUNK = 4
"""Frames decoded together: our choice, bounded memory (frames do not see one another in this codec)."""


class PIAFamily:
    """`PIAPipeline` of diffusers (in its deprecated modules)."""

    pipeline = "PIAPipeline"
    float32: tuple[str, ...] = ()

    def lattice(self, pipe: Any) -> Lattice:
        """Latents must halve evenly on the way down the UNet; no more frames than the motion modules know."""
        config = pipe.unet.config
        halvings = 2 ** (len(config.block_out_channels) - 1)
        return Lattice(
            math.lcm(SIZE_CHECK, pipe.vae_scale_factor * halvings),
            1,
            frames=tuple(range(1, config.motion_max_seq_length + 1)),
        )

    def takes_last_image(self, pipe: Any) -> bool:
        """Never."""
        return False

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments; without a wish the motion is the pipeline's default, small."""
        return {
            "image": segment.image,
            "prompt": segment.prompt,
            "negative_prompt": segment.negative_prompt,
            "width": segment.native.width,
            "height": segment.native.height,
            "num_frames": segment.native.num_frames,
            "num_inference_steps": segment.steps,
            "guidance_scale": segment.guidance,
            "motion_scale": 0 if segment.intensity is None else MOTION[segment.intensity],
            "generator": segment.generator,
        }

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """Decode a few frames at a time."""
        for start in range(0, latents.shape[2], DECODE_CHUNK):
            with torch.no_grad():
                chunk = pipe.decode_latents(latents[:, :, start : start + DECODE_CHUNK])[0]
            yield chunk.clamp(-1.0, 1.0)

    def estimate(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        """The middle frame, with the noise that is still in it."""
        middle = latents.shape[2] // 2
        return latents[:, :, middle : middle + 1]

    def decode_frame(self, pipe: Any, latent: torch.Tensor) -> torch.Tensor:
        """Decode one latent frame alone."""
        picture: torch.Tensor = pipe.decode_latents(latent.to(pipe.vae.dtype))[0, :, 0]
        return picture.clamp(-1.0, 1.0)
