"""Write frames as an MP4 with its stills, then prove by decoding that the file is what was promised."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np

from models.errors import EncodeFailed
from models.runners.mux import BT709, Muxer
from models.runners.sound import fitted, stereo
from models.runners.stills import Stills

if TYPE_CHECKING:
    from models.runners.base import Frame, Sound
    from models.types import Geometry

NTSC = Fraction(1000, 1001)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A clip on disk, as decoded again after writing. `bytes` is the size of the video file."""

    video: Path
    thumbnail: Path
    spritesheet: Path
    num_frames: int
    fps: float
    seconds: float
    bytes: int
    audio: Heard | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What decoding a file's sound showed."""

    codec: str
    rate: int
    channels: int
    seconds: float
    """Playing time: what was decoded, cut where the file says that the encoder's padding begins."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What decoding a whole file showed."""

    codec: str
    pixel_format: str
    width: int
    height: int
    num_frames: int
    """Frames decoded, not what the header claims."""
    fps: Fraction
    even: bool
    """True when frame `i` is shown at exactly `i / fps`."""
    colorspace: int
    """ITU-T H.273 matrix; 1 is BT.709, 2 unspecified."""
    faststart: bool
    """True when the index stands before the pictures, so that playing begins while it downloads."""
    bytes: int
    audio: Heard | None = None

    @property
    def seconds(self) -> float:
        """Playing time."""
        return float(self.num_frames / self.fps)


def exact_fps(fps: float) -> Fraction:
    """The frame rate as a fraction: whole rates and the NTSC rates (23.976 = 24000/1001) exactly."""
    whole = round(fps)
    if abs(fps - whole) < 1e-6:
        return Fraction(whole)
    # Rates are written with two or three decimals: 23.976, 29.97 and 59.94 are meant, not approximated.
    ntsc = round(fps * 1.001) * NTSC
    if abs(fps - float(ntsc)) < 1e-3:
        return ntsc
    return Fraction(fps).limit_denominator(1000)


