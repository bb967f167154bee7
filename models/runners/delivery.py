"""From the pictures that a pipeline makes to those that were promised."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from models.errors import RunnerError
from models.runners.interpolate import interpolate

if TYPE_CHECKING:
    from models.runners.base import Frame
    from models.types import ClipPlan


def delivered(frames: Iterator[Frame], plan: ClipPlan) -> Iterator[Frame]:
    """Interpolated, cut to the promised length and size (around the centre).

    Raises:
        RunnerError: too few came.
    """
    effective = plan.effective
    left = (plan.native.width - effective.width) // 2
    top = (plan.native.height - effective.height) // 2
    rows, columns = slice(top, top + effective.height), slice(left, left + effective.width)
    count = 0
    smooth = interpolate(frames, plan.interpolation) if plan.interpolation > 1 else frames
    for frame in islice(smooth, effective.num_frames):
        count += 1
        yield np.ascontiguousarray(frame[rows, columns])
    if count != effective.num_frames:
        raise RunnerError(f"the pipeline made {count} of {effective.num_frames} frames")
