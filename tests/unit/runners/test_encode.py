from __future__ import annotations

import errno
import itertools
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.errors import Cancelled, EncodeFailed, OutOfMemory
from models.runners.encode import encode_clip, exact_fps, probe
from models.types import Geometry

Frame = NDArray[np.uint8]


def frames(count: int, width: int = 96, height: int = 64) -> Iterator[Frame]:
    """Each frame shows its own index as a grey level."""
    for index in range(count):
        yield np.full((height, width, 3), 40 + 4 * index % 200, np.uint8)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (24, Fraction(24)),
        (16.0, Fraction(16)),
        (23.976, Fraction(24000, 1001)),
        (24000 / 1001, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
        (7.3, Fraction(73, 10)),
    ],
)
def test_exact_fps(written: float, meant: Fraction) -> None:
    assert exact_fps(written) == meant


@pytest.mark.parametrize("fps", [1, 8, 12.5, 16, 23.976, 24, 25, 29.97, 30, 48, 59.94, 60, 7.3])
@pytest.mark.parametrize("count", [1, 2, 17])
def test_every_rate_and_count_survives_decoding(fps: float, count: int, tmp_path: Path) -> None:
    encoded = encode_clip(frames(count), Geometry(96, 64, count, fps), tmp_path)
    found = probe(encoded.video)
    assert (found.num_frames, found.fps, found.even) == (count, exact_fps(fps), True)
    assert (found.codec, found.pixel_format, found.width, found.height) == ("h264", "yuv420p", 96, 64)
    assert found.faststart
    assert encoded.seconds == pytest.approx(count / fps, rel=1e-4)
    assert encoded.bytes == encoded.video.stat().st_size > 0


def test_frames_come_back_in_order_and_colour(tmp_path: Path) -> None:
    colours = [(230, 30, 30), (30, 200, 40), (40, 60, 220), (128, 128, 128), (255, 255, 255), (0, 0, 0)]
    source = (np.full((64, 96, 3), colour, np.uint8) for colour in colours)
    encoded = encode_clip(source, Geometry(96, 64, len(colours), 24), tmp_path, crf=10)
    with av.open(str(encoded.video)) as container:
        for frame, colour in zip(container.decode(video=0), colours, strict=True):
            pixels = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
            assert np.abs(pixels[8:-8, 8:-8].astype(int) - colour).max() <= 4


def test_size_may_be_any_even_number(tmp_path: Path) -> None:
    encoded = encode_clip(frames(3, 98, 54), Geometry(98, 54, 3, 24), tmp_path)
    assert (probe(encoded.video).width, probe(encoded.video).height) == (98, 54)


@pytest.mark.parametrize(
    ("geometry", "param"),
    [
        (Geometry(97, 64, 3, 24), "size"),
        (Geometry(96, 65, 3, 24), "size"),
        (Geometry(0, 64, 3, 24), "size"),
        (Geometry(96, 64, 0, 24), "num_frames"),
        (Geometry(96, 64, 3, 0), "fps"),
        (Geometry(96, 64, 3, -5), "fps"),
        (Geometry(96, 64, 3, float("nan")), "fps"),
    ],
)
def test_bad_geometry_names_the_field(geometry: Geometry, param: str, tmp_path: Path) -> None:
    with pytest.raises(EncodeFailed) as caught:
        encode_clip(frames(3), geometry, tmp_path)
    assert caught.value.param == param


