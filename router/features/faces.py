"""Faces, strictly: skin says where to look, one cascade finds, another and the skin inside must agree.

Haar cascades alone see faces in leaves, coins and clouds, so no single one is believed. The search is
bounded: whatever the picture, the first cascade never scans more than `SEARCH_PIXELS` pixels, which makes
small faces in large warm-coloured pictures go unseen. That is the safe side: an unseen face costs a weaker
claim, an invented one a wrong model. Profiles are not looked for: the bundled profile cascade has no second
to agree with. A YuNet model file (`FaceDetectorYN`, OpenCV zoo) finds them and more, and can be given.
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

SEARCH_PIXELS: Final = 24_000
"""Area that the first cascade scans at most; sets the time (5-10 ms on one core)."""
MIN_FACE: Final = 0.05
"""Smallest face side as a share of the picture's longer side; below it a face does not steer a clip."""
SMALL_FACE: Final = 0.15
"""A face with a side below this share leaves room for a group: others of its size are searched."""
MAX_FACES: Final = 6
"""Candidates that are checked, strongest first; more would only say "many"."""
MIN_SKIN: Final = 0.35
"""Least share of skin-coloured pixels inside a face of a colour picture."""
# Skin in YCbCr whatever the brightness of the skin: D. Chai and K. N. Ngan, "Face segmentation using
# skin-color map in videophone applications", IEEE TCSVT 9(4), 1999. Order here: Y, Cr, Cb.
_SKIN_LOW: Final = (30, 133, 77)
_SKIN_HIGH: Final = (255, 173, 127)
# A picture whose chroma spreads less than this many levels is black-and-white or toned: colour says nothing.
_MONOCHROME: Final = 4.0
# Window that frontalface_alt2 was trained with (its XML file), and the largest face of one pyramid level.
_WINDOW: Final = 20
_OCTAVE: Final = 42
# Growth of the window from one size to the next; with this area, coarser steps miss groups.
_STEP: Final = 1.12
# Side to which a found face is brought when alike ones are searched: mid-octave.
_ALIKE: Final = 28
_CROP: Final = 48
# Agreeing windows that the checks ask for. On 70 photographs and pictures from public packages (scikit-image,
# scikit-learn, Debian's wallpapers) 10 of 11 faces had 7 or more and the best of the rest 2 in colour, 5 in
# black-and-white (a coin).
_VOTES: Final = 6
_VOTES_WITHOUT_SKIN: Final = 15
# YuNet: the score below which the OpenCV zoo's own demo drops a face is 0.9; faces at 320 px are reliable.
_YUNET_SCORE: Final = 0.9
_YUNET_SIDE: Final = 320


@dataclass(frozen=True, slots=True)
class _Cascades:
    """OpenCV's classifiers keep state while they run, so one caller at a time."""

    first: Any
    second: Any
    third: Any
    lock: threading.Lock = field(default_factory=threading.Lock)


@cache
def _cascades() -> _Cascades:
    folder = Path(cv2.__file__).parent / "data"

    def load(name: str) -> Any:
        path = folder / f"haarcascade_{name}.xml"
        classifier = cv2.CascadeClassifier(str(path))
        if classifier.empty():
            raise ConfigError(f"OpenCV's bundled cascade {path.name} is missing; opencv-python 4.x has it.")
        return classifier

    return _Cascades(load("frontalface_alt2"), load("frontalface_alt"), load("frontalface_default"))


@dataclass(frozen=True, slots=True)
class _Network:
    detector: Any
    lock: threading.Lock = field(default_factory=threading.Lock)


@cache
def _network(model: Path) -> _Network:
    if not model.is_file():
        raise ConfigError(
            f"The face model {model} does not exist; give a YuNet ONNX file.", param="face_model"
        )
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
        faces = [box for box in found if _confirmed(grey, skin, box, cascades)]
        if faces and faces[0][2] < SMALL_FACE * max(grey.shape):
            more = [
                box for box in _search_alike(grey, regions, faces[0], cascades) if not _covered(box, faces)
            ]
            faces += [box for box in more if _confirmed(grey, skin, box, cascades)]
        return faces


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
    found: list[tuple[int, Box]] = []
    # One octave of face sizes per level of a pyramid: OpenCV samples every second pixel below twice the
    # trained window and every pixel above, so large faces would cost more than small ones.
    while scale * max(min(w, h) for _, _, w, h in regions) >= _WINDOW:
        found += _scan(grey, regions, scale, cascades)
        scale /= 2
    return _distinct(found)


