"""Faces, strictly: skin says where to look, one cascade finds, a second and the skin inside must agree.

Haar cascades alone see faces in leaves, coins and clouds, so no single one is believed. The search is
bounded: whatever the picture, the first cascade never scans more than `SEARCH_PIXELS` pixels, which makes
small faces in large warm-coloured pictures go unseen. That is the safe side: an unseen face costs a weaker
claim, an invented one a wrong model. Profiles and covered faces are mostly not found; a YuNet model file
(`FaceDetectorYN`, OpenCV zoo) does better and can be given.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""
Pixels = NDArray[np.uint8]

SEARCH_PIXELS: Final = 32_000
"""Area that the first cascade scans at most; sets the time (about 8 ms on one 3 GHz core)."""
MIN_FACE: Final = 0.05
"""Smallest face side as a share of the picture's longer side; below it a face does not steer a clip."""
MAX_FACES: Final = 10
"""Candidates that are checked, strongest first; more would only say "many"."""
MIN_SKIN: Final = 0.35
"""Least share of skin-coloured pixels inside a face of a colour picture."""
# Skin in YCbCr whatever the brightness of the skin: D. Chai and K. N. Ngan, "Face segmentation using
# skin-color map in videophone applications", IEEE TCSVT 9(4), 1999. Order here: Y, Cr, Cb.
_SKIN_LOW: Final = (30, 133, 77)
_SKIN_HIGH: Final = (255, 173, 127)
# A picture whose chroma spreads less than this many levels is black-and-white or toned: colour says nothing.
_MONOCHROME: Final = 4.0
# Windows of the trained cascades (their XML files): 20 x 20 for alt2 and profile.
_WINDOW: Final = 20
_CROP: Final = 72
# YuNet: the score below which the OpenCV zoo's own demo drops a face is 0.9; faces at 320 px are reliable.
_YUNET_SCORE: Final = 0.9
_YUNET_SIDE: Final = 320


@dataclass(frozen=True, slots=True)
class _Cascades:
    """OpenCV's classifiers keep state while they run, so one caller at a time."""

    first: Any
    second: Any
    profile: Any
    lock: threading.Lock = field(default_factory=threading.Lock)


@cache
def _cascades() -> _Cascades:
    folder = Path(cv2.data.haarcascades)

    def load(name: str) -> Any:
        path = folder / f"haarcascade_{name}.xml"
        classifier = cv2.CascadeClassifier(str(path))
        if classifier.empty():
            raise ConfigError(f"OpenCV's bundled cascade {path.name} is missing; opencv-python 4.x has it.")
        return classifier

    return _Cascades(load("frontalface_alt2"), load("frontalface_default"), load("profileface"))


@dataclass(frozen=True, slots=True)
class _Network:
    detector: Any
    lock: threading.Lock = field(default_factory=threading.Lock)


@cache
def _network(model: Path) -> _Network:
    if not model.is_file():
        raise ConfigError(f"The face model {model} does not exist; give a YuNet ONNX file.", param="face_model")
    try:
        detector = cv2.FaceDetectorYN.create(
            str(model), "", (_YUNET_SIDE, _YUNET_SIDE), score_threshold=_YUNET_SCORE
        )
    except cv2.error as error:
        raise ConfigError(
            f"{model} is no YuNet face model: {str(error).strip()}", param="face_model"
        ) from error
    return _Network(detector)


def skin_mask(rgb: Pixels) -> Pixels | None:
    """Mark skin-coloured pixels with 255; None when the picture has no colours to judge by."""
    ycc = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    _, spread = cv2.meanStdDev(ycc)
    if max(float(spread[1, 0]), float(spread[2, 0])) < _MONOCHROME:
        return None
    mask: Pixels = cv2.inRange(ycc, np.array(_SKIN_LOW), np.array(_SKIN_HIGH))
    return mask


def find_faces(rgb: Pixels, model: Path | None = None) -> tuple[Box, ...]:
    """Find faces in a small RGB picture (about 500 pixels on the long side), largest first.

    Args:
        rgb: height x width x 3, 8 bits.
        model: a YuNet ONNX file to use instead of the cascades.

    Raises:
        ConfigError: the model file is missing or no YuNet model.
    """
    boxes = _by_network(rgb, model) if model is not None else _by_cascades(rgb)
    return tuple(sorted(boxes, key=lambda box: box[2] * box[3], reverse=True))