@pytest.mark.parametrize(("made", "message"), [(4, "4 frames were made; promised were 5"), (6, "more than")])
def test_wrong_number_of_frames(made: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(EncodeFailed, match=message):
        encode_clip(frames(made), Geometry(96, 64, 5, 24), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_endless_frames_end_at_the_first_too_many(tmp_path: Path) -> None:
    with pytest.raises(EncodeFailed, match="more than the promised 3"):
        encode_clip(itertools.cycle(frames(2)), Geometry(96, 64, 3, 24), tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((96, 64, 3), np.uint8),
        np.zeros((64, 96), np.uint8),
        np.zeros((64, 96, 4), np.uint8),
        np.zeros((64, 96, 3), np.float32),
    ],
    ids=["turned", "grey", "alpha", "float"],
)
def test_wrong_frame_is_named_with_its_shape(wrong: Frame, tmp_path: Path) -> None:
    with pytest.raises(EncodeFailed, match=r"frame 2 is .*promised was uint8 \(64, 96, 3\)"):
        encode_clip([*frames(2), wrong], Geometry(96, 64, 3, 24), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_frames_that_are_not_contiguous_are_written(tmp_path: Path) -> None:
    mirrored = (frame[:, ::-1] for frame in frames(3))
    assert encode_clip(mirrored, Geometry(96, 64, 3, 24), tmp_path).num_frames == 3


@pytest.mark.parametrize("error", [Cancelled("stop"), OutOfMemory("full"), ConnectionResetError("peer")])
def test_errors_of_the_source_go_through_unchanged(error: Exception, tmp_path: Path) -> None:
    def source() -> Iterator[Frame]:
        yield from frames(2)
        raise error

    with pytest.raises(type(error)) as caught:
        encode_clip(source(), Geometry(96, 64, 5, 24), tmp_path)
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_cancel_from_on_frame_goes_through(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Cancelled(f"at {done} of {total}")

    with pytest.raises(Cancelled, match="at 2 of 5"):
        encode_clip(frames(5), Geometry(96, 64, 5, 24), tmp_path, on_frame=stop)


def test_on_frame_hears_every_frame(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    encode_clip(frames(4), Geometry(96, 64, 4, 24), tmp_path, on_frame=lambda *at: heard.append(at))
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_full_disk_is_told_with_figures(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").symlink_to("/dev/full")
    with pytest.raises(EncodeFailed, match=r"no space left on the device .* MiB free") as caught:
        encode_clip(frames(5), Geometry(96, 64, 5, 24), tmp_path)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EncodeFailed, match="could not be written"):
        encode_clip(frames(1), Geometry(96, 64, 1, 24), tmp_path / "file" / "clip")


def test_stills(tmp_path: Path) -> None:
    def source() -> Iterator[Frame]:
        for index in range(40):
            frame = np.full((600, 800, 3), 5 * index, np.uint8)
            if index == 21:
                frame[:150:4, ::4] = 255
            yield frame

    encoded = encode_clip(source(), Geometry(800, 600, 40, 24), tmp_path)
    with Image.open(encoded.thumbnail) as thumbnail, Image.open(encoded.spritesheet) as sheet:
        assert thumbnail.size == (512, 384)
        assert sheet.size == (4 * 256, 4 * 192)
        grey = np.asarray(sheet.convert("L")).astype(int)
        # Frames 0, 2.6, 5.2 ... 39 in reading order: the tiles get brighter by about 13 each.
        means = [grey[row * 192 + 96, column * 256 + 128] for row in range(4) for column in range(4)]
        assert means[0] <= 3
        assert abs(means[-1] - 195) <= 3
        assert means == sorted(means)
        # Frame 21 is the only one with detail: it stands for the clip.
        assert np.asarray(thumbnail.convert("L")).astype(int).mean() == pytest.approx(105 + 150 / 64, abs=1)


def test_stills_of_a_small_short_clip_are_not_enlarged(tmp_path: Path) -> None:
    encoded = encode_clip(frames(2), Geometry(96, 64, 2, 24), tmp_path)
    with Image.open(encoded.thumbnail) as thumbnail, Image.open(encoded.spritesheet) as sheet:
        assert thumbnail.size == (96, 64)
        assert sheet.size == (192, 64)


def test_probe_sees_through_a_wrong_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain.mp4"
    with av.open(str(plain), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for frame in frames(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    found = probe(plain)
    assert (found.codec, found.faststart, found.num_frames, found.fps) == ("mpeg4", False, 5, 10)


def test_probe_of_garbage_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"not a film" * 100)
    with pytest.raises(EncodeFailed, match="cannot be decoded"):
        probe(tmp_path / "clip.mp4")


def test_probe_of_a_truncated_file_does_not_pass(tmp_path: Path) -> None:
    encoded = encode_clip(
        (np.random.default_rng(index).integers(0, 255, (64, 96, 3), np.uint8) for index in range(20)),
        Geometry(96, 64, 20, 24),
        tmp_path,
    )
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(encoded.video.read_bytes()[: encoded.bytes // 2])
    try:
        count = probe(cut).num_frames
    except EncodeFailed:
        count = 0
    assert count < 20


MEASURE = """
import resource, sys
import numpy as np
from pathlib import Path
from models.runners.encode import encode_clip
from models.types import Geometry
count = int(sys.argv[1])
base = np.random.default_rng(0).integers(0, 255, (480, 832, 3), np.uint8)
encode_clip((np.roll(base, i, axis=1) for i in range(count)), Geometry(832, 480, count, 24),
            Path(sys.argv[2]), preset="ultrafast", crf=40)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    def peak_kib(count: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(count), str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    # 120 more frames of 832x480 are 144 MB when kept; allow a tenth for allocator noise.
    assert peak_kib(160) - peak_kib(40) < 14_400
