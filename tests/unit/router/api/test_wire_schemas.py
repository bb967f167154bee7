"""Every field of a request: what is read, and what is refused with the field's name."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import InvalidRequest
from models.types import CameraMove, CameraWish, Intensity, Objective, Prefer, Priority, Residency, Size
from router.engine import ClipRequest, clip_from_json, clip_json, clip_request, fingerprint
from router.schemas import CreateVideo, RemixVideo, RouteVideo, parse

PHOTO = Size(1600, 900)
NAN, INF = float("nan"), float("inf")


def asked(**fields: Any) -> ClipRequest:
    return clip_request(parse(CreateVideo, fields), PHOTO)


def test_text_of_a_form_reads_like_json() -> None:
    form = asked(
        prompt=" go ", seconds="4.5", fps="24", seed="7", size="832X480", generate_audio="true",
        camera="push_in,pan_left:required", motion="gentle", allow="a,b", tags=["x"],
        routing={"objective": "speed", "deadline_s": "60", "priority": "high", "prefer": "fps"},
    )  # fmt: skip
    json = asked(
        prompt="go", seconds=4.5, fps=24, seed=7, size="832x480", generate_audio=True,
        camera=[{"move": "push_in"}, {"move": "pan_left", "required": True}], motion="gentle",
        allow=["a", "b"], tags=["x"], objective="speed", deadline_s=60, priority="high", prefer="fps",
    )  # fmt: skip
    assert form == json
    assert form.camera == (CameraWish(CameraMove.PUSH_IN), CameraWish(CameraMove.PAN_LEFT, True))
    assert form.motion is Intensity.GENTLE
    assert (form.objective, form.priority) == (Objective.SPEED, Priority.HIGH)
    assert (form.wish.prefer, form.wish.size) == (Prefer.FPS, Size(832, 480))


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, None),
        ({"size": "640x360"}, Size(640, 360)),
        ({"resolution": "480p"}, Size(854, 480)),
        ({"resolution": "720p", "aspect_ratio": "9:16"}, Size(720, 1280)),
        ({"resolution": "4K", "aspect_ratio": "1:1"}, Size(2160, 2160)),
        ({"aspect_ratio": "16:9"}, Size(1280, 720)),
    ],
)
def test_openrouter_names_a_size(fields: dict[str, str], size: Size | None) -> None:
    assert asked(**fields).wish.size == size


def test_openrouter_duration_is_seconds() -> None:
    assert asked(duration="6").wish.seconds == 6
    assert asked(duration=6, seconds=6).wish.seconds == 6


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"seconds": 0.4}, "seconds", "greater than or equal to 0.5"),
    ({"seconds": -1}, "seconds", "greater than or equal to 0.5"),
    ({"seconds": 601}, "seconds", "600"),
    ({"seconds": "nan"}, "seconds", "finite"),
    ({"seconds": NAN}, "seconds", "finite"),
    ({"seconds": INF}, "seconds", "finite"),
    ({"seconds": "1e400"}, "seconds", "finite"),
    ({"seconds": "four"}, "seconds", "four"),
    ({"seconds": True}, "seconds", "number"),
    ({"seconds": [4]}, "seconds", "number"),
    ({"duration": -4}, "duration", "greater than or equal to 0.5"),
    ({"seconds": 4, "duration": 5}, "body", "seconds and duration"),
    ({"fps": 0}, "fps", "greater than or equal to 1"),
    ({"fps": 241}, "fps", "240"),
    ({"fps": -INF}, "fps", "finite"),
    ({"size": "big"}, "size", "WIDTHxHEIGHT"),
    ({"size": "0x480"}, "size", "positive"),
    ({"size": "8x480"}, "size", "16 to 8192"),
    ({"size": "9000x480"}, "size", "16 to 8192"),
    ({"size": "-832x480"}, "size", "WIDTHxHEIGHT"),
    ({"size": "²x480"}, "size", ""),
    ({"size": "9" * 5000 + "x1"}, "size", ""),
    ({"size": 832}, "size", "WIDTHxHEIGHT"),
    ({"size": "832x480", "resolution": "480p"}, "body", "not both"),
    ({"resolution": "8K"}, "resolution", "'480p'"),
    ({"aspect_ratio": "0:1"}, "aspect_ratio", ""),
    ({"aspect_ratio": "9999:1"}, "aspect_ratio", "8192"),
    ({"seed": -1}, "seed", "greater than or equal to 0"),
    ({"seed": 2**32}, "seed", "4294967295"),
    ({"seed": 1.5}, "seed", "integer"),
    ({"seed": False}, "seed", "number"),
    ({"deadline_s": 0}, "deadline_s", "greater than 0"),
    ({"deadline_s": 1e9}, "deadline_s", "604800"),
    ({"deadline_s": NAN}, "deadline_s", "finite"),
    ({"routing": {"deadline_s": -5}}, "routing.deadline_s", "greater than 0"),
    ({"max_cost_usd": -0.01}, "max_cost_usd", "greater than or equal to 0"),
    ({"max_cost_usd": INF}, "max_cost_usd", "finite"),
    ({"objective": "best"}, "objective", "'quality'"),
    ({"routing": {"objective": "best"}}, "routing.objective", "'quality'"),
    ({"objective": "speed", "routing": {"objective": "cost"}}, "body", "different things"),
    ({"routing": {"policy": "x"}}, "routing.policy", "unknown field"),
    ({"routing": "fast"}, "routing", ""),
    ({"priority": "urgent"}, "priority", "'low'"),
    ({"residency": "mars"}, "residency", "'any'"),
    ({"prefer": "beauty"}, "prefer", "'resolution'"),
    ({"motion": "wild"}, "motion", "'subtle'"),
    ({"camera": "fly"}, "camera[0].move", "'static'"),
    ({"camera": "pan_left:maybe"}, "camera", "MOVE:required"),
    ({"camera": ["roll"] * 5}, "camera", "at most 4"),
    ({"camera": [{"move": "roll", "speed": 3}]}, "camera[0].speed", "unknown field"),
    ({"camera": 7}, "camera[0]", ""),
    ({"prompt": "x" * 10_001}, "prompt", "10000"),
    ({"prompt": "a\0b"}, "prompt", "U+0000"),
    ({"prompt": "\ud800"}, "prompt", "unicode"),
    ({"negative_prompt": "x" * 10_001}, "negative_prompt", "10000"),
    ({"prompt": 5}, "prompt", "string"),
    ({"model": ""}, "model", "at least 1"),
    ({"model": "x" * 101}, "model", "100"),
    ({"tags": ["x"] * 17}, "tags", "16"),
    ({"tags": ["x" * 65]}, "tags[0]", "64"),
    ({"tags": ["a\0"]}, "tags", "U+0000"),
    ({"generate_audio": "perhaps"}, "generate_audio", ""),
    ({"input_reference": {"file_id": "file-1"}}, "input_reference", "file_id is not supported"),
    ({"input_reference": {}}, "input_reference", "image_url is missing"),
    ({"frame_images": [{"image_url": "data:,", "frame_type": "middle"}]}, "frame_images[0].frame_type", ""),
    ({"frame_images": [{"image_url": "a"}, {"image_url": "b"}]}, "body", "same frame"),
    ({"frame_images": [{"image_url": "a"}], "input_reference": "b"}, "body", "given twice"),
    ({"callback_url": "https://example.org"}, "callback_url", "not supported"),
    ({"secnods": 4}, "secnods", "did you mean 'seconds'"),
    ({"n": 2}, "n", "unknown field"),
]


@pytest.mark.parametrize(("fields", "param", "says"), BAD, ids=[str(row[0])[:50] for row in BAD])
def test_a_bad_field_is_named_with_what_is_allowed(fields: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(**fields)
    assert caught.value.param == param
    assert says in caught.value.message
    assert len(caught.value.message) < 1000


def test_every_unknown_field_is_named() -> None:
    with pytest.raises(InvalidRequest, match="unknown fields 'foo', 'bar'") as caught:
        asked(foo=1, bar=2, prompt="x")
    assert "seconds" in caught.value.allowed  # type: ignore[operator]


def test_words_of_the_client_are_not_repeated() -> None:
    for fields in ({"prompt": 17_171_717}, {"input_reference": {"image_url": 17_171_717}}):
        with pytest.raises(InvalidRequest) as caught:
            asked(**fields)
        assert "17171717" not in caught.value.message


def test_images_come_by_either_name() -> None:
    openai = parse(CreateVideo, {"input_reference": {"image_url": "data:a"}, "last_image": "data:b"})
    router = parse(
        CreateVideo,
        {
            "frame_images": [
                {"type": "image_url", "image_url": {"url": "data:a"}, "frame_type": "first_frame"},
                {"image_url": "data:b", "frame_type": "last_frame"},
            ]
        },
    )
    assert openai.image_url("first_frame") == ("input_reference", "data:a")
    assert router.image_url("first_frame") == ("frame_images[0].image_url", "data:a")
    assert openai.image_url("last_frame") == ("last_image", "data:b")
    assert router.image_url("last_frame") == ("frame_images[1].image_url", "data:b")


def test_a_remix_keeps_what_it_does_not_say() -> None:
    source = asked(prompt="a", seconds=4, seed=7, objective="speed", camera="roll", tags="t", size="640x360")
    remix = clip_request(
        parse(RemixVideo, {"prompt": "b", "seconds": 6, "residency": "self-hosted"}), PHOTO, source
    )
    assert (remix.prompt, remix.wish.seconds, remix.residency) == ("b", 6, Residency.SELF_HOSTED)
    assert (remix.seed, remix.objective, remix.camera) == (7, Objective.SPEED, source.camera)
    assert (remix.tags, remix.wish.size) == (("t",), Size(640, 360))
    with pytest.raises(InvalidRequest, match="prompt"):
        parse(RemixVideo, {"seconds": 6})


def test_a_dry_run_takes_a_shape_instead_of_a_photograph() -> None:
    assert parse(RouteVideo, {"image_size": "640x480", "fleet": "all"}).image_size == "640x480"
    with pytest.raises(InvalidRequest, match="unknown field 'image_size'"):
        parse(CreateVideo, {"image_size": "640x480"})


def test_the_stored_form_reads_back() -> None:
    clip = asked(
        prompt="p", negative_prompt="n", seconds=4.5, fps=24, seed=7, size="832x480", camera="roll:required",
        motion="extreme", deadline_s=60, max_cost_usd=1, priority="low", residency="self-hosted", allow="a",
        deny="b", generate_audio=True, tags="t", model="m", objective="cost", prefer="resolution",
    )  # fmt: skip
    assert clip_from_json(clip_json(clip)) == clip
    assert clip_from_json(clip_json(ClipRequest())) == ClipRequest()


def test_the_fingerprint_is_of_content_alone() -> None:
    images = {"image": "aa", "last_image": None}
    one = fingerprint(asked(prompt="x", seconds="4", routing={"objective": "speed"}), images)
    assert one == fingerprint(
        asked(objective="speed", seconds=4.0, prompt="x"), dict(reversed(images.items()))
    )
    assert one != fingerprint(asked(prompt="y", seconds=4, objective="speed"), images)
    assert one != fingerprint(asked(prompt="x", seconds=4, objective="speed"), {**images, "image": "bb"})
    assert one != fingerprint(asked(prompt="x", seconds=4, objective="speed"), images, "vid_other")
