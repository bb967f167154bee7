"""Tiny CogVideoX I2V 1.0 (shapes of diffusers' tests/pipelines/cogvideo): learned positions, one shape."""

from __future__ import annotations

from typing import Any

import diffusers

from models.runners.tiny.parts import seeded, t5_encoder, t5_tokenizer
from models.runners.tiny.store import Recipe


def _cogvideox() -> Any:
    """Trained for 32x32 pixels and 9 frames; like the real one, it takes no other shape."""
    transformer = seeded(
        lambda: diffusers.CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=8,
            out_channels=4,
            time_embed_dim=2,
            text_embed_dim=32,
            num_layers=1,
            sample_width=4,
            sample_height=4,
            sample_frames=9,
            patch_size=2,
            temporal_compression_ratio=4,
            max_text_seq_length=16,
            use_rotary_positional_embeddings=True,
            use_learned_positional_embeddings=True,
        )
    )
    vae = seeded(
        lambda: diffusers.AutoencoderKLCogVideoX(
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            block_out_channels=(8,) * 4,
            down_block_types=("CogVideoXDownBlock3D",) * 4,
            up_block_types=("CogVideoXUpBlock3D",) * 4,
            layers_per_block=1,
            norm_num_groups=2,
            temporal_compression_ratio=4,
        )
    )
    return diffusers.CogVideoXImageToVideoPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5_encoder(32, 2, 512, multilingual=False),
        vae=vae,
        transformer=transformer,
        scheduler=diffusers.CogVideoXDPMScheduler(),
    )


KINDS = {"cogvideox": Recipe(lambda _: _cogvideox())}
