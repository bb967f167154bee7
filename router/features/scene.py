"""What the picture as a whole looks like: light, sharpness, horizon, sky, an object on a plain ground.

All of it is read from a small copy (`SIDE` pixels on the long side), so it costs under a millisecond, and
all of it is a cue, not a recognition: `subject_of` asks for several cues before it claims anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from policies.base import Subject

Pixels = NDArray[np.uint8]

SIDE: Final = 100
"""Long side of the copy that the cues are read from, in pixels."""
DARK: Final = 4
BRIGHT: Final = 251
"""Luma levels at and beyond which a pixel counts as clipped; the last 2 % of the 8-bit range at each end."""
# A row is a horizon when this share of its columns steps the same way across it, by this many levels of
# luma or chroma; lower values find "horizons" in walls and table edges of the evaluation pictures.
_COHERENT: Final = 0.72
_STEP: Final = 14.0
# Sky: standard deviation of luma in a 3 x 3 neighbourhood, in levels; clouds stay below, foliage lies above.
_SMOOTH: Final = 9.0
# Ground: levels (RGB distance) within which the border agrees with its median colour.
_PLAIN: Final = 32.0
# Chroma (largest minus smallest channel) up to which a ground is grey, black or white; an object is coloured
# from twice that.
_NEUTRAL: Final = 14.0
# Red over blue, in levels: an evening sky has this much somewhere, an overcast one at most that.
_EVENING = 50
_BEIGE = 8
_SOME = 0.15
# Share of one connected thing from which a plain ground shows a product, and the most pieces that a row
# through it falls into; charts and pages have more.
_ONE_THING = 0.7
_PIECES = 3.0
# Below this area share (side 9 % of the picture) a face is staffage, not the subject.
_STAFFAGE: Final = 0.008


@dataclass(frozen=True, slots=True)
class Light:
    """How the picture is lit, from its luma."""

    exposure: float
    """Mean luma, 0-1."""
    clipped: float
    """Share of pixels that are black or white beyond detail, 0-1."""
    spread: float
    """Standard deviation of the luma, 0-1 (0.29 for an even spread over the whole range)."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Cues of the whole picture; shares are 0-1."""

    horizon: float | None
    """Height of a straight horizon from the top, when one was found."""
    sky: float
    """Share of the picture that is smooth, has the colours of a sky and hangs from the top edge; 0 when it
    reaches down the sides (then it is a backdrop) or does not span the width."""
    greenery: float
    """Share of saturated green pixels."""
    ground_texture: float
    """Mean local contrast below the sky, in levels."""
    plain_border: float
    """Share of the border that has one colour."""
    neutral_border: float
    """Share of the border that is grey, black or white."""
    apart: float
    """Share of the middle that differs from the border's colour."""
    colourful: float
    """Share of the middle that is clearly coloured."""
    single: float = 1.0
    """Share of what differs from the border's colour that is one connected thing in the middle."""
    pieces: float = 1.0
    """Into how many pieces a row of it falls, on average."""


def read_light(grey: Pixels) -> Light:
    """Light of a grey picture of any size."""
    # OpenCV counts four times as fast as NumPy; counts of small pictures are exact in its float32.
    histogram = cv2.calcHist([grey], [0], None, [256], [0, 256]).reshape(-1).astype(np.float64) / grey.size
    levels = np.arange(256)
    mean = float(histogram @ levels)
    variance = float(histogram @ (levels - mean) ** 2)
    clipped = float(histogram[: DARK + 1].sum() + histogram[BRIGHT:].sum())
    return Light(exposure=mean / 255, clipped=clipped, spread=variance**0.5 / 255)


