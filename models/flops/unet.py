"""UNets, scaled from counted figures at a reference shape.

Convolutions grow with pixels x frames, spatial self-attention with pixels squared x frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import ConfigError
from models.flops.work import Kind, Work

if TYPE_CHECKING:
    from models.card import Transformer


def unet_work(transformer: Transformer) -> Work:
    """Coefficients; raises `ConfigError` without the reference figures."""
    if transformer.flops_per_forward is None or transformer.reference is None:
        raise ConfigError("a UNet needs flops_per_forward and reference", param="cost.transformer")
    width, height, num_frames = transformer.reference
    pixels = width * height
    voxels = pixels * num_frames
    return Work(
        voxel=transformer.flops_per_forward / voxels,
        attention_pixel_voxel=transformer.attention_flops_per_forward / (pixels * voxels),
    )


KINDS = {"unet": Kind(unet_work, needs=("flops_per_forward", "reference"), parallel=False)}
