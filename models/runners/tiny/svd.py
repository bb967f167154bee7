"""Tiny Stable Video Diffusion (shapes of diffusers' tests/pipelines/stable_video_diffusion)."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers

from models.runners.tiny.parts import clip_config, clip_processor, seeded
from models.runners.tiny.store import Recipe


def _svd() -> Any:
    """Stable Video Diffusion: no text; its CLIP encoder must see 224 pixels (fixed in the pipeline)."""
    unet = seeded(
        lambda: diffusers.UNetSpatioTemporalConditionModel(
            block_out_channels=(32, 64),
            layers_per_block=1,
            sample_size=32,
            in_channels=8,
            out_channels=4,
            cross_attention_dim=32,
            num_attention_heads=8,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            projection_class_embeddings_input_dim=96,
            addition_time_embed_dim=32,
        )
    )
    vae = seeded(
        lambda: diffusers.AutoencoderKLTemporalDecoder(
            block_out_channels=[32] * 4,
            in_channels=3,
            out_channels=3,
            down_block_types=["DownEncoderBlock2D"] * 4,
            latent_channels=4,
        )
    )
    # The released checkpoint's scheduler configuration (scheduler/scheduler_config.json of img2vid-xt).
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        interpolation_type="linear",
        prediction_type="v_prediction",
        sigma_max=700.0,
        sigma_min=0.002,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    )
    clip = clip_config(32, 224, 32)
    return diffusers.StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=seeded(lambda: transformers.CLIPVisionModelWithProjection(clip)),
        unet=unet,
        scheduler=scheduler,
        feature_extractor=clip_processor(224),
    )


KINDS = {"svd": Recipe(lambda _: _svd())}
