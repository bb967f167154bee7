"""Frames, frame rate and duration: the nearest length that a mode can make.

A clip of `segments` chained native lengths, of which neighbours share `overlap` frames, has
`segments * (native - overlap) + overlap` frames; interpolation puts `factor - 1` frames into each gap; the
result is cut at the end to the asked duration.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log
from typing import TYPE_CHECKING

from models.types import Prefer

if TYPE_CHECKING:
    from models.card import FollowsInput, LatticeFrames, ListedSeconds, Mode, RangeSeconds

    Lengths = LatticeFrames | ListedSeconds | RangeSeconds | FollowsInput


@dataclass(frozen=True, slots=True)
class Length:
    """What is generated and what is delivered of it.

    Attributes:
        native: Frames of one generated segment.
        native_fps: Frame rate that the model makes.
        segments: Segments chained.
        interpolation: Frames per native gap after interpolation (1: none).
        frames: Frames delivered, after the cut.
        overlap: Frames that neighbouring segments share.
    """

    native: int
    native_fps: float
    segments: int
    interpolation: int
    frames: int
    overlap: int = 1

    @property
    def fps(self) -> float:
        """Frame rate delivered."""
        return self.native_fps * self.interpolation

    @property
    def seconds(self) -> float:
        """Playing time delivered."""
        return self.frames / self.fps


def made_frames(native: int, segments: int, interpolation: int, overlap: int = 1) -> int:
    """Frames that exist before the cut."""
    return (segments * (native - overlap) + overlap - 1) * interpolation + 1


def longest(lengths: Lengths, fps: float) -> int:
    """Most frames of one segment."""
    if lengths.kind == "lattice":
        return lengths.max
    if lengths.kind == "seconds":
        return _frames(max(lengths.values), fps)
    if lengths.kind == "follows":
        return _frames(lengths.max, fps)
    return _frames(_range_value(lengths, _range_count(lengths)), fps)


def at_least(lengths: Lengths, fps: float, need: int) -> int | None:
    """Fewest frames of one segment that are `need` or more; None when none is."""
    if need > longest(lengths, fps):
        return None
    if lengths.kind == "lattice":
        if need <= lengths.min:
            return lengths.min
        return lengths.min + ceil((need - lengths.min) / lengths.step) * lengths.step
    if lengths.kind == "seconds":
        return min(n for v in lengths.values if (n := _frames(v, fps)) >= need)
    if lengths.kind == "follows":
        return max(need, _frames(lengths.min, fps))
    guess = floor((need / fps - lengths.min) / lengths.step) - 1
    index = min(max(guess, 0), _range_count(lengths))
    while _frames(_range_value(lengths, index), fps) < need:
        index += 1
    return _frames(_range_value(lengths, index), fps)


def nearest(lengths: Lengths, fps: float, target: int) -> int:
    """The frames of one segment that are nearest to `target`, the shorter of two equally near."""
    over = at_least(lengths, fps, target)
    if over is None:
        return longest(lengths, fps)
    if over == target:
        return over
    under = _at_most(lengths, fps, target)
    return under if under is not None and target - under <= over - target else over


def nearest_length(
    mode: Mode,
    seconds: float | None,
    fps: float | None,
    prefer: Prefer,
    *,
    default_seconds: float,
    whole: bool,
    min_seconds: float,
    min_fps: float,
) -> Length:
    """The length nearest to the wish; what is preferred is held first.

    Ways whose duration and frame rate both reach the given shares of what was asked come before all
    others, so that holding one corner does not throw the other away.

    Args:
        mode: Joint limits.
        seconds: Asked duration; None takes one segment near `default_seconds`, uncut.
        fps: Asked frame rate; None takes rates that the model makes itself, its own first.
        prefer: What to hold when not both can be had.
        default_seconds: Duration when none is asked.
        whole: The last frame must be shown (a last image was given): no cut, no chaining.
        min_seconds: Share of the asked duration that counts as near.
        min_fps: Share of the asked rate that counts as near.
    """
    best: tuple[tuple[float, ...], Length] | None = None
    for rank, native_fps in enumerate(mode.rates):
        factors = 1
        if fps is not None and mode.interpolate_to is not None:
            factors = max(1, floor(mode.interpolate_to / native_fps + 1e-9))
        for factor in range(1, factors + 1):
            length = _reach(mode, native_fps, factor, seconds, default_seconds, whole)
            key = _key(length, rank, seconds, fps or mode.rates[0], prefer, min_seconds, min_fps)
            if best is None or key < best[0]:
                best = (key, length)
    assert best is not None  # noqa: S101 - a mode has at least one frame rate
    return best[1]


def _reach(
    mode: Mode, fps: float, factor: int, seconds: float | None, default_seconds: float, whole: bool
) -> Length:
    lengths = mode.length
    if seconds is None or whole:
        target = (seconds or default_seconds) * fps
        single = nearest(lengths, fps, max(1, round(target)))
        return Length(single, fps, 1, factor, made_frames(single, 1, factor))
    wanted = max(1, round(seconds * fps * factor))
    gaps = ceil((wanted - 1) / factor)
    top = longest(lengths, fps)
    for segments in range(1, mode.max_segments + 1):
        # One segment has no neighbour to share frames with.
        shared = mode.overlap if segments > 1 else 1
        native = at_least(lengths, fps, ceil((gaps + 1 - shared) / segments) + shared)
        if native is not None:
            return Length(native, fps, segments, factor, wanted, shared)
    shared = mode.overlap if mode.max_segments > 1 else 1
    most = made_frames(top, mode.max_segments, factor, shared)
    return Length(top, fps, mode.max_segments, factor, most, shared)


def _key(
    length: Length,
    rank: int,
    seconds: float | None,
    fps: float,
    prefer: Prefer,
    min_seconds: float,
    min_fps: float,
) -> tuple[float, ...]:
    short = 0.0
    if seconds is not None and length.frames != max(1, round(seconds * length.fps)):
        short = abs(log(length.seconds / seconds))
    off = abs(log(length.fps / fps))
    near = length.fps >= min_fps * fps and (seconds is None or length.seconds >= min_seconds * seconds)
    if prefer is Prefer.DURATION:
        wishes = (short, off)
    elif prefer is Prefer.FPS:
        wishes = (off, short)
    else:
        wishes = (short + off, short)
    return (not near, *wishes, length.segments, length.interpolation, length.native, rank)


def _frames(seconds: float, fps: float) -> int:
    return max(1, round(seconds * fps))


def _range_count(lengths: RangeSeconds) -> int:
    # A span that is a whole number of steps keeps its last value in spite of binary fractions.
    return floor((lengths.max - lengths.min) / lengths.step + 1e-9)


def _range_value(lengths: RangeSeconds, index: int) -> float:
    return lengths.min + index * lengths.step


def _at_most(lengths: Lengths, fps: float, limit: int) -> int | None:
    """Most frames of one segment that are `limit` or fewer."""
    if lengths.kind == "lattice":
        if limit < lengths.min:
            return None
        return min(lengths.max, lengths.min + (limit - lengths.min) // lengths.step * lengths.step)
    if lengths.kind == "seconds":
        return max((n for v in lengths.values if (n := _frames(v, fps)) <= limit), default=None)
    if lengths.kind == "follows":
        return limit if limit >= _frames(lengths.min, fps) else None
    index = min(floor((limit / fps - lengths.min) / lengths.step) + 1, _range_count(lengths))
    while index >= 0:
        if (frames := _frames(_range_value(lengths, index), fps)) <= limit:
            return frames
        index -= 1
    return None
