"""The camera: where it is and looks at each frame, one path per move, and what that does to a pixel.

Coordinates are shares of the frame's *width* from its middle, x right and y down. Nearness `n` is inverse
depth scaled so that the nearest thing has 1: a camera that trucks by 0.1 shifts it by a tenth of the width
and the backdrop by `0.1 n`. Names follow film usage: the camera moves, the picture goes the other way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from models.types import CameraMove, Intensity

Array = NDArray[np.float64]

FOCAL = 1.07
"""Focal length in longest sides: a view of 50 degrees, between a 35 mm and a 50 mm lens on full frame."""

DEFAULT_MOVE = CameraMove.PUSH_IN
"""What is played when no move is asked: the quietest one that shows depth."""

STRENGTH = {
    Intensity.SUBTLE: 0.4,
    Intensity.GENTLE: 0.7,
    Intensity.MODERATE: 1.0,
    Intensity.DYNAMIC: 1.4,
    Intensity.EXTREME: 1.9,
}
"""Multiple of the moderate travel below; chosen by eye, 1.9 being about where coarse depth starts to show."""

# Moderate travel of a three-second move, start to end.
TRUCK = 0.13
PEDESTAL = 0.09
PUSH = 0.26
PAN = math.radians(6.0)
TILT = math.radians(4.0)
ZOOM = math.log(1.25)
ORBIT = 0.16
ROLL = math.radians(7.0)
SHAKE_ANGLE = math.radians(0.45)
SHAKE_SHIFT = 0.012

OPPOSITES = (
    (CameraMove.PUSH_IN, CameraMove.PULL_OUT),
    (CameraMove.PAN_LEFT, CameraMove.PAN_RIGHT),
    (CameraMove.TILT_UP, CameraMove.TILT_DOWN),
    (CameraMove.TRUCK_LEFT, CameraMove.TRUCK_RIGHT),
    (CameraMove.PEDESTAL_UP, CameraMove.PEDESTAL_DOWN),
    (CameraMove.ZOOM_IN, CameraMove.ZOOM_OUT),
    (CameraMove.ORBIT_LEFT, CameraMove.ORBIT_RIGHT),
)


@dataclass(frozen=True, slots=True)
class Sight:
    """What the camera looks at, and through which frame."""

    x: float
    y: float
    """The aim, in frame coordinates (shares of the width from the middle)."""
    nearness: float
    """Of the aim."""
    aspect: float
    """Width over height of the frame."""

    @property
    def focal(self) -> float:
        """Focal length in frame widths."""
        return FOCAL * max(1.0, 1.0 / self.aspect)


@dataclass(frozen=True, slots=True)
class CameraPath:
    """The pose at every frame; each field is an array of `num_frames`, all zero for a camera at rest."""

    x: Array
    """Position to the right, in frame widths of shift at nearness 1."""
    y: Array
    """Position downwards, likewise."""
    z: Array
    """Position forwards, as share of the distance to nearness 1; below 1."""
    pan: Array
    """Turn to the right, radians."""
    tilt: Array
    """Turn downwards, radians."""
    roll: Array
    """Turn of the camera clockwise, radians: the picture turns counter-clockwise."""
    zoom: Array
    """Natural logarithm of the focal ratio."""

    @classmethod
    def at_rest(cls, num_frames: int) -> CameraPath:
        """A camera that does nothing."""
        return cls(*(np.zeros(num_frames) for _ in fields(cls)))

    @property
    def num_frames(self) -> int:
        """How many poses."""
        return len(self.x)

    @property
    def still(self) -> bool:
        """True when all poses are equal."""
        return all(float(np.ptp(getattr(self, f.name))) == 0.0 for f in fields(self))

    def scaled(self, factor: float) -> CameraPath:
        """The same path with every travel multiplied."""
        return CameraPath(*(getattr(self, f.name) * factor for f in fields(self)))

    def plus(self, other: CameraPath) -> CameraPath:
        """Both at once: travels add, focal ratios multiply."""
        return CameraPath(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Shot:
    """What a move's path may depend on."""

    progress: Array
    """Eased time of each frame, from 0 to 1."""
    seconds: Array
    """Time of each frame, in seconds."""
    sight: Sight
    fps: float
    seed: int

    @property
    def rest(self) -> CameraPath:
        """The camera that does nothing, to set travels on."""
        return CameraPath.at_rest(len(self.progress))


