"""Tiny LTX-Video 0.9 (shapes of diffusers' tests/pipelines/ltx)."""

from __future__ import annotations

from typing import Any

import diffusers

from models.runners.tiny.parts import seeded, t5_encoder, t5_tokenizer
from models.runners.tiny.store import Recipe


def _ltx_video() -> Any:
    """LTX-Video 0.9: 32x in space and 8x in time, like the real one."""
    transformer = seeded(
        lambda: diffusers.LTXVideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            patch_size=1,
            patch_size_t=1,
            num_layers=1,
            num_attention_heads=4,
            attention_head_dim=8,
            cross_attention_dim=32,
            caption_channels=32,
        )
    )
    scaling = (True, True, True, False)
    vae = seeded(
        lambda: diffusers.AutoencoderKLLTXVideo(
            in_channels=3,
            out_channels=3,
            latent_channels=8,
            block_out_channels=(8,) * 4,
            decoder_block_out_channels=(8,) * 4,
            layers_per_block=(1,) * 5,
            decoder_layers_per_block=(1,) * 5,
            spatio_temporal_scaling=scaling,
            decoder_spatio_temporal_scaling=scaling,
            decoder_inject_noise=(False,) * 5,
            upsample_residual=(False,) * 4,
            upsample_factor=(1,) * 4,
            timestep_conditioning=False,
            patch_size=4,
            patch_size_t=1,
            encoder_causal=True,
            decoder_causal=False,
        )
    )
    return diffusers.LTXImageToVideoPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=t5_encoder(32, 2, 512, multilingual=False),
        tokenizer=t5_tokenizer(),
        transformer=transformer,
    )


KINDS = {"ltx-video": Recipe(lambda _: _ltx_video(), ("tiny", "gang"))}
