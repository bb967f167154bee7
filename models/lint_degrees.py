"""Whether the GPU counts that an offer names are those by which its network can be shared."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import TYPE_CHECKING

from models.card import HOSTED, AreaSizes, LatticeFrames
from models.cost import tokens
from models.sharding import split

if TYPE_CHECKING:
    from models.card import Card, Mode, Offer
    from models.shapes import Transformer


def unshareable(card: Card, offer: Offer) -> Iterator[str]:
    """What is wrong with the degrees of an offer, in words."""
    if list(offer.degrees) != sorted(set(offer.degrees)):
        yield f"{list(offer.degrees)} repeat or are out of order"
    more = [degree for degree in offer.degrees if degree > 1]
    if not more:
        return
    shape = card.cost.transformer if card.cost is not None else None
    if offer.backend in HOSTED or shape is None or offer.sampling is None:
        yield f"{more[0]} GPUs cannot share a clip that no denoiser of ours makes"
        return
    passes = offer.sampling.passes_per_step
    for degree in more:
        how = split(shape, passes, degree)
        if how is None:
            network = f"a {shape.kind} network of {shape.heads} heads and {passes} passes"
            yield f"{degree} GPUs cannot share {network}"
            continue
        for mode in offer.modes:
            least = _fewest_tokens(shape, mode)
            if least is not None and least < how.ulysses:
                yield f"mode {mode.name} may have {least} tokens, fewer than the GPUs that share them"


def _fewest_tokens(shape: Transformer, mode: Mode) -> int | None:
    """Of the smallest and shortest clip, where the mode tells."""
    if not isinstance(mode.sizes, AreaSizes) or not isinstance(mode.length, LatticeFrames):
        return None
    side = isqrt(mode.sizes.min_pixels)
    return tokens(shape, side, side, mode.length.min)
