"""Sound beside the pictures: joined over segments, cut or padded to a length, read from a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np

from models.errors import EncodeFailed, InputRefused
from models.runners.base import Sound

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

AAC_RATES = frozenset(
    {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
)  # ISO/IEC 14496-3, sampling frequency index, without the three that FFmpeg's encoder gives too few bits
COMMON_RATE = 48_000
"""What every other rate becomes; our choice, as most players run at it."""
FADE_SECONDS = 0.1
"""Longest lead-over from one segment's sound to the next one's; our choice: no click, and no two voices."""


def joined(sounds: Sequence[Sound], *, overlap: float, each: float | None = None) -> Sound | None:
    """The sounds of chained segments, each where its pictures are; a single one as it is, None without any.

    A segment's sound goes on for as long as its pictures do and is then faded into the next one's, which was
    made on its own: at equal power, within the time that they share.

    Args:
        sounds: One a segment, of one rate.
        overlap: Seconds that each segment shares with the one before it.
        each: Seconds of a segment's pictures, to which its sound is cut or padded; None where every sound is
            as long as its pictures already.
    """
    if len(sounds) < 2:
        return sounds[0] if sounds else None
    rate = sounds[0].rate
    parts = [sound if each is None else fitted(sound, each) for sound in sounds]
    whole = parts[0].samples
    for part in parts[1:]:
        shared = min(round(overlap * rate), whole.shape[1], part.samples.shape[1])
        whole = _faded(whole, part.samples, shared, min(shared, round(FADE_SECONDS * rate)))
    return Sound(whole, rate)


def _faded(
    earlier: NDArray[np.float32], later: NDArray[np.float32], shared: int, fade: int
) -> NDArray[np.float32]:
    """The two in a row, `shared` samples on top of one another; the last `fade` of them lead over."""
    if fade == 0:
        return np.concatenate([earlier, later[:, shared:]], axis=1)
    angle = (np.arange(fade, dtype=np.float32) + 0.5) * np.float32(np.pi / 2 / fade)
    lead = earlier[:, -fade:] * np.cos(angle) + later[:, shared - fade : shared] * np.sin(angle)
    parts = (earlier[:, : earlier.shape[1] - fade], lead.clip(-1.0, 1.0), later[:, shared:])
    return np.concatenate(parts, axis=1).astype(np.float32, copy=False)


def fitted(sound: Sound, seconds: float) -> Sound:
    """Exactly that long: cut at the end, or padded with silence."""
    count = round(seconds * sound.rate)
    samples = sound.samples[:, :count]
    missing = count - samples.shape[1]
    return Sound(np.pad(samples, ((0, 0), (0, missing))) if missing else samples, sound.rate)


def stereo(sound: Sound) -> Sound:
    """Two channels in [-1, 1]: one is heard on both sides, more than two are mixed down evenly.

    Raises:
        EncodeFailed: the samples are no float array of channels x samples, or not finite.
    """
    samples, rate = np.asarray(sound.samples), sound.rate
    if samples.ndim != 2 or samples.shape[0] < 1 or samples.dtype.kind != "f":
        raise EncodeFailed(
            f"sound is {samples.dtype} {samples.shape}; promised was float (channels, samples)", param="audio"
        )
    if rate < 1 or not np.isfinite(samples).all():
        raise EncodeFailed(f"sound at {rate} Hz has samples that are no numbers", param="audio")
    if samples.shape[0] != 2:
        samples = np.repeat(samples.mean(axis=0, keepdims=True), 2, axis=0)
    return Sound(np.ascontiguousarray(samples.clip(-1.0, 1.0), dtype=np.float32), rate)


def read_sound(path: Path, seconds: float) -> Sound | None:
    """The first `seconds` of the file's own sound, stereo at 48 kHz; None when it has none.

    Carries the sound of a driving video or audio file through to the clip.

    Raises:
        InputRefused: the file cannot be read.
    """
    wanted = round(seconds * COMMON_RATE)
    parts: list[NDArray[np.float32]] = []
    have = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                return None
            resampler = av.AudioResampler(format="fltp", layout="stereo", rate=COMMON_RATE)
            for frame in container.decode(audio=0):
                for part in resampler.resample(frame):
                    parts.append(part.to_ndarray())
                    have += part.samples
                if have >= wanted:
                    break
            else:
                parts += [part.to_ndarray() for part in resampler.resample(None)]
    except (av.error.FFmpegError, OSError) as error:
        raise InputRefused(f"the sound cannot be read: {error.strerror}", param="audio") from error
    if not parts:
        return None
    return fitted(Sound(np.concatenate(parts, axis=1).astype(np.float32), COMMON_RATE), seconds)
