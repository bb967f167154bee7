"""Sound: joined, fitted, made stereo, read from a file, and heard again in the written clip."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from models.errors import EncodeFailed, InputRefused
from models.runners.base import Sound
from models.runners.encode import encode_clip, probe
from models.runners.sound import COMMON_RATE, fitted, joined, read_sound, stereo
from models.types import Geometry


def tone(seconds: float, rate: int, channels: int = 2, hertz: float = 440.0) -> Sound:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return Sound(np.tile(wave.astype(np.float32), (channels, 1)), rate)


def clip(directory: Path, sound: Sound | None, *, frames: int = 17, fps: float = 24.0):
    geometry = Geometry(64, 64, frames, fps)
    pictures = (np.full((64, 64, 3), 5 * index % 250, np.uint8) for index in range(frames))
    return encode_clip(pictures, geometry, directory, audio=sound)


def played(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        return np.concatenate([frame.to_ndarray() for frame in frames], axis=1), frames[0].sample_rate


def loudest(samples: np.ndarray, rate: int) -> float:
    """The strongest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[spectrum.argmax()])


@pytest.mark.parametrize("fps", [8, 16, 23.976, 24, 30, 60])
@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000, 22222])
@pytest.mark.parametrize("seconds", [0.3, 4.0])
def test_sound_lasts_as_long_as_the_pictures(fps, rate, seconds, tmp_path):
    """Cut or padded, whatever its rate; within a thousandth of the movie's clock, far below one frame."""
    made = clip(tmp_path, tone(seconds, rate), fps=fps)

    assert made.audio is not None
    assert (made.audio.codec, made.audio.channels) == ("aac", 2)
    assert made.audio.rate == (COMMON_RATE if rate == 22222 else rate)
    assert made.audio.seconds == pytest.approx(made.seconds, abs=2e-3)
    assert probe(made.video).num_frames == 17
    assert probe(made.video).faststart


def test_sound_is_the_one_that_was_given_and_starts_with_the_pictures(tmp_path):
    given = tone(2.0, 48000)
    made = clip(tmp_path, given, frames=48)

    heard, rate = played(made.video)

    assert loudest(heard[0], rate) == pytest.approx(440, abs=3)
    count = 40_000
    assert np.corrcoef(heard[0][:count], given.samples[0][:count])[0, 1] > 0.99, "not late, not early"


def test_short_sound_is_followed_by_silence(tmp_path):
    heard, rate = played(clip(tmp_path, tone(1.0, 48000), frames=48).video)

    assert np.abs(heard[:, : int(0.9 * rate)]).max() > 0.3
    assert np.abs(heard[:, int(1.1 * rate) : int(1.9 * rate)]).max() < 0.01


def test_clip_without_sound_has_none(tmp_path):
    assert clip(tmp_path, None).audio is None


@pytest.mark.parametrize(("channels", "expected"), [(1, 0.5), (2, 0.5), (6, 0.5)])
def test_any_number_of_channels_becomes_two(channels, expected):
    both = stereo(tone(0.1, 48000, channels))
    assert both.samples.shape == (2, 4800)
    assert both.samples.max() == pytest.approx(expected, abs=1e-3)


def test_sound_too_loud_is_cut():
    assert stereo(Sound(np.full((2, 10), 3.0, np.float32), 48000)).samples.max() == 1.0


@pytest.mark.parametrize(
    "samples",
    [np.zeros(10, np.float32), np.zeros((2, 10), np.int16), np.full((2, 10), np.nan, np.float32)],
    ids=["one axis", "whole numbers", "no numbers"],
)
def test_sound_that_cannot_be_written_is_named(samples, tmp_path):
    with pytest.raises(EncodeFailed) as failed:
        clip(tmp_path, Sound(samples, 48000))
    assert failed.value.param == "audio"
    assert list(tmp_path.iterdir()) == []


def test_fitted_cuts_and_pads():
    sound = tone(1.0, 1000)
    assert fitted(sound, 0.25).samples.shape == (2, 250)
    longer = fitted(sound, 1.5)
    assert longer.samples.shape == (2, 1500)
    assert not longer.samples[:, 1000:].any()
    np.testing.assert_array_equal(longer.samples[:, :1000], sound.samples)


def test_joined_drops_what_segments_share():
    parts = [Sound(np.full((2, 100), value, np.float32), 100) for value in (0.1, 0.2, 0.3)]
    whole = joined(parts, overlap=0.1)
    assert whole is not None
    assert whole.samples.shape == (2, 280)
    assert whole.samples[0, [0, 89, 100, 179, 190, 279]].tolist() == pytest.approx(
        [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    )
    assert joined([], overlap=0.1) is None


def test_sounds_lead_over_at_equal_power_and_without_a_step():
    """Two noises of one loudness: as loud in between, and every sample near one of both."""
    drawn = np.random.default_rng(1).standard_normal((2, 1, 48_000)).astype(np.float32) * 0.1
    whole = joined([Sound(part, 48_000) for part in drawn], overlap=0.5)
    assert whole is not None
    lead = whole.samples[0, 24_000 + 19_200 : 48_000]
    assert lead.std() == pytest.approx(0.1, rel=0.05)
    np.testing.assert_array_equal(whole.samples[0, :43_200], drawn[0, 0, :43_200])
    np.testing.assert_array_equal(whole.samples[0, 48_000:], drawn[1, 0, 24_000:])
    tones = joined([tone(1.0, 48_000, hertz=440.0), tone(1.0, 48_000, hertz=330.0)], overlap=0.5)
    assert tones is not None
    assert np.abs(np.diff(tones.samples[0])).max() < 2 * np.abs(np.diff(tone(1.0, 48_000).samples[0])).max()


def test_each_sound_begins_where_its_pictures_do():
    """A model's sound may be some milliseconds short: the lack must not add up over the segments."""
    short = [Sound(np.full((2, 990), value, np.float32), 1000) for value in (0.1, 0.2, 0.3, 0.4)]
    whole = joined(short, overlap=0.2, each=1.0)
    assert whole is not None
    assert whole.samples.shape == (2, 4 * 800 + 200)
    assert whole.samples[0, [700, 1000, 1800, 2600]].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_sound_of_a_video_is_carried_through(tmp_path):
    source = clip(tmp_path / "source", tone(2.0, 24000, hertz=880.0), frames=48).video

    carried = read_sound(source, 1.0)

    assert carried is not None
    assert (carried.samples.shape, carried.rate) == ((2, 48000), 48000)
    assert loudest(carried.samples[0], carried.rate) == pytest.approx(880, abs=3)


def test_carried_sound_is_padded_where_the_source_ends(tmp_path):
    source = clip(tmp_path / "source", tone(1.0, 48000), frames=24).video
    carried = read_sound(source, 3.0)
    assert carried is not None
    assert carried.seconds == 3.0
    assert not carried.samples[:, 2 * 48000 :].any()


def test_silent_video_has_nothing_to_carry(driving_video):
    assert read_sound(driving_video, 1.0) is None


def test_file_that_is_no_recording_is_refused(tmp_path):
    (tmp_path / "noise.mp3").write_bytes(b"nothing to hear" * 100)
    with pytest.raises(InputRefused) as refused:
        read_sound(tmp_path / "noise.mp3", 1.0)
    assert refused.value.param == "audio"
