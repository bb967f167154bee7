"""Seconds and peak memory of a piece of work on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Timing:
    """What repeated runs took.

    Attributes:
        seconds: Of each run, in order.
        peak_bytes: Largest memory that tensors occupied on the device; 0 on a CPU.
    """

    seconds: tuple[float, ...]
    peak_bytes: int

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seconds": figures(self.median_s),
            "runs": [figures(value) for value in self.seconds],
            "peak_gib": figures(self.peak_bytes / 2**30),
        }


def figures(value: float) -> float:
    """Four significant digits: what a measurement is worth."""
    return float(f"{value:.4g}")


def measure(work: Callable[[], object], device: torch.device, *, repeats: int, warmups: int = 1) -> Timing:
    """Time `work` by device events (a GPU) or by the wall clock (a CPU), after runs that do not count."""
    cuda = device.type == "cuda"
    for _ in range(warmups):
        work()
    if cuda:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    seconds = tuple(_on_gpu(work, device) if cuda else _on_cpu(work) for _ in range(repeats))
    return Timing(seconds, torch.cuda.max_memory_allocated(device) if cuda else 0)


def _on_gpu(work: Callable[[], object], device: torch.device) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize(device)
    return float(begin.elapsed_time(end)) / 1e3


def _on_cpu(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
