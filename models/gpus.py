"""GPU types: how fast each one works through a clip, what it holds, and what an hour of it costs.

The figures are data (`gpus.yaml`), so an operator replaces them without touching code: pass another
file to `load_gpus`. Rates are *achieved* rates fitted to whole runs, not the peaks of a data sheet.
"""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field, RootModel, ValidationError

from models.card import Block, Sourced
from models.errors import ConfigError
from models.sheets import describe, read_sheet

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class GpuType:
    """One kind of accelerator (or a plain CPU) as the cost model sees it.

    Attributes:
        key: Name in `gpus.yaml` and in offers' `default_gpu`.
        title: For people.
        memory_bytes: Memory of one device.
        linear_flops: Achieved FLOP/s in projections, MLPs, cross-attention and convolution denoisers.
        attention_flops: Achieved FLOP/s in self-attention.
        vae_seconds_per_megapixel: Seconds to encode and decode one million pixels x frames with the codec
            of Wan 2.1 (13 570 kFLOP per pixel); other codecs scale by their kFLOP.
        interconnect_bytes_per_s: Effective all-to-all bandwidth between the GPUs of one gang.
        fixed_seconds_per_forward: What a forward costs however small it is (launches, Python).
        usd_per_hour: Price of one device.
        inferred: Some figure of this type is not measured or published.
    """

    key: str
    title: str
    memory_bytes: int
    linear_flops: float
    attention_flops: float
    vae_seconds_per_megapixel: float
    interconnect_bytes_per_s: float
    fixed_seconds_per_forward: float
    usd_per_hour: float
    inferred: bool


class _Memory(Sourced):
    bytes: int = Field(gt=0)


class _Speed(Sourced):
    linear_tflops: float = Field(gt=0)
    attention_tflops: float = Field(gt=0)
    vae_seconds_per_megapixel: float = Field(ge=0)
    interconnect_gb_per_s: float = Field(gt=0)
    fixed_seconds_per_forward: float = Field(default=0.0, ge=0)


class _Price(Sourced):
    usd_per_hour: float = Field(ge=0)


class _GpuSheet(Block):
    title: str = Field(min_length=1)
    memory: _Memory
    speed: _Speed
    price: _Price


class _GpusFile(RootModel[dict[str, _GpuSheet]]):
    pass


def load_gpus(path: Path | None = None) -> dict[str, GpuType]:
    """Read GPU types by key, in the order of the file.

    Args:
        path: A file of the same form as the shipped `gpus.yaml`; None reads the shipped one.

    Raises:
        ConfigError: the file cannot be read, or a field is missing, unknown or out of range; the message
            names file and field.
    """
    name = str(path) if path is not None else "models/gpus.yaml"
    source = path if path is not None else importlib.resources.files("models") / "gpus.yaml"
    try:
        sheets = _GpusFile.model_validate(read_sheet(source, name)).root
    except ValidationError as error:
        raise describe(error, name) from error
    if not sheets:
        raise ConfigError(f"{name}: names no GPU type", param=name)
    return {key: _gpu_type(key, sheet) for key, sheet in sheets.items()}


def _gpu_type(key: str, sheet: _GpuSheet) -> GpuType:
    speed = sheet.speed
    return GpuType(
        key=key,
        title=sheet.title,
        memory_bytes=sheet.memory.bytes,
        linear_flops=speed.linear_tflops * 1e12,
        attention_flops=speed.attention_tflops * 1e12,
        vae_seconds_per_megapixel=speed.vae_seconds_per_megapixel,
        interconnect_bytes_per_s=speed.interconnect_gb_per_s * 1e9,
        fixed_seconds_per_forward=speed.fixed_seconds_per_forward,
        usd_per_hour=sheet.price.usd_per_hour,
        inferred=sheet.memory.inferred or speed.inferred or sheet.price.inferred,
    )
