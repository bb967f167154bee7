"""Devices by the names that drivers give them."""

from __future__ import annotations

import pytest

from benchmarks.gpu.peaks import peak_of
from models.gpus import load_gpus

NAMES = {
    "NVIDIA H100 80GB HBM3": "h100",
    "NVIDIA H200": "h200",
    "NVIDIA H20": "h20",
    "NVIDIA A100-SXM4-80GB": "a100",
    "NVIDIA L40S": "l40s",
    "NVIDIA GeForce RTX 4090": "rtx4090",
}


@pytest.mark.parametrize(("name", "gpu_type"), NAMES.items())
def test_a_device_has_its_peak_and_a_type_that_is_priced(name: str, gpu_type: str) -> None:
    peak = peak_of(name)
    assert peak is not None
    assert peak.gpu_type == gpu_type
    known = load_gpus()[gpu_type]
    # What was fitted to whole runs cannot exceed what the device can do.
    assert max(known.linear_flops, known.attention_flops) < peak.bfloat16


def test_a_pcie_card_is_not_taken_for_an_sxm_one() -> None:
    card, module = peak_of("NVIDIA H100 PCIe"), peak_of("NVIDIA H100 80GB HBM3")
    assert card is not None
    assert module is not None
    assert card.bfloat16 < module.bfloat16
    assert card.gpu_type is None


@pytest.mark.parametrize("name", ["cpu", "NVIDIA H2000", "AMD Instinct MI300X"])
def test_an_unknown_device_has_none(name: str) -> None:
    assert peak_of(name) is None
