"""Geometry planning: lattices, limits, what gives way, and that nothing is stretched or clamped silently."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.card import Mode
from models.types import ClipPlan, ClipWish, Fit, Prefer, Size
from policies.geometry import Tolerance, plan_clip, plan_frames
from policies.lengths import longest

PHOTO = Size(1600, 1200)
ANY = Tolerance(min_resolution=1e-9, min_seconds=1e-9, min_fps=1e-9, min_aspect=1e-9)
LISTED = {"kind": "list", "sizes": [[1280, 720], [720, 1280], [832, 480], [960, 960]]}
SECONDS = {"kind": "seconds", "values": [5, 10]}


def planned(mode: Mode, photo: Size = PHOTO, **over: Any) -> ClipPlan:
    kwargs = {k: over.pop(k) for k in ("default_seconds", "whole", "tolerance") if k in over}
    plan = plan_clip(mode, photo, ClipWish(**over), **kwargs)
    assert isinstance(plan, ClipPlan), plan
    return plan


@pytest.mark.parametrize(
    ("photo", "asked", "size"),
    [
        (Size(1920, 1080), None, (832, 480)),
        (Size(1080, 1920), None, (480, 832)),
        (Size(1000, 1000), None, (624, 624)),
        (Size(4000, 500), None, (992, 400)),
        (Size(1600, 1200), Size(832, 480), (832, 480)),
        (Size(1600, 1200), Size(850, 470), (848, 464)),
        (Size(1600, 1200), Size(640, 480), (640, 480)),
        (Size(1600, 1200), Size(1280, 720), (832, 480)),
        (Size(1600, 1200), Size(320, 240), (368, 272)),
    ],
)
def test_size_on_the_lattice(build: Any, photo: Size, asked: Size | None, size: tuple[int, int]) -> None:
    plan = planned(build.mode(), photo, size=asked, tolerance=ANY)
    assert (plan.effective.width, plan.effective.height) == size
    assert bool(plan.gave_way) == (asked is not None and (asked.width, asked.height) != size)


@pytest.mark.parametrize(
    ("photo", "asked", "size"),
    [
        (Size(1000, 900), None, (960, 960)),
        (Size(1920, 1080), None, (1280, 720)),
        (Size(900, 1600), None, (720, 1280)),
        (PHOTO, Size(832, 480), (832, 480)),
        (PHOTO, Size(854, 480), (832, 480)),
        (PHOTO, Size(1920, 1080), (1280, 720)),
    ],
)
def test_listed_size_nearest_shape_then_area(
    build: Any, photo: Size, asked: Size | None, size: tuple[int, int]
) -> None:
    plan = planned(build.mode(sizes=LISTED), photo, size=asked)
    assert (plan.effective.width, plan.effective.height) == size


def test_odd_listed_size_is_delivered_even(build: Any) -> None:
    plan = planned(build.mode(sizes={"kind": "list", "sizes": [[853, 481]]}))
    assert (plan.native.width, plan.native.height) == (853, 481)
    assert (plan.effective.width, plan.effective.height) == (852, 480)


@pytest.mark.parametrize(
    ("over", "seconds", "native", "segments", "delivered"),
    [
        ({}, None, 81, 1, 81),
        ({}, 4, 65, 1, 64),
        ({}, 5, 81, 1, 80),
        ({}, 0.5, 17, 1, 8),
        ({"max_segments": 3}, 10, 81, 2, 160),
        ({"max_segments": 3}, 15, 81, 3, 240),
        ({"length": SECONDS, "fps": [24]}, None, 120, 1, 120),
        ({"length": SECONDS, "fps": [24]}, 3, 120, 1, 72),
        ({"length": SECONDS, "fps": [24]}, 7, 240, 1, 168),
        ({"length": {"kind": "range", "min": 2, "max": 8, "step": 0.5}, "fps": [24]}, 6.4, 156, 1, 154),
        ({"length": {"kind": "range", "min": 0.1, "max": 0.7, "step": 0.1}, "fps": [30]}, 0.7, 21, 1, 21),
    ],
)
def test_length(
    build: Any, over: dict[str, Any], seconds: float | None, native: int, segments: int, delivered: int
) -> None:
    plan = planned(build.mode(**over), seconds=seconds)
    assert (plan.native.num_frames, plan.segments, plan.effective.num_frames) == (native, segments, delivered)
    assert plan.gave_way == ()


def test_default_seconds_choose_the_nearest_native_length(build: Any) -> None:
    assert planned(build.mode(), default_seconds=4.0).native.num_frames == 65
    assert planned(build.mode(), default_seconds=60.0).native.num_frames == 81


@pytest.mark.parametrize(
    ("over", "asked", "factor", "native_fps"),
    [
        ({}, None, 1, 16),
        ({"fps": [24, 16]}, 16, 1, 16),
        ({"interpolate_to": 32}, 30, 2, 16),
        ({"interpolate_to": 64}, 60, 4, 16),
        ({"interpolate_to": 32}, 24, 2, 16),
        ({"interpolate_to": 32}, 18, 1, 16),
        ({"interpolate_to": 30}, 30, 1, 16),
        ({"fps": [24, 30], "interpolate_to": 60}, 60, 2, 30),
    ],
)
def test_frame_rate(
    build: Any, over: dict[str, Any], asked: float | None, factor: int, native_fps: float
) -> None:
    plan = planned(build.mode(**over), fps=asked, tolerance=ANY)
    assert (plan.interpolation, plan.native.fps) == (factor, native_fps)
    assert plan.effective.fps == factor * native_fps
    assert bool(plan.gave_way) == (asked is not None and asked != plan.effective.fps)


def test_prefer_decides_which_corner_gives_way(build: Any) -> None:
    mode = build.mode(fps=[24, 12])
    duration = planned(mode, seconds=6, prefer=Prefer.DURATION)
    assert (duration.effective.fps, duration.effective.seconds) == (12, 6)
    assert "12 fps" in duration.gave_way[0]
    fps = planned(mode, seconds=5, fps=24, prefer=Prefer.FPS)
    assert (fps.effective.fps, fps.effective.num_frames) == (24, 81)
    assert fps.gave_way == ("asked 5 s; 3.375 s is the longest this model makes (81 frames at 24 fps)",)


def test_holding_one_corner_does_not_throw_the_other_away(build: Any) -> None:
    # 6 fps would hold 7 s exactly, but is a quarter of the asked rate; 16 fps holds 72 % of the duration.
    plan = planned(build.mode(fps=[16, 6]), seconds=7, fps=24, prefer=Prefer.DURATION)
    assert plan.native.fps == 16


def test_gave_way_tells_figures(build: Any) -> None:
    plan = planned(build.mode(max_segments=2), seconds=15, size=Size(1280, 720), fps=24)
    assert plan.gave_way == (
        "asked 1280x720; 832x480 is the nearest within this model's 0.40 megapixels",
        "asked 15 s; 10.06 s is the longest this model chains (2 x 81 frames at 16 fps)",
        "asked 24 fps; 16 fps is the nearest this model makes",
    )


@pytest.mark.parametrize(
    ("over", "wish", "told"),
    [
        ({}, {"size": Size(3840, 2160)}, "22% of the asked linear resolution, below 60%"),
        ({}, {"seconds": 15}, "34% of the asked duration, below 60%"),
        ({}, {"fps": 60}, "27% of the asked frame rate, below 60%"),
        (
            {"sizes": {"kind": "list", "sizes": [[1280, 720]]}},
            {"size": Size(720, 1280)},
            "another shape than asked",
        ),
        (
            {
                "sizes": {
                    "kind": "area",
                    "pixels": 300,
                    "min_pixels": 290,
                    "multiple": 16,
                    "aspect_min": 1.1,
                    "aspect_max": 1.2,
                }
            },
            {},
            "no frame size of this model has a shape near 1.33:1",
        ),
    ],
)
def test_too_far_is_a_reason(build: Any, over: dict[str, Any], wish: dict[str, Any], told: str) -> None:
    reason = plan_clip(build.mode(**over), PHOTO, ClipWish(**wish))
    assert isinstance(reason, str)
    assert told in reason


def test_tolerance_is_the_boundary(build: Any) -> None:
    wish = ClipWish(seconds=81 / 16 / 0.6)
    assert isinstance(plan_clip(build.mode(), PHOTO, wish), ClipPlan)
    assert isinstance(plan_clip(build.mode(), PHOTO, wish, Tolerance(min_seconds=0.61)), str)


def test_last_image_is_never_cut_off(build: Any) -> None:
    plan = planned(build.mode(max_segments=3), seconds=4.5, whole=True)
    assert (plan.segments, plan.native.num_frames, plan.effective.num_frames) == (1, 73, 73)
    assert "ends on the last image" in plan.gave_way[0]


@pytest.mark.parametrize(
    ("photo", "fit", "kept", "filled"),
    [
        (Size(1664, 960), Fit.EXACT, 1.0, 1.0),
        (Size(1920, 1080), Fit.CROP, 0.975, 1.0),
        (Size(1600, 1600), Fit.PAD, 1.0, 0.577),
    ],
)
def test_framing(build: Any, photo: Size, fit: Fit, kept: float, filled: float) -> None:
    framing = planned(build.mode(), photo, size=Size(832, 480)).framing
    assert framing.fit is fit
    assert framing.kept == pytest.approx(kept, abs=0.001)
    assert framing.filled == pytest.approx(filled, abs=0.001)


def test_crop_threshold_is_a_parameter(build: Any) -> None:
    plan = planned(
        build.mode(), Size(1600, 1600), size=Size(832, 480), tolerance=Tolerance(crop_at_least=0.5)
    )
    assert plan.framing.fit is Fit.CROP
    assert plan.framing.kept == pytest.approx(480 / 832)


# --- properties -----------------------------------------------------------------------------------

sides = st.integers(16, 6000)
sizes = st.builds(Size, sides, sides)
areas = st.builds(
    lambda most, share, multiple: {
        "kind": "area",
        "pixels": most,
        "min_pixels": max(1, int(most * share)),
        "multiple": multiple,
    },
    st.integers(100_000, 4_000_000),
    st.floats(0.05, 0.5),
    st.sampled_from([1, 2, 3, 8, 16, 32, 64]),
)
listed = st.lists(st.tuples(st.integers(64, 2000), st.integers(64, 2000)), min_size=1, max_size=5).map(
    lambda pairs: {"kind": "list", "sizes": pairs}
)
lattices = st.builds(
    lambda step, first, more: {
        "kind": "lattice",
        "step": step,
        "offset": 1,
        "min": first * step + 1,
        "max": (first + more) * step + 1,
    },
    st.sampled_from([1, 4, 8]),
    st.integers(1, 10),
    st.integers(0, 30),
)
spans = st.builds(
    lambda least, more, step: {"kind": "range", "min": least, "max": least + more, "step": step},
    st.floats(0.5, 5),
    st.floats(0, 10),
    st.floats(0.1, 3),
)
choices = st.lists(st.floats(1, 20), min_size=1, max_size=4).map(lambda v: {"kind": "seconds", "values": v})
modes = st.builds(
    lambda size, length, fps, segments, up: Mode.model_validate(
        {
            "name": "any",
            "sizes": size,
            "length": length,
            "fps": fps,
            "max_segments": segments,
            "interpolate_to": max(fps) * up if up else None,
            "source": "made up for a test",
            "checked_at": "2026-11-21",
        }
    ),
    st.one_of(areas, listed),
    st.one_of(lattices, spans, choices),
    st.lists(st.sampled_from([7, 12, 16, 23.976, 24, 25, 30]), min_size=1, max_size=3, unique=True),
    st.integers(1, 4),
    st.sampled_from([None, 1, 2, 4]),
)
wishes = st.builds(
    ClipWish,
    size=st.none() | sizes,
    seconds=st.none() | st.floats(0.2, 60),
    fps=st.none() | st.sampled_from([8, 12, 16, 24, 30, 48, 60]),
    prefer=st.sampled_from(list(Prefer)),
)


def on_lattice(mode: Mode, frames: int, fps: float) -> bool:
    length = mode.length
    if length.kind == "lattice":
        return length.min <= frames <= length.max and (frames - length.offset) % length.step == 0
    if length.kind == "seconds":
        return any(frames == max(1, round(v * fps)) for v in length.values)
    count = int((length.max - length.min) / length.step + 1e-9)
    return any(frames == max(1, round((length.min + i * length.step) * fps)) for i in range(count + 1))


@settings(max_examples=300, deadline=None)
@given(modes, sizes, wishes, st.booleans())
def test_every_plan_obeys_the_mode(mode: Mode, photo: Size, wish: ClipWish, whole: bool) -> None:
    plan = plan_clip(mode, photo, wish, ANY, whole=whole)
    if isinstance(plan, str):
        assert "no frame size" in plan
        return
    native, clip = plan.native, plan.effective
    if mode.sizes.kind == "list":
        assert (native.width, native.height) in mode.sizes.sizes
    else:
        assert native.width % mode.sizes.multiple == 0
        assert native.height % mode.sizes.multiple == 0
        assert mode.sizes.min_pixels <= native.width * native.height <= mode.sizes.pixels
        assert mode.sizes.aspect_min <= native.width / native.height <= mode.sizes.aspect_max
    assert clip.width in (native.width, native.width - 1)
    assert clip.height in (native.height, native.height - 1)
    assert clip.width % 2 == 0
    assert clip.height % 2 == 0

    assert native.fps in mode.fps
    assert on_lattice(mode, native.num_frames, native.fps)
    assert native.num_frames <= longest(mode.length, native.fps)
    assert 1 <= plan.segments <= (1 if whole else mode.max_segments)
    assert clip.fps == native.fps * plan.interpolation
    if plan.interpolation > 1:
        assert clip.fps <= (mode.interpolate_to or 0) + 1e-6
    made = plan.segments * (native.num_frames - 1) * plan.interpolation + 1
    assert plan_frames(plan) == made
    assert 1 <= clip.num_frames <= made
    if whole or wish.seconds is None:
        assert clip.num_frames == made

    framing = plan.framing
    assert 0 < framing.kept <= 1
    assert 0 < framing.filled <= 1
    share = min(photo.aspect / native.size.aspect, native.size.aspect / photo.aspect)
    if framing.fit is Fit.EXACT:
        # Covering the frame without a stretch overhangs by less than half a pixel.
        scale = max(native.width / photo.width, native.height / photo.height)
        assert photo.width * scale - native.width < 0.5 + 1e-6
        assert photo.height * scale - native.height < 0.5 + 1e-6
    else:
        assert min(framing.kept, framing.filled) == pytest.approx(share)
        assert max(framing.kept, framing.filled) == 1.0


@settings(max_examples=300, deadline=None)
@given(modes, sizes, wishes)
def test_planning_the_effective_geometry_yields_itself(mode: Mode, photo: Size, wish: ClipWish) -> None:
    plan = plan_clip(mode, photo, wish, ANY)
    if isinstance(plan, str):
        return
    clip = plan.effective
    again = plan_clip(mode, photo, ClipWish(clip.size, clip.seconds, clip.fps, wish.prefer), Tolerance())
    assert isinstance(again, ClipPlan), again
    assert again.effective == clip
    assert again.gave_way == ()


@settings(max_examples=200, deadline=None)
@given(modes, sizes, wishes)
def test_what_differs_from_the_wish_is_told(mode: Mode, photo: Size, wish: ClipWish) -> None:
    plan = plan_clip(mode, photo, wish, ANY)
    if isinstance(plan, str):
        return
    clip, told = plan.effective, " ".join(plan.gave_way)
    if wish.size is not None and clip.size != wish.size:
        assert str(wish.size) in told
        assert str(clip.size) in told
    if (
        wish.seconds is not None
        and abs(clip.seconds - wish.seconds) > 0.5 / clip.fps + 1e-9
        and clip.num_frames > 1
    ):
        assert f"asked {wish.seconds:.4g} s" in told
    if wish.fps is not None and clip.fps != wish.fps:
        assert f"asked {wish.fps:.4g} fps" in told


@settings(max_examples=200, deadline=None)
@given(modes, sizes, wishes)
def test_default_tolerance_holds(mode: Mode, photo: Size, wish: ClipWish) -> None:
    plan = plan_clip(mode, photo, wish)
    if isinstance(plan, str):
        return
    clip = plan.effective
    if wish.size is not None:
        assert sqrt(clip.size.pixels / wish.size.pixels) >= 0.6
    if wish.seconds is not None:
        assert clip.seconds >= 0.6 * wish.seconds
    if wish.fps is not None:
        assert clip.fps >= 0.6 * wish.fps
