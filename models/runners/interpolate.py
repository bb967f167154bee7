"""In-between frames by optical flow, to bring a clip to a higher frame rate.

Method: dense flow in both directions (DIS, Kroeger et al., "Fast Optical Flow using Dense Inverse Search",
ECCV 2016, as OpenCV has it); each pixel's motion is carried forward to the in-between moment, where the
better matching pixel wins when two land on one spot (softmax splatting of Niklaus and Liu, CVPR 2020,
applied to the flow); both originals are then sampled along that motion and blended. A pixel that the
forward-backward check finds hidden in one frame is taken from the other alone.

Limits, to be known before it is used: motion is taken as straight and even between two frames; objects
that move further than about a quarter of their own size from one frame to the next, thin things, smoke,
spray, motion blur and repeated patterns are matched badly and ghost; where the flow explains the change
no better than standing still does (a cut, a flash), the pair is cross-faded. It costs one flow per
direction and frame pair, on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.errors import InvalidRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.runners.base import Frame

    Flow = NDArray[np.float32]
    """Height x width x 2: how far each pixel moves, x and y, in pixels."""
    Plane = NDArray[np.float32]
    """Height x width."""

SPLAT_SHARPNESS = 0.15
"""How strongly the better match wins a contested pixel: a mismatch of 20 grey levels weighs exp(-3)."""
OCCLUSION_ABSOLUTE = 0.5
OCCLUSION_RELATIVE = 0.01
"""Forward-backward check |f + b|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5 (Sundaram, Brox and Keutzer, ECCV 2010)."""
SMALLEST_SIDE = 32
"""Below this, DIS has no pyramid to search; such frames are cross-faded."""


def interpolate(frames: Iterable[Frame], factor: int) -> Iterator[Frame]:
    """Put `factor - 1` in-between frames into every gap; the originals come through untouched.

    `n` frames become `(n - 1) * factor + 1`. Two originals are held in memory at a time.

    Args:
        frames: uint8, height x width x 3, RGB, all of one shape.
        factor: How many times the frame rate rises; 1 passes the frames through.

    Raises:
        InvalidRequest: `factor` is below 1.
    """
    if factor < 1:
        raise InvalidRequest(
            f"interpolation must be a whole number of at least 1; got {factor}",
            param="interpolation",
            allowed=">= 1",
        )
    return _filled(frames, factor)


def _filled(frames: Iterable[Frame], factor: int) -> Iterator[Frame]:
    previous: Frame | None = None
    for frame in frames:
        if previous is not None and factor > 1:
            motion = _measure(previous, frame)
            for index in range(1, factor):
                yield _between(previous, frame, index / factor, motion)
        yield frame
        previous = frame


@dataclass(frozen=True, slots=True)
class _Half:
    """One direction of a frame pair, seen from the frame it starts in."""

    flow: Flow
    """How far each pixel moves until the other frame."""
    weight: Plane
    """How well it matches there: 1 is perfect, towards 0 the worse."""
    visible: Plane
    """1 where the pixel is also seen in the other frame, else 0."""


def _measure(first: Frame, last: Frame) -> tuple[_Half, _Half] | None:
    """Flow in both directions, or None when flow does not explain the change."""
    if min(first.shape[:2]) < SMALLEST_SIDE:
        return None
    grey_first = cv2.cvtColor(first, cv2.COLOR_RGB2GRAY)
    grey_last = cv2.cvtColor(last, cv2.COLOR_RGB2GRAY)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forward: Flow = search.calc(grey_first, grey_last, None)
    backward: Flow = search.calc(grey_last, grey_first, None)
    forward_miss = np.abs(_sample(grey_last, forward) - grey_first.astype(np.float32))
    if forward_miss.mean() > cv2.absdiff(grey_first, grey_last).mean():
        return None
    backward_miss = np.abs(_sample(grey_first, backward) - grey_last.astype(np.float32))
    return (
        _Half(forward, np.exp(-SPLAT_SHARPNESS * forward_miss), _visible(forward, backward)),
        _Half(backward, np.exp(-SPLAT_SHARPNESS * backward_miss), _visible(backward, forward)),
    )


def _visible(flow: Flow, reverse: Flow) -> Plane:
    """Where going there and back again ends where it began."""
    back = _sample(reverse, flow)
    gap = np.square(flow + back).sum(axis=2)
    length = np.square(flow).sum(axis=2) + np.square(back).sum(axis=2)
    seen: Plane = (gap <= OCCLUSION_RELATIVE * length + OCCLUSION_ABSOLUTE).astype(np.float32)
    return seen


def _between(first: Frame, last: Frame, moment: float, motion: tuple[_Half, _Half] | None) -> Frame:
    """The picture at `moment` (0-1, exclusive) between two frames."""
    if motion is None:
        faded: Frame = cv2.addWeighted(first, 1 - moment, last, moment, 0.0).astype(np.uint8)
        return faded
    forward, backward = motion
    flow = _flow_at(moment, forward, backward)
    to_first, to_last = -moment * flow, (1 - moment) * flow
    weight_first = (1 - moment) * _sample(backward.visible, to_last)
    weight_last = moment * _sample(forward.visible, to_first)
    total = weight_first + weight_last
    # Hidden in both means that the check says nothing: both count by their distance in time.
    share = np.where(total > 1e-3, weight_first / np.maximum(total, 1e-3), 1 - moment)[..., None]
    picture = share * _sample(first, to_first) + (1 - share) * _sample(last, to_last)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _flow_at(moment: float, forward: _Half, backward: _Half) -> Flow:
    """Motion (first to last frame) of what is seen at `moment`, from both frames' pixels carried there."""
    height, width = forward.weight.shape
    sums = np.zeros((3, height * width), dtype=np.float64)
    _splat(sums, forward.flow, moment, forward.flow, forward.weight * (1 - moment))
    _splat(sums, backward.flow, 1 - moment, -backward.flow, backward.weight * moment)
    planes = sums.reshape(3, height, width).astype(np.float32)
    known = planes[2]
    # Gaps where nothing landed take the motion around them (normalised convolution).
    spread = [cv2.GaussianBlur(plane, (0, 0), 2.0) for plane in planes]
    flow = np.empty((height, width, 2), dtype=np.float32)
    for axis in range(2):
        around = spread[axis] / np.maximum(spread[2], 1e-6)
        flow[..., axis] = np.where(known > 1e-3, planes[axis] / np.maximum(known, 1e-3), around)
    return flow


def _splat(sums: NDArray[np.float64], path: Flow, share: float, carried: Flow, weight: Plane) -> None:
    """Add weighted vectors at the nearest pixel that each reaches after `share` of its path."""
    height, width = weight.shape
    rows, columns = np.mgrid[0:height, 0:width]
    x = np.rint(columns + share * path[..., 0]).astype(np.int64)
    y = np.rint(rows + share * path[..., 1]).astype(np.int64)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    spots, kept = (y * width + x)[inside], weight[inside]
    values = (carried[..., 0][inside] * kept, carried[..., 1][inside] * kept, kept)
    for axis, value in enumerate(values):
        sums[axis] += np.bincount(spots, weights=value, minlength=height * width)


def _sample(picture: NDArray[np.generic], offset: Flow) -> NDArray[np.float32]:
    """Read each pixel from `offset` away, bilinearly; beyond the edge the edge goes on."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    read: NDArray[np.float32] = cv2.remap(
        picture.astype(np.float32),
        columns + offset[..., 0],
        rows + offset[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return read
