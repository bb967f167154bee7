from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from models.runners.framing import crop_box, face_focus, fit_photograph
from models.types import Fit, Framing, Size

CROP = Framing(Fit.CROP, kept=0.5, filled=1.0)
PAD = Framing(Fit.PAD, kept=1.0, filled=0.5)
EXACT = Framing(Fit.EXACT, kept=1.0, filled=1.0)


def disc(width: int, height: int, centre: tuple[int, int], radius: int) -> Image.Image:
    image = Image.new("RGB", (width, height), (200, 200, 200))
    x, y = centre
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 0, 0))
    return image


def red_extent(image: Image.Image) -> tuple[int, int]:
    pixels = np.asarray(image).astype(int)
    red = (pixels[..., 0] > 180) & (pixels[..., 1] < 100)
    return int(np.any(red, axis=0).sum()), int(np.any(red, axis=1).sum())


@pytest.mark.parametrize("framing", [CROP, PAD], ids=["crop", "pad"])
@pytest.mark.parametrize(
    ("photograph", "size"),
    [((900, 600), Size(320, 480)), ((600, 900), Size(640, 368)), ((1000, 1000), Size(832, 480))],
)
def test_a_circle_stays_a_circle(framing: Framing, photograph: tuple[int, int], size: Size) -> None:
    image = disc(*photograph, centre=(photograph[0] // 2, photograph[1] // 2), radius=150)
    fitted = fit_photograph(image, size, framing)
    width, height = red_extent(fitted)
    assert fitted.size == (size.width, size.height)
    assert width > 20
    assert abs(width - height) <= 2


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    target=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    fit=st.sampled_from([Fit.EXACT, Fit.CROP, Fit.PAD]),
)
def test_always_exactly_the_size_and_rgb(width: int, height: int, target: tuple[int, int], fit: Fit) -> None:
    fitted = fit_photograph(Image.new("RGB", (width, height)), Size(*target), Framing(fit, 1.0, 1.0))
    assert fitted.size == target
    assert fitted.mode == "RGB"


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    aspect=st.floats(0.1, 10.0),
    focus=st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_crop_box_keeps_the_aspect_and_stays_inside(
    width: int, height: int, aspect: float, focus: tuple[float, float] | None
) -> None:
    left, top, right, bottom = crop_box(Size(width, height), aspect, focus)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert (right - left) / (bottom - top) == pytest.approx(aspect, rel=1e-6)
    full_width, full_height = right - left >= width * 0.999999, bottom - top >= height * 0.999999
    assert full_width or full_height


def test_pad_centres_on_black() -> None:
    fitted = np.asarray(fit_photograph(Image.new("RGB", (100, 100), "white"), Size(200, 100), PAD))
    assert np.all(fitted[:, :50] == 0)
    assert np.all(fitted[:, 50:150] == 255)
    assert np.all(fitted[:, 150:] == 0)


def test_crop_is_centred_without_focus_and_follows_it_with_one() -> None:
    ramp = np.repeat(np.linspace(0, 255, 400, dtype=np.uint8)[None, :, None], 100, axis=0).repeat(3, axis=2)
    image = Image.fromarray(ramp)

    def middle(focus: tuple[float, float] | None) -> float:
        return float(np.asarray(fit_photograph(image, Size(100, 100), CROP, focus)).mean())

    assert middle(None) == pytest.approx(127.5, abs=2)
    assert middle((0.25, 0.5)) == pytest.approx(0.25 * 255, abs=3)
    assert middle((0.0, 0.5)) == pytest.approx(0.125 * 255, abs=3)


def test_exact_cuts_a_sliver_and_adds_no_bars() -> None:
    fitted = np.asarray(fit_photograph(Image.new("RGB", (1000, 750), "white"), Size(640, 480), EXACT))
    assert np.all(fitted == 255)


def test_large_reduction_does_not_alias() -> None:
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    fitted = np.asarray(fit_photograph(Image.fromarray(stripes), Size(96, 96), EXACT))
    assert fitted.std() < 4
    assert fitted.mean() == pytest.approx(127.5, abs=3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_other_modes_become_rgb(mode: str) -> None:
    assert fit_photograph(Image.new(mode, (64, 48)), Size(32, 32), CROP).mode == "RGB"


def test_face_focus_is_the_middle_of_all_faces() -> None:
    assert face_focus(()) is None
    assert face_focus([(0.1, 0.2, 0.2, 0.2)]) == pytest.approx((0.2, 0.3))
    assert face_focus([(0.0, 0.0, 0.2, 0.2), (0.6, 0.4, 0.2, 0.2)]) == pytest.approx((0.4, 0.3))
