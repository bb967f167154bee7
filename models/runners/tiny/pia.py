"""Tiny PIA (shapes of diffusers' tests/pipelines/pia): an image UNet with motion modules in between."""

from __future__ import annotations

from typing import Any

import diffusers

from models.runners.tiny.parts import seeded
from models.runners.tiny.stable_diffusion import clip_text, ddim, picture_vae
from models.runners.tiny.store import Recipe

_CHANNELS = (8, 8)


def _pia() -> Any:
    unet = seeded(
        lambda: diffusers.UNet2DConditionModel(
            block_out_channels=_CHANNELS,
            layers_per_block=2,
            sample_size=8,
            in_channels=4,
            out_channels=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=8,
            norm_num_groups=2,
        )
    )
    adapter = seeded(
        lambda: diffusers.MotionAdapter(
            block_out_channels=_CHANNELS,
            motion_layers_per_block=2,
            motion_norm_num_groups=2,
            motion_num_attention_heads=4,
            conv_in_channels=9,
        )
    )
    return diffusers.PIAPipeline(
        vae=picture_vae(), **clip_text(8), unet=unet, motion_adapter=adapter, scheduler=ddim("linear")
    )


KINDS = {"pia": Recipe(lambda _: _pia())}
