"""Joins: exact totals, every picture once, and jumps that are noticed."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import RunnerError
from models.runners.joins import (
    JUMP_FACTOR,
    NEIGHBOURS,
    Join,
    ahead,
    measured,
    notes_of,
    own_frames,
)


def ramp(start: float, count: int, *, step: float = 2.0) -> list[np.ndarray]:
    """Pictures that get lighter evenly."""
    return [np.full((48, 64, 3), start + step * index, np.uint8) for index in range(count)]


def numbered(start: int, count: int) -> list[np.ndarray]:
    return [np.full((4, 4, 3), value, np.uint8) for value in range(start, start + count)]


def values(frames) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in frames]


def test_joint_pictures_appear_once():
    """Three segments of nine that share three: the later ones' pictures of what is shared are dropped."""
    segments = [numbered(start, 9) for start in (0, 6, 12)]
    whole = [
        frame
        for index, frames in enumerate(segments)
        for frame in own_frames(iter(frames), segment=index, native=9, overlap=3)
    ]
    assert values(whole) == list(range(21))


@pytest.mark.parametrize(("made", "told"), [(8, "8 pictures"), (10, "more than 9 pictures")])
def test_segment_of_another_length_is_an_error(made, told):
    with pytest.raises(RunnerError, match=f"segment 2 has {told}; planned were 9"):
        list(own_frames(iter(numbered(0, made)), segment=1, native=9, overlap=1))


def test_looking_ahead_takes_nothing_away():
    first, frames = ahead(iter(numbered(0, 20)), 4)
    assert values(first) == [0, 1, 2, 3]
    assert values(frames) == list(range(20))
    few, frames = ahead(iter(numbered(0, 2)), 4)
    assert (values(few), values(frames)) == ([0, 1], [0, 1])


def test_even_motion_is_no_jump():
    clip = ramp(0, 20)
    join = measured(clip[:10], clip[10:], 1)
    assert (join.change, join.usual) == (2.0, 2.0)
    assert not join.jumps
    assert not join.repeats
    assert notes_of([join]) == ()


def test_cut_between_segments_is_told_with_its_factor():
    join = measured(ramp(0, 10), ramp(60, 10), 2)
    assert join.jumps
    (note,) = notes_of([Join(1, 2.0, 2.0), join])
    assert note.startswith("segment 3 does not follow smoothly")
    assert "42.0 of 255 levels" in note
    assert "21.0 times" in note
    assert f"from {JUMP_FACTOR:g} times" in note


def test_jump_is_judged_by_the_pictures_around_it_only():
    """Calm far away, quick at the join: quick there is no jump."""
    before = [*ramp(0, 30, step=0.0), *ramp(0, NEIGHBOURS + 1, step=8.0)]
    after = [*ramp(8 * (NEIGHBOURS + 1), NEIGHBOURS + 1, step=8.0), *ramp(200, 30, step=0.0)]
    assert not measured(before, after, 1).jumps


def test_noise_of_a_still_clip_is_no_jump():
    still = ramp(100, 10, step=0.0)
    assert not measured(still, [frame + 2 for frame in still], 1).jumps
    assert measured(still, [frame + 4 for frame in still], 1).jumps


def test_repeated_picture_is_told_only_where_the_clip_moves():
    clip = ramp(0, 10)
    repeated = measured(clip, [clip[-1], *ramp(20, 9)], 1)
    assert repeated.repeats
    assert notes_of([repeated]) == ("segment 2 begins with the picture before it once more",)
    still = ramp(100, 10, step=0.0)
    assert notes_of([measured(still, still, 1)]) == ()


def test_large_pictures_are_compared_on_a_grid_and_small_ones_whole():
    rng = np.random.default_rng(3)
    one, other = rng.integers(0, 256, (2, 720, 1280, 3), dtype=np.uint8)
    whole = float(np.abs(one.astype(int) - other.astype(int)).mean())
    assert measured([one], [other], 1).change == pytest.approx(whole, rel=0.02)
    small = measured([one[:48, :64]], [other[:48, :64]], 1).change
    assert small == float(np.abs(one[:48, :64].astype(int) - other[:48, :64].astype(int)).mean())


def test_join_needs_both_sides():
    with pytest.raises(ValueError, match="each side"):
        measured([], ramp(0, 2), 1)
