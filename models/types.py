"""Value types shared by every layer: plain frozen data, no torch, no HTTP, no database.

Sizes are pixels, times are seconds, money is USD, unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class TaskType(StrEnum):
    """What is given beside the photograph decides the task."""

    I2V = "i2v"
    TI2V = "ti2v"
    FLF2V = "flf2v"
    ANIMATE = "animate"
    A2V = "a2v"


class CameraMove(StrEnum):
    """The camera vocabulary of the CLI and the API."""

    STATIC = "static"
    PUSH_IN = "push_in"
    PULL_OUT = "pull_out"
    PAN_LEFT = "pan_left"
    PAN_RIGHT = "pan_right"
    TILT_UP = "tilt_up"
    TILT_DOWN = "tilt_down"
    TRUCK_LEFT = "truck_left"
    TRUCK_RIGHT = "truck_right"
    PEDESTAL_UP = "pedestal_up"
    PEDESTAL_DOWN = "pedestal_down"
    ZOOM_IN = "zoom_in"
    ZOOM_OUT = "zoom_out"
    ORBIT_LEFT = "orbit_left"
    ORBIT_RIGHT = "orbit_right"
    ROLL = "roll"
    SHAKE = "shake"
    FOLLOW = "follow"


OPPOSED = tuple(
    frozenset(pair)
    for pair in (
        (CameraMove.PUSH_IN, CameraMove.PULL_OUT),
        (CameraMove.ZOOM_IN, CameraMove.ZOOM_OUT),
        (CameraMove.PAN_LEFT, CameraMove.PAN_RIGHT),
        (CameraMove.TILT_UP, CameraMove.TILT_DOWN),
        (CameraMove.TRUCK_LEFT, CameraMove.TRUCK_RIGHT),
        (CameraMove.PEDESTAL_UP, CameraMove.PEDESTAL_DOWN),
        (CameraMove.ORBIT_LEFT, CameraMove.ORBIT_RIGHT),
    )
)
"""Pairs of moves of which each undoes the other."""


class Intensity(IntEnum):
    """How much moves; the five words of the API in order."""

    SUBTLE = 0
    GENTLE = 1
    MODERATE = 2
    DYNAMIC = 3
    EXTREME = 4


class Objective(StrEnum):
    """What the client values; each names the profile that decides."""

    QUALITY = "quality"
    BALANCED = "balanced"
    SPEED = "speed"
    COST = "cost"
    PREVIEW = "preview"


class Priority(StrEnum):
    """Order bands; inside a band the deadline decides."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Residency(StrEnum):
    """Where the photograph may go."""

    ANY = "any"
    SELF_HOSTED = "self-hosted"


class Prefer(StrEnum):
    """Which corner of the resolution-fps-duration triangle is held when not all fit."""

    RESOLUTION = "resolution"
    FPS = "fps"
    DURATION = "duration"


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Area in pixels."""
        return self.width * self.height

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read `WxH`; raises `ValueError` when it is anything else."""
        width, sep, height = text.lower().partition("x")
        if not sep or not width.isdigit() or not height.isdigit():
            raise ValueError(f"size must be WIDTHxHEIGHT in pixels, such as 832x480; got {text!r}")
        if int(width) == 0 or int(height) == 0:
            raise ValueError(f"size must be positive in both directions; got {text!r}")
        return cls(int(width), int(height))


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape of a clip as it is delivered (or generated)."""

    width: int
    height: int
    num_frames: int
    fps: float

    @property
    def seconds(self) -> float:
        """Playing time: every frame is shown for 1/fps."""
        return self.num_frames / self.fps

    @property
    def size(self) -> Size:
        """The frame size."""
        return Size(self.width, self.height)


class Fit(StrEnum):
    """How the photograph meets the frame; never a stretch."""

    EXACT = "exact"
    CROP = "crop"
    PAD = "pad"


@dataclass(frozen=True, slots=True)
class Framing:
    """How the photograph is fitted and what that costs.

    `kept` is the share of the photograph that stays visible; `filled` the share of the frame that it
    covers (below 1 when padded).
    """

    fit: Fit
    kept: float
    filled: float


@dataclass(frozen=True, slots=True)
class CameraWish:
    """One asked camera move; `required` means a model without a real camera interface is no answer."""

    move: CameraMove
    required: bool = False


@dataclass(frozen=True, slots=True)
class ClipWish:
    """The clip as asked; `None` means the router chooses."""

    size: Size | None = None
    seconds: float | None = None
    fps: float | None = None
    prefer: Prefer = Prefer.DURATION


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """How an offer makes the clip: what it generates and what is done to reach the asked shape.

    `native` is one generated segment; `segments` of them are chained (neighbours share `overlap` frames, so
    the total is `segments * (native.num_frames - overlap) + overlap`), each frame gap is filled by
    `interpolation - 1` in-between frames, and the result is cut to `effective`. `gave_way` says in words
    what differs from the wish. `beyond` is how many frames of the one shot are more than the model was
    trained on.
    """

    effective: Geometry
    native: Geometry
    framing: Framing
    segments: int = 1
    interpolation: int = 1
    gave_way: tuple[str, ...] = ()
    overlap: int = 1
    beyond: int = 0

    @property
    def native_frames(self) -> int:
        """Frames that the model makes, before any in-between frames and the cut."""
        return self.segments * (self.native.num_frames - self.overlap) + self.overlap
