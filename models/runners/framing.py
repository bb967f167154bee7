"""Fit a photograph to a frame: by crop or by black bars, never by a stretch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from models.types import Fit, Framing, Size

REDUCING_GAP = 3.0
"""Pillow's documentation of `Image.resize`: from 3.0 on the result is close to fair resampling."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def fit_photograph(
    image: Image.Image, size: Size, framing: Framing, focus: tuple[float, float] | None = None
) -> Image.Image:
    """Bring the photograph to exactly `size` with one scale for both directions.

    CROP fills the frame and cuts what hangs over, around `focus` as far as the edges allow (around the
    centre without one). PAD shows the whole photograph between black bars. EXACT is planned when the
    aspects agree to within the size lattice; what remains (a sliver) is cut, so nothing is stretched.

    Args:
        image: The upright photograph, any mode.
        size: The frame, in pixels.
        framing: How the plan fits them.
        focus: The point to keep, as shares of the photograph's width and height (see `face_focus`).

    Returns:
        An RGB image of `size`.
    """
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    if framing.fit is Fit.PAD:
        return _padded(rgb, size)
    return _resized(rgb, size, crop_box(Size(rgb.width, rgb.height), size.aspect, focus))


def crop_box(photograph: Size, aspect: float, focus: tuple[float, float] | None = None) -> Box:
    """The largest part of the photograph with that aspect (width over height), placed around `focus`.

    Coordinates are fractional pixels of the photograph: rounding them would be a stretch.
    """
    width = min(float(photograph.width), photograph.height * aspect)
    height = min(float(photograph.height), photograph.width / aspect)
    focus_x, focus_y = focus if focus is not None else (0.5, 0.5)
    left = min(max(focus_x * photograph.width - width / 2, 0.0), photograph.width - width)
    top = min(max(focus_y * photograph.height - height / 2, 0.0), photograph.height - height)
    return (left, top, min(left + width, photograph.width), min(top + height, photograph.height))


def face_focus(faces: Sequence[tuple[float, float, float, float]]) -> tuple[float, float] | None:
    """The middle of the box around all faces (each x, y, width, height as shares), or None without any."""
    if not faces:
        return None
    left = min(x for x, _, _, _ in faces)
    top = min(y for _, y, _, _ in faces)
    right = max(x + width for x, _, width, _ in faces)
    bottom = max(y + height for _, y, _, height in faces)
    return ((left + right) / 2, (top + bottom) / 2)


def _resized(image: Image.Image, size: Size, box: Box) -> Image.Image:
    return image.resize(
        (size.width, size.height), Image.Resampling.LANCZOS, box=box, reducing_gap=REDUCING_GAP
    )


def _padded(image: Image.Image, size: Size) -> Image.Image:
    scale = min(size.width / image.width, size.height / image.height)
    # Rounded down and cut by less than a pixel, so that both directions keep the same scale; the small
    # term keeps 480.0000001 and 479.9999999 alike.
    inner = Size(
        max(1, math.floor(image.width * scale + 1e-6)), max(1, math.floor(image.height * scale + 1e-6))
    )
    photograph = _resized(image, inner, crop_box(Size(image.width, image.height), inner.aspect))
    frame = Image.new("RGB", (size.width, size.height))
    frame.paste(photograph, ((size.width - inner.width) // 2, (size.height - inner.height) // 2))
    return frame