def read_sharpness(grey: Pixels) -> float:
    """Variance of the Laplacian in levels squared (Pech-Pacheco et al., "Diatom autofocusing", ICPR 2000)."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(deviation[0, 0]) ** 2


def read_scene(rgb: Pixels) -> Scene:
    """Cues of a small RGB picture (about `SIDE` pixels on the long side)."""
    levels = rgb.astype(np.float32)
    contrast = _local_contrast(rgb)
    horizon = _horizon(rgb)
    sky = _sky(rgb, contrast, has_horizon=horizon is not None)
    border, middle = _border(levels), _middle(levels).reshape(-1, 3)
    ground = np.median(border, axis=0)
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    green = cv2.inRange(hsv, np.array((35, 50, 30)), np.array((85, 255, 255)))
    below = contrast[~sky]
    away = levels - ground.astype(np.float32)
    differs = np.einsum("yxc,yxc->yx", away, away) > _PLAIN**2
    return Scene(
        horizon=horizon,
        sky=float(np.mean(sky)),
        greenery=float(np.mean(green)) / 255,
        ground_texture=float(below.mean()) if below.size else 0.0,
        plain_border=1.0 - float(np.mean(_border(differs[..., None]))),
        neutral_border=float(np.mean(_chroma(border) < _NEUTRAL)),
        apart=float(np.mean(_middle(differs[..., None]))),
        colourful=float(np.mean(_chroma(middle) > 2 * _NEUTRAL)),
        single=_single(differs),
        pieces=_pieces(differs),
    )


def subject_of(faces: tuple[float, ...], scene: Scene) -> tuple[Subject, float]:  # noqa: PLR0911 - one rule a line
    """Weigh the evidence: subject and confidence (0-1).

    Args:
        faces: area shares of the faces, largest first.
        scene: cues of the whole picture.
    """
    near = [share for share in faces if share >= _STAFFAGE]
    alike = [share for share in near if share >= 0.3 * near[0]]
    if len(alike) >= 2:
        return "group", min(0.95, 0.6 + 0.1 * len(alike))
    if near:
        return "portrait", min(0.95, 0.5 + 5 * near[0])
    outdoors = 0.45 * (scene.sky >= 0.12) + 0.25 * (scene.horizon is not None)
    outdoors += 0.2 * (scene.greenery > 0.2) + 0.2 * (scene.ground_texture > _SMOOTH)
    if scene.sky >= 0.12 and outdoors >= 0.6:
        return "landscape", min(0.9, outdoors)
    if scene.plain_border >= 0.85 and scene.apart >= 0.25:
        if scene.single < _ONE_THING or scene.pieces > _PIECES:
            return "other", 0.4
        return "product", 0.4 + 2 * (min(scene.plain_border, 0.95) - 0.85)
    if scene.neutral_border >= 0.75 and scene.colourful >= 0.4:
        return "product", 0.5
    return "other", 0.2


def _local_contrast(rgb: Pixels) -> NDArray[np.float32]:
    """Standard deviation of the luma in a 3 x 3 neighbourhood, in levels."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (3, 3))
    deviation: NDArray[np.float32] = np.sqrt(np.maximum(cv2.blur(grey * grey, (3, 3)) - mean * mean, 0))
    return deviation


