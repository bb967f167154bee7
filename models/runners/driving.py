"""What a driving video gives the model: its pictures at the clip's rate and size, and its largest face.

The released preprocessing of Wan-Animate (a pose skeleton, tracked faces) is not part of diffusers. The video
is passed on as it is, so a skeleton video made by that preprocessing drives the model as it was trained, and
a plain one as well as the model manages.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np
from PIL import Image

from models.errors import InputRefused
from models.runners.framing import fit_photograph
from models.types import Fit, Framing, Size

if TYPE_CHECKING:
    from pathlib import Path

    from models.runners.base import Frame
    from models.types import Geometry

Box = tuple[int, int, int, int]
"""Left, top, width, height in pixels of the driving video."""

FACE_MARGIN = 1.3
"""Side of the square crop over the larger side of the detected box: the cascade's boxes end at brow and chin
and the motion encoder saw whole heads. Our choice."""
DETECTION_SIDE = 320
"""Longer side on which faces are looked for: below the cascade's 24 pixels a face has no motion to read."""
SMALLEST_FACE = 24
"""Pixels of the cascade's training window (`haarcascade_frontalface_default.xml`)."""
_WHOLE = Framing(Fit.PAD, kept=1.0, filled=1.0)


def pictures(path: Path, native: Geometry) -> list[Frame]:
    """The video's pictures at the clip's rate: frame i is what is on screen at i / fps.

    A video that ends early stands still on its last picture.

    Args:
        path: A local video file.
        native: How many pictures, at what rate.

    Returns:
        Exactly `native.num_frames` pictures of the video's own size, turned upright.

    Raises:
        InputRefused: the file cannot be decoded, or shows nothing.
    """
    step, chosen = 1 / Fraction(native.fps).limit_denominator(1_000_000), list[Any]()
    latest: Frame | None = None
    try:
        for start, picture in _shown(path):
            # Everything before this picture still belongs to the one that was on screen.
            while latest is not None and len(chosen) * step < start and len(chosen) < native.num_frames:
                chosen.append(latest)
            latest = picture
            if len(chosen) == native.num_frames:
                break
    except (av.error.FFmpegError, OSError) as error:
        raise InputRefused(
            f"the driving video cannot be decoded: {error.strerror}", param="driving_video"
        ) from error
    if latest is None:
        raise InputRefused("the driving video has no pictures", param="driving_video")
    chosen += [latest] * (native.num_frames - len(chosen))
    return chosen


def fitted(frames: Sequence[Frame], size: Size) -> list[Image.Image]:
    """Whole pictures at the clip's size between black bars: nothing of a moving body is cut, or stretched."""
    return [fit_photograph(Image.fromarray(frame), size, _WHOLE) for frame in frames]


def faces(frames: Sequence[Frame], side: int) -> list[Image.Image]:
    """The largest face of each picture as a square, held where it is lost; black where there never is one.

    Args:
        frames: Pictures of one size, RGB.
        side: Pixels of the square that the model's motion encoder takes.
    """
    found = held([_largest_face(frame) for frame in frames])
    blank = Image.new("RGB", (side, side))
    return [
        blank if box is None else _square(frame, box, side) for frame, box in zip(frames, found, strict=True)
    ]


def held(boxes: Sequence[Box | None]) -> list[Box | None]:
    """Gaps filled with the box before them, a gap at the start with the first box."""
    current = next((box for box in boxes if box is not None), None)
    filled: list[Box | None] = []
    for box in boxes:
        current = current if box is None else box
        filled.append(current)
    return filled


def _shown(path: Path) -> Iterator[tuple[Fraction, Frame]]:
    """Pictures with the second at which each appears, the first at 0."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            return
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        origin: Fraction | None = None
        for frame in container.decode(stream):
            if frame.pts is None or frame.time_base is None:
                continue
            time = frame.pts * frame.time_base
            origin = time if origin is None else origin
            picture = frame.to_ndarray(format="rgb24")
            turns = round((frame.rotation or 0) / 90) % 4  # quarters, counterclockwise
            yield time - origin, np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


@functools.cache
def _cascade() -> Any:
    from pathlib import Path

    import cv2

    folder = Path(cv2.__file__).parent / "data"
    return cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))


def _largest_face(frame: Frame) -> Box | None:
    import cv2

    scale = min(1.0, DETECTION_SIDE / max(frame.shape[:2]))
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if scale < 1.0:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    # A scale step of 1.1 is OpenCV's default; 5 neighbours for its 3 is our choice: a false face drives one.
    boxes = _cascade().detectMultiScale(grey, 1.1, 5, minSize=(SMALLEST_FACE, SMALLEST_FACE))
    if len(boxes) == 0:
        return None
    left, top, width, height = max(boxes, key=lambda box: int(box[2]) * int(box[3]))
    return (round(left / scale), round(top / scale), round(width / scale), round(height / scale))


def _square(frame: Frame, box: Box, side: int) -> Image.Image:
    """A square around the box; what lies outside of the picture is black."""
    left, top, width, height = box
    half = max(width, height) * FACE_MARGIN / 2
    middle_x, middle_y = left + width / 2, top + height / 2
    left, top = round(middle_x - half), round(middle_y - half)
    across = round(2 * half)
    crop = Image.fromarray(frame).crop((left, top, left + across, top + across))
    return crop.resize((side, side), Image.Resampling.BICUBIC)
