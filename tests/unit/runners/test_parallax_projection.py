from __future__ import annotations

import numpy as np
import pytest

from models.runners.parallax_camera import CameraPath, Sight, plan_path
from models.runners.parallax_projection import MAX_MARGIN, closest, fit_margin, view_at
from models.types import CameraMove, Intensity

ASPECTS = [16 / 9, 1.0, 9 / 16]


def planned(move: CameraMove, sight: Sight, intensity: Intensity) -> CameraPath:
    return plan_path((move,), num_frames=25, fps=12, intensity=intensity, seed=3, sight=sight)[0]


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("intensity", [Intensity.MODERATE, Intensity.EXTREME])
@pytest.mark.parametrize("move", list(CameraMove))
def test_no_frame_shows_beyond_the_photograph(move: CameraMove, intensity: Intensity, aspect: float) -> None:
    sight = Sight(0.3, -0.2 / aspect, 0.8, aspect)
    path, margin = fit_margin(planned(move, sight, intensity), sight, (0.15, 0.95))
    assert 1.0 <= margin <= MAX_MARGIN
    side = np.linspace(-0.5, 0.5, 101)
    edge = np.full_like(side, 0.5)
    x = np.concatenate([side, side, -edge, edge])
    y = np.concatenate([-edge, edge, side, side]) / aspect
    for frame in range(path.num_frames):
        view = view_at(path, frame, sight, margin)
        px, py = view.direction(x, y)
        dx, dy = view.parallax(px, py)
        for nearness in (0.15, 0.5, 0.95):
            assert np.abs(px + nearness * dx).max() <= 0.5 + 1e-3
            assert np.abs(py + nearness * dy).max() <= 0.5 / aspect + 1e-3


def test_moves_inward_need_no_margin_and_keep_their_travel() -> None:
    sight = Sight(0.2, 0.1, 0.8, 1.5)
    for move in (CameraMove.STATIC, CameraMove.PUSH_IN, CameraMove.ZOOM_OUT):
        wished = planned(move, sight, Intensity.DYNAMIC)
        path, margin = fit_margin(wished, sight, (0.15, 1.0))
        assert path is wished
        assert margin == 1.0


def test_travel_gives_way_when_the_margin_is_exhausted() -> None:
    sight = Sight(0.0, 0.0, 0.8, 16 / 9)
    wished, _ = plan_path(
        (CameraMove.PAN_LEFT, CameraMove.TRUCK_LEFT, CameraMove.ROLL),
        num_frames=25,
        fps=12,
        intensity=Intensity.EXTREME,
        seed=0,
        sight=sight,
    )
    path, margin = fit_margin(wished, sight, (0.15, 1.0))
    assert margin <= MAX_MARGIN
    assert np.ptp(path.pan) < np.ptp(wished.pan)
    assert np.ptp(path.pan) > 0


def test_at_rest_the_frame_is_the_photograph() -> None:
    view = view_at(CameraPath.at_rest(1), 0, Sight(0.2, 0.1, 0.5, 1.5), 1.0)
    x, y = np.array([-0.5, 0.0, 0.4]), np.array([-0.3, 0.0, 0.1])
    px, py = view.direction(x, y)
    dx, dy = view.parallax(px, py)
    assert px == pytest.approx(x)
    assert py == pytest.approx(y)
    assert np.abs([dx, dy]).max() == 0.0


def test_zoom_keeps_the_aim_in_place() -> None:
    sight = Sight(0.2, -0.1, 0.5, 1.5)
    path = planned(CameraMove.ZOOM_IN, sight, Intensity.EXTREME)
    px, py = view_at(path, 24, sight, 1.0).direction(np.array([0.2]), np.array([-0.1]))
    assert (px[0], py[0]) == pytest.approx((0.2, -0.1))


@pytest.mark.parametrize("move", [CameraMove.ORBIT_LEFT, CameraMove.ORBIT_RIGHT])
def test_an_orbit_holds_its_aim(move: CameraMove) -> None:
    sight = Sight(0.2, 0.0, 0.7, 1.5)
    path = planned(move, sight, Intensity.EXTREME)
    for frame in (0, 24):
        view = view_at(path, frame, sight, 1.0)
        px, py = view.direction(np.array([0.2]), np.array([0.0]))
        dx, _ = view.parallax(px, py)
        # Intensity scales the turn, which is only nearly linear: half a pixel at 768.
        assert px[0] + 0.7 * dx[0] == pytest.approx(0.2, abs=7e-4)


def test_enlargement_grows_with_zoom_and_margin() -> None:
    sight = Sight(0.0, 0.0, 0.7, 1.5)
    rest = CameraPath.at_rest(4)
    zoomed = planned(CameraMove.ZOOM_IN, sight, Intensity.MODERATE)
    assert closest(rest, 1.0) == 1.0
    assert closest(rest, 1.2) == pytest.approx(1.2)
    assert closest(zoomed, 1.2) > 1.4
