"""What is taken from a driving video: pictures at the clip's rate, and the largest face."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.errors import InputRefused
from models.runners import driving
from models.types import Geometry, Size

PHOTOGRAPHS = Path(__file__).resolve().parents[3] / "examples" / "photographs"


def write(path: Path, pictures: list[np.ndarray], fps: int = 24) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "5"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def greys(path: Path, count: int, fps: int) -> Path:
    """Picture i is grey 20 + 4 i."""
    return write(path, [np.full((32, 48, 3), 20 + 4 * index, np.uint8) for index in range(count)], fps)


def numbers(frames) -> list[int]:
    return [round((float(np.median(frame)) - 20) / 4) for frame in frames]


@pytest.mark.parametrize(
    ("fps", "count", "expected"),
    [
        (24, 6, [0, 1, 2, 3, 4, 5]),
        (12, 5, [0, 2, 4, 6, 8]),
        (48, 7, [0, 0, 1, 1, 2, 2, 3]),
        (30, 6, [0, 0, 1, 2, 3, 4]),
        (16, 5, [0, 1, 3, 4, 6]),
    ],
)
def test_pictures_are_those_on_screen_at_the_clips_times(fps, count, expected, tmp_path):
    video = greys(tmp_path / "video.mp4", 24, 24)
    assert numbers(driving.pictures(video, Geometry(32, 32, count, fps))) == expected


def test_short_video_stands_still_at_its_end(tmp_path):
    video = greys(tmp_path / "video.mp4", 3, 24)
    assert numbers(driving.pictures(video, Geometry(32, 32, 6, 24))) == [0, 1, 2, 2, 2, 2]


def test_video_of_a_phone_is_turned_upright(tmp_path):
    """Phones store pictures lying and say in the track's matrix that they are to be turned clockwise."""
    lying = np.zeros((32, 48, 3), np.uint8)
    lying[:, :24] = 255
    video = write(tmp_path / "video.mp4", [lying] * 3)
    content = bytearray(video.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # ISO/IEC 14496-12, version 0 of the track header
    turned = (0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30)
    content[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in turned)
    video.write_bytes(content)

    (upright,) = driving.pictures(video, Geometry(32, 32, 1, 24))

    assert upright.shape == (48, 32, 3)
    assert upright[:20].min() > 200
    assert upright[28:].max() < 55


@pytest.mark.parametrize("content", [b"", b"no video at all" * 50], ids=["empty", "text"])
def test_what_is_no_video_is_refused(content, tmp_path):
    (tmp_path / "video.mp4").write_bytes(content)
    with pytest.raises(InputRefused) as refused:
        driving.pictures(tmp_path / "video.mp4", Geometry(32, 32, 5, 24))
    assert refused.value.param == "driving_video"
    assert str(tmp_path) not in str(refused.value)


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputRefused, match="has no pictures"):
        driving.pictures(path, Geometry(32, 32, 5, 24))


def test_nothing_of_a_body_is_cut():
    """A wide picture in a square frame: black above and below, all of its width in between."""
    wide = np.full((50, 100, 3), 255, np.uint8)
    (frame,) = driving.fitted([wide], Size(64, 64))
    lit = np.asarray(frame)[..., 0] > 128
    assert frame.size == (64, 64)
    assert lit[32].all()
    assert not lit[:15].any()
    assert not lit[49:].any()


boxes = st.none() | st.tuples(*(st.integers(0, 99) for _ in range(4)))


@given(st.lists(boxes, max_size=20))
def test_gaps_are_held(found):
    filled = driving.held(found)
    assert len(filled) == len(found)
    for before, after in zip(found, filled, strict=True):
        assert before is None or after == before
    if any(box is not None for box in found):
        assert None not in filled
    for index in range(1, len(found)):
        assert found[index] is not None or filled[index] == filled[index - 1]


def test_without_any_face_the_motion_encoder_sees_black():
    crops = driving.faces([np.full((64, 64, 3), 90, np.uint8)] * 3, 32)
    assert [crop.size for crop in crops] == [(32, 32)] * 3
    assert not np.asarray(crops[0]).any()


def test_largest_face_is_cropped_and_held(monkeypatch):
    """The crop is a square around the middle of the box; where the face is lost it stays."""
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[40:60, 40:60] = 255
    found = iter([(40, 40, 20, 20), None])
    monkeypatch.setattr(driving, "_largest_face", lambda _: next(found))

    first, second = driving.faces([frame, frame], 52)

    # 20 pixels with a margin of 1.3 fill 26: the white square is 40 of 52 pixels wide, in the middle.
    assert np.asarray(first)[26, 26, 0] == 255
    assert np.asarray(first)[:4].max() < 60
    assert abs((np.asarray(first)[26, :, 0] > 128).sum() - 40) <= 2
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


@pytest.mark.parametrize("side", [400, 900, 1600])
def test_faces_are_found_in_a_photograph(side):
    """The bundled cascade on a real face, whatever the size of the picture."""
    with Image.open(PHOTOGRAPHS / "portrait.jpg") as opened:
        photograph = opened.convert("RGB")
    photograph.thumbnail((side, side))
    height, width = np.asarray(photograph).shape[:2]

    box = driving._largest_face(np.asarray(photograph))

    assert box is not None
    left, top, across, down = box
    # The face's middle is near (0.44, 0.21) of the photograph's sides.
    assert left < 0.44 * width < left + across
    assert top < 0.21 * height < top + down
    assert 0.02 < across * down / (width * height) < 0.08
