from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.runners.parallax_camera import CameraPath, Sight, plan_path
from models.runners.parallax_depth import Scene
from models.runners.parallax_layers import Layer, Layers, build_layers, draw, filled_behind, soft_matte
from models.runners.parallax_projection import view_at
from models.types import CameraMove, Intensity, Size

SIZE = Size(360, 240)
SIGHT = Sight(0.0, 0.0, 0.9, 1.5)
FAR, NEAR = 0.25, 0.9
Marks = dict[str, tuple[float, float]]
COLOURS = {
    "far_left": (255, 0, 0),
    "far_right": (0, 255, 0),
    "near_left": (0, 0, 255),
    "near_right": (255, 255, 0),
}


def marked_layers() -> Layers:
    """Two far discs on a grey backdrop, two near discs on a sheet of their own around the middle."""
    backdrop = np.full((SIZE.height, SIZE.width, 3), 90, np.uint8)
    cv2.circle(backdrop, (90, 70), 10, COLOURS["far_left"], -1)
    cv2.circle(backdrop, (270, 70), 10, COLOURS["far_right"], -1)
    sheet = np.zeros((SIZE.height, SIZE.width, 4), np.uint8)
    cv2.circle(sheet, (130, 150), 10, (*COLOURS["near_left"], 255), -1)
    cv2.circle(sheet, (230, 150), 10, (*COLOURS["near_right"], 255), -1)
    small = (40, 60)
    return Layers(
        Layer(backdrop, np.full(small, FAR, np.float32)), Layer(sheet, np.full(small, NEAR, np.float32))
    )


def marks(frame: NDArray[np.uint8]) -> Marks:
    """Centre of each disc, found by its colour."""
    found = {}
    for name, colour in COLOURS.items():
        apart = np.abs(frame.astype(int) - np.array(colour)).sum(axis=2)
        rows, columns = np.nonzero(apart < 150)
        assert len(rows) > 60, f"{name} left the frame"
        found[name] = (float(columns.mean()), float(rows.mean()))
    return found


def ends(move: CameraMove) -> tuple[Marks, Marks]:
    path, _ = plan_path((move,), num_frames=25, fps=12, intensity=Intensity.MODERATE, seed=5, sight=SIGHT)
    layers = marked_layers()
    first, last = (marks(draw(layers, view_at(path, frame, SIGHT, 1.0), SIZE)) for frame in (0, 24))
    return first, last


def shift(first: Marks, last: Marks, depth: str) -> tuple[float, float]:
    """Mean way of the two discs at a depth, in pixels."""
    ways = np.array([np.subtract(last[f"{depth}_{s}"], first[f"{depth}_{s}"]) for s in ("left", "right")])
    x, y = ways.mean(axis=0)
    return float(x), float(y)


def growth(first: Marks, last: Marks, depth: str) -> float:
    """Distance of the two discs at a depth, after over before."""
    before, after = (
        float(np.hypot(*np.subtract(m[f"{depth}_right"], m[f"{depth}_left"]))) for m in (first, last)
    )
    return after / before


def slope(found: Marks, depth: str) -> float:
    """Angle of the line through the two discs; positive runs down to the right."""
    x, y = np.subtract(found[f"{depth}_right"], found[f"{depth}_left"])
    return float(np.degrees(np.arctan2(y, x)))


@pytest.mark.parametrize(
    ("move", "axis", "sign"),
    [
        (CameraMove.TRUCK_LEFT, 0, +1),
        (CameraMove.TRUCK_RIGHT, 0, -1),
        (CameraMove.PEDESTAL_UP, 1, +1),
        (CameraMove.PEDESTAL_DOWN, 1, -1),
    ],
)
def test_travel_shifts_the_picture_the_other_way_and_near_things_more(
    move: CameraMove, axis: int, sign: int
) -> None:
    first, last = ends(move)
    far, near = shift(first, last, "far"), shift(first, last, "near")
    assert far[axis] * sign > 2
    # Shift is proportional to nearness; half a pixel of measuring error on either side.
    assert near[axis] / far[axis] == pytest.approx(NEAR / FAR, rel=0.2)
    assert abs(far[1 - axis]) < 0.5
    assert abs(near[1 - axis]) < 0.5


@pytest.mark.parametrize(
    ("move", "axis", "sign"),
    [
        (CameraMove.PAN_LEFT, 0, +1),
        (CameraMove.PAN_RIGHT, 0, -1),
        (CameraMove.TILT_UP, 1, +1),
        (CameraMove.TILT_DOWN, 1, -1),
    ],
)
def test_turning_shifts_all_depths_alike(move: CameraMove, axis: int, sign: int) -> None:
    first, last = ends(move)
    far, near = shift(first, last, "far"), shift(first, last, "near")
    assert far[axis] * sign > 10
    # Off the axis a turn stretches by its perspective: a few per cent at six degrees.
    assert near[axis] == pytest.approx(far[axis], rel=0.05)


@pytest.mark.parametrize(("move", "power"), [(CameraMove.PUSH_IN, 1), (CameraMove.PULL_OUT, -1)])
def test_a_dolly_enlarges_near_things_more(move: CameraMove, power: int) -> None:
    first, last = ends(move)
    far, near = growth(first, last, "far") ** power, growth(first, last, "near") ** power
    assert 1.02 < far < 1.12
    assert near > far + 0.1
    # Away from the aim, which is the middle: the discs above it rise, those below it sink.
    assert shift(first, last, "far")[1] * power < -1
    assert shift(first, last, "near")[1] * power > 3


@pytest.mark.parametrize(("move", "power"), [(CameraMove.ZOOM_IN, 1), (CameraMove.ZOOM_OUT, -1)])
def test_a_zoom_enlarges_all_depths_alike(move: CameraMove, power: int) -> None:
    first, last = ends(move)
    far, near = growth(first, last, "far") ** power, growth(first, last, "near") ** power
    assert far > 1.15
    assert near == pytest.approx(far, rel=0.02)


