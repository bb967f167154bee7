"""Stable Video Diffusion: no words; motion is steered by numbers that stand for its amount."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from models.runners.families import Lattice, unet_lattice
from models.types import Intensity

if TYPE_CHECKING:
    from models.runners.families import Segment

MOTION: dict[Intensity, tuple[int, float]] = {
    # motion_bucket_id and noise_aug_strength. MODERATE is the pipeline's default and DYNAMIC the stronger
    # setting of diffusers' SVD guide ("motion_bucket_id=180, noise_aug_strength=0.1"); the others continue
    # that line and are inferred. 255 is the largest bucket that the model saw in training.
    Intensity.SUBTLE: (32, 0.02),
    Intensity.GENTLE: (80, 0.02),
    Intensity.MODERATE: (127, 0.02),
    Intensity.DYNAMIC: (180, 0.1),
    Intensity.EXTREME: (255, 0.1),
}
DECODE_CHUNK = 8
"""Frames decoded together; the value of diffusers' SVD guide (more is steadier and takes more memory)."""
SIZE_CHECK = 8
"""`StableVideoDiffusionPipeline.check_inputs` raises unless both sides are multiples of 8."""


class SvdFamily:
    """`StableVideoDiffusionPipeline` of diffusers."""

    pipeline = "StableVideoDiffusionPipeline"
    float32: tuple[str, ...] = ()

    def lattice(self, pipe: Any) -> Lattice:
        """Latents must halve evenly on the way down the UNet (64 pixels for the released one); any length."""
        return unet_lattice(pipe, SIZE_CHECK)

    def takes_last_image(self, pipe: Any) -> bool:
        """Never."""
        return False

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments; guidance grows from 1 at the first frame to the asked value at the last."""
        intensity = segment.intensity if segment.intensity is not None else Intensity.MODERATE
        bucket, augmentation = MOTION[intensity]
        # One frame: nothing to grow over, and at guidance 1 the pipeline would drop half its batch.
        first_guidance = 1.0 if segment.native.num_frames > 1 else segment.guidance
        return {
            "image": segment.image,
            "width": segment.native.width,
            "height": segment.native.height,
            "num_frames": segment.native.num_frames,
            "num_inference_steps": segment.steps,
            "min_guidance_scale": first_guidance,
            "max_guidance_scale": segment.guidance,
            "fps": max(1, round(segment.native.fps)),
            "motion_bucket_id": bucket,
            "noise_aug_strength": augmentation,
            "generator": segment.generator,
        }

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """Decode a few frames at a time, as the pipeline does with `decode_chunk_size`."""
        for start in range(0, latents.shape[1], DECODE_CHUNK):
            part = latents[:, start : start + DECODE_CHUNK]
            with torch.no_grad():
                chunk = pipe.decode_latents(part, part.shape[1], DECODE_CHUNK)[0]
            yield chunk.clamp(-1.0, 1.0)

    def estimate(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        """The middle frame, brought from the solver's growing scale back to unit variance."""
        scheduler = pipe.scheduler
        index = scheduler.step_index
        sigma = float(scheduler.sigmas[index]) if index is not None else 0.0
        middle = latents.shape[1] // 2
        frame = latents[:, middle : middle + 1] / math.sqrt(sigma**2 + 1.0)
        return frame.permute(0, 2, 1, 3, 4)

    def decode_frame(self, pipe: Any, latent: torch.Tensor) -> torch.Tensor:
        """Decode one latent frame alone."""
        frame = latent.permute(0, 2, 1, 3, 4).to(pipe.vae.dtype)
        picture: torch.Tensor = pipe.decode_latents(frame, 1, 1)[0, :, 0]
        return picture.clamp(-1.0, 1.0)
