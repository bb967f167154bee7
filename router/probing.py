"""Driving videos and sounds: what kind of file it is, how long it plays, how large its pictures are.

Files of strangers meet FFmpeg here, so it is told which demuxer to use by the file's first bytes and never
guesses: formats that name other files or addresses (playlists, concatenations) are not among those allowed.
The playing time is that of the packets, not what a header claims. CPU and disk work: run it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av

from models.errors import InvalidMedia
from router.containers import HEAD, container_format

if TYPE_CHECKING:
    from av.container import InputContainer

MOST_SECONDS: Final = 600.0
"""The longest clip that may be asked for (`router.schemas.MAX_SECONDS`)."""
LEAST_SECONDS: Final = 0.1
MOST_PACKETS: Final = 400_000
"""Ten minutes of 240 pictures and 43 sounds (AAC, 1024 samples at 44.1 kHz) a second are some 170,000."""
SIDES: Final = (64, 4096)
"""Pixels of each side of a driving video: below nothing can be seen, above nobody films."""
VIDEO_CODECS: Final = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "prores"})
AUDIO_CODECS: Final = frozenset({"aac", "mp3", "mp3float", "flac", "opus", "vorbis", "alac"})
"""And every kind of PCM."""
ALLOWED: Final = {
    "driving_video": "an MP4, MOV, WebM or Matroska file",
    "audio": "a WAV, MP3, AAC (M4A or ADTS), FLAC, Ogg or WebM file",
}


@dataclass(frozen=True, slots=True)
class Probe:
    """What was read from a file. Seconds, pixels, pictures a second."""

    seconds: float
    width: int | None = None
    height: int | None = None
    fps: float | None = None


def probe_video(path: Path, field: str) -> Probe:
    """Check a driving video and tell its length, size and frame rate. Raises `InvalidMedia`."""
    with _opened(path, field, "driving_video") as container:
        if not container.streams.video:
            raise InvalidMedia(f"{field}: has no pictures; send {ALLOWED['driving_video']}", param=field)
        stream = container.streams.video[0]
        codec = stream.codec_context.name
        if codec not in VIDEO_CODECS and not codec.startswith("lib"):
            raise InvalidMedia(
                f"{field}: the codec {codec} is not accepted", param=field, allowed=sorted(VIDEO_CODECS)
            )
        width, height = stream.codec_context.width, stream.codec_context.height
        low, high = SIDES
        if not (low <= width <= high and low <= height <= high):
            raise InvalidMedia(
                f"{field}: is {width}x{height}; each side must be {low} to {high} pixels",
                param=field,
                allowed={"min_side": low, "max_side": high},
            )
        rate = stream.average_rate
        seconds, count = _played(container, stream, field)
    fps = float(rate) if rate else count / seconds
    return Probe(_checked(seconds, field), width, height, round(fps, 4))


def probe_audio(path: Path, field: str) -> Probe:
    """Check a sound and tell its length. Raises `InvalidMedia`."""
    with _opened(path, field, "audio") as container:
        if not container.streams.audio:
            raise InvalidMedia(f"{field}: has no sound; send {ALLOWED['audio']}", param=field)
        stream = container.streams.audio[0]
        codec = stream.codec_context.name
        if codec not in AUDIO_CODECS and not codec.startswith(("pcm_", "lib")):
            raise InvalidMedia(
                f"{field}: the codec {codec} is not accepted",
                param=field,
                allowed=[*sorted(AUDIO_CODECS), "pcm"],
            )
        seconds, _ = _played(container, stream, field)
    return Probe(_checked(seconds, field))


def _opened(path: Path, field: str, kind: str) -> InputContainer:
    with path.open("rb") as file:
        found = container_format(file.read(HEAD))
    if found is None:
        raise InvalidMedia(f"{field}: is not {ALLOWED[kind]}", param=field, allowed=ALLOWED[kind])
    try:
        container: InputContainer = av.open(str(path), format=found)
    except (av.FFmpegError, ValueError) as error:
        raise _damaged(field, error) from error
    return container


def _played(container: InputContainer, stream: Any, field: str) -> tuple[float, int]:
    """Seconds from the first packet of the stream to the end of the last, and how many there are."""
    first, last, count = None, 0.0, 0
    try:
        for start, length in _packets(container, stream, field):
            first = start if first is None else min(first, start)
            last = max(last, start + length)
            count += 1
        container.seek(0, stream=stream)
        if next(container.decode(stream), None) is None:
            raise InvalidMedia(f"{field}: nothing in it can be decoded", param=field)
    except (av.FFmpegError, ValueError) as error:
        raise _damaged(field, error) from error
    if first is None:
        raise InvalidMedia(f"{field}: is empty", param=field)
    return last - first, count


def _packets(container: InputContainer, stream: Any, field: str) -> Iterator[tuple[float, float]]:
    """Start and length of each packet in seconds."""
    unit = float(stream.time_base)
    for count, packet in enumerate(container.demux(stream)):
        if count > MOST_PACKETS:
            raise InvalidMedia(f"{field}: has more than {MOST_PACKETS} packets", param=field)
        if packet.pts is not None:
            yield packet.pts * unit, (packet.duration or 0) * unit


def _checked(seconds: float, field: str) -> float:
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise InvalidMedia(
            f"{field}: plays for {seconds:.2f} s; allowed are {LEAST_SECONDS:g} to {MOST_SECONDS:g} s",
            param=field,
            allowed={"min_seconds": LEAST_SECONDS, "max_seconds": MOST_SECONDS},
        )
    return round(seconds, 4)


def _damaged(field: str, error: Exception) -> InvalidMedia:
    return InvalidMedia(
        f"{field}: cannot be read, it is damaged or cut off ({type(error).__name__})", param=field
    )
