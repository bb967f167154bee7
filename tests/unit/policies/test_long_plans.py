"""Clips longer than one native length: chains that share frames, longer shots, and which of them is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.card import Card, Mode
from models.limits import StretchedMode, stretched
from models.types import ClipPlan, ClipWish, Objective, Size
from policies.engine import Engine, idle_fleet
from policies.geometry import plan_clip, plan_frames
from policies.profile import load_profiles
from policies.render import plan_from_json, plan_json

PHOTO = Size(1600, 960)
SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}
WINDOWS = {
    "length": {"kind": "lattice", "step": 4, "offset": 1, "min": 33, "max": 97},
    "fps": [24],
    "max_segments": 6,
    "overlap": 17,
}
STRETCH = {"stretch": {"frames": 161, **SOURCED}, "max_segments": 3}


def planned(mode: Mode, seconds: float | None, **over: Any) -> ClipPlan | str:
    whole = over.pop("whole", False)
    return plan_clip(mode, PHOTO, ClipWish(seconds=seconds, **over), whole=whole)


@pytest.mark.parametrize(
    ("seconds", "native", "segments", "overlap", "made"),
    [
        # 257 frames in three windows of 97: the example of the makers of SkyReels-V2.
        (257 / 24, 97, 3, 17, 257),
        (97 / 24, 97, 1, 1, 97),
        (98 / 24, 61, 2, 17, 105),
        (20.0, 97, 6, 17, 497),
        (1.0, 33, 1, 1, 33),
    ],
)
def test_neighbours_share_their_overlap(
    build: Any, seconds: float, native: int, segments: int, overlap: int, made: int
) -> None:
    plan = planned(build.mode(**WINDOWS), seconds)
    assert isinstance(plan, ClipPlan)
    assert (plan.native.num_frames, plan.segments, plan.overlap) == (native, segments, overlap)
    assert (plan.native_frames, plan_frames(plan)) == (made, made)
    assert plan.effective.num_frames == round(seconds * 24) <= made


@given(
    seconds=st.floats(0.2, 40.0),
    overlap=st.sampled_from((1, 5, 17)),
    most=st.integers(1, 6),
    fps=st.sampled_from((None, 24, 48)),
)
def test_a_chain_is_just_long_enough(
    build: Any, seconds: float, overlap: int, most: int, fps: float | None
) -> None:
    mode = build.mode(**WINDOWS | {"overlap": overlap, "max_segments": most, "interpolate_to": 48})
    plan = plan_clip(mode, PHOTO, ClipWish(seconds=seconds, fps=fps))
    if isinstance(plan, str):
        assert "longest" in plan
        return
    made = plan_frames(plan)
    assert plan.effective.num_frames <= made
    assert made == (plan.native_frames - 1) * plan.interpolation + 1
    if plan.segments > 1:
        fewer = plan.segments - 1
        shared = overlap if fewer > 1 else 1
        reach = (fewer * (97 - shared) + shared - 1) * plan.interpolation + 1
        assert reach < plan.effective.num_frames


@pytest.mark.parametrize(
    ("over", "fault"),
    [
        ({"overlap": 9, "length": {"kind": "seconds", "values": [5]}}, "needs a length in frames"),
        ({"overlap": 17}, "needs segments of 33 frames or more; length.min is 17"),
        ({"overlap": 3}, r"overlap=3 is not 4k\+1, as lengths are"),
        ({"min_segments": 2}, "min_segments=2 exceeds max_segments=1"),
        ({"stretch": {"frames": 81, **SOURCED}}, "is within length.max=81"),
        ({"stretch": {"frames": 160, **SOURCED}}, r"stretch.frames=160 is not 4k\+1"),
        (
            {"stretch": {"frames": 9, **SOURCED}, "length": {"kind": "seconds", "values": [5]}},
            "needs a length in frames",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(build: Any, over: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        build.mode(**over)


def test_a_row_for_chains_leaves_short_clips_to_others(build: Any) -> None:
    mode = build.mode(**WINDOWS | {"min_segments": 2})
    for seconds, whole in ((None, False), (4.0, False), (9.0, True)):
        assert planned(mode, seconds, whole=whole) == "one segment is enough, and this mode only chains them"
    plan = planned(mode, 4.1)
    assert isinstance(plan, ClipPlan)
    assert plan.segments == 2


def test_one_shot_beyond_the_training_is_a_row_of_its_own(build: Any) -> None:
    assert stretched(build.mode()) is None
    mode = build.mode(**STRETCH)
    further = stretched(mode)
    assert isinstance(further, StretchedMode)
    assert (further.name, further.trained_frames, further.max_segments) == ("480p-stretched", 81, 1)
    assert further.sizes is mode.sizes
    plan = planned(further, 9.0)
    assert isinstance(plan, ClipPlan)
    assert (plan.native.num_frames, plan.segments, plan.beyond) == (145, 1, 64)
    for seconds in (None, 5.0, 81 / 16):
        assert "are enough" in str(planned(further, seconds))
    assert isinstance(planned(further, 82 / 16), ClipPlan)
    # Far longer than the longest: too far from the wish, as anywhere.
    assert "longest" in str(planned(further, 30.0))


def test_a_last_image_lets_only_the_long_shot_reach(build: Any) -> None:
    mode = build.mode(**STRETCH)
    chained, further = planned(mode, 8.0, whole=True), stretched(mode)
    assert isinstance(chained, ClipPlan)
    assert chained.native.num_frames == 81
    assert further is not None
    plan = planned(further, 8.0, whole=True)
    assert isinstance(plan, ClipPlan)
    assert plan.effective.num_frames == 129


def test_plans_travel_without_loss_and_old_ones_are_read(build: Any) -> None:
    plan = build.plan(frames=97, segments=3, overlap=17)
    assert plan_from_json(plan_json(plan)) == plan
    far = build.plan(frames=145, beyond=64)
    assert plan_from_json(plan_json(far)) == far
    old = {name: value for name, value in plan_json(plan).items() if name not in {"overlap", "beyond"}}
    assert plan_from_json(old) == replace(plan, overlap=1)


# --- which of the two is taken -----------------------------------------------------------------


def _card(build: Any, **cost: float) -> Card:
    """A renderer whose frames cost the same one by one, so that a chain's repeated ones are what is dear."""
    card = build.card(modes=[build.mode(**STRETCH)], offer={"degrees": [1]})
    made: Card = card.model_copy(
        update={
            "cost": card.cost.model_copy(
                update={"rendering": card.cost.rendering.model_copy(update=cost or {})}
            )
        }
    )
    return made


