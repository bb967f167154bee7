"""Geometry planning: from the asked clip to the nearest one that a mode can really make.

Nothing is clamped silently: what differs from the wish is told in `ClipPlan.gave_way`, and a clip that
would be too far from the wish (`Tolerance`) is no plan but a reason. The GPU count plays no part here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from models.limits import StretchedMode
from models.types import ClipPlan, Geometry, Size
from policies.lengths import Length, made_frames, nearest_length
from policies.sizes import even, framing, nearest_size, overlap

if TYPE_CHECKING:
    from models.card import Mode
    from models.types import ClipWish, Framing


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far from the wish a clip may be and still be an answer. Shares of what was asked, 0-1.

    Attributes:
        min_resolution: Linear resolution (square root of the area).
        min_seconds: Duration.
        min_fps: Frame rate.
        min_aspect: Overlap of an asked size's aspect with the delivered one.
        crop_at_least: A photograph is cropped when this share of it stays visible, else padded.
    """

    min_resolution: float = 0.6
    min_seconds: float = 0.6
    min_fps: float = 0.6
    min_aspect: float = 0.75
    crop_at_least: float = 0.8


DEFAULT_SECONDS = 5.0
"""Duration when none is asked: the native length of most models (81 frames at 16 fps, 121 at 24)."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """The part of a plan that the photograph has no say in.

    Attributes:
        length: Frames, segments, interpolation.
        far: Why it is too far from the wish; None when it is near.
        told: What gave way.
    """

    length: Length
    far: str | None
    told: tuple[str, ...]


def plan_clip(
    mode: Mode,
    photo: Size,
    wish: ClipWish,
    tolerance: Tolerance = Tolerance(),
    *,
    default_seconds: float = DEFAULT_SECONDS,
    whole: bool = False,
) -> ClipPlan | str:
    """The nearest clip that `mode` makes of this photograph, or the reason why none is near.

    Planning the effective geometry again yields the same effective geometry.

    Args:
        mode: Joint limits of one offer.
        photo: Size of the upright photograph; only its aspect has a say.
        wish: What was asked; fields that are None are chosen.
        tolerance: What counts as near.
        default_seconds: Duration when none is asked.
        whole: The end of the clip must be shown (a last image was given).
    """
    size = nearest_size(mode.sizes, photo, wish.size)
    if size is None:
        return no_size(mode, photo, wish)
    lasting = plan_length(mode, wish, tolerance, default_seconds=default_seconds, whole=whole)
    return plan_made(mode, wish, tolerance, size, lasting, framing(photo, size, tolerance.crop_at_least))


def plan_length(
    mode: Mode, wish: ClipWish, tolerance: Tolerance, *, default_seconds: float, whole: bool
) -> Lasting:
    """The nearest length, and how it differs from the wish."""
    length = nearest_length(
        mode,
        wish.seconds,
        wish.fps,
        wish.prefer,
        default_seconds=default_seconds,
        whole=whole,
        min_seconds=tolerance.min_seconds,
        min_fps=tolerance.min_fps,
    )
    far = _too_short(wish, length, tolerance)
    if isinstance(mode, StretchedMode) and not _needs_stretch(mode, wish, length):
        far = f"{mode.trained_frames} frames, which the model was trained on, are enough"
    elif length.segments < mode.min_segments:
        far = "one segment is enough, and this mode only chains them"
    return Lasting(length, far, _length_told(mode, wish, length, whole=whole))


def _needs_stretch(mode: StretchedMode, wish: ClipWish, length: Length) -> bool:
    """True when the clip is asked longer than the longest that the model was trained on."""
    trained = made_frames(mode.trained_frames, 1, length.interpolation)
    return wish.seconds is not None and round(wish.seconds * length.fps) > trained


def plan_made(
    mode: Mode, wish: ClipWish, tolerance: Tolerance, size: Size, lasting: Lasting, laid: Framing
) -> ClipPlan | str:
    """The plan of a frame size and a length, or the reason why they are too far from the wish."""
    cut = even(size)
    told = lasting.told
    if wish.size is not None and wish.size != cut:
        words = _size_words(mode, wish.size, cut)
        far = _too_small(wish.size, cut, tolerance)
        if far is not None:
            return f"{words}: {far}"
        told = (words, *told)
    if lasting.far is not None:
        return lasting.far
    length = lasting.length
    beyond = 0
    if isinstance(mode, StretchedMode):
        beyond = length.native - mode.trained_frames
    native = Geometry(size.width, size.height, length.native, length.native_fps)
    whole = cut is size and length.frames == length.native and length.interpolation == 1
    return ClipPlan(
        effective=native if whole else Geometry(cut.width, cut.height, length.frames, length.fps),
        native=native,
        framing=laid,
        segments=length.segments,
        interpolation=length.interpolation,
        gave_way=told,
        overlap=length.overlap,
        beyond=beyond,
    )


def plan_frames(plan: ClipPlan) -> int:
    """Frames that exist before the plan's final cut."""
    return made_frames(plan.native.num_frames, plan.segments, plan.interpolation, plan.overlap)


