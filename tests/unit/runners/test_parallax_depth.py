from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.runners import parallax_cues as cues
from models.runners.parallax_depth import FAR, WORKING_SIDE, estimate_scene

PHOTOGRAPHS = Path(__file__).parents[3] / "examples" / "photographs"
# Found by OpenCV's frontal face cascade.
PORTRAIT_FACE = (0.346, 0.129, 0.186, 0.186)


def photograph(name: str) -> NDArray[np.uint8]:
    with Image.open(PHOTOGRAPHS / f"{name}.jpg") as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def at(values: NDArray[np.float32], x: float, y: float) -> float:
    height, width = values.shape
    return float(values[int(y * height), int(x * width)])


def outdoors() -> NDArray[np.uint8]:
    """Plain blue above 40 % of the height, textured green below."""
    rng = np.random.default_rng(1)
    picture = np.empty((200, 320, 3), np.uint8)
    picture[:80] = (110, 160, 235)
    picture[80:] = np.clip(rng.normal((70, 120, 50), 25, (120, 320, 3)), 0, 255)
    return picture


def person() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Head and shoulders in one warm colour before a textured cold wall, and where they are."""
    rng = np.random.default_rng(2)
    picture = np.clip(rng.normal((70, 90, 120), 12, (300, 240, 3)), 0, 255).astype(np.uint8)
    shape = np.zeros((300, 240), np.uint8)
    cv2.ellipse(shape, (120, 90), (36, 48), 0, 0, 360, 1, -1)
    cv2.fillPoly(shape, [np.array([(105, 120), (135, 120), (200, 180), (215, 300), (25, 300), (40, 180)])], 1)
    picture[shape > 0] = np.clip(rng.normal((205, 140, 105), 8, (int(shape.sum()), 3)), 0, 255)
    return picture, shape > 0


def test_the_horizon_is_where_the_sky_ends() -> None:
    small = outdoors().astype(np.float32) / 255
    sky = cues.sky(small)
    assert sky[:70].mean() > 0.95
    assert sky[95:].mean() < 0.05
    horizon = cues.horizon(cues.lab(small)[..., 0] / 100, sky)
    assert horizon.row == pytest.approx(0.4, abs=0.04)
    assert horizon.confidence > 0.8


def test_sky_is_far_and_the_ground_comes_nearer_row_by_row() -> None:
    scene = estimate_scene(outdoors())
    assert scene.subject is None
    rows = scene.backdrop.mean(axis=1)
    height = len(rows)
    assert rows[: height // 4].max() < FAR + 0.05
    below = rows[height // 2 :: height // 16]
    assert (np.diff(below) > 0).all()
    assert rows[-1] > 0.6
    assert any("horizon" in cue for cue in scene.cues)


def test_a_face_brings_head_and_shoulders_forward() -> None:
    picture, truth = person()
    scene = estimate_scene(picture, [(90 / 240, 55 / 300, 60 / 240, 72 / 300)])
    assert scene.subject is not None
    assert scene.subject_nearness is not None
    height, width = scene.subject.shape
    expected = cv2.resize(truth.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA) > 0
    found = scene.subject > 0.5
    assert (expected & found).sum() / (expected | found).sum() > 0.9
    assert scene.subject_nearness[found].min() > scene.backdrop[~found].max() - 0.05
    # The camera looks at the face.
    assert scene.aim == pytest.approx((0.5, 91 / 300), abs=0.02)


def test_a_picture_of_nothing_has_no_subject() -> None:
    scene = estimate_scene(np.full((90, 160, 3), 128, np.uint8))
    assert scene.subject is None
    assert scene.aim == pytest.approx((0.5, 0.5), abs=0.01)
    assert np.isfinite(scene.backdrop).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (7, 5)])
def test_tiny_and_thin_pictures_are_read(shape: tuple[int, int]) -> None:
    scene = estimate_scene(np.full((*shape, 3), 90, np.uint8), [(0.2, 0.2, 0.5, 0.5)])
    assert np.isfinite(scene.backdrop).all()
    assert FAR - 1e-6 <= scene.backdrop.min() <= scene.backdrop.max() <= 1


@pytest.mark.parametrize(
    "face", [(0.9, 0.9, 0.4, 0.4), (-0.3, -0.3, 0.5, 0.5), (0, 0, 1, 1), (0.5, 0.5, 0, 0)]
)
def test_faces_over_the_edge_are_no_fault(face: tuple[float, float, float, float]) -> None:
    scene = estimate_scene(person()[0], [face])
    assert 0 <= scene.aim[0] <= 1
    assert 0 <= scene.aim[1] <= 1


def test_the_portrait_stands_before_its_backdrop() -> None:
    scene = estimate_scene(photograph("portrait"), [PORTRAIT_FACE])
    assert scene.subject is not None
    for x, y in ((0.44, 0.22), (0.43, 0.12), (0.35, 0.7), (0.3, 0.9)):
        assert at(scene.subject, x, y) == 1.0
    for x, y in ((0.05, 0.1), (0.65, 0.1), (0.95, 0.5)):
        assert at(scene.subject, x, y) == 0.0
    assert scene.aim == pytest.approx((0.439, 0.222), abs=0.005)


def test_the_product_is_cut_out_without_a_face() -> None:
    scene = estimate_scene(photograph("product"))
    assert scene.subject is not None
    for x, y in ((0.5, 0.5), (0.3, 0.4), (0.8, 0.4)):
        assert at(scene.subject, x, y) == 1.0
    for x, y in ((0.05, 0.9), (0.05, 0.1)):
        assert at(scene.subject, x, y) == 0.0


def test_a_landscape_stays_whole_with_its_sky_far_and_its_foreground_near() -> None:
    scene = estimate_scene(photograph("landscape"))
    assert scene.subject is None
    assert at(scene.backdrop, 0.6, 0.05) < 0.25
    assert at(scene.backdrop, 0.6, 0.35) < at(scene.backdrop, 0.6, 0.95) - 0.3


def test_the_same_picture_gives_the_same_scene() -> None:
    cv2.setRNGSeed(99)
    first = estimate_scene(photograph("product"))
    cv2.setRNGSeed(5)
    again = estimate_scene(photograph("product"))
    assert first.subject is not None
    assert again.subject is not None
    assert np.array_equal(first.subject, again.subject)
    assert np.array_equal(first.backdrop, again.backdrop)


def test_cues_are_measured_small_whatever_the_picture() -> None:
    assert max(estimate_scene(photograph("landscape")).backdrop.shape) == WORKING_SIDE


def test_only_a_subject_that_the_edge_cuts_widens_the_edge() -> None:
    picture, _ = person()
    cut = estimate_scene(picture, [(90 / 240, 55 / 300, 60 / 240, 72 / 300)])
    assert cut.subject_nearness is not None
    assert cut.edge_nearness()[1] == pytest.approx(float(cut.subject_nearness.max()))
    whole = estimate_scene(outdoors())
    assert whole.edge_nearness() == (whole.backdrop.min(), whole.backdrop.max())


def test_sharpness_tells_focus_from_blur() -> None:
    rng = np.random.default_rng(4)
    noise = rng.random((160, 240)).astype(np.float32)
    left, right = cv2.GaussianBlur(noise, (0, 0), 0.8), cv2.GaussianBlur(noise, (0, 0), 4.0)
    share = cues.sharp_share(np.hstack([left[:, :120], right[:, 120:]]))
    assert share[:, :100].mean() > share[:, 140:].mean() + 0.4


def test_haze_is_where_nothing_is_dark() -> None:
    rng = np.random.default_rng(5)
    clear = rng.random((100, 160, 3)).astype(np.float32)
    clear[:50] = 0.7 + 0.2 * clear[:50]
    haze = cues.haze(clear)
    assert haze[:35].mean() > haze[65:].mean() + 0.5


def test_saliency_finds_the_odd_thing() -> None:
    rng = np.random.default_rng(6)
    picture = np.clip(rng.normal(0.4, 0.03, (128, 192, 3)), 0, 1).astype(np.float32)
    picture[50:80, 80:115] = (0.9, 0.2, 0.1)
    contrast = cues.border_contrast(cues.lab(picture))
    assert contrast[55:75, 85:110].mean() > 0.8
    assert contrast[:30].mean() < 0.2