def _by_network(rgb: Pixels, model: Path) -> list[Box]:
    height, width = rgb.shape[:2]
    scale = min(1.0, _YUNET_SIDE / max(height, width))
    small = cv2.resize(rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    network = _network(model)
    with network.lock:
        network.detector.setInputSize((small.shape[1], small.shape[0]))
        _, rows = network.detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    found = [] if rows is None else [tuple(float(v) / scale for v in row[:4]) for row in rows]
    boxes = [_inside((round(x), round(y), round(w), round(h)), width, height) for x, y, w, h in found]
    return [box for box in boxes if max(box[2], box[3]) >= MIN_FACE * max(height, width)]


def _by_cascades(rgb: Pixels) -> list[Box]:
    grey: Pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    skin = skin_mask(rgb)
    regions = [(0, 0, grey.shape[1], grey.shape[0])] if skin is None else _skin_regions(skin)
    cascades = _cascades()
    with cascades.lock:
        found = _search(grey, regions, cascades)
        return [box for box in found if _confirmed(grey, skin, box, cascades)]


def _skin_regions(skin: Pixels) -> list[Box]:
    """Rectangles around patches of skin that are large enough for a face, with room for hair and chin."""
    height, width = skin.shape
    step = 4
    coarse = cv2.resize(skin, (max(1, width // step), max(1, height // step)), interpolation=cv2.INTER_AREA)
    _, blobs = cv2.threshold(coarse, 127, 255, cv2.THRESH_BINARY)
    count, _, stats, _ = cv2.connectedComponentsWithStats(blobs)
    least = MIN_FACE * max(coarse.shape)
    regions: list[Box] = []
    for index in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[index])
        if area < 0.4 * least * least or min(w, h) < 0.5 * least:
            continue
        margin_x, margin_y = round(0.3 * w + least / 2), round(0.3 * h + least / 2)
        box = (
            (x - margin_x) * step,
            (y - margin_y) * step,
            (w + 2 * margin_x) * step,
            (h + 2 * margin_y) * step,
        )
        regions.append(_inside(box, width, height))
    return _merge(regions)


def _merge(regions: list[Box]) -> list[Box]:
    """Join rectangles that overlap until none do."""
    merged: list[Box] = []
    for region in sorted(regions, key=lambda box: box[2] * box[3], reverse=True):
        current = region
        while True:
            touching = [other for other in merged if _overlap(current, other) > 0]
            if not touching:
                break
            merged = [other for other in merged if other not in touching]
            current = _hull([current, *touching])
        merged.append(current)
    return merged


def _search(grey: Pixels, regions: list[Box], cascades: _Cascades) -> list[Box]:
    """First cascade over the regions, at the finest scale that the search budget allows."""
    total = sum(w * h for _, _, w, h in regions)
    if total == 0:
        return []
    scale = min(1.0, math.sqrt(SEARCH_PIXELS / total))
    least = max(_WINDOW, round(MIN_FACE * max(grey.shape) * scale))
    found: list[tuple[int, Box]] = []
    for x, y, w, h in regions:
        patch = grey[y : y + h, x : x + w]
        if scale < 1.0:
            patch = cv2.resize(patch, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if min(patch.shape) < least:
            continue
        boxes, votes = cascades.first.detectMultiScale2(
            patch, scaleFactor=1.15, minNeighbors=2, minSize=(least, least)
        )
        for box, vote in zip(boxes, np.ravel(votes), strict=True):
            fx, fy, fw, fh = (round(float(v) / scale) for v in box)
            found.append((int(vote), _inside((x + fx, y + fy, fw, fh), grey.shape[1], grey.shape[0])))
    found.sort(key=lambda item: item[0], reverse=True)
    kept: list[Box] = []
    for _, box in found:
        if all(_overlap(box, other) < 0.3 * min(box[2] * box[3], other[2] * other[3]) for other in kept):
            kept.append(box)
    return kept[:MAX_FACES]


def _confirmed(grey: Pixels, skin: Pixels | None, box: Box, cascades: _Cascades) -> bool:
    """Second opinion on one candidate: enough skin inside, and another cascade sees a face right there."""
    x, y, w, h = box
    if skin is not None and float(np.mean(skin[y : y + h, x : x + w])) / 255 < MIN_SKIN:
        return False
    margin = round(0.35 * w)
    left, top, width, height = _inside(
        (x - margin, y - margin, w + 2 * margin, h + 2 * margin), grey.shape[1], grey.shape[0]
    )
    # The face is brought to one size, so that the check costs the same for every candidate.
    scale = _CROP / w
    crop = cv2.resize(
        grey[top : top + height, left : left + width], None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR
    )
    least = round(0.7 * _CROP)
    boxes, votes = cascades.second.detectMultiScale2(
        crop, scaleFactor=1.08, minNeighbors=4 if skin is not None else 8, minSize=(least, least)
    )
    for (bx, by, bw, bh), _ in zip(boxes, np.ravel(votes), strict=True):
        there = (round(bx / scale) + left, round(by / scale) + top, round(bw / scale), round(bh / scale))
        shared = _overlap(box, there)
        if shared / (w * h + there[2] * there[3] - shared) >= 0.5:
            return True
    return False


def _inside(box: Box, width: int, height: int) -> Box:
    x, y, w, h = box
    left, top = min(max(0, x), width - 1), min(max(0, y), height - 1)
    return left, top, max(1, min(x + w, width) - left), max(1, min(y + h, height) - top)


def _overlap(a: Box, b: Box) -> int:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0, width) * max(0, height)


def _hull(boxes: list[Box]) -> Box:
    left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
    right, bottom = max(b[0] + b[2] for b in boxes), max(b[1] + b[3] for b in boxes)
    return left, top, right - left, bottom - top
