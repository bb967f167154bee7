"""What the figures were measured on, and what the device can do at most."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from typing import Any

import torch

from benchmarks.gpu.timing import measure
from benchmarks.report import ROOT

PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "triton",
    "flash-attn",
    "sageattention",
    "torchao",
)


def described(device: torch.device) -> dict[str, Any]:
    """Names and versions; equal on two runs that may share a file."""
    return {
        "device": device_name(device),
        "devices": torch.cuda.device_count() if device.type == "cuda" else 1,
        "memory_gib": round(torch.cuda.get_device_properties(device).total_memory / 2**30, 1)
        if device.type == "cuda"
        else None,
        "capability": list(torch.cuda.get_device_capability(device)) if device.type == "cuda" else None,
        "driver": _driver() if device.type == "cuda" else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
    }


def device_name(device: torch.device) -> str:
    """As the driver says; "cpu" for a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def revision() -> str | None:
    """The commit of this tree, with a plus where files differ from it; None outside a git checkout."""
    try:
        commit = _output("git", "rev-parse", "HEAD")
        return f"{commit}+" if _output("git", "status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return None


def matmul_rate(device: torch.device, side: int) -> float:
    """FLOP/s of one square bfloat16 product of random numbers: what the device reaches in practice.

    Args:
        device: Where.
        side: Rows of each matrix; 8192 fills a data-centre GPU.
    """
    left = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    right = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    timing = measure(lambda: left @ right, device, repeats=10, warmups=3)
    return 2.0 * side**3 / timing.median_s


def copy_rate(device: torch.device, size: int) -> float:
    """Bytes read plus bytes written a second by one copy within the device's memory.

    Args:
        device: Where.
        size: Bytes of the copied tensor; far above the caches.
    """
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    timing = measure(lambda: target.copy_(source), device, repeats=10, warmups=3)
    return 2.0 * size / timing.median_s


def _driver() -> str | None:
    try:
        found = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        return found.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _output(*command: str) -> str:
    outcome = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=20)
    return outcome.stdout.strip()
