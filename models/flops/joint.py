"""Transformers that attend over video, words and photograph as one sequence (CogVideoX, HunyuanVideo 1.5).

One forward of N = S + T + I tokens (video, text, image), width D, MLP width F and L layers costs

    linear    = L N (8 D^2 + 4 D F)
    attention = L 4 N^2 D

Whether text has weights of its own (HunyuanVideo) or shares them (CogVideoX) makes no difference. Embeddings
and modulation, left out, are below 0.1 % at the trained sizes. Neither class splits its sequence over GPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.flops.work import Kind, Work

if TYPE_CHECKING:
    from models.shapes import Transformer


def joint_work(transformer: Transformer) -> Work:
    """Coefficients of the formula above, with the squared sum multiplied out."""
    width, mlp, layers = transformer.width or 0, transformer.mlp or 0, transformer.layers or 0
    context = transformer.text_tokens + transformer.image_tokens
    token = float(layers * (8 * width * width + 4 * width * mlp))
    pair = float(layers * 4 * width)
    return Work(
        constant=token * context,
        token=token,
        attention_constant=pair * context * context,
        attention_token=2.0 * pair * context,
        attention_token2=pair,
    )


KINDS = {"joint": Kind(joint_work, parallel=False)}
