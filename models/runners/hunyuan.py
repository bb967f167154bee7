"""HunyuanVideo 1.5 image-to-video: the pipeline picks the size itself, from the photograph's aspect."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from diffusers.pipelines.hunyuan_video1_5.image_processor import (
    HunyuanVideo15ImageProcessor,
    generate_crop_size_list,
)

from models.runners.families import Lattice

if TYPE_CHECKING:
    from models.runners.families import Segment

MAX_RATIO = 4.0
"""Most elongated size of the pipeline's own list: `generate_crop_size_list`'s default."""


class HunyuanVideo15Family:
    """`HunyuanVideo15ImageToVideoPipeline` of diffusers."""

    pipeline = "HunyuanVideo15ImageToVideoPipeline"
    float32: tuple[str, ...] = ()

    def lattice(self, pipe: Any) -> Lattice:
        """4k+1 frames, and the sizes that the pipeline keeps when it is given a photograph of that size."""
        cell = pipe.vae_scale_factor_spatial
        return Lattice(
            cell * pipe.transformer.config.patch_size,
            pipe.vae_scale_factor_temporal,
            sizes=kept_sizes(pipe.target_size, cell),
        )

    def takes_last_image(self, pipe: Any) -> bool:
        """Never: the photograph conditions the first latent frame only."""
        return False

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments; guidance belongs to the pipeline's guider, size and crop to the pipeline itself.

        The codec always decodes in tiles (its clips do not stream, and diffusers' own example does so at the
        smallest size); clips below one tile are decoded whole.
        """
        pipe.vae.enable_tiling()
        pipe.guider.guidance_scale = segment.guidance
        return {
            "image": segment.image,
            "prompt": segment.prompt,
            "negative_prompt": segment.negative_prompt,
            "num_frames": segment.native.num_frames,
            "num_inference_steps": segment.steps,
            "generator": segment.generator,
        }

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """Decode the clip in one piece, tile by tile."""
        with torch.no_grad():
            video = pipe.vae.decode(_raw(pipe, latents), return_dict=False)[0][0]
        yield video.clamp(-1.0, 1.0)

    def estimate(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        """The middle latent frame, with the noise that is still in it (Euler keeps no clean estimate)."""
        middle = latents.shape[2] // 2
        return latents[:, :, middle : middle + 1]

    def decode_frame(self, pipe: Any, latent: torch.Tensor) -> torch.Tensor:
        """Decode one latent frame alone, as if it were the first of a clip (the codec is causal)."""
        picture: torch.Tensor = pipe.vae.decode(_raw(pipe, latent), return_dict=False)[0][0, :, 0]
        return picture.clamp(-1.0, 1.0)


@lru_cache(maxsize=8)
def kept_sizes(target_size: int, cell: int) -> tuple[tuple[int, int], ...]:
    """Sizes (width, height) that the pipeline returns unchanged, for one training size.

    Its rule compares the photograph's aspect with its list rounded to five digits, so that about a third of
    the listed sizes are mapped to a neighbour: 832x480 to 816x480, for one. Only fixed points can be planned.

    Args:
        target_size: `transformer.config.target_size`: 640 for the 480p checkpoint, 960 for 720p.
        cell: Pixels of one latent cell.
    """
    processor = HunyuanVideo15ImageProcessor(vae_scale_factor=cell)
    listed = generate_crop_size_list(target_size, cell, MAX_RATIO)
    return tuple(
        (width, height)
        for height, width in listed
        if processor.calculate_default_height_width(height, width, target_size) == (height, width)
    )


def _raw(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    scaled: torch.Tensor = latents.to(pipe.vae.dtype) / pipe.vae.config.scaling_factor
    return scaled
