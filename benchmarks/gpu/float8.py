"""Linear layers in float8 (e4m3): weights quantised once, activations on the way, both row by row.

A matrix product costs half of bfloat16's time on tensor cores that know float8. Each row of activations and
each output channel of the weight has a scale of its own, so that one large value spoils its row only. On
other devices the same numbers are multiplied in float32: what the tests hold the kernel to.
"""

from __future__ import annotations

import torch
from torch import nn

KIND = torch.float8_e4m3fn
LARGEST = float(torch.finfo(KIND).max)
"""448."""
MULTIPLE = 16
"""`torch._scaled_mm` takes K and N in multiples of 16."""
_SMALLEST = 1e-12
"""A row of zeros has this as its largest magnitude, so that its scale divides."""


def quantised(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row scaled to the whole range of float8.

    Returns:
        The rows in float8, and the float32 scale (rows x 1) that multiplied with them gives them back.
    """
    scale = rows.abs().amax(dim=-1, keepdim=True).float().clamp(min=_SMALLEST) / LARGEST
    return (rows.float() / scale).clamp(-LARGEST, LARGEST).to(KIND), scale


def product(
    left: torch.Tensor,
    left_scale: torch.Tensor,
    right: torch.Tensor,
    right_scale: torch.Tensor,
    bias: torch.Tensor | None,
    dtype: torch.dtype,
) -> torch.Tensor:
    """`left @ right.T` of quantised rows, scaled back: by float8 units on a GPU, in float32 elsewhere."""
    if left.is_cuda:
        return torch._scaled_mm(
            left,
            right.t(),
            scale_a=left_scale,
            scale_b=right_scale.t(),
            bias=bias,
            out_dtype=dtype,
            use_fast_accum=True,
        )
    exact = (left.float() @ right.float().t()) * left_scale * right_scale.t()
    return (exact if bias is None else exact + bias.float()).to(dtype)


class Float8Linear(nn.Module):
    """Stands where a linear layer stood.

    Raises:
        ValueError: a side of the weight is no multiple of 16.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        outputs, inputs = linear.weight.shape
        if outputs % MULTIPLE or inputs % MULTIPLE:
            raise ValueError(f"float8 needs sides in multiples of {MULTIPLE}; got {outputs}x{inputs}")
        weight, scale = quantised(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, scale = quantised(x.reshape(-1, x.shape[-1]))
        y = product(rows, scale, self.weight, self.scale, self.bias, x.dtype)
        return y.reshape(*x.shape[:-1], -1)


def to_float8(model: nn.Module, blocks: frozenset[str]) -> int:
    """Replace the linear layers inside blocks of the named classes; those of odd sizes stay.

    Returns:
        How many were replaced. The bfloat16 weights are gone: build the model again to have them back.
    """
    count = 0
    for block in model.modules():
        if type(block).__name__ not in blocks:
            continue
        for parent in list(block.modules()):
            for name, child in list(parent.named_children()):
                # Only plain ones: a subclass computes something else.
                if type(child) is nn.Linear and not any(side % MULTIPLE for side in child.weight.shape):
                    setattr(parent, name, Float8Linear(child))
                    count += 1
    return count


def missing(device: torch.device) -> str | None:
    """Why a GPU cannot do it; None where it can (a CPU emulates it)."""
    if device.type != "cuda":
        return None
    capability = torch.cuda.get_device_capability(device)
    # Scales by row: CUTLASS kernels of compute capability 9.0 and above.
    return (
        None
        if capability >= (9, 0)
        else f"row-wise float8 products need compute capability 9.0, this is {capability}"
    )
