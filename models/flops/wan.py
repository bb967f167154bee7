"""Wan-like transformers: self-attention over the video, cross-attention to text (and image) tokens.

One forward of S tokens, width D, MLP width F, L layers, T text and I image tokens costs

    linear    = L [S (12 D^2 + 4 D F) + 4 S (T + I) D + 4 (T + I) D^2]
    attention = L 4 S^2 D

SkyReels-V2 has the same blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.flops.work import Kind, Work

if TYPE_CHECKING:
    from models.card import Transformer


def wan_work(transformer: Transformer) -> Work:
    """Coefficients of the formula above."""
    width, mlp, layers = transformer.width or 0, transformer.mlp or 0, transformer.layers or 0
    context = transformer.text_tokens + transformer.image_tokens
    return Work(
        constant=float(layers * 4 * context * width * width),
        token=float(layers * (12 * width * width + 4 * width * mlp + 4 * context * width)),
        attention_token2=float(layers * 4 * width),
    )


KINDS = {"wan": Kind(wan_work)}
