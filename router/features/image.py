"""Reads a photograph: orientation, faces, sharpness, light, horizon, and what it most likely shows."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image

from models.types import Size
from policies.base import ImageFeatures, Orientation
from router.features.faces import Box, Pixels, find_faces
from router.features.quality import DARK, defects_of, read_quality
from router.features.scene import SIDE, read_light, read_scene, read_sharpness, subject_of
from router.images import load_reduced

WORKING_SIDE: Final = 400
"""Long side of the picture that all measures are taken on, so that figures compare between photographs."""
_UNSURE: Final = 0.45
"""A claim that lacks half of its evidence stays below the 0.5 from which policies rely on it."""
_MIDDLING: Final = 0.4
"""Mean luma of an ordinary photograph, to which dark ones are brought before anything is looked for."""
_MOST_GAIN: Final = 10.0
SQUARE_TOLERANCE: Final = 0.05
"""A photograph whose sides differ by at most this share counts as square."""


def read_image_features(source: Image.Image | bytes, *, face_model: Path | None = None) -> ImageFeatures:
    """Read a photograph.

    Args:
        source: an upright picture, or the bytes of one that `router.images.load_photograph` accepted. Bytes
            are quicker: a JPEG is decoded at reduced scale.
        face_model: a YuNet ONNX file to find faces with instead of OpenCV's bundled cascades.

    Raises:
        InvalidImage: bytes that are no picture.
        ConfigError: the face model cannot be loaded.
    """
    if isinstance(source, bytes):
        reduced, size = load_reduced(source, side=WORKING_SIDE)
    else:
        size = Size(source.width, source.height)
        factor = max(1, max(source.size) // (2 * WORKING_SIDE))
        reduced = (source.reduce(factor) if factor > 1 else source).convert("RGB")
    rgb = _shrink(np.asarray(reduced), WORKING_SIDE)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    light = read_light(grey)
    small = _shrink(rgb, SIDE)
    quality = read_quality(small, grey)
    lit = rgb if light.exposure >= DARK else _brightened(rgb, light.exposure)
    scene = read_scene(small if lit is rgb else _shrink(lit, SIDE))
    faces = tuple(_shares(box, rgb.shape[1], rgb.shape[0]) for box in find_faces(lit, face_model))
    areas = tuple(width * height for _, _, width, height in faces)
    subject, confidence = subject_of(areas, scene)
    defects = defects_of(size, quality, exposure=light.exposure, clipped=light.clipped, spread=light.spread)
    # Without colour a wall is a sky, and without edges a row of things is one thing.
    if (subject == "landscape" and quality.monochrome) or (subject == "product" and "blurred" in defects):
        confidence = min(confidence, _UNSURE)
    return ImageFeatures(
        width=size.width,
        height=size.height,
        orientation=orientation_of(size),
        faces=faces,
        largest_face=round(max(areas, default=0.0), 4),
        sharpness=round(read_sharpness(grey), 1),
        exposure=round(light.exposure, 4),
        contrast=round(light.clipped, 4),
        spread=round(light.spread, 4),
        horizon=None if scene.horizon is None else round(scene.horizon, 4),
        subject=subject,
        subject_confidence=round(confidence, 2),
        noise=round(quality.noise, 2),
        monochrome=quality.monochrome,
        aged=quality.aged,
        defects=defects,
    )


def orientation_of(size: Size) -> Orientation:
    """Orientation class of an upright picture."""
    if abs(size.width - size.height) <= SQUARE_TOLERANCE * max(size.width, size.height):
        return "square"
    return "landscape" if size.width > size.height else "portrait"


def _brightened(rgb: Pixels, exposure: float) -> Pixels:
    """A dark picture brought to middling light, so that what it shows can be told."""
    gain = min(_MOST_GAIN, _MIDDLING / max(exposure, 1e-3))
    bright: Pixels = cv2.convertScaleAbs(rgb, alpha=gain)
    return bright


def _shrink(rgb: Pixels, side: int) -> Pixels:
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    if scale >= 1.0:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averaging matters below half size only, and costs four times as much at other than whole factors.
    method = cv2.INTER_AREA if scale <= 0.5 else cv2.INTER_LINEAR
    small: Pixels = cv2.resize(rgb, size, interpolation=method)
    return small


def _shares(box: Box, width: int, height: int) -> tuple[float, float, float, float]:
    x, y, w, h = box
    return round(x / width, 4), round(y / height, 4), round(w / width, 4), round(h / height, 4)
