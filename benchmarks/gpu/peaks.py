"""What a GPU could do at most: dense tensor-core rates by device name, from NVIDIA's data sheets. Pure.

Data sheets that give rates with sparsity are halved. FP8 rates count with accumulation in float32.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peak:
    """FLOP/s of one device.

    Attributes:
        gpu_type: Its key in `models/gpus.yaml`; None where the cost model does not know it.
        bfloat16: Dense.
        float8: Dense; None where it has no such units.
        source: Where the figures are from.
    """

    gpu_type: str | None
    bfloat16: float
    float8: float | None
    source: str


_PEAKS: tuple[tuple[frozenset[str], Peak], ...] = (
    # The more words a row asks for, the earlier it stands.
    (frozenset({"H100", "PCIE"}), Peak(None, 756e12, 1513e12, "NVIDIA H100 data sheet, PCIe, halved")),
    (frozenset({"H100"}), Peak("h100", 989.4e12, 1978.9e12, "NVIDIA H100 data sheet, SXM, halved")),
    (frozenset({"H200"}), Peak("h200", 989.4e12, 1978.9e12, "NVIDIA H200 data sheet, SXM, halved")),
    (frozenset({"H20"}), Peak("h20", 148e12, 296e12, "NVIDIA H20 data sheet, dense")),
    (frozenset({"B200"}), Peak(None, 2250e12, 4500e12, "NVIDIA DGX B200 data sheet, per GPU, dense")),
    (frozenset({"A100"}), Peak("a100", 312e12, None, "NVIDIA A100 data sheet, dense")),
    (frozenset({"L40S"}), Peak("l40s", 362e12, 733e12, "NVIDIA L40S data sheet, halved")),
    (
        frozenset({"4090"}),
        Peak("rtx4090", 165.2e12, 330.3e12, "NVIDIA Ada architecture white paper, float32 accumulation"),
    ),
)


def peak_of(device: str) -> Peak | None:
    """The peak of a device by the name that the driver gives; None for one that is not listed.

    Args:
        device: Such as "NVIDIA H100 80GB HBM3". Words are compared whole: an H200 is no H20.
    """
    words = set(re.split(r"[\s\-_]+", device.upper()))
    return next((peak for needed, peak in _PEAKS if needed <= words), None)
