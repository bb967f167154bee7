"""Parallax: moves a camera over a photograph in 2.5-D. Nothing is generated; no network, no GPU, no weights.

Reads a coarse depth, takes the photograph apart into layers, fills what the subject hid and plays every
camera move with eased motion. For previews, animatics and machines without a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from models.errors import InputRefused, OutOfMemory
from models.runners.base import RunMonitor, RunRequest, RunResult, Stage
from models.runners.framing import crop_box, face_focus, fit_photograph
from models.runners.parallax_camera import CameraPath, Sight, plan_path
from models.runners.parallax_depth import Scene, estimate_scene
from models.runners.parallax_layers import Layers, Picture, build_layers, draw
from models.runners.parallax_projection import closest, fit_margin, view_at
from models.runners.parallax_subject import Face
from models.types import Fit, Framing, Size

if TYPE_CHECKING:
    from models.card import Card, Offer

NOTHING_GENERATED = "rendered by moving a camera over the photograph; nothing is generated"

MAX_DETAIL = 1.5
"""Source resolution over frame resolution at most: more would only alias."""


def load(card: Card, offer: Offer, *, checkpoint: str | None, device: str) -> ParallaxRunner:
    """A renderer has nothing to load: no weights are read from `checkpoint`, and `device` is the CPU."""
    del card, offer, checkpoint, device
    return ParallaxRunner()


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the frame that shows the photograph; the rest are the bars of a padded fit."""

    left: int
    top: int
    size: Size


class ParallaxRunner:
    """A `models.runners.base.Runner`; holds no state between clips."""

    def generate(self, request: RunRequest, monitor: RunMonitor) -> RunResult:
        """Plan the camera, take the photograph apart, and return frames that are drawn as they are read.

        Raises:
            InputRefused: a last frame was given; a camera path cannot end at another photograph.
            Cancelled: from `monitor`, here or while frames are read.
            OutOfMemory: the host has no room for the layers.
        """
        if request.last_image is not None:
            raise InputRefused(
                "parallax moves a camera over one photograph; it cannot end at a last image",
                param="last_image",
                allowed="no last image",
            )
        monitor.stage(Stage.ENCODING_INPUT)
        try:
            return self._prepared(request, monitor)
        except MemoryError as error:
            raise OutOfMemory(f"no room for the layers of a {request.plan.effective.size} frame") from error

    def unload(self) -> None:
        """Nothing is held."""

    def _prepared(self, request: RunRequest, monitor: RunMonitor) -> RunResult:
        clip = request.plan.effective
        photograph = request.image if request.image.mode == "RGB" else request.image.convert("RGB")
        framing = request.plan.framing
        focus = face_focus(request.faces)
        window = _window(photograph, clip.size, framing)
        inner = Framing(Fit.CROP, framing.kept, 1.0)
        picture = np.asarray(fit_photograph(photograph, window.size, inner, focus), np.uint8)
        scene = estimate_scene(picture, _visible_faces(request.faces, photograph, window.size.aspect, focus))
        sight = _sight(scene, window.size)
        wished, notes = plan_path(
            request.camera,
            num_frames=clip.num_frames,
            fps=clip.fps,
            intensity=request.intensity,
            seed=request.seed,
            sight=sight,
        )
        path, margin = fit_margin(wished, sight, scene.edge_nearness())
        if path is not wished:
            notes = (
                *notes,
                "the camera travels less than asked, so that no frame shows beyond the photograph",
            )
        detail = _detail(photograph, window.size, closest(path, margin))
        if detail != window.size:
            picture = np.asarray(fit_photograph(photograph, detail, inner, focus), np.uint8)
        layers = build_layers(picture, scene)
        canvas = np.asarray(fit_photograph(photograph, clip.size, framing, focus), np.uint8)
        spoken = "depth read from: " + (", ".join(scene.cues) or "the rows of the picture")
        frames = _frames(_Clip(layers, path, sight, margin, window, canvas), monitor)
        return RunResult(frames, (NOTHING_GENERATED, spoken, *notes))


@dataclass(frozen=True, slots=True)
class _Clip:
    layers: Layers
    path: CameraPath
    sight: Sight
    margin: float
    window: Window
    canvas: Picture


def _frames(clip: _Clip, monitor: RunMonitor) -> Iterator[Picture]:
    monitor.stage(Stage.RENDERING)
    total = clip.path.num_frames
    still = clip.path.still
    frame: Picture | None = None
    for index in range(total):
        if frame is None or not still:
            frame = _frame(clip, index)
        monitor.step(index + 1, total, preview=frame if monitor.wants_preview() else None)
        # The reader may keep or change what it got; a still clip is drawn once only.
        yield frame.copy() if still else frame


def _frame(clip: _Clip, index: int) -> Picture:
    window = clip.window
    drawn = draw(clip.layers, view_at(clip.path, index, clip.sight, clip.margin), window.size)
    if drawn.shape == clip.canvas.shape:
        return drawn
    frame = clip.canvas.copy()
    frame[window.top : window.top + window.size.height, window.left : window.left + window.size.width] = drawn
    return frame


def _window(photograph: Image.Image, size: Size, framing: Framing) -> Window:
    """Where `fit_photograph` puts the photograph: everywhere, or between the bars of a padded fit."""
    if framing.fit is not Fit.PAD:
        return Window(0, 0, size)
    scale = min(size.width / photograph.width, size.height / photograph.height)
    inner = Size(
        max(1, math.floor(photograph.width * scale + 1e-6)),
        max(1, math.floor(photograph.height * scale + 1e-6)),
    )
    return Window((size.width - inner.width) // 2, (size.height - inner.height) // 2, inner)


def _visible_faces(
    faces: tuple[Face, ...], photograph: Image.Image, aspect: float, focus: tuple[float, float] | None
) -> list[Face]:
    """Faces as shares of what the fit keeps; those whose middle was cut off are dropped."""
    left, top, right, bottom = crop_box(Size(photograph.width, photograph.height), aspect, focus)
    kept_width, kept_height = right - left, bottom - top
    moved = [
        (
            (x * photograph.width - left) / kept_width,
            (y * photograph.height - top) / kept_height,
            w * photograph.width / kept_width,
            h * photograph.height / kept_height,
        )
        for x, y, w, h in faces
    ]
    return [face for face in moved if 0 <= face[0] + face[2] / 2 <= 1 and 0 <= face[1] + face[3] / 2 <= 1]


def _sight(scene: Scene, size: Size) -> Sight:
    """The scene's aim in frame coordinates, kept off the edges so that a push does not leave the picture."""
    x, y = (float(np.clip(value, 0.15, 0.85)) - 0.5 for value in scene.aim)
    return Sight(x, y / size.aspect, scene.aim_nearness, size.aspect)


def _detail(photograph: Image.Image, size: Size, enlargement: float) -> Size:
    """Resolution to draw from: finer than the frame where the path comes close and the photograph has it."""
    native = min(photograph.width / size.width, photograph.height / size.height)
    factor = min(enlargement, native, MAX_DETAIL)
    if factor < 1.05:
        return size
    return Size(round(size.width * factor), round(size.height * factor))
