"""Tiny I2VGen-XL (shapes of diffusers' tests/pipelines/i2vgen_xl)."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers
from diffusers.models.unets import I2VGenXLUNet

from models.runners.tiny.parts import clip_config, clip_processor, seeded
from models.runners.tiny.stable_diffusion import clip_text, ddim, picture_vae
from models.runners.tiny.store import Recipe


def _i2vgen_xl() -> Any:
    unet = seeded(
        lambda: I2VGenXLUNet(
            block_out_channels=(4, 8),
            layers_per_block=1,
            sample_size=32,
            in_channels=4,
            out_channels=4,
            down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
            up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
            cross_attention_dim=4,
            attention_head_dim=4,
            num_attention_heads=None,
            norm_num_groups=2,
        )
    )
    clip = clip_config(4, 32, 8)
    return diffusers.I2VGenXLPipeline(
        vae=picture_vae(),
        **clip_text(4),
        image_encoder=seeded(lambda: transformers.CLIPVisionModelWithProjection(clip)),
        feature_extractor=clip_processor(32),
        unet=unet,
        scheduler=ddim("squaredcos_cap_v2"),
    )


KINDS = {"i2vgen-xl": Recipe(lambda _: _i2vgen_xl())}
