"""The child process for pixels: what it makes, what it refuses, and that its death costs one task."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deployments.media_process import MediaProcess
from models.errors import InputRefused, ResultUnusable
from models.runners.encode import encode_clip
from models.types import ClipPlan, Fit, Framing, Geometry

GEOMETRY = Geometry(96, 64, 24, 12.0)


def plan(fit: Fit, width: int = 96, height: int = 64) -> ClipPlan:
    native = Geometry(width, height, 24, 12.0)
    return ClipPlan(native, native, Framing(fit, 1.0, 1.0))


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    picture = Image.fromarray(rng.integers(0, 255, (300, 400, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: upright it is 300 wide and 400 high
    exif[0x010E] = "a secret place"
    picture.save(tmp_path / "photo.jpg", exif=exif)
    return tmp_path / "photo.jpg"


@pytest.mark.parametrize(
    ("fit", "size", "expected"),
    [
        (Fit.EXACT, (96, 64), (300, 400)),
        (Fit.CROP, (160, 90), (300, 169)),
        (Fit.PAD, (160, 90), (711, 400)),
    ],
)
async def test_photographs_take_the_planned_shape_upright_and_without_metadata(
    tmp_path: Path, photograph: Path, fit: Fit, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    pixels = MediaProcess()
    try:
        await pixels.photograph(photograph, tmp_path / "out.jpg", plan(fit, *size), [], 10)
    finally:
        await pixels.close()
    with Image.open(tmp_path / "out.jpg") as made:
        assert made.size == expected
        assert not made.getexif()


async def test_a_photograph_that_is_too_small_in_that_shape_is_refused_by_name(
    tmp_path: Path, photograph: Path
) -> None:
    pixels = MediaProcess()
    try:
        with pytest.raises(InputRefused, match="200 pixels") as refused:
            await pixels.photograph(photograph, tmp_path / "out.jpg", plan(Fit.CROP, 160, 90), [], 200)
    finally:
        await pixels.close()
    assert refused.value.param == "image"


def clip(folder: Path) -> Path:
    rng = np.random.default_rng(5)
    frames = (rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(24))
    return encode_clip(frames, GEOMETRY, folder).video


async def test_a_clip_is_measured_and_gets_its_stills(tmp_path: Path) -> None:
    video = clip(tmp_path / "made")
    target = tmp_path / "in"
    target.mkdir()
    (target / "clip.mp4").write_bytes(video.read_bytes())
    pixels = MediaProcess()
    try:
        found = await pixels.clip(target / "clip.mp4", plan(Fit.EXACT))
    finally:
        await pixels.close()
    assert dict(found.geometry) == {"width": 96, "height": 64, "num_frames": 24, "fps": 12.0, "seconds": 2.0}
    assert found.audio is False
    with Image.open(found.thumbnail) as thumbnail, Image.open(found.spritesheet) as sheet:
        assert thumbnail.size == (96, 64)
        assert sheet.size == (4 * 96, 4 * 64)


@pytest.mark.parametrize(
    "content",
    [b"<html>not found</html>", b"", os.urandom(5000), b"\0\0\0\x20ftypisom" + os.urandom(5000)],
    ids=["page", "empty", "noise", "noise that says mp4"],
)
async def test_what_is_no_clip_is_refused_and_the_next_one_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.mp4").write_bytes(content)
    good = clip(tmp_path / "made")
    pixels = MediaProcess()
    try:
        with pytest.raises(ResultUnusable):
            await pixels.clip(tmp_path / "bad.mp4", plan(Fit.EXACT))
        assert (await pixels.clip(good, plan(Fit.EXACT))).geometry["num_frames"] == 24
    finally:
        await pixels.close()


async def test_a_decoder_that_dies_costs_its_own_clip_only(tmp_path: Path) -> None:
    good = clip(tmp_path / "made")
    pixels = MediaProcess()
    try:
        await pixels.clip(good, plan(Fit.EXACT))
        process = pixels._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        task = asyncio.create_task(pixels.clip(good, plan(Fit.EXACT)))
        await asyncio.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(ResultUnusable, match="process ended"):
            await task
        assert (await pixels.clip(good, plan(Fit.EXACT))).geometry["num_frames"] == 24
    finally:
        await pixels.close()


async def test_a_decoder_that_hangs_is_ended(tmp_path: Path) -> None:
    good = clip(tmp_path / "made")
    pixels = MediaProcess(task_s=0.5)
    try:
        # A child that has just been started and stopped answers nothing.
        (await pixels._running()).send_signal(signal.SIGSTOP)
        with pytest.raises(ResultUnusable, match="TimeoutError"):
            await pixels.clip(good, plan(Fit.EXACT))
        assert pixels._process is None
    finally:
        await pixels.close()
