"""Wan 2.2 Animate: the blocks of `models.flops.wan`, a face attended to after some of them, and its encoder.

After every fifth layer each token asks the face tokens of its own moment: 4 D^2 for query and output, and
attention over a handful of keys that is left out (20 D against 4 D^2). The encoder of the driving face sees
every frame of the run in every forward, at a size of its own: `flops_per_frame`, counted. Where GPUs share a
forward, each of them does both for the whole clip: the tokens of one moment must be together there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from models.flops.wan import wan_work
from models.flops.work import Kind, Work

if TYPE_CHECKING:
    from models.card import Transformer


def animate_work(transformer: Transformer) -> Work:
    """Coefficients."""
    width = transformer.width or 0
    work = wan_work(transformer)
    face = 4.0 * transformer.face_layers * width * width
    return replace(
        work,
        token=work.token + face,
        frame=transformer.flops_per_frame,
        whole_token=face,
        whole_frame=transformer.flops_per_frame,
    )


KINDS = {"wan-animate": Kind(animate_work, needs=("width", "mlp", "layers", "heads", "run_frames"))}
