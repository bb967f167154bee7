"""Parts of Stable Diffusion that I2VGen-XL and PIA share: words by CLIP, a codec of single pictures."""

from __future__ import annotations

import string
from typing import Any

import diffusers
import transformers

from models.runners.tiny.parts import seeded


def clip_text(width: int) -> dict[str, Any]:
    """Tokenizer over single characters and an encoder of that width."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    words = [*characters, *(c + "</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    config = transformers.CLIPTextConfig(
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=len(words),
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
        pad_token_id=1,
    )
    return {
        "tokenizer": transformers.CLIPTokenizer(
            vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77
        ),
        "text_encoder": seeded(lambda: transformers.CLIPTextModel(config)),
    }


def picture_vae() -> Any:
    """8x in space, one picture at a time."""
    return seeded(
        lambda: diffusers.AutoencoderKL(
            block_out_channels=(8,) * 4,
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            norm_num_groups=2,
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
        )
    )


def ddim(beta_schedule: str) -> Any:
    """Stable Diffusion's betas, spread as the family was trained."""
    return diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule=beta_schedule, clip_sample=False
    )