def minimum_jerk(time: Array) -> Array:
    """Ease in and out: 10 t^3 - 15 t^4 + 6 t^5, at rest at both ends.

    The smoothest way from one rest to another (Flash and Hogan, J. Neuroscience 5(7), 1985).
    """
    return time**3 * (10.0 + time * (-15.0 + 6.0 * time))


def plan_path(
    moves: Sequence[CameraMove],
    *,
    num_frames: int,
    fps: float,
    intensity: Intensity | None,
    seed: int,
    sight: Sight,
) -> tuple[CameraPath, tuple[str, ...]]:
    """The path of all moves played at once, and notes on what was chosen or gave way.

    Args:
        moves: The asked moves; none means `DEFAULT_MOVE`.
        num_frames: Frames of the clip.
        fps: Frames per second.
        intensity: How far the camera travels; None is moderate.
        seed: Decides the shake; nothing else is random.
        sight: What orbit, follow, push and zoom are about.
    """
    notes: list[str] = []
    played = list(dict.fromkeys(moves))
    if not played:
        played = [DEFAULT_MOVE]
        notes.append(f"no camera move was asked: a gentle {DEFAULT_MOVE.value} was chosen")
        intensity = min(intensity, Intensity.GENTLE) if intensity is not None else Intensity.GENTLE
    if CameraMove.STATIC in played:
        if len(played) == 1:
            notes.append("static: the camera rests, so the photograph stands still (nothing is generated)")
        else:
            played.remove(CameraMove.STATIC)
            notes.append("static was dropped: other moves were asked with it")
    notes.extend(
        f"{one.value} and {other.value} cancel each other"
        for one, other in OPPOSITES
        if one in played and other in played
    )
    time = np.linspace(0.0, 1.0, num_frames) if num_frames > 1 else np.zeros(1)
    length = num_frames / fps
    shot = Shot(minimum_jerk(time), np.arange(num_frames) / fps, sight, fps, seed)
    # A short clip travels less and a long one more, so that speed changes only with the root of length.
    pace = float(np.clip(math.sqrt(length / 3.0), 0.5, 1.5))
    strength = STRENGTH[intensity if intensity is not None else Intensity.MODERATE] * pace
    path = CameraPath.at_rest(num_frames)
    for move in played:
        path = path.plus(PATHS[move](shot).scaled(strength))
    # Never through the nearest thing: at 0.6 it has grown 2.5-fold.
    return replace(path, z=np.minimum(path.z, 0.6)), tuple(notes)


def _centred(shot: Shot) -> Array:
    """From -1/2 to 1/2: the photograph's own view is half way, so each side uncovers half as much."""
    return shot.progress - 0.5


def _sweep(
    *, x: float = 0.0, y: float = 0.0, pan: float = 0.0, tilt: float = 0.0, roll: float = 0.0
) -> Callable[[Shot], CameraPath]:
    """A move that passes through the photograph's own view half way."""

    def path(shot: Shot) -> CameraPath:
        c = _centred(shot)
        return CameraPath(
            x=c * x, y=c * y, z=c * 0.0, pan=c * pan, tilt=c * tilt, roll=c * roll, zoom=c * 0.0
        )

    return path


def _along_aim(shot: Shot, z: Array) -> CameraPath:
    """Travel on the line to the aim, which therefore keeps its place in the frame."""
    return replace(shot.rest, x=z * shot.sight.x, y=z * shot.sight.y, z=z)


def _push(sign: int) -> Callable[[Shot], CameraPath]:
    def path(shot: Shot) -> CameraPath:
        # A pull-out is a push-in played backwards: it starts close and ends at the photograph.
        return _along_aim(shot, PUSH * (shot.progress if sign > 0 else 1.0 - shot.progress))

    return path


