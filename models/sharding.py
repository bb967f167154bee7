"""How several GPUs share one clip's denoising: which of them compute which pass, and which part of it. Pure.

A step with classifier-free guidance has two passes that need each other's result only at its end, so the
first factor of two gives each half of the GPUs one pass. What is left shares each forward by Ulysses
attention: every GPU holds a stretch of the tokens, and a part of the heads while it attends. Heads cannot be
cut, so their number must divide; tokens are padded to equal stretches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from models.flops import KINDS

if TYPE_CHECKING:
    from models.shapes import Transformer

DEGREES: Final = (1, 2, 4, 8)
"""GPU counts of one clip: the aligned blocks that a gang is split into."""


@dataclass(frozen=True, slots=True)
class Split:
    """How the GPUs of one clip are used: `cfg` halves times `ulysses` stretches of tokens.

    Attributes:
        cfg: 2 when the passes of a step are dealt to two halves, else 1.
        ulysses: GPUs that share one forward.
    """

    cfg: int
    ulysses: int

    @property
    def degree(self) -> int:
        """GPUs of the clip."""
        return self.cfg * self.ulysses


ALONE: Final = Split(1, 1)
"""One GPU by itself."""


def split(transformer: Transformer, passes: int, degree: int) -> Split | None:
    """How `degree` GPUs share one clip, or None when they cannot.

    Args:
        transformer: Shape of the denoiser.
        passes: Forwards a step (a batch of two counts as two).
        degree: GPUs: 1, 2, 4 or 8.
    """
    if degree not in DEGREES:
        return None
    if degree == 1:
        return ALONE
    if not KINDS[transformer.kind].parallel or transformer.heads is None:
        return None
    cfg = 2 if passes > 1 else 1
    ulysses = degree // cfg
    return Split(cfg, ulysses) if transformer.heads % ulysses == 0 else None


def degrees(transformer: Transformer, passes: int) -> tuple[int, ...]:
    """Every GPU count that one clip of this model can run on."""
    return tuple(degree for degree in DEGREES if split(transformer, passes, degree) is not None)


def stretch(tokens: int, ulysses: int) -> int:
    """Tokens that each GPU holds: all the same number, the last ones padded."""
    return -(-tokens // ulysses)


def even(tokens: int, ulysses: int) -> bool:
    """True when the tokens divide without padding."""
    return tokens % ulysses == 0
