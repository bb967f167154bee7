"""The renderer's speed on one core: `python -m benchmarks.parallax [--repeats 3]`.

A 768x512 clip of 3 s at 24 fps of each bundled photograph, from the upright picture to the last frame,
pinned to one core. The peer is the least that any camera move could cost: the same number of
`cv2.warpAffine` calls on the same picture.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from benchmarks.report import ROOT, Report, Target, arguments, percentiles
from models.catalog import load_catalog
from models.runners.base import RunRequest, Stage
from models.runners.parallax import load
from models.types import CameraMove, ClipPlan, Fit, Framing, Geometry, Intensity
from router.features import read_features

if TYPE_CHECKING:
    from models.runners.base import Frame

LIMIT_S = 6.0
CLIP = Geometry(768, 512, 72, 24.0)
PHOTOGRAPHS = ROOT / "examples" / "photographs"


class Silent:
    """A monitor that nobody listens to."""

    def stage(self, stage: Stage) -> None:
        pass

    def step(self, done: int, total: int, preview: Frame | None = None) -> None:
        pass

    def wants_preview(self) -> bool:
        return False


def seconds_of(frames: Iterator[Frame]) -> int:
    """Take every frame; returns how many."""
    return sum(1 for _ in frames)


def render(path: Path, move: CameraMove) -> float:
    """Wall seconds of one clip."""
    card = load_catalog().get("parallax")
    runner = load(card, card.offers[0], checkpoint=None, device="cpu")
    with Image.open(path) as image:
        picture = image.convert("RGB")
    faces = read_features(picture, "").image.faces
    request = RunRequest(
        image=picture,
        prompt="",
        plan=ClipPlan(CLIP, CLIP, Framing(Fit.CROP, 0.8, 1.0)),
        seed=1,
        camera=(move,),
        intensity=Intensity.MODERATE,
        faces=faces,
    )
    began = time.perf_counter()
    made = seconds_of(runner.generate(request, Silent()).frames)
    took = time.perf_counter() - began
    if made != CLIP.num_frames:
        raise RuntimeError(f"{made} frames instead of {CLIP.num_frames}")
    return took


def warp(path: Path) -> float:
    """Wall seconds of the same number of plain affine warps."""
    with Image.open(path) as image:
        picture = np.asarray(image.convert("RGB").resize((CLIP.width, CLIP.height)))
    began = time.perf_counter()
    for index in range(CLIP.num_frames):
        zoom = 1 + 0.002 * index
        matrix = np.array([[zoom, 0, -index], [0, zoom, -index]], dtype=np.float32)
        cv2.warpAffine(picture, matrix, (CLIP.width, CLIP.height), flags=cv2.INTER_CUBIC)
    return time.perf_counter() - began


def main() -> None:
    given = arguments(__doc__, repeats=(3, "clips of each photograph"))
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    clips: dict[str, dict[str, float]] = {}
    peers: dict[str, dict[str, float]] = {}
    for name, move in (
        ("landscape", CameraMove.PUSH_IN),
        ("portrait", CameraMove.ORBIT_LEFT),
        ("product", CameraMove.TRUCK_RIGHT),
    ):  # fmt: skip
        path = PHOTOGRAPHS / f"{name}.jpg"
        clips[name] = percentiles([render(path, move) for _ in range(given.repeats)])
        peers[name] = percentiles([warp(path) for _ in range(given.repeats)])
    slowest = max(row["p50"] for row in clips.values())
    Report(
        name="parallax",
        summary="A 768x512 clip of 3 s at 24 fps, rendered on one core",
        figures={
            "seconds": clips,
            "ratio": {name: round(clips[name]["p50"] / peers[name]["p50"], 2) for name in clips},
        },
        peer={"what": "72 plain cv2.warpAffine calls on the same picture", "seconds": peers},
        targets=[Target("slowest photograph, median", slowest, "<=", LIMIT_S, "s")],
        settings={"repeats": given.repeats},
    ).write()


if __name__ == "__main__":
    main()
