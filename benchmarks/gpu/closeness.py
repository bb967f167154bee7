"""How far one output lies from another, relative to the size of the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LIMIT = 1e-2
"""A lever counts as changing no pixel while both errors stay below: eager bfloat16 itself carries 8 bits."""


@dataclass(frozen=True, slots=True)
class Error:
    """Relative error of an output.

    Attributes:
        largest: Largest difference over the largest magnitude of the reference.
        mean: Mean difference over the mean magnitude of the reference.
    """

    largest: float
    mean: float

    @property
    def counts(self) -> bool:
        """Within the limit; never true of NaN."""
        return self.largest <= LIMIT and self.mean <= LIMIT

    def told(self) -> dict[str, float | bool]:
        """For JSON, where infinity and NaN have no place: they become 1e30."""
        figures = {name: value if math.isfinite(value) else 1e30 for name, value in asdict(self).items()}
        return {**figures, "counts": self.counts}


def error_of(outputs: Sequence[torch.Tensor], references: Sequence[torch.Tensor]) -> Error:
    """The worst relative error over pairs of tensors, computed in float32.

    Raises:
        ValueError: other shapes or another number of tensors: that is another function, not an error.
    """
    shapes = [tuple(tensor.shape) for tensor in outputs]
    wanted = [tuple(tensor.shape) for tensor in references]
    if shapes != wanted or not shapes:
        raise ValueError(f"outputs of shapes {shapes} cannot be compared with {wanted}")
    largest = mean = 0.0
    for output, reference in zip(outputs, references, strict=True):
        truth = reference.float()
        off = (output.float() - truth).abs()
        pair = (
            float(off.max()) / max(float(truth.abs().max()), 1e-30),
            float(off.mean()) / max(float(truth.abs().mean()), 1e-30),
        )
        if not all(map(math.isfinite, pair)):
            return Error(math.inf, math.inf)
        largest, mean = max(largest, pair[0]), max(mean, pair[1])
    return Error(largest, mean)