def _zoom(sign: int) -> Callable[[Shot], CameraPath]:
    def path(shot: Shot) -> CameraPath:
        return replace(shot.rest, zoom=ZOOM * (shot.progress if sign > 0 else 1.0 - shot.progress))

    return path


def _orbit(sign: int) -> Callable[[Shot], CameraPath]:
    def path(shot: Shot) -> CameraPath:
        x = sign * ORBIT * _centred(shot)
        return replace(shot.rest, x=x, pan=_holding(x, shot.sight))

    return path


def _holding(x: Array, sight: Sight) -> Array:
    """The turn that keeps the aim in place while the camera moves sideways by `x`."""
    before = math.atan2(sight.x, sight.focal)
    return np.arctan2(sight.x - x * sight.nearness, sight.focal) - before


def _follow(shot: Shot) -> CameraPath:
    """A slow push while drifting towards the subject's side, turning to hold it: walking beside it."""
    side = -1.0 if shot.sight.x < 0 else 1.0
    x = side * 0.55 * TRUCK * _centred(shot)
    push = _along_aim(shot, 0.55 * PUSH * shot.progress)
    return push.plus(replace(shot.rest, x=x, pan=0.85 * _holding(x, shot.sight)))


def _shake(shot: Shot) -> CameraPath:
    """A hand-held camera: band-limited noise in angle and place, the same for the same seed.

    Tremor and sway of a held camera lie between about 0.7 and 6 Hz; nothing above a third of the frame
    rate, where it would only flicker.
    """
    random = np.random.default_rng(shot.seed)
    top = min(6.0, shot.fps / 3.0)
    frequencies = np.geomspace(min(0.7, top / 2.0), top, 7)

    def noise(amplitude: float) -> Array:
        weights = frequencies**-0.8
        weights /= math.sqrt(float((weights**2).sum()) / 2.0)
        jitter = random.uniform(0.9, 1.1, 7)
        phases = random.uniform(0.0, 2.0 * math.pi, 7)
        turns = 2.0 * math.pi * shot.seconds[:, None] * (frequencies * jitter)[None, :] + phases
        return np.asarray(amplitude * (np.sin(turns) * weights).sum(axis=1), np.float64)

    return replace(
        shot.rest,
        pan=noise(SHAKE_ANGLE),
        tilt=noise(SHAKE_ANGLE),
        roll=noise(SHAKE_ANGLE * 0.8),
        x=noise(SHAKE_SHIFT),
        y=noise(SHAKE_SHIFT),
    )


PATHS: dict[CameraMove, Callable[[Shot], CameraPath]] = {
    CameraMove.STATIC: _sweep(),
    CameraMove.PUSH_IN: _push(+1),
    CameraMove.PULL_OUT: _push(-1),
    CameraMove.PAN_LEFT: _sweep(pan=-PAN),
    CameraMove.PAN_RIGHT: _sweep(pan=PAN),
    CameraMove.TILT_UP: _sweep(tilt=-TILT),
    CameraMove.TILT_DOWN: _sweep(tilt=TILT),
    CameraMove.TRUCK_LEFT: _sweep(x=-TRUCK),
    CameraMove.TRUCK_RIGHT: _sweep(x=TRUCK),
    CameraMove.PEDESTAL_UP: _sweep(y=-PEDESTAL),
    CameraMove.PEDESTAL_DOWN: _sweep(y=PEDESTAL),
    CameraMove.ZOOM_IN: _zoom(+1),
    CameraMove.ZOOM_OUT: _zoom(-1),
    CameraMove.ORBIT_LEFT: _orbit(-1),
    CameraMove.ORBIT_RIGHT: _orbit(+1),
    CameraMove.ROLL: _sweep(roll=ROLL),
    CameraMove.SHAKE: _shake,
    CameraMove.FOLLOW: _follow,
}
"""The pose path of every move at moderate intensity, from rest."""
