"""Tiny Wan 2.2 Animate (shapes of diffusers' tests/pipelines/wan)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import diffusers
import transformers

from models.runners.tiny.parts import clip_config, clip_processor, seeded
from models.runners.tiny.store import Recipe
from models.runners.tiny.wan import WAN, WanScale, unipc, wan_shape, wan_text, wan_vae

FACE_SIDE = 64
"""Pixels of the face that the tiny motion encoder sees (512 in the released one)."""


def _animate(scale: WanScale) -> Any:
    clip = clip_config(scale.image_width, 32, 8)
    transformer = seeded(
        lambda: diffusers.WanAnimateTransformer3DModel(
            **wan_shape(scale),
            in_channels=36,
            latent_channels=16,
            out_channels=16,
            image_dim=scale.image_width,
            added_kv_proj_dim=scale.heads * scale.head_dim,
            motion_encoder_channel_sizes={"4": 8, "8": 8, "16": 8, "32": 8, "64": 8},
            motion_encoder_size=FACE_SIDE,
            motion_style_dim=8,
            motion_dim=4,
            motion_encoder_dim=16,
            face_encoder_hidden_dim=16,
            face_encoder_num_heads=2,
            inject_face_latents_blocks=2,
        )
    )
    return diffusers.WanAnimatePipeline(
        **wan_text(scale),
        vae=wan_vae(scale),
        scheduler=unipc(5.0),
        image_processor=clip_processor(32),
        image_encoder=seeded(lambda: transformers.CLIPVisionModel(clip)),
        transformer=transformer,
    )


# Four blocks, so that tokens of a gang are split, gathered for a face adapter, and split again.
_GANG = replace(WAN["gang"], layers=4)
KINDS = {
    "wan2.2-animate": Recipe(
        lambda scale: _animate(_GANG if scale == "gang" else WAN[scale]), ("tiny", "gang")
    )
}
