"""Read the keys of a LoRA file: which layer of a denoiser each tensor belongs to, and what it does there.

Files come in three spellings of the same thing: layer names of diffusers, of the model's own repository
(`diffusion_model.blocks.0.self_attn.q`), and of kohya's trainers (`lora_unet_blocks_0_self_attn_q`). The
correspondence for Wan is that of huggingface/diffusers scripts/convert_wan_to_diffusers.py; the whole
differences (`diff`, `diff_b`, `diff_m`) are those of ModelTC/LightX2V docs, getting started with LoRA.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Part(StrEnum):
    """What a tensor of the file is to its layer."""

    DOWN = "down"
    """Rank x inputs: the first of the two narrow matrices."""
    UP = "up"
    """Outputs x rank: the second."""
    ALPHA = "alpha"
    """A number: the product is scaled by alpha over rank."""
    WEIGHT = "weight"
    """Added to the layer's weight as it is."""
    BIAS = "bias"
    """Added to the layer's bias as it is."""
    MODULATION = "scale_shift_table"
    """Added to the block's table of modulation as it is."""


_SUFFIXES: tuple[tuple[str, Part], ...] = (
    (".lora_down.weight", Part.DOWN),
    (".lora_A.weight", Part.DOWN),
    (".lora_A.default.weight", Part.DOWN),
    (".lora_up.weight", Part.UP),
    (".lora_B.weight", Part.UP),
    (".lora_B.default.weight", Part.UP),
    (".alpha", Part.ALPHA),
    (".modulation.diff", Part.MODULATION),
    (".diff_m", Part.MODULATION),
    (".diff", Part.WEIGHT),
    (".diff_b", Part.BIAS),
    (".lora_B.bias", Part.BIAS),
)
_PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "transformer_2.",
    "unet.",
    "lora_unet_",
)
_WAN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), own)
    for pattern, own in (
        (r"^condition_embedder\.time_embedder\.linear_1$", "time_embedding.0"),
        (r"^condition_embedder\.time_embedder\.linear_2$", "time_embedding.2"),
        (r"^condition_embedder\.text_embedder\.linear_1$", "text_embedding.0"),
        (r"^condition_embedder\.text_embedder\.linear_2$", "text_embedding.2"),
        (r"^condition_embedder\.time_proj$", "time_projection.1"),
        (r"^condition_embedder\.image_embedder\.norm1$", "img_emb.proj.0"),
        (r"^condition_embedder\.image_embedder\.ff\.net\.0\.proj$", "img_emb.proj.1"),
        (r"^condition_embedder\.image_embedder\.ff\.net\.2$", "img_emb.proj.3"),
        (r"^condition_embedder\.image_embedder\.norm2$", "img_emb.proj.4"),
        (r"^proj_out$", "head.head"),
        (r"^$", "head"),  # the denoiser itself, which owns the last table of modulation
        (r"\.norm2$", ".norm3"),
        (r"\.attn1\.", ".self_attn."),
        (r"\.attn2\.", ".cross_attn."),
        (r"\.to_([qkv])$", r".\1"),
        (r"\.to_out\.0$", ".o"),
        (r"\.add_([kv])_proj$", r".\1_img"),
        (r"\.norm_added_k$", ".norm_k_img"),
        (r"\.ffn\.net\.0\.proj$", ".ffn.0"),
        (r"\.ffn\.net\.2$", ".ffn.2"),
    )
)
"""From a layer's name in diffusers to its name in Wan-Video's own code, applied in order."""


def spellings(layers: Iterable[str]) -> Mapping[str, str]:
    """Every way to write the layers' names, to the name in diffusers (which wins where two meet)."""
    known: dict[str, str] = {}
    names = tuple(layers)
    for name in names:
        own = name
        for pattern, replacement in _WAN:
            own = pattern.sub(replacement, own)
        for written in (own, own.replace(".", "_"), name.replace(".", "_")):
            known.setdefault(written, name)
    return known | {name: name for name in names}


def parsed(key: str) -> tuple[str, Part] | None:
    """Layer as the file writes it and the tensor's part; None for a key of no known form."""
    for suffix, part in _SUFFIXES:
        if key.endswith(suffix):
            return _bare(key.removesuffix(suffix)), part
    return None


def _bare(layer: str) -> str:
    for prefix in _PREFIXES:
        layer = layer.removeprefix(prefix)
    return layer
