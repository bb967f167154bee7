"""The forms of engines that speak `/v1/videos`: which fields each reads, and what it makes of them.

Written down from the engines' own code, apart from what the adapter believes (`models.providers.
engine_quirks`). Fields that a form does not name are ignored without a word, as FastAPI does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.providers.fake.render import Shape, even

Parse = Callable[[str], object]
EngineName = Literal["vllm-omni", "sglang", "trtllm", "fastvideo"]


class BadField(ValueError):
    """A field that the form refuses."""

    def __init__(self, field: str, kind: str, told: str) -> None:
        super().__init__(told)
        self.field = field
        self.kind = kind


def _float(least: float, most: float) -> Parse:
    def parse(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise ValueError(f"Input should be from {least:g} to {most:g}")
        return value

    return parse


def _int(least: int, most: int = 2**63 - 1) -> Parse:
    def parse(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(f"Input should be from {least} to {most}")
        return value

    return parse


def _like(pattern: str) -> Parse:
    def parse(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"String should match pattern '{pattern}'")
        return text

    return parse


def _bool(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


_SEED = _int(-(2**63))
_WIDE = _float(-1e9, 1e9)
_TEXT: Mapping[str, Parse] = {"prompt": str, "model": str, "negative_prompt": str}

FIELDS: Mapping[EngineName, Mapping[str, Parse]] = {
    "vllm-omni": {
        **_TEXT,
        "seconds": _like(r"[1-9]\d*"),
        "size": _like(r"\d+x\d+"),
        "width": _int(1),
        "height": _int(1),
        "num_frames": _int(1),
        "fps": _float(1, 2.0**63),
        "num_inference_steps": _int(1, 200),
        "guidance_scale": _float(0, 20),
        "guidance_scale_2": _float(0, 20),
        "flow_shift": _WIDE,
        "seed": _SEED,
        "generate_sound": _bool,
    },
    "sglang": {
        **_TEXT,
        "seconds": int,
        "size": str,
        "fps": int,
        "num_frames": int,
        "width": int,
        "height": int,
        "num_inference_steps": int,
        "guidance_scale": _WIDE,
        "guidance_scale_2": _WIDE,
        "flow_shift": _WIDE,
        "seed": _SEED,
        "output_path": str,
    },
    "trtllm": {
        **_TEXT,
        "size": _like(r"\d+x\d+|auto"),
        "seconds": _WIDE,
        "fps": int,
        "num_inference_steps": int,
        "guidance_scale": _WIDE,
        "guidance_rescale": _WIDE,
        "seed": _SEED,
        "output_format": _like("mp4|avi|auto"),
    },
    "fastvideo": {
        **_TEXT,
        "seconds": int,
        "size": str,
        "fps": int,
        "num_frames": int,
        "num_inference_steps": int,
        "guidance_scale": _WIDE,
        "seed": _SEED,
    },
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """A form as the engine reads it."""

    values: Mapping[str, Any]
    shape: Shape


def parsed(engine: EngineName, form: Mapping[str, str]) -> Parsed:
    """Read a form, and fill in what it leaves out as the engine would.

    Raises:
        BadField: a field has the wrong type, or the prompt is missing.
    """
    values: dict[str, Any] = {}
    for name, parse in FIELDS[engine].items():
        # An empty form field counts as left out.
        if text := form.get(name):
            try:
                values[name] = parse(text)
            except (ValueError, KeyError) as error:
                raise BadField(name, "value_error", f"{error}, and got {text!r}") from None
    if "prompt" not in values:
        raise BadField("prompt", "missing", "prompt is required")
    return Parsed(values, _shape(values))


def _shape(values: Mapping[str, Any]) -> Shape:
    """Size, rate and frames: `size` wins over sides, frames over seconds; 24 fps and 4 s by default."""
    width, height = values.get("width", 832), values.get("height", 480)
    if "x" in (size := values.get("size", "")):
        width, height = map(int, size.split("x"))
    fps = float(values.get("fps", 24))
    frames = values.get("num_frames") or int(float(values.get("seconds", 4)) * fps)
    return Shape(even(width), even(height), fps, max(1, frames), bool(values.get("generate_sound")))
