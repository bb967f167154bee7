"""Tiny HunyuanVideo 1.5 I2V (shapes of diffusers' tests/pipelines/hunyuan_video1_5)."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers
from diffusers.guiders import ClassifierFreeGuidance
from tokenizers.pre_tokenizers import ByteLevel

from models.runners.tiny.parts import seeded, t5_encoder
from models.runners.tiny.store import Recipe

_WORDS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
)
_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] if m['content'] is string "
    "else m['content'][0]['text'] }}\n{% endfor %}"
)


def _qwen_tokenizer() -> Any:
    """Bytes without merges: the system message of the pipeline fills it, as it does the real one."""
    alphabet = [*sorted(ByteLevel.alphabet()), *_WORDS]
    tokenizer = transformers.Qwen2Tokenizer(vocab={word: i for i, word in enumerate(alphabet)}, merges=[])
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def _hunyuan_1_5() -> Any:
    """16x in space, 4x in time; trained for areas of 64x64 pixels."""
    transformer = seeded(
        lambda: diffusers.HunyuanVideo15Transformer3DModel(
            in_channels=9,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=1,
            num_refiner_layers=1,
            mlp_ratio=2.0,
            patch_size=1,
            patch_size_t=1,
            text_embed_dim=16,
            text_embed_2_dim=32,
            image_embed_dim=12,
            rope_axes_dim=(2, 2, 4),
            target_size=64,
            task_type="i2v",
        )
    )
    vae = seeded(
        lambda: diffusers.AutoencoderKLHunyuanVideo15(
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            block_out_channels=(16,) * 5,
            layers_per_block=1,
            spatial_compression_ratio=16,
            temporal_compression_ratio=4,
            downsample_match_channel=False,
            upsample_match_channel=False,
        )
    )
    tokenizer = _qwen_tokenizer()
    text = transformers.Qwen2_5_VLTextConfig(
        vocab_size=len(tokenizer) + 64,
        bos_token_id=0,
        eos_token_id=1,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        rope_theta=1e6,
        rope_scaling={"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
    )
    vision = transformers.SiglipVisionConfig(
        hidden_size=12,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    return diffusers.HunyuanVideo15ImageToVideoPipeline(
        text_encoder=seeded(lambda: transformers.Qwen2_5_VLTextModel(text)),
        tokenizer=tokenizer,
        transformer=transformer,
        vae=vae,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0),
        text_encoder_2=t5_encoder(32, 2, 512, multilingual=False),
        tokenizer_2=transformers.ByT5Tokenizer(),
        guider=ClassifierFreeGuidance(guidance_scale=6.0),
        image_encoder=seeded(lambda: transformers.SiglipVisionModel(vision)),
        feature_extractor=transformers.SiglipImageProcessorPil(size={"height": 28, "width": 28}),
    )


KINDS = {"hunyuan-1.5": Recipe(lambda _: _hunyuan_1_5())}
