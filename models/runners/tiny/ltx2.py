"""Tiny LTX-2 (shapes of diffusers' tests/pipelines/ltx2), with the released codec's lattice."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

from models.runners.tiny.parts import seeded, word_tokenizer
from models.runners.tiny.store import Recipe, Scale

_SAMPLE_RATE, _HOP = 16_000, 160
"""Of the released sound codec: 100 spectra a second, 25 latents a second."""


def _gemma() -> Any:
    config = transformers.Gemma3Config(
        mm_tokens_per_image=4,
        image_token_index=60,
        boi_token_index=61,
        eoi_token_index=62,
        text_config={
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "sliding_window": 16,
            "max_position_embeddings": 1024,
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
    )
    return seeded(lambda: transformers.Gemma3ForConditionalGeneration(config))


def _transformer(heads: int, *, perturbed: bool) -> Any:
    return seeded(
        lambda: diffusers.LTX2VideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            patch_size=1,
            patch_size_t=1,
            num_layers=2,
            num_attention_heads=heads,
            attention_head_dim=8,
            cross_attention_dim=heads * 8,
            audio_in_channels=4,
            audio_out_channels=4,
            audio_num_attention_heads=heads,
            audio_attention_head_dim=4,
            audio_cross_attention_dim=heads * 4,
            caption_channels=32,
            qk_norm="rms_norm_across_heads",
            rope_double_precision=False,
            rope_type="split",
            perturbed_attn=perturbed,
        )
    )


def _connectors() -> Any:
    connector = {
        "num_attention_heads": 4,
        "attention_head_dim": 8,
        "num_layers": 1,
        "num_learnable_registers": None,
    }
    both = {
        f"{side}_connector_{name}": value for side in ("video", "audio") for name, value in connector.items()
    }
    return seeded(
        lambda: LTX2TextConnectors(
            caption_channels=32,
            text_proj_in_factor=3,
            rope_theta=10000.0,
            rope_type="split",
            rope_double_precision=False,
            connector_rope_base_seq_len=32,
            causal_temporal_positioning=False,
            **both,
        )
    )


def _vae() -> Any:
    """32x in space and 8x in time, like the real one."""
    return seeded(
        lambda: diffusers.AutoencoderKLLTX2Video(
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 16, 32),
            layers_per_block=(1, 1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1),
            spatio_temporal_scaling=(True, True, True, True),
            decoder_spatio_temporal_scaling=(True, True, True),
            decoder_inject_noise=(False, False, False, False),
            downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
            upsample_residual=(True, True, True),
            upsample_factor=(2, 2, 2),
            timestep_conditioning=False,
            patch_size=4,
            patch_size_t=1,
            encoder_causal=True,
            decoder_causal=False,
            spatial_compression_ratio=32,
            temporal_compression_ratio=8,
        )
    )


def _audio_vae() -> Any:
    return seeded(
        lambda: diffusers.AutoencoderKLLTX2Audio(
            base_channels=4,
            in_channels=2,
            output_channels=2,
            latent_channels=2,
            ch_mult=(1, 1, 1),
            num_res_blocks=1,
            attn_resolutions=None,
            resolution=32,
            norm_type="pixel",
            causality_axis="height",
            dropout=0.0,
            mid_block_add_attention=False,
            sample_rate=_SAMPLE_RATE,
            mel_hop_length=_HOP,
            mel_bins=8,
            is_causal=True,
        )
    )


def _vocoder() -> Any:
    """240 samples for every spectrum: 24 kHz, like the real one."""
    return seeded(
        lambda: LTX2Vocoder(
            in_channels=16,
            hidden_channels=32,
            out_channels=2,
            upsample_kernel_sizes=[16, 15, 8, 4],
            upsample_factors=[6, 5, 4, 2],
            resnet_kernel_sizes=[3],
            resnet_dilations=[[1, 3, 5]],
            leaky_relu_negative_slope=0.1,
            output_sampling_rate=24_000,
        )
    )


def _ltx2(scale: Scale) -> Any:
    gang = scale == "gang"
    return diffusers.LTX2ImageToVideoPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=_vae(),
        audio_vae=_audio_vae(),
        text_encoder=_gemma(),
        tokenizer=word_tokenizer(padding_side="left"),
        connectors=_connectors(),
        transformer=_transformer(4 if gang else 2, perturbed=gang),
        vocoder=_vocoder(),
        processor=None,
        prompt_enhancer=None,
        duration_head=None,
    )


KINDS = {"ltx-2": Recipe(_ltx2, ("tiny", "gang"))}
