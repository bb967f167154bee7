"""Tiny SkyReels-V2 image-to-video (shapes of diffusers' tests/pipelines/skyreels_v2)."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers

from models.runners.tiny.parts import clip_config, clip_processor, seeded
from models.runners.tiny.store import Recipe
from models.runners.tiny.wan import WAN, unipc, wan_text, wan_vae


def _skyreels() -> Any:
    scale = WAN["tiny"]
    clip = clip_config(scale.image_width, 32, 8)
    transformer = seeded(
        lambda: diffusers.SkyReelsV2Transformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=scale.heads,
            attention_head_dim=scale.head_dim,
            in_channels=36,
            out_channels=16,
            text_dim=scale.text_width,
            freq_dim=256,
            ffn_dim=scale.ffn,
            num_layers=scale.layers,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=1024,
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


KINDS = {"skyreels-v2-i2v": Recipe(lambda _: _skyreels())}
