"""Where a pixel of the frame lies in the photograph, for one pose; and how close to stay so that it does.

The pinhole model, solved backwards: undo framing zoom, lens zoom and rotation (the same for every depth),
then translation, which is linear in nearness. Coordinates are those of `models.runners.parallax_camera`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.runners.parallax_camera import Array, CameraPath, Sight

MAX_MARGIN = 1.45
"""Closest framing that hides the photograph's edges (69 % of each side stay); beyond, travel gives way."""


@dataclass(frozen=True, slots=True)
class View:
    """One frame's mapping from frame to photograph: `p = q + n * (shift - z * q)` with `q = turn(r)`."""

    turn: NDArray[np.float64]
    """3 x 3 homography from frame to the direction seen by the unmoved camera."""
    shift: tuple[float, float]
    z: float

    def direction(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Where the frame points look before translation."""
        t = self.turn
        depth = t[2, 0] * x + t[2, 1] * y + t[2, 2]
        return (t[0, 0] * x + t[0, 1] * y + t[0, 2]) / depth, (t[1, 0] * x + t[1, 1] * y + t[1, 2]) / depth

    def parallax(self, x: Array, y: Array) -> tuple[Array, Array]:
        """What nearness 1 adds to a direction."""
        return self.shift[0] - self.z * x, self.shift[1] - self.z * y


def view_at(path: CameraPath, frame: int, sight: Sight, margin: float) -> View:
    """The mapping of one frame; `margin` >= 1 is the framing zoom that hides the photograph's edges."""
    zoom = math.exp(float(path.zoom[frame]))
    # Frame to lens: undo the margin about the middle, then the zoom about the sight.
    unzoom = np.array(
        [
            [1.0 / (margin * zoom), 0.0, sight.x * (1.0 - 1.0 / zoom)],
            [0.0, 1.0 / (margin * zoom), sight.y * (1.0 - 1.0 / zoom)],
            [0.0, 0.0, 1.0],
        ]
    )
    lens = np.diag([1.0, 1.0, sight.focal])
    back = np.diag([sight.focal, sight.focal, 1.0])
    rotation = _rotation(float(path.pan[frame]), float(path.tilt[frame]), float(path.roll[frame]))
    return View(
        back @ rotation @ lens @ unzoom,
        (float(path.x[frame]), float(path.y[frame])),
        float(path.z[frame]),
    )


def _rotation(pan: float, tilt: float, roll: float) -> NDArray[np.float64]:
    """Camera to world, for x right, y down, z forward; turns to the right, downwards and clockwise."""
    cp, sp = math.cos(pan), math.sin(pan)
    ct, st = math.cos(tilt), math.sin(tilt)
    cr, sr = math.cos(roll), math.sin(roll)
    about_y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, ct, st], [0.0, -st, ct]])
    about_z = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(about_y @ about_x @ about_z, np.float64)


def fit_margin(path: CameraPath, sight: Sight, nearness: tuple[float, float]) -> tuple[CameraPath, float]:
    """The smallest framing zoom with which no frame of the path shows outside the photograph.

    Where even `MAX_MARGIN` does not do, the whole path is shortened until it does.

    Args:
        path: The wished path.
        sight: The frame, and what zoom is about.
        nearness: Smallest and largest nearness of whatever reaches the photograph's edges. The mapping is
            linear in nearness, so both ends bound everything between.

    Returns:
        The path, shortened when it had to be, and its margin.
    """
    border = _border(sight.aspect)
    while not _inside(path, sight, MAX_MARGIN, border, nearness):
        path = path.scaled(0.85)
    low, high = 1.0, MAX_MARGIN
    if _inside(path, sight, low, border, nearness):
        return path, low
    # 12 halvings: 0.45 / 4096, a tenth of a pixel at 1,000 pixels.
    for _ in range(12):
        middle = (low + high) / 2.0
        if _inside(path, sight, middle, border, nearness):
            high = middle
        else:
            low = middle
    return path, high


def closest(path: CameraPath, margin: float) -> float:
    """How many times the photograph is enlarged at most at the aim's depth or farther; about 1 to 2."""
    return margin * math.exp(float(path.zoom.max())) / (1.0 - 0.5 * float(np.clip(path.z.max(), 0.0, 0.6)))


def _border(aspect: float) -> tuple[Array, Array]:
    """Points along the frame's four edges."""
    side = np.linspace(-0.5, 0.5, 17)
    end = np.full_like(side, 0.5)
    x = np.concatenate([side, side, -end, end])
    y = np.concatenate([-end, end, side, side]) / aspect
    return x, y


def _inside(
    path: CameraPath,
    sight: Sight,
    margin: float,
    border: tuple[Array, Array],
    nearness: tuple[float, float],
) -> bool:
    # A quarter of a thousandth beyond is less than half a pixel at 2,000 and takes up rounding.
    right, bottom = 0.5 + 2.5e-4, 0.5 / sight.aspect + 2.5e-4
    for frame in range(path.num_frames):
        view = view_at(path, frame, sight, margin)
        x, y = view.direction(*border)
        dx, dy = view.parallax(x, y)
        for near in nearness:
            if np.abs(x + near * dx).max() > right or np.abs(y + near * dy).max() > bottom:
                return False
    return True