def reframed(plan: ClipPlan, laid: Framing) -> ClipPlan:
    """The same clip of a photograph of another shape."""
    return ClipPlan(
        plan.effective,
        plan.native,
        laid,
        plan.segments,
        plan.interpolation,
        plan.gave_way,
        plan.overlap,
        plan.beyond,
    )


def no_size(mode: Mode, photo: Size, wish: ClipWish) -> str:
    """Why there is no plan when the mode has no frame size near the shape."""
    shape = wish.size.aspect if wish.size else photo.aspect
    return f"no frame size of this model has a shape near {shape:.2f}:1 (it makes {sizes_text(mode)})"


def sizes_text(mode: Mode) -> str:
    """The sizes of a mode in words."""
    if mode.sizes.kind == "list":
        return ", ".join(f"{w}x{h}" for w, h in mode.sizes.sizes)
    return f"up to {mode.sizes.pixels / 1e6:.2f} megapixels in steps of {mode.sizes.multiple}"


def _too_small(asked: Size, size: Size, tolerance: Tolerance) -> str | None:
    if overlap(asked.aspect, size.aspect) < tolerance.min_aspect:
        return "another shape than asked"
    share = sqrt(size.pixels / asked.pixels)
    if share < tolerance.min_resolution:
        return f"{share:.0%} of the asked linear resolution, below {tolerance.min_resolution:.0%}"
    return None


def _too_short(wish: ClipWish, length: Length, tolerance: Tolerance) -> str | None:
    if wish.seconds is not None and length.seconds < tolerance.min_seconds * wish.seconds:
        return (
            f"{_seconds_words(wish.seconds, length)}: {length.seconds / wish.seconds:.0%} of the asked "
            f"duration, below {tolerance.min_seconds:.0%}"
        )
    if wish.fps is not None and length.fps < tolerance.min_fps * wish.fps:
        return (
            f"{_fps_words(wish.fps, length)}: {length.fps / wish.fps:.0%} of the asked frame rate, "
            f"below {tolerance.min_fps:.0%}"
        )
    return None


def _length_told(mode: Mode, wish: ClipWish, length: Length, *, whole: bool) -> tuple[str, ...]:
    told = []
    if wish.seconds is not None and length.frames != max(1, round(wish.seconds * length.fps)):
        if whole:
            told.append(
                f"asked {wish.seconds:.4g} s; {length.seconds:.4g} s is the nearest length that ends on the "
                "last image"
            )
        else:
            told.append(_seconds_words(wish.seconds, length))
    if wish.fps is not None and wish.fps != length.fps:
        told.append(_fps_words(wish.fps, length))
    elif wish.fps is None and length.native_fps != mode.rates[0]:
        told.append(
            f"{length.native_fps:.4g} fps instead of its own {mode.rates[0]:.4g} fps holds the duration"
        )
    return tuple(told)


def _size_words(mode: Mode, asked: Size, size: Size) -> str:
    if mode.sizes.kind == "list":
        return f"asked {asked}; {size} is the nearest size this model makes"
    if asked.pixels > mode.sizes.pixels:
        limit = f"{mode.sizes.pixels / 1e6:.2f} megapixels"
        return f"asked {asked}; {size} is the nearest within this model's {limit}"
    if asked.pixels < mode.sizes.min_pixels:
        limit = f"{mode.sizes.min_pixels / 1e6:.2f} megapixels"
        return f"asked {asked}; {size} is the nearest above this model's least {limit}"
    return f"asked {asked}; {size} is the nearest in this model's steps of {mode.sizes.multiple} pixels"


def _seconds_words(asked: float, length: Length) -> str:
    start = f"asked {asked:.4g} s; {length.seconds:.4g} s is the longest"
    frames = f"{length.native} frames at {length.native_fps:.4g} fps"
    if length.segments > 1:
        return f"{start} this model chains ({length.segments} x {frames})"
    return f"{start} this model makes ({frames})"


def _fps_words(asked: float, length: Length) -> str:
    if length.interpolation > 1:
        how = f"{length.native_fps:.4g} fps with {length.interpolation - 1} in-between frame(s) per gap"
        return f"asked {asked:.4g} fps; {length.fps:.4g} fps is the nearest ({how})"
    return f"asked {asked:.4g} fps; {length.fps:.4g} fps is the nearest this model makes"
