"""An MP4 being written: frames in order, sound beside them, one file out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from models.runners.sound import AAC_RATES, COMMON_RATE

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from models.runners.base import Frame, Sound
    from models.types import Geometry

BT709 = 1
"""Matrix, primaries and transfer of HD video in ITU-T H.273; players guess by height when it is absent."""
AAC_BITS_PER_SECOND = 128_000
"""FFmpeg's default for its stereo AAC encoder."""
AAC_FRAME = 1024
"""Samples of one AAC frame (ISO/IEC 14496-3): the encoder takes no more at once."""


class Muxer:
    """H.264 and, with a sound, AAC in one MP4 with its index first.

    Sound is written up to the end of each frame, so that the two stay interleaved and nothing piles up.
    """

    def __init__(
        self, path: Path, geometry: Geometry, rate: Fraction, preset: str, crf: int, sound: Sound | None
    ) -> None:
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.width, self._stream.height = geometry.width, geometry.height
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": preset, "crf": str(crf)}
        context = self._stream.codec_context
        context.colorspace = BT709
        context.color_primaries = int(ColorPrimaries.BT709)
        context.color_trc = int(ColorTrc.BT709)
        context.color_range = int(ColorRange.MPEG)
        # One for all frames: it keeps its conversion tables, which a frame's own `reformat` builds anew.
        self._reformatter = VideoReformatter()
        self._frame_time = 1 / rate
        self._count = 0
        self._sound = None if sound is None else _Track(self._container, sound)

    def add(self, frame: Frame) -> None:
        """Encode the next frame, and the sound up to its end."""
        picture = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )
        picture.pts, picture.time_base = self._count, self._frame_time
        self._count += 1
        self._container.mux(self._stream.encode(picture))
        if self._sound is not None:
            self._sound.write_to(self._count * self._frame_time)

    def finish(self) -> None:
        """Flush the encoders and write the index."""
        self._container.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.finish()
        self._container.close()

    def abandon(self) -> None:
        """Release file and encoders; the file is about to be removed, so its state is of no interest."""
        with suppress(av.error.FFmpegError, OSError):
            self._container.close()


class _Track:
    """The sound of a file being written."""

    def __init__(self, container: av.container.OutputContainer, sound: Sound) -> None:
        self._container = container
        self._sound = sound
        rate = sound.rate if sound.rate in AAC_RATES else COMMON_RATE
        self._stream = container.add_stream("aac", rate=rate, layout="stereo")
        self._stream.bit_rate = AAC_BITS_PER_SECOND
        self._resampler = av.AudioResampler(
            format="fltp",
            layout="stereo",
            rate=rate,
            frame_size=AAC_FRAME,
        )
        self._written = 0

    def write_to(self, seconds: Fraction) -> None:
        end = min(int(seconds * self._sound.rate), self._sound.samples.shape[1])
        if end > self._written:
            self._write(end)

    def finish(self) -> None:
        if self._sound.samples.shape[1] > self._written:
            self._write(self._sound.samples.shape[1])
        for frame in self._resampler.resample(None):
            self._container.mux(self._stream.encode(frame))
        self._container.mux(self._stream.encode(None))

    def _write(self, end: int) -> None:
        part = np.ascontiguousarray(self._sound.samples[:, self._written : end])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = self._sound.rate, self._written
        self._written = end
        for ready in self._resampler.resample(frame):
            self._container.mux(self._stream.encode(ready))
