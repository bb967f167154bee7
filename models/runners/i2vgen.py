"""I2VGen-XL: a 3D UNet that reads the photograph twice, as latents and as CLIP features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from models.runners.families import Lattice, unet_lattice

if TYPE_CHECKING:
    from models.runners.families import Segment

CLIP_SKIP = 1
"""The words enter from CLIP's last layer but one, as the model was trained (the pipeline's default)."""
SIZE_CHECK = 8
"""`I2VGenXLPipeline.check_inputs` raises unless both sides are multiples of 8."""


class I2VGenXLFamily:
    """`I2VGenXLPipeline` of diffusers (in its deprecated modules)."""

    pipeline = "I2VGenXLPipeline"
    float32: tuple[str, ...] = ()

    def lattice(self, pipe: Any) -> Lattice:
        """Latents must halve evenly on the way down the UNet (64 pixels for the released one); any length."""
        return unet_lattice(pipe, SIZE_CHECK)

    def takes_last_image(self, pipe: Any) -> bool:
        """Never."""
        return False

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments; the frame rate conditions the motion."""
        _name_text_model(pipe.text_encoder)
        return {
            "image": segment.image,
            "prompt": segment.prompt,
            "negative_prompt": segment.negative_prompt,
            "width": segment.native.width,
            "height": segment.native.height,
            "num_frames": segment.native.num_frames,
            "target_fps": max(1, round(segment.native.fps)),
            "num_inference_steps": segment.steps,
            "guidance_scale": segment.guidance,
            "generator": segment.generator,
            "clip_skip": CLIP_SKIP,
        }

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """Decode frame by frame, as the pipeline does by default (its codec knows no time)."""
        for index in range(latents.shape[2]):
            with torch.no_grad():
                chunk = pipe.decode_latents(latents[:, :, index : index + 1])[0]
            yield chunk.clamp(-1.0, 1.0)

    def estimate(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        """The middle frame; the solver keeps frames in the place of the batch."""
        middle = latents.shape[0] // 2
        return latents[middle : middle + 1].unsqueeze(2)

    def decode_frame(self, pipe: Any, latent: torch.Tensor) -> torch.Tensor:
        """Decode one latent frame alone."""
        picture: torch.Tensor = pipe.decode_latents(latent.to(pipe.vae.dtype))[0, :, 0]
        return picture.clamp(-1.0, 1.0)


def _name_text_model(text_encoder: Any) -> None:
    """Give back the attribute that transformers 5 took away and the pipeline asks for its last norm."""
    if not hasattr(text_encoder, "text_model"):
        # Past `nn.Module.__setattr__`, which would register the module as its own child.
        object.__setattr__(text_encoder, "text_model", text_encoder)