def _search_alike(grey: Pixels, regions: list[Box], face: Box, cascades: _Cascades) -> list[Box]:
    """Look again, finer, for faces of about the size of one that was found: people in a group are alike."""
    total = sum(w * h for _, _, w, h in regions)
    scale = min(1.0, _ALIKE / face[2], math.sqrt(1.5 * SEARCH_PIXELS / total))
    return _distinct(_scan(grey, regions, scale, cascades))


def _scan(grey: Pixels, regions: list[Box], scale: float, cascades: _Cascades) -> list[tuple[int, Box]]:
    """Faces of 20 to 42 pixels in the picture shrunk by `scale`: (votes, box in the unshrunk picture)."""
    height, width = grey.shape
    least = max(_WINDOW, round(MIN_FACE * max(height, width) * scale))
    found: list[tuple[int, Box]] = []
    for x, y, w, h in regions:
        patch = _shrink(grey[y : y + h, x : x + w], scale)
        if min(patch.shape) < least or least > _OCTAVE:
            continue
        boxes, votes = cascades.first.detectMultiScale2(
            patch, scaleFactor=_STEP, minNeighbors=1, minSize=(least, least), maxSize=(_OCTAVE, _OCTAVE)
        )
        for box, vote in zip(boxes, np.ravel(votes), strict=True):
            fx, fy, fw, fh = (round(float(v) / scale) for v in box)
            found.append((int(vote), _inside((x + fx, y + fy, fw, fh), width, height)))
    return found


def _distinct(found: list[tuple[int, Box]]) -> list[Box]:
    """The strongest candidates, without those that lie on a stronger one."""
    kept: list[Box] = []
    for _, box in sorted(found, key=lambda item: item[0], reverse=True):
        if not _covered(box, kept):
            kept.append(box)
    return kept[:MAX_FACES]


def _covered(box: Box, others: list[Box]) -> bool:
    return any(_overlap(box, other) >= 0.3 * min(box[2] * box[3], other[2] * other[3]) for other in others)


def _shrink(patch: Pixels, scale: float) -> Pixels:
    if scale >= 1.0:
        return patch
    size = (max(1, round(patch.shape[1] * scale)), max(1, round(patch.shape[0] * scale)))
    small: Pixels = cv2.resize(patch, size, interpolation=cv2.INTER_AREA)
    return small


def _confirmed(grey: Pixels, skin: Pixels | None, box: Box, cascades: _Cascades) -> bool:
    """Further opinions on one candidate.

    In colour: enough skin inside, and a second cascade sees a face right there. Without colour, the second
    must be surer and a third must agree.
    """
    x, y, w, h = box
    if skin is not None:
        if float(np.mean(skin[y : y + h, x : x + w])) / 255 < MIN_SKIN:
            return False
        return _votes(grey, box, cascades.second) >= _VOTES
    return (
        _votes(grey, box, cascades.second) >= _VOTES_WITHOUT_SKIN
        and _votes(grey, box, cascades.third) >= _VOTES_WITHOUT_SKIN
    )


def _votes(grey: Pixels, box: Box, cascade: Any) -> int:
    """How often a cascade hits the same place: the vote of its detection that overlaps the box by half."""
    x, y, w, h = box
    margin = round(0.3 * w)
    left, top, width, height = _inside(
        (x - margin, y - margin, w + 2 * margin, h + 2 * margin), grey.shape[1], grey.shape[0]
    )
    # The face is brought to one size, so that the check costs the same for every candidate.
    scale = _CROP / w
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    crop = cv2.resize(grey[top : top + height, left : left + width], size, interpolation=cv2.INTER_LINEAR)
    least, most = round(0.7 * _CROP), round(1.4 * _CROP)
    boxes, votes = cascade.detectMultiScale2(
        crop, scaleFactor=1.08, minNeighbors=1, minSize=(least, least), maxSize=(most, most)
    )
    best = 0
    for (bx, by, bw, bh), vote in zip(boxes, np.ravel(votes), strict=True):
        there = (round(bx / scale) + left, round(by / scale) + top, round(bw / scale), round(bh / scale))
        shared = _overlap(box, there)
        if shared / (w * h + there[2] * there[3] - shared) >= 0.5:
            best = max(best, int(vote))
    return best


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
