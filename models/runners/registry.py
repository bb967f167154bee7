"""Which file knows how to run which diffusers class: one line a family."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.runners.families import Family

FAMILIES: dict[str, str] = {
    "CogVideoXImageToVideoPipeline": "models.runners.cogvideox:CogVideoXFamily",
    "HunyuanVideo15ImageToVideoPipeline": "models.runners.hunyuan:HunyuanVideo15Family",
    "I2VGenXLPipeline": "models.runners.i2vgen:I2VGenXLFamily",
    "LTX2ConditionPipeline": "models.runners.ltx2_extend:Ltx2ConditionFamily",
    "LTX2ImageToVideoPipeline": "models.runners.ltx2:Ltx2Family",
    "LTXImageToVideoPipeline": "models.runners.ltx:LtxFamily",
    "PIAPipeline": "models.runners.pia:PIAFamily",
    "SkyReelsV2DiffusionForcingImageToVideoPipeline": "models.runners.skyreels_df:SkyReelsForcingFamily",
    "SkyReelsV2ImageToVideoPipeline": "models.runners.skyreels:SkyReelsFamily",
    "StableVideoDiffusionPipeline": "models.runners.svd:SvdFamily",
    "WanAnimatePipeline": "models.runners.animate:AnimateFamily",
    "WanImageToVideoPipeline": "models.runners.wan:WanFamily",
}
"""diffusers class (a card's `weights.pipeline`) to `module:class`; imported when a card needs it."""


def family_of(pipeline: str) -> Family | None:
    """The family that runs that diffusers class; None when nobody does."""
    path = FAMILIES.get(pipeline)
    if path is None:
        return None
    module, _, name = path.partition(":")
    family: Family = getattr(import_module(module), name)()
    return family