def _single(apart: NDArray[np.bool_]) -> float:
    """Share of the largest connected part that reaches the middle; rows of things have none."""
    total = int(apart.sum())
    if not total:
        return 0.0
    # A gap of a pixel between two halves of a thing (a cap, a handle) does not part them.
    joined = cv2.dilate(apart.astype(np.uint8), np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    height, width = apart.shape
    best = 0
    for index in range(1, count):
        x, y, w, h, _ = (int(value) for value in stats[index])
        middle = x <= width // 2 <= x + w and y <= height // 2 <= y + h
        if middle:
            best = max(best, int(np.count_nonzero(apart & (labels == index))))
    return best / total


def _pieces(apart: NDArray[np.bool_]) -> float:
    starts = np.count_nonzero(apart[:, 1:] & ~apart[:, :-1], axis=1) + apart[:, 0]
    occupied = starts[starts > 0]
    return float(occupied.mean()) if occupied.size else 0.0


def _sky(rgb: Pixels, contrast: NDArray[np.float32], *, has_horizon: bool) -> NDArray[np.bool_]:
    """Mark the sky; all False when what hangs from the top is no sky or only a backdrop."""
    height, width = rgb.shape[:2]
    red, green, blue = (rgb[..., channel].astype(np.int16) for channel in range(3))
    low, high = _least(red, green, blue), _most(red, green, blue)
    is_blue = (blue > red + 10) & (blue + 8 >= green)
    is_cloud = (low > 120) & (high - low < 50)
    is_sunset = (red > green) & (red > 110) & (red - green < 110) & (blue > 40)
    smooth = ((contrast < _SMOOTH) & (is_blue | is_cloud | is_sunset)).astype(np.uint8)
    count, labels = cv2.connectedComponents(smooth, connectivity=4)
    hanging = (
        np.isin(labels, np.unique(labels[:2])) & (labels > 0) if count > 1 else np.zeros(smooth.shape, bool)
    )
    nothing = np.zeros(smooth.shape, bool)
    spans = float(hanging[: max(2, height // 10)].any(axis=0).mean()) >= 0.75
    if not spans:
        return nothing
    side = max(2, width // 10)
    band = max(2, height // 5)
    lower = hanging[-band:]
    down_the_sides = float(np.concatenate([lower[:, :side], lower[:, -side:]], axis=1).mean())
    # A wall or a table top shows again at the bottom; a sky does so only where water mirrors it.
    colour = np.median(rgb[hanging], axis=0)
    again = float((np.linalg.norm(rgb[-band:] - colour, axis=2) < _PLAIN).mean())
    # A painted wall is seldom blue, seldom as warm as an evening, and often a little beige.
    warmth = (red - blue)[hanging]
    of_a_sky = float(np.mean(is_blue[hanging] | (warmth >= _EVENING))) >= _SOME
    is_wall = not of_a_sky and float(np.median(warmth)) > _BEIGE
    is_backdrop = is_wall or down_the_sides >= 0.25 or (again > 0.2 and not has_horizon)
    return nothing if is_backdrop else hanging


def _horizon(rgb: Pixels) -> float | None:
    """Row across which most columns step the same way, between 15 % and 85 % of the height."""
    ycc = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    height = int(ycc.shape[0])
    reach = max(2, height // 16)
    if height < 4 * reach:
        return None
    total = np.concatenate([np.zeros((1, *ycc.shape[1:]), np.float32), np.cumsum(ycc, axis=0)])
    means = (total[reach:] - total[:-reach]) / reach
    step = means[reach:] - means[:-reach]
    rows = np.arange(step.shape[0]) + reach
    inside = (rows >= 0.15 * height) & (rows <= 0.85 * height)
    # The strongest channel decides for each row; its sign must be shared along the row.
    channels = [np.ascontiguousarray(step[..., channel]) for channel in range(3)]
    up = _most(*(np.count_nonzero(one > _STEP, axis=1) for one in channels))
    down = _most(*(np.count_nonzero(one < -_STEP, axis=1) for one in channels))
    coherence = np.where(inside, np.maximum(up, down) / step.shape[1], 0.0)
    best = float(coherence.max())
    if best < _COHERENT:
        return None
    middle: float = float(rows[coherence >= best - 1e-6].mean())
    return middle / height


def _chroma(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest minus smallest channel."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    spread: NDArray[np.float32] = _most(red, green, blue) - _least(red, green, blue)
    return spread


def _least(red: NDArray[Any], green: NDArray[Any], blue: NDArray[Any]) -> NDArray[Any]:
    """Smallest channel: ten times as fast as NumPy's minimum along an axis of three."""
    smallest: NDArray[Any] = np.minimum(np.minimum(red, green), blue)
    return smallest


def _most(red: NDArray[Any], green: NDArray[Any], blue: NDArray[Any]) -> NDArray[Any]:
    """Largest channel, likewise."""
    largest: NDArray[Any] = np.maximum(np.maximum(red, green), blue)
    return largest


def _border(levels: NDArray[Any]) -> NDArray[Any]:
    height, width = levels.shape[:2]
    band_y, band_x = max(1, height // 12), max(1, width // 12)
    parts = (levels[:band_y], levels[-band_y:], levels[:, :band_x], levels[:, -band_x:])
    return np.concatenate([part.reshape(-1, levels.shape[2]) for part in parts])


def _middle(levels: NDArray[Any]) -> NDArray[Any]:
    height, width = levels.shape[:2]
    middle: NDArray[Any] = levels[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return middle
