"""Tiny SkyReels-V2 image-to-video (shapes of diffusers' tests/pipelines/skyreels_v2)."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers

from models.runners.tiny.parts import clip_config, clip_processor, seeded
from models.runners.tiny.store import Recipe
from models.runners.tiny.wan import WAN, WanScale, unipc, wan_shape, wan_text, wan_vae


def _skyreels(scale: WanScale) -> Any:
    clip = clip_config(scale.image_width, 32, 8)
    transformer = seeded(
        lambda: diffusers.SkyReelsV2Transformer3DModel(
            **wan_shape(scale),
            in_channels=36,
            out_channels=16,
            image_dim=scale.image_width,
            added_kv_proj_dim=scale.heads * scale.head_dim,
        )
    )
    return diffusers.SkyReelsV2ImageToVideoPipeline(
        **wan_text(scale),
        vae=wan_vae(scale),
        scheduler=unipc(5.0),
        image_processor=clip_processor(32),
        image_encoder=seeded(lambda: transformers.CLIPVisionModelWithProjection(clip)),
        transformer=transformer,
    )


KINDS = {"skyreels-v2-i2v": Recipe(lambda scale: _skyreels(WAN[scale]), ("tiny", "gang"))}
