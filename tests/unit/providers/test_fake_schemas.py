"""The schemas of rented models: all of the catalog's are there, and inputs are checked field by field."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from models.card import Card, Mode, Offer
from models.catalog import load_catalog
from models.errors import InputRefused
from models.providers.base import Role, Wanted
from models.providers.bodies import hosted_body
from models.providers.fake.checking import checked, unfit
from models.providers.fake.schema import FieldSpec, ModelSpec, schemas
from models.providers.fake.shaping import Fetcher, clip_shape
from models.providers.fake.uploads import Facts, Upload, Uploads
from models.types import CameraMove, ClipWish, Geometry, Size
from policies.geometry import plan_clip

Hosted = Literal["replicate", "fal"]
OWN = "http://127.0.0.1:4000"
ALL = [(provider, name) for provider in ("replicate", "fal") for name in schemas(provider)]  # type: ignore[arg-type]


def uploaded(
    name: str, *, width: int | None = 1280, height: int | None = 720, seconds: float | None = None
) -> Upload:
    return Upload(name, f"{OWN}/{name}", Facts(name, "", 1000, "", width, height, seconds), 0, 1)


def fetcher(*uploads: Upload) -> Fetcher:
    stored = Uploads()
    for upload in uploads:
        stored.add(upload)
    return Fetcher(stored, OWN, data_uri_limit=1000)


def sample(spec: FieldSpec) -> Any:
    """A value that fits."""
    if spec.enum:
        return spec.enum[0]
    if spec.type == "media":
        return f"https://files.example.com/{spec.accepts}"
    if spec.type == "list" and spec.items is not None:
        return [sample(spec.items)] * max(1, spec.min_items)
    if spec.type == "object":
        return {name: sample(field) for name, field in spec.fields.items()}
    values: dict[str, Any] = {"string": "words", "boolean": True, "integer": 7, "number": 0.5}
    value = values[spec.type]
    if spec.min is not None:
        return type(value)(max(value, spec.min))
    return value


def least(model: ModelSpec) -> dict[str, Any]:
    """The least input that the schema takes."""
    return {name: sample(spec) for name, spec in model.fields.items() if spec.required}


def problems(model: ModelSpec, given: dict[str, Any]) -> list[tuple[str, str]]:
    return [(found.name, found.kind) for found in checked(model, given, fetcher()).problems]


def test_every_rented_offer_has_a_schema() -> None:
    offers = [
        (offer.backend, offer.ref)
        for card in load_catalog()
        for offer in card.offers
        if offer.backend in ("replicate", "fal")
    ]
    assert len(offers) > 60
    missing = [(backend, ref) for backend, ref in offers if ref not in schemas(backend)]  # type: ignore[arg-type]
    assert missing == []


@pytest.mark.parametrize(("provider", "name"), ALL)
def test_every_schema_is_whole(provider: Hosted, name: str) -> None:
    model = schemas(provider)[name]
    assert problems(model, least(model)) == []
    assert problems(model, {**least(model), "colour": "red"}) == [("colour", "unknown")]
    for required in least(model):
        rest = {key: value for key, value in least(model).items() if key != required}
        assert problems(model, rest) == [(required, "missing")]
    for field, spec in model.fields.items():
        assert (spec.accepts is not None) == (spec.type == "media"), field
        if spec.default is not None:
            assert problems(model, {**least(model), field: spec.default}) == []
        wrong: Any = 3 if spec.type not in {"integer", "number"} else "3"
        assert problems(model, {**least(model), field: wrong}) == [(field, "type")]
    named = {name for rule in model.rules for name in (*rule.when, *rule.must, *rule.longest)}
    assert named <= set(model.fields)
    assert all(rule.says for rule in model.rules)


@pytest.mark.parametrize(("provider", "name"), ALL)
def test_every_schema_makes_a_clip(provider: Hosted, name: str) -> None:
    model = schemas(provider)[name]
    whole = {
        field: sample(spec) for field, spec in model.fields.items() if spec.type != "media" or spec.required
    }
    for given in (least(model), whole):
        shape = clip_shape(model, checked(model, given, fetcher()))
        assert shape.frames >= 7
        assert 0.4 < shape.seconds <= 30
        assert 400 * 400 <= shape.width * shape.height <= 3840 * 2160
    for spec in (model.clip.pixels_by, model.clip.seconds_by, model.clip.frames_by, model.clip.fps_by):
        assert spec is None or spec.split(".")[0] in model.fields
    if model.clip.pixels_by:
        assert set(map(str, model.fields[model.clip.pixels_by].enum)) <= set(model.clip.pixels_of)


@pytest.mark.parametrize(
    ("provider", "name", "field", "value", "kind"),
    [
        ("replicate", "minimax/hailuo-2.3", "duration", 7, "one_of"),
        ("replicate", "minimax/hailuo-2.3", "duration", "6", "type"),
        ("replicate", "minimax/hailuo-2.3", "prompt_optimizer", 1, "type"),
        ("replicate", "wan-video/wan-2.7-i2v", "duration", 16, "too_large"),
        ("replicate", "wan-video/wan-2.7-i2v", "duration", 1, "too_small"),
        ("replicate", "wan-video/wan-2.7-i2v", "duration", True, "type"),
        ("replicate", "wan-video/wan-2.7-i2v", "negative_prompt", "x" * 501, "too_long"),
        ("replicate", "kwaivgi/kling-v3-omni-video", "reference_images", ["https://a.com"] * 8, "too_many"),
        ("fal", "fal-ai/wan/v2.7/image-to-video", "duration", "5", "type"),
        ("fal", "fal-ai/wan-25-preview/image-to-video", "duration", 5, "type"),
        ("fal", "luma/agent/ray/v3.2/image-to-video", "duration", "5", "one_of"),
        ("fal", "fal-ai/pika/v2.2/pikaframes", "image_urls", ["https://a.example/b"], "too_few"),
    ],
)  # fmt: skip
def test_values_are_checked(provider: Hosted, name: str, field: str, value: object, kind: str) -> None:
    model = schemas(provider)[name]
    assert problems(model, {**least(model), field: value}) == [(field, kind)]


def test_lists_and_objects_are_checked_inside() -> None:
    model = schemas("fal")["fal-ai/pika/v2.2/pikaframes"]
    given = {**least(model), "transitions": [{"duration": 5}, {"duration": "5"}, {"speed": 1}]}
    assert problems(model, given) == [("transitions.1.duration", "type"), ("transitions.2.speed", "unknown")]
    shape = clip_shape(
        model, checked(model, {**least(model), "transitions": [{"duration": 9}, {}]}, fetcher())
    )
    assert shape.seconds == 14


@pytest.mark.parametrize(
    ("provider", "name", "given", "where"),
    [
        ("replicate", "minimax/hailuo-2.3", {"resolution": "1080p", "duration": 10}, "duration"),
        ("replicate", "kwaivgi/kling-v2.1", {"end_image": "https://a.example/b"}, "mode"),
        ("replicate", "kwaivgi/kling-v3-video", {"end_image": "https://a.example/b"}, "start_image"),
        ("replicate", "lightricks/ltx-2.3-fast", {"duration": 12, "resolution": "2k"}, "resolution"),
        ("replicate", "lightricks/ltx-2.3-fast", {"duration": 12, "fps": 50}, "fps"),
        ("replicate", "lightricks/ltx-2.3-pro", {"image": "https://a.example/b"}, "image"),
        ("replicate", "lightricks/ltx-2.3-pro", {"task": "image_to_video"}, "image"),
        ("replicate", "luma/ray-3.2", {"loop": True, "duration": 10}, "duration"),
        ("replicate", "wan-video/wan-2.6-i2v", {"multi_shots": True, "enable_prompt_expansion": False},
         "enable_prompt_expansion"),
        ("replicate", "wan-video/wan-2.7-i2v", {"prompt": "waves"}, "first_clip"),
        ("replicate", "wan-video/wan-2.7-i2v",
         {"first_frame": "https://a.example/b", "first_clip": "https://a.example/c"}, "first_frame"),
        ("fal", "fal-ai/ltx-2.3/image-to-video/fast", {"duration": 20, "resolution": "1440p"}, "resolution"),
        ("fal", "fal-ai/kling-video/v3/pro/image-to-video", {}, "multi_prompt"),
        ("fal", "fal-ai/ltx-2.3/audio-to-video", {}, "prompt"),
    ],
)  # fmt: skip
def test_joint_limits_hold(provider: Hosted, name: str, given: dict[str, Any], where: str) -> None:
    model = schemas(provider)[name]
    seen = checked(model, {**least(model), **given}, fetcher())
    assert seen.problems == []
    broken = unfit(model, seen)
    assert broken is not None
    assert (broken.reason, broken.where) == ("joint_limit", where)


@pytest.mark.parametrize(
    ("image", "video", "reason"),
    [
        ({}, {}, None),
        ({"width": 300, "height": 600}, {}, "image_too_small"),
        ({"width": 1600, "height": 400}, {}, "aspect"),
        ({"width": None}, {}, "image_load_error"),
        ({}, {"seconds": 2.0}, "video_duration_too_short"),
        ({}, {"seconds": 12.0}, "video_duration_too_long"),
        ({}, {"seconds": 31.0}, "video_duration_too_long"),
        ({}, {"width": 320, "height": 400}, "video_too_small"),
    ],
)
def test_files_are_looked_into(image: dict[str, Any], video: dict[str, Any], reason: str | None) -> None:
    model = schemas("replicate")["kwaivgi/kling-v2.6-motion-control"]
    photograph, driver = uploaded("p", **image), uploaded("d", **{"seconds": 9.0, **video})
    given = {"image": photograph.url, "video": driver.url}
    seen = checked(model, given, fetcher(photograph, driver))
    broken = unfit(model, seen)
    assert (broken.reason if broken else None) == reason
    assert seen.problems == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://a.example/b", "not a URL"),
        ("photo.jpg", "not a URL"),
        ("http://a.example/b", "https"),
        ("https://10.0.0.3/b", "private"),
        ("https://localhost/b", "private"),
        ("http://127.0.0.1:9/b", "private"),
        ("https://[::1]/b", "private"),
        ("https://169.254.169.254/latest", "private"),
        (f"{OWN}/nothing", "no uploaded file"),
        ("data:image/png,abc", "base64"),
        ("data:image/png;base64,%%%", "base64"),
        ("data:image/png;base64," + "A" * 2000, "more than 1000"),
    ],
)
def test_urls_that_nobody_can_fetch_are_refused(url: str, words: str) -> None:
    model = schemas("replicate")["minimax/video-01-live"]
    (found,) = checked(model, {"prompt": "p", "first_frame_image": url}, fetcher()).problems
    assert (found.name, found.kind) == ("first_frame_image", "media")
    assert words in found.limit


def test_clips_follow_their_inputs() -> None:
    tall = uploaded("tall", width=900, height=1600)
    wide = uploaded("wide", width=1600, height=900, seconds=4.0)
    fetch = fetcher(tall, wide)

    def shape(provider: Hosted, name: str, given: dict[str, Any]) -> tuple[int, int, float, float, bool]:
        made = clip_shape(schemas(provider)[name], checked(schemas(provider)[name], given, fetch))
        return made.width, made.height, made.fps, made.seconds, made.sound

    long = {"prompt": "", "first_frame_image": tall.url, "duration": 10}
    assert shape("replicate", "minimax/hailuo-2.3", long) == (768, 1366, 24, 10, False)
    assert (
        shape("fal", "luma/agent/ray/v3.2/image-to-video", {"duration": "10s", "resolution": "720p"})[3] == 10
    )
    assert shape(
        "replicate", "lightricks/ltx-2.3-pro", {"fps": 50, "aspect_ratio": "9:16", "resolution": "4k"}
    ) == (2160, 3840, 50, 6, True)
    assert shape("fal", "fal-ai/ltx-2.3/image-to-video", {"image_url": tall.url})[:2] == (1080, 1920)
    assert shape("replicate", "runwayml/gen4-turbo", {"aspect_ratio": "21:9"})[:2] == (1584, 672)
    assert shape(
        "fal", "fal-ai/kling-video/v2.6/pro/motion-control", {"image_url": tall.url, "video_url": wide.url}
    )[:4] == (1080, 1920, 24, 4)
    assert shape("replicate", "kwaivgi/kling-v2.6", {"generate_audio": False})[4] is False
    assert shape("replicate", "kwaivgi/kling-v2.6", {})[4] is True
    assert shape("fal", "fal-ai/wan-i2v", {"num_frames": 97, "resolution": "480p"})[3] == pytest.approx(
        97 / 16
    )


def test_an_inline_picture_is_looked_into() -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(file, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    facts = fetcher()(uri)
    assert facts is not None
    assert (facts.width, facts.height, facts.content_type) == (16, 8, "image/png")


CATALOG = load_catalog()
RENTED = [
    pytest.param(card, offer, id=f"{card.id}-{offer.id}")
    for card in CATALOG
    for offer in card.offers
    if offer.backend in ("replicate", "fal")
]
INPUTS: dict[Role, Upload] = {
    "image": uploaded("image"),
    "last_image": uploaded("last_image"),
    "driving_video": uploaded("driving_video", seconds=7.5),
    "audio": uploaded("audio", width=None, height=None, seconds=7.5),
}


def bodies(card: Card, offer: Offer, mode: Mode) -> Iterator[tuple[Geometry, dict[str, object]]]:
    """What the card's request map makes of wishes of all kinds, as far as it can say them."""
    fetched: list[tuple[Role, ...]] = [(), ("last_image",), ("driving_video",), ("audio",)]
    for seconds, roles, sound, loop in itertools.product((None, 3.0, 10.0, 15.0), fetched, (0, 1), (0, 1)):
        if not set(mode.needs) <= set(roles):
            continue
        plan = plan_clip(mode, Size(1280, 720), ClipWish(seconds=seconds))
        if isinstance(plan, str):
            continue
        wanted = Wanted(
            "call_1", card, offer, mode, plan, prompt="Waves roll in", negative_prompt="blur", seed=7,
            camera=(CameraMove.PUSH_IN,) if sound else (), generate_audio=bool(sound), loop=bool(loop),
        )  # fmt: skip
        urls: dict[Role, str] = {role: INPUTS[role].url for role in ("image", *roles)}
        with suppress(InputRefused):  # this model cannot do it, and the map says so
            yield plan.native, hosted_body(wanted, urls)


@pytest.mark.parametrize(("card", "offer"), RENTED)
def test_what_request_maps_write_fits_the_schemas(card: Card, offer: Offer) -> None:
    model = schemas(offer.backend)[offer.ref or ""]  # type: ignore[arg-type]
    fetch = fetcher(*INPUTS.values())
    for mode in offer.modes:
        made = 0
        for native, body in bodies(card, offer, mode):
            made += 1
            seen = checked(model, body, fetch)
            assert seen.problems == [], (mode.name, body)
            assert unfit(model, seen) is None, (mode.name, body)
            shape = clip_shape(model, seen)
            if mode.length.kind != "follows":
                assert shape.seconds == pytest.approx(native.seconds, abs=0.1), (mode.name, body)
            assert shape.width * shape.height == pytest.approx(native.width * native.height, rel=0.1)
        assert made, f"the map of mode {mode.name} can say nothing"
