"""Where segments of a chain meet: each picture once, exactly as many as planned, and no cut unnoticed.

A segment takes the last pictures of the one before as given and makes them again; those are dropped, so the
joint pictures appear once, as the earlier segment made them. How well the later one follows is measured:
the change from picture to picture across the join, beside the clip's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from models.errors import RunnerError

if TYPE_CHECKING:
    from models.runners.base import Frame
    from models.runners.reel import Reel

NEIGHBOURS = 8
"""Changes from picture to picture on each side that tell how much the clip itself moves: a third of a second
at 24 fps. Our choice."""
JUMP_FACTOR = 3.0
"""A join jumps when it changes the picture by more than this many times the clip's own change. Our choice:
motion that speeds up or slows down evenly stays below two over a third of a second."""
STILL_LEVELS = 1.0
"""Changes up to this many levels of 255 count as standing still; the coder's own noise is of that size. Our
choice."""
SAMPLED_SIDE = 256
"""Pictures are compared on a grid of about this many pixels along the longer side: a mean over tens of
thousands of pixels moves little with their number."""


@dataclass(frozen=True, slots=True)
class Join:
    """The change where a segment follows another, beside the change around it.

    Attributes:
        segment: The later segment, from 1 for the second one.
        change: Mean absolute difference of the two pictures at the join, in levels of 255.
        usual: Median of that between the neighbouring pictures on both sides.
    """

    segment: int
    change: float
    usual: float

    @property
    def jumps(self) -> bool:
        """It changes far more than the clip does."""
        return self.change > JUMP_FACTOR * max(self.usual, STILL_LEVELS)

    @property
    def repeats(self) -> bool:
        """The later segment begins with the earlier one's last picture, though the clip moves."""
        return self.change == 0.0 and self.usual > STILL_LEVELS


def own_frames(frames: Iterator[Frame], *, segment: int, native: int, overlap: int) -> Iterator[Frame]:
    """What a segment adds to the clip: all of the first one, and what follows the overlap of later ones.

    Args:
        frames: As the codec gives them.
        segment: Which one, from 0.
        native: Pictures that it must have.
        overlap: Pictures that it shares with the one before.

    Raises:
        RunnerError: it has more or fewer pictures.
    """
    count = 0
    for frame in frames:
        count += 1
        if count > native:
            break
        if segment == 0 or count > overlap:
            yield frame
    if count != native:
        more = "more than " if count > native else ""
        raise RunnerError(
            f"segment {segment + 1} has {more}{min(count, native)} pictures; planned were {native}"
        )


def ahead(frames: Iterator[Frame], count: int = NEIGHBOURS + 1) -> tuple[tuple[Frame, ...], Iterator[Frame]]:
    """The first pictures (fewer where there are no more), and all of them again, in order."""
    first = tuple(islice(frames, count))
    return first, chain(first, frames)


def measured(before: Sequence[Frame], after: Sequence[Frame], segment: int) -> Join:
    """The join between the end of what there is and the beginning of what a segment adds.

    Args:
        before: Pictures up to the join; the last `NEIGHBOURS` + 1 are looked at.
        after: Pictures from the join on; the first `NEIGHBOURS` + 1 are looked at.
        segment: The later segment, from 1.

    Raises:
        ValueError: either side is empty.
    """
    if not len(before) or not len(after):
        raise ValueError("a join has a picture on each side")
    earlier, later = before[-NEIGHBOURS - 1 :], after[: NEIGHBOURS + 1]
    around = [*_changes(earlier), *_changes(later)]
    change = _change(earlier[-1], later[0])
    return Join(segment, change, median(around) if around else change)


def joins_of(reel: Reel, last: int, begun: Sequence[Frame]) -> list[Join]:
    """How every segment follows the one before.

    Measured when the clip is finished, from what was kept, so that a clip that was resumed tells the same.

    Args:
        reel: Finished segments.
        last: The segment that is not in it, from 0.
        begun: The first pictures that it adds.
    """
    count = NEIGHBOURS + 1
    starts = [*(reel.first(segment, count) for segment in range(1, last)), begun]
    return [
        measured(reel.last(segment, count), start, segment)
        for segment, start in enumerate(starts[:last], start=1)
    ]


def notes_of(joins: Sequence[Join]) -> tuple[str, ...]:
    """What the client should know of the joins; nothing when all are smooth."""
    return tuple(_told(join) for join in joins if join.jumps or join.repeats)


def _told(join: Join) -> str:
    start = f"segment {join.segment + 1}"
    if join.repeats:
        return f"{start} begins with the picture before it once more"
    return (
        f"{start} does not follow smoothly: the picture changes by {join.change:.1f} of 255 levels there, "
        f"{join.change / max(join.usual, STILL_LEVELS):.1f} times the change around it (noted from "
        f"{JUMP_FACTOR:g} times)"
    )


def _changes(frames: Sequence[Frame]) -> list[float]:
    return [_change(one, other) for one, other in pairwise(frames)]


def _change(one: Frame, other: Frame) -> float:
    stride = max(1, max(one.shape[:2]) // SAMPLED_SIDE)
    grid = (slice(None, None, stride), slice(None, None, stride))
    return float(np.abs(one[grid].astype(np.int16) - other[grid].astype(np.int16)).mean())
