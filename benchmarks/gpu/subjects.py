"""What is measured: real architectures and the shapes they run at, and tiny ones for a dry run. Pure.

Configurations are those of huggingface/diffusers `scripts/convert_wan_to_diffusers.py` and
`scripts/convert_ltx_to_diffusers.py` (0.42.1) and class defaults; a test holds them against the cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """A clip in pixels and frames."""

    width: int
    height: int
    frames: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.frames}"


@dataclass(frozen=True, slots=True)
class Subject:
    """One model: its denoiser, its codec, and what a denoising step feeds it.

    Attributes:
        key: Name in results.
        card: Card whose offer `local` prices it; None where no card ships the model.
        inputs: How the photograph enters: `wan` as latents and image tokens, `wan-5b` as the first latent
            frame with a timestep for every token, `ltx` likewise but in one call of batch two.
        transformer: diffusers class.
        config: Its configuration.
        codec: diffusers class.
        codec_config: Its configuration.
        text_tokens: Words as the transformer sees them.
        text_width: Their width.
        image_tokens: Picture tokens beside the words.
        image_width: Their width.
        spatial: Pixels of a side that one latent covers.
        temporal: Frames that one latent covers.
        latent_channels: Channels of the codec.
        shapes: Measured in this order.
        short: A shape for what needs many steps or float32.
        asked: Measured only when named.
    """

    key: str
    card: str | None
    inputs: Literal["wan", "wan-5b", "ltx"]
    transformer: str
    config: Mapping[str, Any]
    codec: str
    codec_config: Mapping[str, Any]
    text_tokens: int
    text_width: int
    spatial: int
    temporal: int
    latent_channels: int
    shapes: tuple[Shape, ...]
    short: Shape
    image_tokens: int = 0
    image_width: int = 0
    asked: bool = field(default=False)

    @property
    def passes(self) -> int:
        """Forwards of batch one that a step with guidance is worth."""
        return 2

    @property
    def patch(self) -> int:
        """Latents of a side that one token covers."""
        return 1 if self.inputs == "ltx" else 2

    def latent(self, shape: Shape) -> tuple[int, int, int]:
        """Frames, height and width of the latent video; raises where the shape is off the lattice."""
        cell = self.spatial * self.patch
        if shape.width % cell or shape.height % cell or (shape.frames - 1) % self.temporal:
            raise ValueError(
                f"{self.key} makes sizes in multiples of {cell} and {self.temporal}k+1 frames; got {shape}"
            )
        return (
            (shape.frames - 1) // self.temporal + 1,
            shape.height // self.spatial,
            shape.width // self.spatial,
        )

    def tokens(self, shape: Shape) -> int:
        """Sequence length of the denoiser."""
        frames, height, width = self.latent(shape)
        return frames * (height // self.patch) * (width // self.patch)


_WAN = {"attention_head_dim": 128, "text_dim": 4096, "patch_size": (1, 2, 2)}

WAN21_14B = Subject(
    key="wan2.1-i2v-14b",
    card="wan2.1-i2v-480p",
    inputs="wan",
    transformer="WanTransformer3DModel",
    config={
        **_WAN,
        "num_attention_heads": 40,
        "in_channels": 36,
        "out_channels": 16,
        "ffn_dim": 13824,
        "num_layers": 40,
        "image_dim": 1280,
        "added_kv_proj_dim": 5120,
    },
    codec="AutoencoderKLWan",
    codec_config={},
    text_tokens=512,
    text_width=4096,
    image_tokens=257,
    image_width=1280,
    spatial=8,
    temporal=4,
    latent_channels=16,
    shapes=(Shape(832, 480, 81), Shape(1280, 720, 81)),
    short=Shape(832, 480, 17),
)

WAN22_5B = Subject(
    key="wan2.2-ti2v-5b",
    card="wan2.2-ti2v-5b",
    inputs="wan-5b",
    transformer="WanTransformer3DModel",
    config={
        **_WAN,
        "num_attention_heads": 24,
        "in_channels": 48,
        "out_channels": 48,
        "ffn_dim": 14336,
        "num_layers": 30,
    },
    codec="AutoencoderKLWan",
    codec_config={
        "base_dim": 160,
        "decoder_base_dim": 256,
        "z_dim": 48,
        "is_residual": True,
        "patch_size": 2,
        "in_channels": 12,
        "out_channels": 12,
        "scale_factor_spatial": 16,
        "scale_factor_temporal": 4,
        "latents_mean": [0.0] * 48,
        "latents_std": [1.0] * 48,
    },
    text_tokens=512,
    text_width=4096,
    spatial=16,
    temporal=4,
    latent_channels=48,
    shapes=(Shape(832, 480, 81), Shape(1280, 704, 81)),
    short=Shape(832, 480, 17),
)

LTX_2B = Subject(
    key="ltx-video-2b",
    card="ltx-video",
    inputs="ltx",
    transformer="LTXVideoTransformer3DModel",
    config={},
    codec="AutoencoderKLLTXVideo",
    codec_config={},
    text_tokens=128,
    text_width=4096,
    spatial=32,
    temporal=8,
    latent_channels=128,
    shapes=(Shape(832, 480, 81), Shape(1280, 704, 81)),
    short=Shape(832, 480, 17),
)

LTX_13B = replace(
    LTX_2B,
    key="ltx-video-13b",
    card=None,
    config={"attention_head_dim": 128, "cross_attention_dim": 4096, "num_layers": 48},
    asked=True,
)

SUBJECTS = (WAN21_14B, WAN22_5B, LTX_2B, LTX_13B)

_TINY_WAN = {
    "num_attention_heads": 4,
    "attention_head_dim": 16,
    "text_dim": 32,
    "ffn_dim": 128,
    "num_layers": 3,
    "patch_size": (1, 2, 2),
    "freq_dim": 32,
}
_TINY_CODEC = {"base_dim": 4, "num_res_blocks": 1}

TINY = (
    replace(
        WAN21_14B,
        card=None,
        config={
            **_TINY_WAN,
            "in_channels": 36,
            "out_channels": 16,
            "image_dim": 32,
            "added_kv_proj_dim": 64,
        },
        codec_config=_TINY_CODEC,
        text_width=32,
        image_width=32,
        image_tokens=5,
        shapes=(Shape(64, 32, 9),),
        short=Shape(64, 32, 5),
    ),
    replace(
        WAN22_5B,
        card=None,
        config={**_TINY_WAN, "in_channels": 48, "out_channels": 48},
        codec_config={**WAN22_5B.codec_config, **_TINY_CODEC, "decoder_base_dim": 4},
        text_width=32,
        shapes=(Shape(64, 64, 9),),
        short=Shape(64, 64, 5),
    ),
    replace(
        LTX_2B,
        card=None,
        config={
            "num_attention_heads": 4,
            "attention_head_dim": 16,
            "cross_attention_dim": 64,
            "num_layers": 2,
            "caption_channels": 32,
        },
        codec_config={
            "block_out_channels": (8, 8, 8, 8),
            "decoder_block_out_channels": (8, 8, 8, 8),
            "layers_per_block": (1, 1, 1, 1, 1),
            "decoder_layers_per_block": (1, 1, 1, 1, 1),
        },
        text_width=32,
        shapes=(Shape(96, 64, 17),),
        short=Shape(64, 64, 9),
    ),
)
"""The same classes, small enough for one CPU core: what a dry run measures."""
