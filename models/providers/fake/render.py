"""Small real clips: H.264 in an MP4 of the shape that was asked, made once for each shape."""

from __future__ import annotations

import asyncio
import io
import math
from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

LONG_SIDE = 256
"""Pixels of the long side of what is not rendered at full size."""
KEPT = 64
"""Clips kept in memory; at the reduced size a clip is some 100 kB."""
SOUND_RATE = 44_100
AAC_FRAME = 1024
"""Samples of one AAC frame (ISO/IEC 14496-3)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a clip is like. Width and height are even."""

    width: int
    height: int
    fps: float
    frames: int
    sound: bool = False

    @property
    def seconds(self) -> float:
        """Playing time."""
        return self.frames / self.fps

    def reduced(self, long_side: int = LONG_SIDE) -> Shape:
        """The same, with at most so many pixels on the long side."""
        scale = long_side / max(self.width, self.height)
        if scale >= 1:
            return self
        return Shape(even(self.width * scale), even(self.height * scale), self.fps, self.frames, self.sound)


def even(pixels: float) -> int:
    """The nearest even whole number, at least 16: 4:2:0 colour has half of each side."""
    return max(16, 2 * round(pixels / 2))


def shaped(
    pixels: int, aspect: float, fps: float, *, seconds: float | None = None, frames: int | None = None,
    sound: bool = False,
) -> Shape:  # fmt: skip
    """A shape of about so many pixels a frame.

    Raises:
        ValueError: neither seconds nor frames are given.
    """
    if frames is None:
        if seconds is None:
            raise ValueError("a shape needs seconds or frames")
        frames = max(1, round(seconds * fps))
    return Shape(even(math.sqrt(pixels * aspect)), even(math.sqrt(pixels / aspect)), fps, frames, sound)


class Clips:
    """Rendered clips by shape; the least lately used are dropped."""

    def __init__(self, *, full_size: bool = False) -> None:
        self._full_size = full_size
        self._made: OrderedDict[Shape, bytes] = OrderedDict()
        self._one = asyncio.Lock()

    async def get(self, shape: Shape) -> bytes:
        """The MP4 of that shape; rendering happens in a thread, one at a time."""
        wanted = shape if self._full_size else shape.reduced()
        async with self._one:
            if wanted not in self._made:
                self._made[wanted] = await asyncio.to_thread(render, wanted)
                while len(self._made) > KEPT:
                    self._made.popitem(last=False)
            self._made.move_to_end(wanted)
            return self._made[wanted]


def render(shape: Shape) -> bytes:
    """An MP4 in which a light square walks over a slowly turning gradient."""
    target = io.BytesIO()
    rate = Fraction(shape.fps).limit_denominator(1001)
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = shape.width, shape.height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "28"}
        # Both streams stand in the file's head, which the first packet writes.
        track = container.add_stream("aac", rate=SOUND_RATE, layout="stereo") if shape.sound else None
        for number in range(shape.frames):
            picture = av.VideoFrame.from_ndarray(_picture(shape, number), format="yuv420p")
            picture.pts, picture.time_base = number, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if track is not None:
            silence = np.zeros((2, AAC_FRAME), np.float32)
            for start in range(0, int(shape.frames / rate * SOUND_RATE), AAC_FRAME):
                sound = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
                sound.sample_rate, sound.pts = SOUND_RATE, start
                container.mux(track.encode(sound))
            container.mux(track.encode(None))
    return target.getvalue()


def _picture(shape: Shape, number: int) -> NDArray[np.uint8]:
    """One frame as planar 4:2:0: luma above, both chroma planes below."""
    height, width = shape.height, shape.width
    phase = 2 * math.pi * number / max(shape.frames, 1)
    columns = np.linspace(0, math.pi, width, dtype=np.float32)
    plane = np.empty((height * 3 // 2, width), np.uint8)
    plane[:height] = (90 + 60 * np.sin(columns + phase)).astype(np.uint8)
    side = max(4, min(width, height) // 4)
    left = int((width - side) * number / max(shape.frames - 1, 1))
    top = (height - side) // 2
    plane[top : top + side, left : left + side] = 220
    plane[height : height + height // 4] = 118
    plane[height + height // 4 :] = 138
    return plane