@pytest.mark.parametrize(("move", "sign"), [(CameraMove.ORBIT_LEFT, -1), (CameraMove.ORBIT_RIGHT, 1)])
def test_an_orbit_holds_the_aim_and_slides_the_backdrop(move: CameraMove, sign: int) -> None:
    first, last = ends(move)
    assert abs(shift(first, last, "near")[0]) < 1.5
    assert shift(first, last, "far")[0] * sign > 10


def test_a_roll_turns_the_picture_against_the_camera() -> None:
    first, last = ends(CameraMove.ROLL)
    for depth in ("far", "near"):
        assert slope(last, depth) - slope(first, depth) < -4
        assert growth(first, last, depth) == pytest.approx(1.0, abs=0.02)


def test_follow_comes_closer_and_lets_the_backdrop_drift() -> None:
    first, last = ends(CameraMove.FOLLOW)
    assert growth(first, last, "near") > growth(first, last, "far") > 1
    far, near = shift(first, last, "far"), shift(first, last, "near")
    # The aim is in the middle, so the camera drifts to the right and turns back to hold it.
    assert far[0] - near[0] > 4
    assert abs(near[0]) < 4


def test_a_shake_moves_little_and_not_one_way() -> None:
    path, _ = plan_path((CameraMove.SHAKE,), num_frames=48, fps=24, intensity=None, seed=5, sight=SIGHT)
    layers = marked_layers()
    way = np.array(
        [marks(draw(layers, view_at(path, i, SIGHT, 1.0), SIZE))["near_left"][0] for i in range(48)]
    )
    assert 0.5 < np.ptp(way) < 0.08 * SIZE.width
    assert (np.diff(np.sign(np.diff(way))) != 0).sum() >= 4


def test_static_draws_the_same_frame() -> None:
    first, last = ends(CameraMove.STATIC)
    assert first == last


# --- taking apart -----------------------------------------------------------------------------


def figure() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A red block on a noisy bluish backdrop, and its mask at a third of the size."""
    rng = np.random.default_rng(0)
    picture = np.clip(rng.normal((60, 90, 170), 18, (240, 360, 3)), 0, 255).astype(np.uint8)
    picture[90:240, 120:240] = (220, 40, 30)
    mask = np.zeros((80, 120), np.float32)
    mask[30:80, 40:80] = 1.0
    return picture, mask


def scene(mask: NDArray[np.float32]) -> Scene:
    return Scene(
        np.full(mask.shape, FAR, np.float32), mask, np.full(mask.shape, NEAR, np.float32), (0.5, 0.6), NEAR
    )


def test_the_matte_follows_the_picture_not_the_small_mask() -> None:
    picture, mask = figure()
    alpha = soft_matte(picture, mask)
    truth = np.zeros(alpha.shape)
    truth[90:240, 120:240] = 1
    assert 0.0 <= alpha.min() <= alpha.max() <= 1.0
    assert np.abs(alpha - truth).mean() < 0.01


def test_nothing_of_the_subject_stays_behind_it() -> None:
    picture, mask = figure()
    filled = filled_behind(picture, soft_matte(picture, mask)).astype(int)
    redder = filled[..., 0] - filled[..., 2]
    assert redder.max() < 60
    # Texture goes on behind it instead of a smooth smear.
    assert filled[100:230, 126:150, 1].std() > 0.5 * filled[:80, :, 1].std()
    assert np.array_equal(filled[:, :90], picture[:, :90])


def test_at_rest_the_layers_make_the_photograph_again() -> None:
    picture, mask = figure()
    frame = draw(build_layers(picture, scene(mask)), view_at(CameraPath.at_rest(1), 0, SIGHT, 1.0), SIZE)
    assert np.abs(frame.astype(int) - picture).mean() < 1.5


def test_a_moving_subject_keeps_its_shape_and_leaves_no_ghost() -> None:
    picture, mask = figure()
    layers = build_layers(picture, scene(mask))
    path, _ = plan_path(
        (CameraMove.TRUCK_LEFT,), num_frames=2, fps=1, intensity=Intensity.EXTREME, seed=0, sight=SIGHT
    )
    for index in (0, 1):
        frame = draw(layers, view_at(path, index, SIGHT, 1.0), SIZE).astype(int)
        red = (frame[..., 0] - frame[..., 2]) > 100
        rows = red[120:220].sum(axis=1)
        assert np.ptp(rows) <= 3
        assert rows.mean() == pytest.approx(120, abs=4)
        count, _, stats, _ = cv2.connectedComponentsWithStats(red.astype(np.uint8))
        assert sorted(stats[1:, cv2.CC_STAT_AREA])[:-1] == [] or count <= 3


def test_a_scene_without_a_subject_is_one_sheet() -> None:
    picture, mask = figure()
    flat = Scene(np.full(mask.shape, FAR, np.float32), None, None, (0.5, 0.5), FAR)
    layers = build_layers(picture, flat)
    assert layers.subject is None
    assert np.array_equal(layers.backdrop.picture, picture)


def test_finer_source_pictures_are_drawn_to_the_same_place() -> None:
    picture, mask = figure()
    view = view_at(CameraPath.at_rest(1), 0, SIGHT, 1.0)
    smooth = cv2.GaussianBlur(picture, (0, 0), 3)
    fine = cv2.resize(smooth, (540, 360), interpolation=cv2.INTER_CUBIC)
    frames = [draw(build_layers(p, scene(mask)), view, SIZE).astype(int) for p in (smooth, fine)]
    assert np.abs(frames[0] - frames[1]).mean() < 1.5
