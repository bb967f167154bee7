"""Frame sizes: the nearest size that a mode can make, and how the photograph meets it."""

from __future__ import annotations

from math import ceil, floor, gcd, inf, lcm, log, sqrt
from typing import TYPE_CHECKING

from models.types import Fit, Framing, Size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.card import AreaSizes, ListedSizes

SAME_ASPECT = 0.05
"""Listed sizes whose aspects differ by less than this share count as one shape (16:9 and 832x480)."""

EQUALLY_NEAR = 0.005
"""Sizes whose losses differ by less are equally near: a quarter of a percent in shape, half a one in area."""
MOST_PARTS = 8
"""GPUs that may share the tokens of a clip."""


def overlap(a: float, b: float) -> float:
    """Share of one aspect that fits into the other, 0-1; 1.0 when they are equal."""
    return a / b if a < b else b / a


def even(size: Size) -> Size:
    """`size` cut to even sides, which the 4:2:0 pictures of an MP4 need."""
    if size.width % 2 == 0 and size.height % 2 == 0:
        return size
    return Size(size.width - size.width % 2 or size.width, size.height - size.height % 2 or size.height)


def nearest_size(sizes: AreaSizes | ListedSizes, photo: Size, asked: Size | None) -> Size | None:
    """The size that the mode generates for this photograph and wish.

    The shape comes from the asked size, else from the photograph; the area from the asked size, else it
    is the largest that the mode was trained for. None when the lattice holds no size at all.
    """
    if sizes.kind == "list":
        return nearest_listed(listed(sizes), photo, asked)
    return _on_lattice(sizes, photo, asked)


Listed = tuple[tuple[Size, float], ...]
"""Listed sizes with their aspects."""


def listed(sizes: ListedSizes) -> Listed:
    """The sizes of a list with their aspects, ready for `nearest_listed`."""
    return tuple((Size(w, h), w / h) for w, h in sizes.sizes)


def nearest_listed(options: Listed, photo: Size, asked: Size | None) -> Size:
    """As `nearest_size`, of listed sizes."""
    if len(options) == 1:
        return options[0][0]
    aspect = asked.aspect if asked else photo.aspect
    shared = [a / aspect if a < aspect else aspect / a for _, a in options]
    least = max(shared) * (1 - SAME_ASPECT)
    shape = [(size, share) for (size, _), share in zip(options, shared, strict=True) if share >= least]
    if asked is None:
        return max(shape, key=lambda s: (s[0].pixels, s[1]))[0] if len(shape) > 1 else shape[0][0]
    # An asked size that is listed (or is listed up to an odd pixel) must come back as it is.
    return min(shape, key=lambda s: (even(s[0]) != asked, abs(log(s[0].pixels / asked.pixels)), -s[1]))[0]


def _on_lattice(sizes: AreaSizes, photo: Size, asked: Size | None) -> Size | None:
    step, most = sizes.multiple, sizes.pixels
    if step % 2:
        step = lcm(step, 2)
    shape = photo if asked is None else asked
    aspect = min(max(shape.width / shape.height, sizes.aspect_min), sizes.aspect_max)
    area = most if asked is None else min(max(asked.pixels, sizes.min_pixels), most)
    width = sqrt(area * aspect)
    w, h = int(width // step) * step, int(width / aspect // step) * step
    near = _closest(sizes, ((w, h), (w, h + step), (w + step, h), (w + step, h + step)), aspect, area)
    if near is not None:
        return near
    # Limits too tight for the four neighbours: walk outwards, width by width.
    longest = int(sqrt(sizes.pixels * max(sizes.aspect_max, 1 / sizes.aspect_min))) + step
    for away in range(0, longest, step):
        pairs = (
            (side, tall)
            for side in (w - away, w + step + away)
            for tall in _heights(sizes, side, step, aspect)
        )
        near = _closest(sizes, pairs, aspect, area)
        if near is not None:
            return near
    return None


def _closest(sizes: AreaSizes, pairs: Iterable[tuple[int, int]], aspect: float, area: float) -> Size | None:
    """The allowed pair that loses least: a wrong shape weighs twice a wrong area.

    Of pairs that lose as little as makes no difference, the one whose cells divide evenly among GPUs: a cell
    of the size lattice is a token of each latent frame. An exact size is always taken as it is.
    """
    least, most, narrow, wide = sizes.min_pixels, sizes.pixels, sizes.aspect_min, sizes.aspect_max
    lowest, best = inf, None
    allowed: list[tuple[float, int, int]] = []
    for w, h in pairs:
        pixels = w * h
        if pixels > most or pixels < least or w <= 0:
            continue
        shape = w / h
        if shape < narrow or shape > wide:
            continue
        # Logarithms, so that a portrait gets the mirror image of what a landscape gets.
        loss = 2 * abs(log(shape / aspect)) + abs(log(pixels / area))
        allowed.append((loss, w, h))
        if loss < lowest:
            lowest, best = loss, (w, h)
    if best is None:
        return None
    if lowest > 0.0 and len(allowed) > 1:
        near = [(w, h) for loss, w, h in allowed if loss < lowest + EQUALLY_NEAR]
        if len(near) > 1:
            cell = sizes.multiple
            near.sort(key=lambda pair: (pair != best, *pair))
            best = max(near, key=lambda pair: gcd((pair[0] // cell) * (pair[1] // cell), MOST_PARTS))
    return Size(*best)


def _heights(sizes: AreaSizes, width: int, step: int, aspect: float) -> Iterable[int]:
    """Heights of the lattice next to the ideal one that the limits allow with this width."""
    if width <= 0:
        return ()
    least = max(width / sizes.aspect_max, sizes.min_pixels / width)
    most = min(width / sizes.aspect_min, sizes.pixels / width)
    ideal = min(max(width / aspect, least), most)
    return (floor(ideal / step) * step, ceil(ideal / step) * step)


def framing(photo: Size, frame: Size, crop_at_least: float) -> Framing:
    """How the photograph is laid into the frame, never stretched.

    Cropped when at least `crop_at_least` of it stays visible, else padded. `EXACT` means that scaling it
    to cover the frame overhangs by less than half a pixel.
    """
    a, b = photo.aspect, frame.aspect
    overhang = frame.height * a - frame.width if a > b else frame.width / a - frame.height
    if overhang < 0.5:
        return Framing(Fit.EXACT, 1.0, 1.0)
    share = overlap(a, b)
    return Framing(Fit.CROP, share, 1.0) if share >= crop_at_least else Framing(Fit.PAD, 1.0, share)
