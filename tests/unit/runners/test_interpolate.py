from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import InvalidRequest
from models.runners.interpolate import interpolate

Frame = NDArray[np.uint8]


def textured(height: int, width: int, seed: int) -> Frame:
    """Detail at several scales, as photographs have it."""
    generator = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128.0)
    for cell, strength in ((4, 40), (8, 50), (16, 60), (32, 60)):
        noise = generator.normal(0, strength, (height // cell, width // cell, 3))
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 0, 255).astype(np.uint8)


BACKGROUND = textured(128, 192, 1)
SQUARE = textured(64, 64, 2)


def square_at(x: int, y: int = 32) -> Frame:
    frame = BACKGROUND.copy()
    frame[y : y + 64, x : x + 64] = SQUARE
    return frame


def psnr(left: Frame, right: Frame) -> float:
    error = np.mean(np.square(left.astype(np.float64) - right.astype(np.float64)))
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize(("count", "factor"), [(1, 3), (2, 1), (2, 2), (5, 4), (0, 2)])
def test_count_is_gaps_times_factor_plus_one(count: int, factor: int) -> None:
    frames = [square_at(20 + 4 * index) for index in range(count)]
    assert len(list(interpolate(frames, factor))) == max(0, (count - 1) * factor + 1)


def test_originals_come_through_untouched() -> None:
    frames = [square_at(20 + 6 * index) for index in range(3)]
    filled = list(interpolate(iter(frames), 3))
    for original, kept in zip(frames, filled[::3], strict=True):
        assert np.array_equal(original, kept)


def test_all_frames_keep_shape_and_type() -> None:
    for frame in interpolate([square_at(20), square_at(26)], 4):
        assert frame.shape == (128, 192, 3)
        assert frame.dtype == np.uint8


@pytest.mark.parametrize("step", [4, 8, 16])
def test_middle_frame_beats_blending_clearly(step: int) -> None:
    first, truth, last = square_at(60), square_at(60 + step // 2), square_at(60 + step)
    middle = list(interpolate([first, last], 2))[1]
    blended = cv2.addWeighted(first, 0.5, last, 0.5, 0.0)
    assert psnr(middle, truth) > psnr(blended, truth) + 6.0


def test_quarter_moments_are_where_they_should_be() -> None:
    frames = list(interpolate([square_at(60), square_at(68)], 4))
    for index, frame in enumerate(frames):
        scores = [psnr(frame, square_at(60 + 2 * place)) for place in range(5)]
        assert int(np.argmax(scores)) == index


def test_still_pair_stays_still() -> None:
    frames = list(interpolate([square_at(60), square_at(60)], 3))
    assert all(psnr(frame, frames[0]) > 45 for frame in frames)


def test_cut_is_cross_faded_not_smeared() -> None:
    first = np.full((64, 64, 3), 10, np.uint8)
    last = np.full((64, 64, 3), 210, np.uint8)
    middle = list(interpolate([first, last], 2))[1]
    assert np.all(np.abs(middle.astype(int) - 110) <= 1)


def test_tiny_frames_are_cross_faded() -> None:
    first, last = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 100, np.uint8)
    assert np.all(list(interpolate([first, last], 2))[1] == 50)


def test_frames_are_pulled_one_at_a_time() -> None:
    pulled = 0

    def source() -> object:
        nonlocal pulled
        for index in range(4):
            pulled += 1
            yield square_at(20 + 4 * index)

    filled = interpolate(source(), 2)  # type: ignore[arg-type]
    next(filled)
    assert pulled == 1
    next(filled)
    assert pulled == 2


@pytest.mark.parametrize("factor", [0, -1])
def test_factor_below_one_is_refused(factor: int) -> None:
    with pytest.raises(InvalidRequest, match=f"got {factor}") as caught:
        interpolate([], factor)
    assert caught.value.param == "interpolation"
