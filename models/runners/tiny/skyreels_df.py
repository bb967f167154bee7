"""Tiny SkyReels-V2 diffusion forcing (shapes of diffusers' tests/pipelines/skyreels_v2)."""

from __future__ import annotations

from typing import Any

import diffusers

from models.runners.tiny.parts import seeded
from models.runners.tiny.store import Recipe
from models.runners.tiny.wan import WAN, WanScale, unipc, wan_shape, wan_text, wan_vae


def _skyreels_df(scale: WanScale) -> Any:
    transformer = seeded(
        lambda: diffusers.SkyReelsV2Transformer3DModel(
            **wan_shape(scale),
            in_channels=16,
            out_channels=16,
            inject_sample_info=True,
        )
    )
    return diffusers.SkyReelsV2DiffusionForcingImageToVideoPipeline(
        **wan_text(scale),
        vae=wan_vae(scale),
        scheduler=unipc(5.0),
        transformer=transformer,
    )


KINDS = {"skyreels-v2-df": Recipe(lambda scale: _skyreels_df(WAN[scale]), ("tiny", "gang"))}
