"""Wan 2.2 Animate: as long as its driving video, in runs, with that video's motion and sound."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest

from models.errors import Cancelled, InputRefused
from models.runners import animate
from models.runners.animate import AnimateFamily
from models.runners.base import RunRequest
from models.types import Geometry


@pytest.fixture
def make(load_tiny, plan_of, photograph, recorder, driving_video):
    """`make(runner, monitor=None, plan=..., **request)` returns the result and its frames."""

    def run(runner, monitor=None, *, plan=None, **request):
        request.setdefault("driving_video", driving_video)
        asked = RunRequest(photograph(), "a cat", plan or plan_of("wan2.2-animate"), 7, **request)
        result = runner.generate(asked, monitor or recorder())
        return result, np.stack(list(result.frames))

    return run


@pytest.fixture
def calls(monkeypatch):
    def watch(runner):
        seen = []
        real = type(runner._pipe).__call__
        monkeypatch.setattr(
            type(runner._pipe), "__call__", lambda self, **given: seen.append(given) or real(self, **given)
        )
        return seen

    return watch


@pytest.mark.parametrize(
    ("frames", "runs"), [(2, 1), (76, 1), (77, 1), (78, 2), (153, 2), (154, 3), (600, 8)]
)
def test_runs_share_one_frame(frames, runs):
    assert AnimateFamily().runs(Geometry(32, 32, frames, 30)) == runs


@pytest.fixture
def short_runs(monkeypatch):
    """Runs of 9 frames: the same chaining in a ninth of the time."""
    monkeypatch.setattr(animate, "RUN_FRAMES", 9)


def test_long_clip_is_made_in_runs_and_cut_to_its_length(make, load_tiny, plan_of, recorder, short_runs):
    """12 frames are two runs of 9 that share one: four steps, and not one frame more."""
    monitor = recorder()
    _, frames = make(load_tiny("wan2.2-animate"), monitor, plan=plan_of("wan2.2-animate", 12))

    assert frames.shape == (12, 32, 32, 3)
    assert list(dict.fromkeys(monitor.steps)) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (frames[9] != frames[8]).any(), "the second run goes on"


def test_cancel_in_the_second_run(make, load_tiny, plan_of, recorder, short_runs):
    runner, monitor = load_tiny("wan2.2-animate"), recorder(cancel_at=3)
    with pytest.raises(Cancelled):
        make(runner, monitor, plan=plan_of("wan2.2-animate", 12))
    assert list(dict.fromkeys(monitor.steps)) == [(1, 4), (2, 4), (3, 4)]
    np.testing.assert_array_equal(make(runner)[1], make(load_tiny("wan2.2-animate"))[1])


def test_pipeline_gets_the_video_at_the_clips_rate_and_size(make, load_tiny, calls, short_runs):
    """24 fps are asked for 8: every third picture, whole between bars, and a face of the encoder's size."""
    runner = load_tiny("wan2.2-animate")
    seen = calls(runner)

    make(runner)

    given = seen[0]
    assert [picture.size for picture in given["pose_video"]] == [(32, 32)] * 9
    # 64x48 into 32x32: 24 rows of picture; of its 64 columns the left 3 i are white, halved.
    white = [(np.asarray(picture)[16, :, 0] > 128).sum() for picture in given["pose_video"]]
    assert white == pytest.approx([1.5 * index for index in range(9)], abs=1.1)
    assert not np.asarray(given["pose_video"][8])[:3].any()
    assert [face.size for face in given["face_video"]] == [(64, 64)] * 9


def test_motion_of_the_video_reaches_the_clip(make, load_tiny, tmp_path, short_runs):
    still = tmp_path / "still.mp4"
    with av.open(str(still), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(48):
            grey = np.full((48, 64, 3), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
    runner = load_tiny("wan2.2-animate")

    assert (make(runner)[1] != make(runner, driving_video=still)[1]).any()


def test_sound_of_the_video_is_carried_where_the_card_says_so(make, load_tiny, tmp_path, short_runs):
    from models.runners.base import Sound
    from models.runners.encode import encode_clip

    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 48_000)).astype(np.float32)
    grey = (np.full((48, 64, 3), 128, np.uint8) for _ in range(48))
    spoken = encode_clip(grey, Geometry(64, 48, 48, 24), tmp_path, audio=Sound(noise, 24_000)).video

    carried = make(load_tiny("wan2.2-animate", controls__audio_out="always"), driving_video=spoken)[0]
    silent = make(load_tiny("wan2.2-animate"), driving_video=spoken)[0]

    assert carried.audio is not None
    assert carried.audio.seconds == pytest.approx(9 / 8)
    assert carried.audio.samples.std() > 0.05
    assert silent.audio is None


@pytest.mark.parametrize(
    ("kind", "given", "param"),
    [
        ("wan2.2-animate", {"driving_video": None}, "driving_video"),
        ("wan2.2-animate", {"audio": Path("voice.mp3")}, "audio"),
        ("wan2.1", {}, "driving_video"),
    ],
)
def test_inputs_are_refused_before_any_work(kind, given, param, make, load_tiny, plan_of, calls):
    runner = load_tiny(kind)
    seen = calls(runner)
    with pytest.raises(InputRefused) as refused:
        make(runner, plan=plan_of(kind), **given)
    assert refused.value.param == param
    assert seen == []


def test_shapes_it_cannot_make_are_refused(make, load_tiny, plan_of):
    runner, plan = load_tiny("wan2.2-animate"), plan_of("wan2.2-animate")
    one = Geometry(32, 32, 1, 8.0)
    with pytest.raises(InputRefused) as refused:
        make(runner, plan=dataclasses.replace(plan, native=one, effective=one))
    assert refused.value.param == "num_frames"
    with pytest.raises(InputRefused, match="in one call"):
        make(runner, plan=plan_of("wan2.2-animate", segments=2))


def test_file_that_is_no_video_is_the_clients_mistake(make, load_tiny, tmp_path):
    (tmp_path / "video.mp4").write_bytes(b"nothing")
    with pytest.raises(InputRefused) as refused:
        make(load_tiny("wan2.2-animate"), driving_video=tmp_path / "video.mp4")
    assert refused.value.param == "driving_video"
