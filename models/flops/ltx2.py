"""LTX-2: a wide stream for the picture and a narrow one for the sound, each asking the other in every layer.

With S picture tokens of width D, A sound tokens of width E, MLPs of F and 4 E, T text tokens and L layers:

    linear    = L [S (12 D^2 + 4 D F + 4 T D) + 4 T D^2          picture
                 + A (28 E^2 + 4 T E) + 4 T E^2                  sound
                 + 8 S D E + 8 A E^2]                            each asks the other
              + 28 S D^2                                         timestep of every picture token, four heads
    attention = L [4 S^2 D + 4 A^2 E + 8 S A E]

A is in proportion to the frames: sound has so many tokens a second, and the clip so many frames. GPUs that
share a forward share the picture; the narrow stream is done by each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.flops.work import Kind, Work

if TYPE_CHECKING:
    from models.card import Transformer


def ltx2_work(transformer: Transformer) -> Work:
    """Coefficients of the formula above."""
    width, mlp, layers = transformer.width or 0, transformer.mlp or 0, transformer.layers or 0
    sound, text, rate = (
        transformer.audio_width or 0,
        transformer.text_tokens,
        transformer.audio_tokens_per_frame,
    )
    per_layer = 12 * width * width + 4 * width * mlp + 4 * text * width + 8 * width * sound
    heard = layers * rate * (36 * sound * sound + 4 * text * sound)
    return Work(
        constant=float(layers * 4 * text * (width * width + sound * sound)),
        token=float(layers * per_layer + 28 * width * width),
        frame=heard,
        attention_token2=float(layers * 4 * width),
        attention_token_frame=layers * rate * 8 * sound,
        attention_frame2=layers * rate * rate * 4 * sound,
        whole_frame=heard,
    )


KINDS = {
    "ltx2": Kind(
        ltx2_work, needs=("width", "mlp", "layers", "heads", "audio_width", "audio_tokens_per_frame")
    )
}
