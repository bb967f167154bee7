"""Tiny checkpoints of the real classes, cards for them, and a monitor that remembers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from models.card import Card
from models.errors import Cancelled
from models.types import ClipPlan, Fit, Framing, Geometry

# No test may reach the hub; huggingface_hub reads these when it is first imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

if TYPE_CHECKING:
    from models.runners.base import Frame, Stage
    from models.runners.diffusers import DiffusersRunner

PIPELINES: dict[str, str] = {
    "wan2.1": "WanImageToVideoPipeline",
    "wan2.2-a14b": "WanImageToVideoPipeline",
    "wan2.2-ti2v-5b": "WanImageToVideoPipeline",
    "ltx-video": "LTXImageToVideoPipeline",
    "svd": "StableVideoDiffusionPipeline",
    "cogvideox": "CogVideoXImageToVideoPipeline",
    "hunyuan-1.5": "HunyuanVideo15ImageToVideoPipeline",
    "i2vgen-xl": "I2VGenXLPipeline",
    "pia": "PIAPipeline",
    "wan2.2-animate": "WanAnimatePipeline",
    "ltx-2": "LTX2ImageToVideoPipeline",
    "skyreels-v2-i2v": "SkyReelsV2ImageToVideoPipeline",
    "skyreels-v2-df": "SkyReelsV2DiffusionForcingImageToVideoPipeline",
}
SIDES = {
    "wan2.1": 32,
    "wan2.2-a14b": 32,
    "wan2.2-ti2v-5b": 64,
    "ltx-video": 64,
    "svd": 64,
    "cogvideox": 32,
    "hunyuan-1.5": 64,
    "i2vgen-xl": 32,
    "pia": 32,
    "wan2.2-animate": 32,
    "ltx-2": 64,
    "skyreels-v2-i2v": 32,
    "skyreels-v2-df": 32,
}
"""A small side on each family's lattice."""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """The tiny checkpoint of a kind, built once for all tests."""
    import torch

    root = tmp_path_factory.mktemp("checkpoints")

    def at(kind: str) -> Path:
        from models.runners.tiny import write_tiny_checkpoint

        return write_tiny_checkpoint(kind, root / kind)

    # Thousands of microscopic operations: waking a second thread costs more than it brings.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield at
    torch.set_num_threads(threads)


def _card_of(kind: str, **changes: object) -> Card:
    """The least card that the runner needs for a tiny checkpoint; `changes` are dotted paths to values."""
    sourced = {"source": "a test", "checked_at": "2026-01-01"}
    words = kind != "svd"
    fields: dict[str, object] = {
        "id": f"tiny-{kind}",
        "title": kind,
        "family": kind,
        "vendor": "nobody",
        "makes": "generated",
        "status": "live",
        "checked_at": "2026-01-01",
        "tasks": ["i2v"],
        "licence": {**sourced, "id": "Apache-2.0", "commercial": "yes"},
        "weights": {**sourced, "kind": "open", "pipeline": PIPELINES[kind]},
        "controls": {
            **sourced,
            "camera": {**sourced, "kind": "prompt" if words else "none"},
            "prompt": words,
            "negative_prompt": words,
            "last_image": "optional" if kind == "wan2.2-a14b" else "none",
        },
        "input_image": dict(sourced),
        "offers": [
            {
                "id": "local",
                "backend": "local",
                "runner": "diffusers",
                "modes": [
                    {
                        **sourced,
                        "name": "tiny",
                        "sizes": {"kind": "area", "pixels": 4096, "min_pixels": 256, "multiple": 16},
                        "length": {"kind": "lattice", "step": 4, "offset": 1, "min": 5, "max": 81},
                        "fps": [8],
                    }
                ],
                "sampling": {**sourced, "steps": 2, "guidance": 3.0, "passes_per_step": 2},
            }
        ],
        "cost": {"rendering": {**sourced, "seconds_per_megapixel": 1, "fixed_seconds": 0}},
        "quality": {**sourced, "elo": 0, "sd": 1, "board": "none"},
        "summary": "a card for tests",
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        block = fields
        for parent in parents:
            inner = block[parent]
            assert isinstance(inner, dict)
            block = inner
        block[last] = value
    return Card.model_validate(fields)


def _plan_of(kind: str, frames: int = 9, *, effective: int | None = None, **changes: object) -> ClipPlan:
    """A square clip of the family's small size, cropped."""
    side = SIDES[kind]
    segments, factor = int(str(changes.get("segments", 1))), int(str(changes.get("interpolation", 1)))
    total = segments * (frames - 1) * factor + 1 if effective is None else effective
    framing = changes.get("framing", Framing(Fit.CROP, kept=0.75, filled=1.0))
    assert isinstance(framing, Framing)
    return ClipPlan(
        effective=Geometry(side, side, total, 8.0 * factor),
        native=Geometry(side, side, frames, 8.0),
        framing=framing,
        segments=segments,
        interpolation=factor,
    )


@pytest.fixture(name="card_of")
def _card_fixture() -> Callable[..., Card]:
    return _card_of


@pytest.fixture(name="plan_of")
def _plan_fixture() -> Callable[..., ClipPlan]:
    return _plan_of


@pytest.fixture(name="photograph")
def _photograph_fixture() -> Callable[..., Image.Image]:
    return _photograph


@pytest.fixture(scope="session")
def driving_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 24 fps, 64x48: in each picture the left i columns of i of 48 are white."""
    import av

    path = tmp_path_factory.mktemp("driving") / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(48):
            picture = np.zeros((48, 64, 3), np.uint8)
            picture[:, :index] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(name="recorder")
def _recorder_fixture() -> Callable[..., Recorder]:
    """`recorder(cancel_at=None, previews=False)`."""
    return Recorder


@pytest.fixture(scope="session")
def load_tiny(checkpoint: Callable[[str], Path]) -> Callable[..., DiffusersRunner]:
    """A fresh runner for the tiny checkpoint of a kind."""

    def at(kind: str, **changes: object) -> DiffusersRunner:
        from models.runners.diffusers import load

        card = _card_of(kind, **changes)
        return load(card, card.offers[0], checkpoint=str(checkpoint(kind)), device="cpu")

    return at


def _photograph(width: int = 96, height: int = 64) -> Image.Image:
    """Gradients with some detail, wider than high."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 / width, y * 255 / height, (x * 7 + y * 13) % 256], -1)
    return Image.fromarray(pixels.astype(np.uint8))


@dataclass
class Recorder:
    """A monitor that remembers what it hears and cancels at a given step."""

    cancel_at: int | None = None
    previews: bool = False
    stages: list[Stage] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    pictures: list[Frame] = field(default_factory=list)

    def stage(self, stage: Stage) -> None:
        self.stages.append(stage)

    def step(self, done: int, total: int, preview: Frame | None = None) -> None:
        self.steps.append((done, total))
        if preview is not None:
            self.pictures.append(preview)
        if self.cancel_at is not None and done >= self.cancel_at:
            raise Cancelled(f"cancelled at step {done}")

    def wants_preview(self) -> bool:
        return self.previews
