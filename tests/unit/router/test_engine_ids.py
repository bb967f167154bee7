"""Ids in a request: aliases stand for cards, and wishes that undo each other are refused."""

from __future__ import annotations

import pytest

from models.catalog import load_catalog
from models.errors import InvalidRequest
from models.gpus import load_gpus
from policies.engine import Engine
from policies.profile import load_profiles
from router.engine import ClipRequest, RouteEngine
from router.finals import final_seconds
from router.schemas import Wishes, parse


@pytest.fixture(scope="module")
def engine() -> RouteEngine:
    catalog, gpus = load_catalog(), load_gpus()
    return RouteEngine(Engine(catalog, gpus, load_profiles()), catalog, gpus)


def test_aliases_stand_for_cards(engine: RouteEngine) -> None:
    clip = engine.known(ClipRequest(allow=("runway-gen3", "parallax"), deny=("luma-dream-machine",)))
    assert clip.allow == ("runway-gen3a-turbo", "parallax")
    assert clip.deny == ("luma-ray-2",)


@pytest.mark.parametrize("name", ["allow", "deny"])
def test_an_id_that_names_no_card(engine: RouteEngine, name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name}: no model is called 'paralax'; did you mean parallax"):
        engine.known(ClipRequest(**{name: ("paralax",)}))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["allow", "deny"])
def test_an_entry_may_name_one_offer_of_a_card(engine: RouteEngine, name: str) -> None:
    clip = engine.known(ClipRequest(**{name: ("kling-o3/fal-pro", "parallax")}))  # type: ignore[arg-type]
    assert getattr(clip, name) == ("kling-v3-omni/fal-pro", "parallax")
    with pytest.raises(InvalidRequest, match=f"{name}: parallax has no offer 'fal'") as refused:
        engine.known(ClipRequest(**{name: ("parallax/fal",)}))  # type: ignore[arg-type]
    assert refused.value.allowed == ["parallax", "parallax/local"]


@pytest.mark.parametrize("name", ["seconds", "duration"])
def test_a_clip_of_a_few_frames_is_a_mistake(name: str) -> None:
    assert parse(Wishes, {name: 0.5})
    with pytest.raises(
        InvalidRequest, match=rf"{name}: .*greater than or equal to 0\.5; got 0\.05"
    ) as refused:
        parse(Wishes, {name: 0.05})
    assert refused.value.allowed == {"ge": 0.5}


@pytest.mark.parametrize(
    ("camera", "fault"),
    [
        ("push_in:required,pull_out:required", "pull_out and push_in cannot both be required"),
        ("static:required,push_in:required", "static cannot be required together with a move"),
        ("static:required,shake:required", None),
        ("push_in:required,pull_out", None),
        ("push_in:required,pan_left:required", None),
    ],
)
def test_required_moves_that_undo_each_other(camera: str, fault: str | None) -> None:
    if fault is None:
        assert parse(Wishes, {"camera": camera}).camera
        return
    with pytest.raises(InvalidRequest, match=fault):
        parse(Wishes, {"camera": camera})


@pytest.mark.parametrize(
    ("wished", "drafted", "asked"), [(None, 5.0625, None), (5.0, 5.0625, 5.0), (15.0, 5.0625, 5.0625)]
)
def test_playing_time_of_a_final(wished: float | None, drafted: float, asked: float | None) -> None:
    assert final_seconds(wished, drafted) == asked