def _decided(build: Any, card: Card, seconds: float) -> Any:
    catalog, gpus = build.catalog(card), build.gpus()
    engine = Engine(catalog, gpus, load_profiles())
    request = build.request(
        1600, 960, wish=ClipWish(seconds=seconds, size=Size(832, 480)), objective=Objective.BALANCED
    )
    return engine.decide(request, idle_fleet(catalog, gpus))


def test_both_ways_are_candidates_and_the_reason_is_told(build: Any) -> None:
    decision = _decided(build, _card(build), 9.0)
    ways = {(made.candidate.mode.name, made.candidate.plan.segments) for made in decision.candidates}
    assert ways == {("480p", 2), ("480p-stretched", 1)}
    (note,) = decision.notes
    assert note.startswith("alpha makes 9 s as ")
    assert "2 segments of 73 frames" in note
    assert "one shot of 145 frames, 64 more than it was trained on" in note
    reasons = [made.scores["geometry_fit"][0].reason for made in decision.candidates]
    assert any("2 segments chained" in reason for reason in reasons)
    assert any("64 more than it was trained on" in reason for reason in reasons)


def test_short_clips_have_one_way_and_no_note(build: Any) -> None:
    decision = _decided(build, _card(build), 5.0)
    assert {made.candidate.mode.name for made in decision.candidates} == {"480p"}
    assert decision.notes == ()
    assert not [row for row in decision.rejected if "trained" in row.reason]


def test_far_beyond_every_way_the_trained_row_says_why(build: Any) -> None:
    rejected = _decided(build, _card(build), 60.0).rejected
    assert [row.filter for row in rejected] == ["geometry"]
    assert "chains" in rejected[0].reason
