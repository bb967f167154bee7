"""Tiny Wan 2.1, Wan 2.2 A14B and TI2V-5B (shapes of diffusers' tests/pipelines/wan)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import diffusers
import transformers

from models.runners.tiny.parts import clip_config, clip_processor, seeded, t5_encoder, t5_tokenizer
from models.runners.tiny.store import Recipe, Scale


@dataclass(frozen=True, slots=True)
class WanScale:
    """Sizes of a Wan pipeline: transformer, text encoder, image encoder and VAE."""

    heads: int
    head_dim: int
    layers: int
    ffn: int
    vae_base: int
    text_width: int
    text_layers: int
    vocabulary: int
    image_width: int


WAN: dict[Scale, WanScale] = {
    # 0.1 M parameters: unit tests.
    "tiny": WanScale(2, 12, 2, 32, 3, 32, 2, 512, 4),
    # Four heads, so that four ranks can share them.
    "gang": WanScale(4, 12, 2, 32, 3, 32, 2, 512, 4),
    # Width 96: a demo clip on a laptop in seconds. The codec takes most of them, so it stays narrow.
    "demo": WanScale(4, 24, 2, 256, 3, 32, 2, 512, 4),
    # Width 768, 12 layers, 0.9 GB in float32: heavy enough that the pipeline, not the stack around it, sets
    # wall time and memory. Measured on a busy two-core x86 machine, 81 frames of 208x208 in two steps without
    # guidance: 87 CPU-seconds (62 until the first frame), 1.56 GB peak resident.
    "bench": WanScale(12, 64, 12, 3072, 4, 768, 14, 512, 320),
}


def unipc(flow_shift: float) -> Any:
    """The solver of every released Wan checkpoint."""
    return diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=flow_shift
    )


def wan_vae(scale: WanScale) -> Any:
    """8x in space, 4x in time, 16 channels: the codec of Wan 2.1 and 2.2 A14B."""
    return seeded(
        lambda: diffusers.AutoencoderKLWan(
            base_dim=scale.vae_base,
            z_dim=16,
            dim_mult=[1] * 4,
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        )
    )


def _wan22_vae(scale: WanScale) -> Any:
    """16x in space, 4x in time, 48 channels: the codec of Wan 2.2 TI2V-5B."""
    return seeded(
        lambda: diffusers.AutoencoderKLWan(
            base_dim=scale.vae_base,
            z_dim=48,
            dim_mult=[1] * 4,
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            is_residual=True,
            patch_size=2,
            in_channels=12,
            out_channels=12,
            scale_factor_spatial=16,
            scale_factor_temporal=4,
            latents_mean=[0.0] * 48,
            latents_std=[1.0] * 48,
        )
    )


def wan_shape(scale: WanScale) -> dict[str, Any]:
    """What the denoisers of Wan, Wan Animate and SkyReels-V2 have in common."""
    return {
        "patch_size": (1, 2, 2),
        "num_attention_heads": scale.heads,
        "attention_head_dim": scale.head_dim,
        "text_dim": scale.text_width,
        "freq_dim": 256,
        "ffn_dim": scale.ffn,
        "num_layers": scale.layers,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 1024,
    }


def wan_transformer(
    scale: WanScale, channels_in: int, channels_out: int, *, seed: int = 0, image_width: int | None = None
) -> Any:
    """The denoiser of Wan 2.1 and 2.2; with CLIP tokens where `image_width` is given."""
    return seeded(
        lambda: diffusers.WanTransformer3DModel(
            **wan_shape(scale),
            in_channels=channels_in,
            out_channels=channels_out,
            image_dim=image_width,
            added_kv_proj_dim=None if image_width is None else scale.heads * scale.head_dim,
        ),
        seed,
    )


def wan_text(scale: WanScale) -> dict[str, Any]:
    """Tokenizer and text encoder."""
    return {
        "tokenizer": t5_tokenizer(),
        "text_encoder": t5_encoder(scale.text_width, scale.text_layers, scale.vocabulary, multilingual=True),
    }


def _wan21(scale: WanScale) -> Any:
    """Wan 2.1 I2V: the photograph enters as latents and as CLIP tokens."""
    clip = clip_config(scale.image_width, 32, 8)
    return diffusers.WanImageToVideoPipeline(
        **wan_text(scale),
        vae=wan_vae(scale),
        scheduler=unipc(3.0),
        image_processor=clip_processor(32),
        image_encoder=seeded(lambda: transformers.CLIPVisionModel(clip)),
        transformer=wan_transformer(scale, 36, 16, image_width=scale.image_width),
    )


def _wan22_a14b(scale: WanScale) -> Any:
    """Wan 2.2 A14B: two experts, switched at 0.9 of the noise schedule (its published boundary)."""
    return diffusers.WanImageToVideoPipeline(
        **wan_text(scale),
        vae=wan_vae(scale),
        scheduler=unipc(3.0),
        transformer=wan_transformer(scale, 36, 16),
        transformer_2=wan_transformer(scale, 36, 16, seed=1),
        boundary_ratio=0.9,
    )


def _wan22_ti2v_5b(scale: WanScale) -> Any:
    """Wan 2.2 TI2V-5B: the photograph enters as the first latent with its own timestep."""
    return diffusers.WanImageToVideoPipeline(
        **wan_text(scale),
        vae=_wan22_vae(scale),
        scheduler=unipc(5.0),
        transformer=wan_transformer(scale, 48, 48),
        expand_timesteps=True,
    )


KINDS = {
    "wan2.1": Recipe(lambda scale: _wan21(WAN[scale]), tuple(WAN)),
    "wan2.2-a14b": Recipe(lambda scale: _wan22_a14b(WAN[scale]), tuple(WAN)),
    "wan2.2-ti2v-5b": Recipe(lambda scale: _wan22_ti2v_5b(WAN[scale]), tuple(WAN)),
}