def encode_clip(
    frames: Iterable[Frame],
    geometry: Geometry,
    directory: Path,
    *,
    preset: str = "veryfast",
    crf: int = 20,
    audio: Sound | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> Encoded:
    """Write `clip.mp4`, `thumbnail.jpg` and `spritesheet.jpg` in one pass, then decode and compare.

    H.264, yuv420p, BT.709, constant frame rate, index first; with a sound, AAC stereo exactly as long. Only
    the encoder's look-ahead and up to sixteen reduced pictures are held in memory. Nothing is left in
    `directory` when this fails.

    Args:
        frames: uint8, height x width x 3, RGB; exactly `geometry.num_frames`. Consumed once.
        geometry: The clip as promised. Width and height must be even (4:2:0 colour has half of each).
        directory: Where to write; made when absent.
        preset: x264 preset.
        crf: x264 constant rate factor, 0 (lossless) to 51.
        audio: Sound of the clip; cut, or padded with silence, to the pictures' length.
        on_frame: Called with (written, total) after each frame; what it raises ends the encoding.

    Raises:
        EncodeFailed: a geometry that cannot be encoded, frames that are not as promised, a full disk,
            or a file that decodes to something else; the message has the figures. What `frames` or
            `on_frame` raise goes through unchanged.
    """
    _check_geometry(geometry)
    video, thumbnail, spritesheet = (
        directory / name for name in ("clip.mp4", "thumbnail.jpg", "spritesheet.jpg")
    )
    rate = exact_fps(geometry.fps)
    stills = Stills(geometry)
    sound = None if audio is None else fitted(stereo(audio), float(geometry.num_frames / rate))
    muxer = None
    try:
        with _storage_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            muxer = Muxer(video, geometry, rate, preset, crf, sound)
        for count, frame in enumerate(_checked(frames, geometry), start=1):
            # The guard is around the writing alone: an OSError of the source is not a full disk.
            with _storage_errors(directory):
                muxer.add(frame)
            stills.see(count - 1, frame)
            if on_frame is not None:
                on_frame(count, geometry.num_frames)
        with _storage_errors(directory):
            muxer.finish()
            stills.write(thumbnail, spritesheet)
            found = probe(video)
        _compare(found, geometry, rate, sound is not None)
    except BaseException:
        if muxer is not None:
            muxer.abandon()
        for path in (video, thumbnail, spritesheet):
            with suppress(OSError):  # what could not even be written cannot be removed
                path.unlink()
        raise
    return Encoded(
        video,
        thumbnail,
        spritesheet,
        found.num_frames,
        float(found.fps),
        found.seconds,
        found.bytes,
        found.audio,
    )


def probe(path: Path) -> Probe:
    """Decode every frame of a video file and say what it is.

    Raises:
        EncodeFailed: the file has no video stream or cannot be decoded.
    """
    count, even = 0, True
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise EncodeFailed(f"{path.name} has no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = Fraction(stream.average_rate or 0)
            for frame in container.decode(stream):
                even = even and rate > 0 and frame.pts * frame.time_base == count / rate
                count += 1
            context = stream.codec_context
            facts = (context.name, context.pix_fmt, context.width, context.height)
            colorspace = int(context.colorspace)
        audio = _heard(path)
    except av.error.InvalidDataError as error:
        raise EncodeFailed(f"{path.name} cannot be decoded after {count} frames: {error}") from error
    return Probe(
        *facts,
        num_frames=count,
        fps=rate,
        even=even,
        colorspace=colorspace,
        faststart=_index_first(path),
        bytes=path.stat().st_size,
        audio=audio,
    )


def _heard(path: Path) -> Heard | None:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        decoded = sum(frame.samples for frame in container.decode(stream))
        context = stream.codec_context
        seconds = decoded / context.sample_rate
        if stream.duration is not None and stream.time_base is not None:
            seconds = min(seconds, float(stream.duration * stream.time_base))
        return Heard(context.name, context.sample_rate, context.channels, seconds)


def _check_geometry(geometry: Geometry) -> None:
    size = str(geometry.size)
    if geometry.width < 2 or geometry.height < 2 or geometry.width % 2 or geometry.height % 2:
        raise EncodeFailed(
            f"size {size} cannot be encoded: width and height must be even", param="size", allowed="even"
        )
    if geometry.num_frames < 1:
        raise EncodeFailed(f"num_frames must be at least 1; got {geometry.num_frames}", param="num_frames")
    if not 0 < geometry.fps <= 1000:
        raise EncodeFailed(f"fps must be above 0 and at most 1000; got {geometry.fps}", param="fps")


def _checked(frames: Iterable[Frame], geometry: Geometry) -> Iterator[Frame]:
    """The frames, checked one by one and in number."""
    shape, total, count = (geometry.height, geometry.width, 3), geometry.num_frames, 0
    for frame in frames:
        if count == total:
            raise EncodeFailed(f"more than the promised {total} frames were made")
        if frame.shape != shape or frame.dtype != np.uint8:
            raise EncodeFailed(
                f"frame {count} is {frame.dtype} {frame.shape}; "
                f"promised was uint8 {shape} (height, width, RGB)"
            )
        yield frame
        count += 1
    if count != total:
        raise EncodeFailed(f"{count} frames were made; promised were {total}")


@contextmanager
def _storage_errors(directory: Path) -> Iterator[None]:
    """Turn what disk and encoder report into the product's error, with the room that is left."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        reason = str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(directory).free
            reason = f"no space left on the device of {directory.name} ({free / 2**20:.0f} MiB free): {error}"
        raise EncodeFailed(f"the clip could not be written: {reason}") from error


def _index_first(path: Path) -> bool:
    """Walk the top-level boxes (ISO/IEC 14496-12): does `moov` come before `mdat`?"""
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, kind, read = int.from_bytes(head[:4], "big"), head[4:], 8
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
            if size == 1:  # the length follows in 64 bits
                size, read = int.from_bytes(file.read(8), "big"), 16
            if size < read:
                return False
            file.seek(size - read, 1)
    return False


def _compare(found: Probe, geometry: Geometry, rate: Fraction, with_sound: bool) -> None:
    promised = {
        "codec": "h264",
        "pixel_format": "yuv420p",
        "width": geometry.width,
        "height": geometry.height,
        "num_frames": geometry.num_frames,
        "fps": rate,
        "even": True,
        "colorspace": BT709,
        "faststart": True,
    }
    wrong = [
        f"{name} is {getattr(found, name)}, promised was {value}"
        for name, value in promised.items()
        if getattr(found, name) != value
    ]
    if (found.audio is not None) != with_sound:
        wrong.append("the sound is missing" if with_sound else "there is sound that nobody gave")
    if found.audio is not None and abs(found.audio.seconds - found.seconds) > 1 / rate:
        wrong.append(f"the sound lasts {found.audio.seconds:.3f} s, the pictures {found.seconds:.3f} s")
    if wrong:
        raise EncodeFailed("the written clip decodes to something else: " + "; ".join(wrong))
