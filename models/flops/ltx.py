"""LTX-Video: the blocks of `models.flops.wan`, and the timestep of every token modulated once: 14 S D^2."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from models.flops.wan import wan_work
from models.flops.work import Kind, Work

if TYPE_CHECKING:
    from models.card import Transformer


def ltx_work(transformer: Transformer) -> Work:
    """Coefficients."""
    width = transformer.width or 0
    work = wan_work(transformer)
    return replace(work, token=work.token + 14.0 * width * width)


KINDS = {"ltx": Kind(ltx_work)}
