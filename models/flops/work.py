"""The shape that every denoiser's arithmetic has: a polynomial in tokens, frames and pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.card import Transformer


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs of one forward, kept apart because the two kinds run at different rates."""

    linear: float
    attention: float
    whole: float = 0.0
    """Of `linear`, what every GPU that shares the forward does anew."""

    @property
    def total(self) -> float:
        """Both kinds together."""
        return self.linear + self.attention


@dataclass(frozen=True, slots=True)
class Work:
    """FLOPs of one forward with batch 1; S tokens of the latent video, N frames, P pixels of one frame.

        linear    = constant + token S + frame N + voxel P N
        attention = attention_constant + attention_token S + attention_token_frame S N + attention_token2 S^2
                    + attention_frame N + attention_frame2 N^2 + attention_pixel_voxel P^2 N

    What multiplies matrices with weights is linear, what multiplies activations with each other is attention.
    Of it, `whole_token S + whole_frame N` is done anew by every GPU that shares the forward.
    """

    constant: float = 0.0
    token: float = 0.0
    frame: float = 0.0
    voxel: float = 0.0
    attention_constant: float = 0.0
    attention_token: float = 0.0
    attention_token_frame: float = 0.0
    attention_token2: float = 0.0
    attention_frame: float = 0.0
    attention_frame2: float = 0.0
    attention_pixel_voxel: float = 0.0
    whole_token: float = 0.0
    whole_frame: float = 0.0

    def flops(self, tokens: int, frames: int, pixels: int) -> Flops:
        """The polynomial at one shape."""
        linear = self.constant + self.token * tokens + (self.frame + self.voxel * pixels) * frames
        attention = (
            self.attention_constant
            + tokens
            * (self.attention_token + self.attention_token_frame * frames + self.attention_token2 * tokens)
            + frames
            * (
                self.attention_frame
                + self.attention_frame2 * frames
                + self.attention_pixel_voxel * pixels * pixels
            )
        )
        return Flops(linear, attention, self.whole_token * tokens + self.whole_frame * frames)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of denoiser.

    Attributes:
        work: From a card's figures to coefficients.
        needs: Fields of `Transformer` without which `work` cannot be computed.
        parallel: Several GPUs can share one forward by its sequence.
    """

    work: Callable[[Transformer], Work]
    needs: tuple[str, ...] = ("width", "mlp", "layers", "heads")
    parallel: bool = True
