"""How a wish becomes a parameter, word by word, and what is refused because no parameter says it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models.catalog import load_catalog
from models.errors import ConfigError, InputRefused
from models.providers.base import Role, Wanted
from models.providers.bodies import hosted_body, nested
from models.types import CameraMove, ClipPlan, ClipWish, Geometry, Intensity, Size
from policies.geometry import plan_clip

CATALOG = load_catalog()
IMAGE: dict[Role, str] = {"image": "https://in/1.jpg"}
LAST: dict[Role, str] = IMAGE | {"last_image": "https://in/2.jpg"}
VOICE: dict[Role, str] = IMAGE | {"audio": "https://in/3.mp3"}
WIDE = Size(1920, 1080)
SECRET = "the words of a person"


def wanted(model: str, offer: str, mode: str, *, photo: Size = WIDE, **over: Any) -> Wanted:
    """A planned clip of a shipped card."""
    card = CATALOG.get(model)
    chosen = card.offer(offer)
    row = next(row for row in chosen.modes if row.name == mode)
    plan = plan_clip(row, photo, ClipWish(seconds=over.pop("seconds", None)))
    assert not isinstance(plan, str), plan
    return Wanted("call_1", card, chosen, row, plan, **({"prompt": SECRET} | over))


def mapped(one: Wanted, **over: Any) -> Wanted:
    """The same with another request map."""
    assert one.offer.request is not None
    request = one.offer.request.model_copy(update=over)
    return replace(one, offer=one.offer.model_copy(update={"request": request}))


def controlled(one: Wanted, **over: Any) -> Wanted:
    """The same with other controls."""
    controls = one.card.controls.model_copy(update=over)
    return replace(one, card=one.card.model_copy(update={"controls": controls}))


def stretched(plan: ClipPlan, frames: int) -> ClipPlan:
    """The same plan with another native length."""
    native = plan.native
    return replace(plan, native=Geometry(native.width, native.height, frames, native.fps))


HAILUO = wanted("hailuo-2.3", "replicate", "768p")
DIRECTOR = wanted("video-01-director", "replicate", "720p")
LTX = wanted("ltx-2.3-pro", "replicate", "1080p", seconds=6)
LTX_FAL = wanted("ltx-2.3-pro", "fal", "1080p", seconds=6)
FLASH = wanted("wan2.6-i2v-flash", "replicate", "720p")
LUMA = wanted("luma-ray-3.2", "fal", "720p-5s")
PUSH, LEFT, ORBIT = CameraMove.PUSH_IN, CameraMove.TRUCK_LEFT, CameraMove.ORBIT_LEFT


@pytest.mark.parametrize(
    ("one", "inputs", "param"),
    [
        pytest.param(HAILUO, LAST, "last_image", id="no parameter for a last image"),
        pytest.param(wanted("kling-v2.1", "replicate", "720p"), LAST, "last_image", id="not in this mode"),
        pytest.param(HAILUO, VOICE, "audio", id="no parameter for a voice"),
        pytest.param(HAILUO, {}, "image", id="no photograph"),
        pytest.param(wanted("pika-2.2", "fal-frames", "720p"), IMAGE, "last_image", id="needs a last image"),
        pytest.param(replace(LTX, camera=(PUSH, LEFT)), IMAGE, "camera", id="two moves where one fits"),
        pytest.param(
            replace(DIRECTOR, camera=(PUSH, LEFT, CameraMove.SHAKE, CameraMove.TILT_UP)),
            IMAGE,
            "camera",
            id="four moves where three fit",
        ),
        pytest.param(replace(HAILUO, generate_audio=True), IMAGE, "generate_audio", id="a silent model"),
        pytest.param(replace(LUMA, loop=True), LAST, "loop", id="a loop that ends elsewhere"),
        pytest.param(mapped(HAILUO, prompt=None), IMAGE, "prompt", id="no parameter for words"),
        pytest.param(
            controlled(HAILUO, prompt_max_chars=len(SECRET) - 1), IMAGE, "prompt", id="a long prompt"
        ),
        pytest.param(
            controlled(replace(HAILUO, camera=(PUSH,)), prompt_max_chars=len(SECRET) + 5),
            IMAGE,
            "prompt",
            id="long with its camera words",
        ),
        pytest.param(replace(HAILUO, plan=replace(HAILUO.plan, segments=2)), IMAGE, "seconds", id="a chain"),
        pytest.param(
            replace(HAILUO, plan=replace(HAILUO.plan, interpolation=2)), IMAGE, "fps", id="frames between"
        ),
        pytest.param(
            replace(HAILUO, plan=stretched(HAILUO.plan, 200)), IMAGE, "seconds", id="8 s of 6 or 10"
        ),
        pytest.param(
            replace(LTX, plan=replace(LTX.plan, native=Geometry(1920, 1080, 153, 25.5))),
            IMAGE,
            "fps",
            id="half a frame a second",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(one: Wanted, inputs: dict[Role, str], param: str) -> None:
    with pytest.raises(InputRefused) as refused:
        hosted_body(one, inputs)
    assert refused.value.param == param
    assert SECRET not in str(refused.value)
    assert "https" not in str(refused.value)


def test_an_offer_without_a_map_is_the_operators_mistake() -> None:
    bare = replace(HAILUO, offer=HAILUO.offer.model_copy(update={"request": None}))
    with pytest.raises(ConfigError) as wrong:
        hosted_body(bare, IMAGE)
    assert wrong.value.param == "request"


@pytest.mark.parametrize(
    ("one", "name", "value"),
    [
        pytest.param(replace(LTX, camera=(PUSH,)), "camera_motion", "dolly_in", id="a parameter"),
        pytest.param(replace(LTX, camera=(PUSH,)), "prompt", SECRET, id="and not in words, too"),
        pytest.param(
            replace(LTX, camera=(PUSH, ORBIT)),
            "prompt",
            f"{SECRET}, the camera orbits to the left around the subject",
            id="words for what it has no value for",
        ),
        pytest.param(
            replace(LTX_FAL, camera=(PUSH,)),
            "prompt",
            f"{SECRET}, the camera slowly pushes in",
            id="words where the host has no parameter",
        ),
        pytest.param(
            replace(DIRECTOR, camera=(LEFT, PUSH)),
            "prompt",
            f"[Truck left, Push in] {SECRET}",
            id="brackets in the asked order",
        ),
        pytest.param(
            replace(DIRECTOR, camera=(PUSH, LEFT), prompt="[push in] then a smile"),
            "prompt",
            "[Truck left] [push in] then a smile",
            id="no bracket twice",
        ),
        pytest.param(
            replace(DIRECTOR, camera=(ORBIT,), prompt=""),
            "prompt",
            "the camera orbits to the left around the subject",
            id="words where there is no bracket",
        ),
        pytest.param(
            replace(HAILUO, camera=(PUSH,), prompt="Dolly in on her"),
            "prompt",
            "Dolly in on her",
            id="no word twice",
        ),
        pytest.param(
            replace(HAILUO, intensity=Intensity.EXTREME),
            "prompt",
            f"{SECRET}, extreme, fast motion",
            id="intensity is a word",
        ),
        pytest.param(replace(HAILUO, prompt=" "), "prompt", "moderate, natural motion", id="never empty"),
        pytest.param(
            wanted("video-01-live", "replicate", "720p", camera=(PUSH,)),
            "prompt",
            SECRET,
            id="no camera at all",
        ),
        pytest.param(LTX, "generate_audio", False, id="silence is said"),
        pytest.param(replace(LTX, generate_audio=True), "generate_audio", True, id="sound"),
        pytest.param(LUMA, "duration", "5s", id="seconds with their unit"),
        pytest.param(wanted("kling-v2.6", "fal", "1080p"), "duration", "5", id="seconds as text"),
        pytest.param(wanted("wan2.7-i2v", "fal", "720p"), "duration", 5, id="seconds as a number"),
        pytest.param(wanted("wan2.7-i2v", "fal", "720p", seed=2**31 + 4), "seed", 4, id="a smaller seed"),
        pytest.param(wanted("wan2.6-i2v", "fal", "720p", seed=2**32 - 1), "seed", 2**32 - 1, id="a seed"),
    ],
)
def test_a_wish_becomes_a_parameter(one: Wanted, name: str, value: object) -> None:
    body = hosted_body(one, IMAGE)
    assert (type(body[name]), body[name]) == (type(value), value)


@pytest.mark.parametrize(
    ("photo", "shape"),
    [
        (Size(1920, 1080), "16:9"),
        (Size(1080, 1920), "9:16"),
        (Size(1000, 1000), "1:1"),
        (Size(4032, 3024), "4:3"),
        (Size(3024, 4032), "3:4"),
        (Size(2400, 1000), "21:9"),
    ],
)
def test_the_nearest_shape_is_named(photo: Size, shape: str) -> None:
    for one in (
        wanted("luma-ray-3.2", "fal", "720p-5s", photo=photo),
        wanted("runway-gen4-turbo", "replicate", "720p", photo=photo),
    ):
        assert hosted_body(one, IMAGE)["aspect_ratio"] == shape


@pytest.mark.parametrize("seconds", range(3, 16))
def test_each_whole_second_of_a_range_is_said(seconds: int) -> None:
    one = wanted("kling-v3-video", "fal-pro", "1080p", seconds=float(seconds))
    assert hosted_body(one, IMAGE)["duration"] == str(seconds)


def test_a_length_may_be_one_frame_off() -> None:
    one = replace(LTX, plan=stretched(LTX.plan, 151))
    assert hosted_body(one, IMAGE)["duration"] == 6
    with pytest.raises(InputRefused):
        hosted_body(replace(LTX, plan=stretched(LTX.plan, 152)), IMAGE)


def test_a_given_voice_is_heard_only_with_the_sound_on() -> None:
    assert hosted_body(FLASH, IMAGE)["audio_enabled"] is False
    assert hosted_body(FLASH, VOICE) == hosted_body(FLASH, IMAGE) | {
        "audio": VOICE["audio"],
        "audio_enabled": True,
    }


def test_sound_that_is_always_made_needs_no_parameter() -> None:
    one = wanted("wan2.6-i2v-flash", "fal", "720p")
    assert hosted_body(replace(one, generate_audio=True), IMAGE) == hosted_body(one, IMAGE)


def test_what_we_merely_have_is_left_out_where_no_parameter_is() -> None:
    body = hosted_body(replace(HAILUO, seed=7, negative_prompt="blur", loop=True), IMAGE)
    assert body == hosted_body(HAILUO, IMAGE)


def test_words_are_left_out_where_none_are_read() -> None:
    actor = wanted("dreamactor-m2.0", "fal", "follows", camera=(PUSH,), intensity=Intensity.SUBTLE)
    driven: dict[Role, str] = IMAGE | {"driving_video": "https://in/4.mp4"}
    assert set(hosted_body(actor, driven)) == {"image_url", "video_url", "trim_first_second"}


def test_a_mode_that_reads_no_words_gets_none() -> None:
    one = wanted("wan2.2-animate", "replicate", "480p", camera=(PUSH,))
    driven: dict[Role, str] = IMAGE | {"driving_video": "https://in/4.mp4"}
    assert SECRET not in str(hosted_body(one, driven))


def test_constants_of_the_mode_go_over_those_of_the_map() -> None:
    one = mapped(HAILUO, sends={"prompt_optimizer": True, "resolution": "never"})
    body = hosted_body(one, IMAGE)
    assert (body["prompt_optimizer"], body["resolution"]) == (True, "768p")


def test_paths_are_lists_and_objects() -> None:
    said = {"a": 1, "b.0": "x", "b.1": "y", "c.0.d": 5, "c.0.e.f": False, "g.1h": 2}
    assert nested(said) == {"a": 1, "b": ["x", "y"], "c": [{"d": 5, "e": {"f": False}}], "g": {"1h": 2}}


@pytest.mark.parametrize("said", [{"a.1": 1}, {"a": 1, "a.0": 2}])
def test_a_list_with_a_hole_or_a_path_through_a_value_is_a_mistake(said: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a"):
        nested(said)
