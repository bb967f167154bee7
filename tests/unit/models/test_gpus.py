"""GPU types: the shipped file, an operator's own, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import ConfigError
from models.gpus import GpuType, load_gpus

SOURCE = {"source": "a test", "checked_at": "2026-11-21"}


def _sheet() -> dict[str, Any]:
    return {
        "mine": {
            "title": "Mine",
            "memory": {"bytes": 1000, **SOURCE},
            "speed": {
                "linear_tflops": 2.0,
                "attention_tflops": 3.0,
                "vae_seconds_per_megapixel": 0.5,
                "interconnect_gb_per_s": 4.0,
                **SOURCE,
            },
            "price": {"usd_per_hour": 1.5, **SOURCE},
        }
    }


def _write(directory: Path, content: Any) -> Path:
    file = directory / "gpus.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def test_shipped_types(gpus: dict[str, GpuType]) -> None:
    assert set(gpus) == {"h100", "a100", "h20", "h200", "l40s", "rtx4090", "cpu"}
    assert all(gpu.key == key for key, gpu in gpus.items())
    # Prices are defaults that nobody published, so every type says so.
    assert all(gpu.inferred for gpu in gpus.values())
    assert gpus["h200"].memory_bytes > gpus["h100"].memory_bytes > gpus["rtx4090"].memory_bytes
    assert min(gpus.values(), key=lambda gpu: gpu.linear_flops).key == "cpu"


def test_own_file_in_its_own_units(tmp_path: Path) -> None:
    assert load_gpus(_write(tmp_path, _sheet())) == {
        "mine": GpuType(
            key="mine",
            title="Mine",
            memory_bytes=1000,
            linear_flops=2e12,
            attention_flops=3e12,
            vae_seconds_per_megapixel=0.5,
            interconnect_bytes_per_s=4e9,
            fixed_seconds_per_forward=0.0,
            usd_per_hour=1.5,
            inferred=False,
        )
    }


@pytest.mark.parametrize(
    ("block", "field", "value", "named"),
    [
        ("speed", "linear_tflops", 0, "mine.speed.linear_tflops"),
        ("speed", "attention_tflops", float("nan"), "mine.speed.attention_tflops"),
        ("speed", "tflops", 1, "mine.speed.tflops"),
        ("memory", "bytes", -1, "mine.memory.bytes"),
        ("price", "usd_per_hour", "dear", "mine.price.usd_per_hour"),
        ("price", "source", "", "mine.price.source"),
    ],
)
def test_refused(tmp_path: Path, block: str, field: str, value: object, named: str) -> None:
    sheet = _sheet()
    sheet["mine"][block][field] = value
    file = _write(tmp_path, sheet)
    with pytest.raises(ConfigError) as caught:
        load_gpus(file)
    assert caught.value.message.startswith(f"{file}: {named}: ")
    assert caught.value.param == named


def test_empty_or_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no GPU type"):
        load_gpus(_write(tmp_path, {}))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_gpus(tmp_path / "none.yaml")
