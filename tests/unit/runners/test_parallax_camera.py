from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from models.runners.parallax_camera import (
    DEFAULT_MOVE,
    PATHS,
    CameraPath,
    Sight,
    minimum_jerk,
    plan_path,
)
from models.types import CameraMove, Intensity

SIGHT = Sight(0.1, -0.05, 0.7, 1.5)


def planned(
    *moves: CameraMove,
    intensity: Intensity | None = None,
    seed: int = 1,
    num_frames: int = 72,
    fps: float = 24.0,
) -> CameraPath:
    path, _ = plan_path(moves, num_frames=num_frames, fps=fps, intensity=intensity, seed=seed, sight=SIGHT)
    return path


def moving(path: CameraPath) -> set[str]:
    return {f.name for f in fields(path) if np.ptp(getattr(path, f.name)) > 1e-12}


def test_every_move_of_the_vocabulary_has_a_path() -> None:
    assert set(PATHS) == set(CameraMove)


@pytest.mark.parametrize(
    ("move", "degrees_of_freedom"),
    [
        (CameraMove.STATIC, set()),
        (CameraMove.PUSH_IN, {"x", "y", "z"}),
        (CameraMove.PULL_OUT, {"x", "y", "z"}),
        (CameraMove.PAN_LEFT, {"pan"}),
        (CameraMove.PAN_RIGHT, {"pan"}),
        (CameraMove.TILT_UP, {"tilt"}),
        (CameraMove.TILT_DOWN, {"tilt"}),
        (CameraMove.TRUCK_LEFT, {"x"}),
        (CameraMove.TRUCK_RIGHT, {"x"}),
        (CameraMove.PEDESTAL_UP, {"y"}),
        (CameraMove.PEDESTAL_DOWN, {"y"}),
        (CameraMove.ZOOM_IN, {"zoom"}),
        (CameraMove.ZOOM_OUT, {"zoom"}),
        (CameraMove.ORBIT_LEFT, {"x", "pan"}),
        (CameraMove.ORBIT_RIGHT, {"x", "pan"}),
        (CameraMove.ROLL, {"roll"}),
        (CameraMove.SHAKE, {"x", "y", "pan", "tilt", "roll"}),
        (CameraMove.FOLLOW, {"x", "y", "z", "pan"}),
    ],
)
def test_a_move_uses_only_its_own_degrees_of_freedom(move: CameraMove, degrees_of_freedom: set[str]) -> None:
    assert moving(planned(move)) == degrees_of_freedom


@pytest.mark.parametrize("move", sorted(set(CameraMove) - {CameraMove.SHAKE, CameraMove.STATIC}))
def test_moves_start_and_end_at_rest(move: CameraMove) -> None:
    path = planned(move)
    for name in moving(path):
        speed = np.abs(np.diff(getattr(path, name)))
        assert speed[0] < 0.02 * speed.max()
        assert speed[-1] < 0.02 * speed.max()


def test_minimum_jerk_runs_from_rest_to_rest_through_the_middle() -> None:
    assert minimum_jerk(np.array([0.0, 0.5, 1.0])) == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("forth", "back"),
    [(CameraMove.PUSH_IN, CameraMove.PULL_OUT), (CameraMove.ZOOM_IN, CameraMove.ZOOM_OUT)],
)
def test_out_is_in_played_backwards(forth: CameraMove, back: CameraMove) -> None:
    one, other = planned(forth), planned(back)
    assert other.z == pytest.approx(one.z[::-1], abs=1e-9)
    assert other.zoom == pytest.approx(one.zoom[::-1], abs=1e-9)


def test_travel_grows_with_intensity_and_none_is_moderate() -> None:
    spans = [np.ptp(planned(CameraMove.TRUCK_LEFT, intensity=level).x) for level in Intensity]
    assert spans == sorted(spans)
    assert spans[0] < spans[-1] / 3
    assert np.ptp(planned(CameraMove.TRUCK_LEFT).x) == pytest.approx(spans[Intensity.MODERATE])


def test_several_moves_play_at_once() -> None:
    both = planned(CameraMove.PAN_LEFT, CameraMove.ZOOM_IN)
    assert both.pan == pytest.approx(planned(CameraMove.PAN_LEFT).pan)
    assert both.zoom == pytest.approx(planned(CameraMove.ZOOM_IN).zoom)


def test_a_repeated_move_counts_once() -> None:
    assert planned(CameraMove.ROLL, CameraMove.ROLL).roll == pytest.approx(planned(CameraMove.ROLL).roll)


def test_the_camera_never_passes_the_nearest_thing() -> None:
    path = planned(CameraMove.PUSH_IN, CameraMove.FOLLOW, intensity=Intensity.EXTREME, num_frames=240)
    assert path.z.max() <= 0.6


def test_shake_is_decided_by_the_seed_alone() -> None:
    first, again, other = (planned(CameraMove.SHAKE, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(first.pan, again.pan)
    assert not np.allclose(first.pan, other.pan)


@pytest.mark.parametrize("fps", [8.0, 24.0, 60.0])
def test_shake_stays_below_its_band(fps: float) -> None:
    path = planned(CameraMove.SHAKE, num_frames=int(fps * 20), fps=fps)
    power = np.abs(np.fft.rfft(path.pan * np.hanning(len(path.pan)))) ** 2
    frequency = np.fft.rfftfreq(len(path.pan), 1 / fps)
    top = min(6.0, fps / 3) * 1.1
    assert power[frequency > top + 0.2].sum() < 0.01 * power.sum()


def notes_of(*moves: CameraMove) -> tuple[str, ...]:
    return plan_path(moves, num_frames=24, fps=24, intensity=None, seed=0, sight=SIGHT)[1]


def test_without_a_move_a_gentle_push_in_is_chosen_and_said() -> None:
    path, notes = plan_path((), num_frames=72, fps=24, intensity=Intensity.EXTREME, seed=0, sight=SIGHT)
    assert path.z == pytest.approx(planned(DEFAULT_MOVE, intensity=Intensity.GENTLE).z)
    assert any("push_in" in note for note in notes)


def test_notes_tell_what_gives_way() -> None:
    assert "static was dropped" in notes_of(CameraMove.STATIC, CameraMove.ROLL)[0]
    assert "stands still" in notes_of(CameraMove.STATIC)[0]
    assert notes_of(CameraMove.PAN_LEFT, CameraMove.PAN_RIGHT) == (
        "pan_left and pan_right cancel each other",
    )
    assert planned(CameraMove.PAN_LEFT, CameraMove.PAN_RIGHT).still
    assert notes_of(CameraMove.ORBIT_LEFT) == ()


def test_a_single_frame_has_a_path() -> None:
    assert planned(CameraMove.ORBIT_LEFT, num_frames=1).num_frames == 1
