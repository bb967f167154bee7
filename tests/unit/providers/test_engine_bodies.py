"""What each engine is sent: the whole plan in its own form, or a refusal that names the field."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.errors import ConfigError, ContentRefused, I2VError, InputRefused, OutOfMemory, ProviderFault
from models.providers.base import Account, Role
from models.providers.engine_bodies import video_form
from models.providers.engine_errors import failure
from models.providers.engine_quirks import ENGINES, PHASES
from models.providers.registry import spec
from models.types import CameraMove, ClipPlan, Intensity
from tests.unit.providers.engine_clips import CATALOG, SECRET, a_clip, a_plan

NAMES = sorted(ENGINES)
each_engine = pytest.mark.parametrize("name", NAMES)


GOLDEN = {
    "prompt": f"{SECRET}, the camera slowly pushes in",
    "size": "832x480",
    "fps": "16",
    "num_inference_steps": "40",
    "guidance_scale": "3.5",
    "seed": "7",
    "negative_prompt": "blurry",
}
MORE = {
    "vllm-omni": {"num_frames": "81", "flow_shift": "5", "guidance_scale_2": "3.5"},
    "sglang": {"num_frames": "81", "flow_shift": "5", "guidance_scale_2": "3.5", "model": "call_1"},
    "trtllm": {"seconds": "5.078125", "model": "call_1"},
    "fastvideo": {"num_frames": "81", "model": "call_1"},
}


@each_engine
def test_the_whole_plan_is_sent(name: str) -> None:
    wanted = a_clip(plan=a_plan(832, 480, 81), camera=(CameraMove.PUSH_IN,), negative_prompt="blurry")
    assert video_form(wanted, {"image"}, ENGINES[name]) == GOLDEN | MORE[name]


@pytest.mark.parametrize("fps", [16, 24, 25, 30])
@pytest.mark.parametrize("frames", [17, 81, 97, 121, 473])
def test_seconds_come_out_as_the_planned_frames(frames: int, fps: int) -> None:
    form = video_form(a_clip(plan=a_plan(frames=frames, fps=fps)), {"image"}, ENGINES["trtllm"])
    seconds = float(form["seconds"])
    assert int(seconds * fps) == frames == round(seconds * fps)


@each_engine
def test_every_engine_offer_of_the_catalog_can_be_said(name: str) -> None:
    offers = [
        (card.id, mode) for card in CATALOG for o in card.offers if o.id == "engine" for mode in o.modes
    ]
    assert len(offers) >= 7
    for card, mode in offers:
        form = video_form(
            a_clip(card=card, mode=mode, plan=a_plan(832, 480, 49, mode.rates[0])), {"image"}, ENGINES[name]
        )
        assert set(form) - {"model", "seconds"} <= ENGINES[name].fields
        assert ("generate_sound" in form) == (card == "ltx-2" and name == "vllm-omni")


@each_engine
@pytest.mark.parametrize(
    ("plan", "roles", "param"),
    [
        (replace(a_plan(), segments=2), {"image"}, "seconds"),
        (replace(a_plan(), interpolation=2), {"image"}, "fps"),
        (a_plan(), {"image", "last_image"}, "last_image"),
        (a_plan(), set(), "image"),
    ],
)
def test_what_an_engine_cannot_say_is_refused(
    name: str, plan: ClipPlan, roles: set[Role], param: str
) -> None:
    with pytest.raises(InputRefused) as caught:
        video_form(a_clip(plan=plan), roles, ENGINES[name])
    assert caught.value.param == param


@each_engine
def test_half_frames_and_sound_are_sent_or_refused(name: str) -> None:
    odd, sound = a_clip(plan=a_plan(fps=12.5)), a_clip(generate_audio=True)
    if name == "vllm-omni":
        assert video_form(odd, {"image"}, ENGINES[name])["fps"] == "12.5"
        assert video_form(sound, {"image"}, ENGINES[name])["generate_sound"] == "true"
        return
    for wanted, param in ((odd, "fps"), (sound, "generate_audio")):
        with pytest.raises(InputRefused) as caught:
            video_form(wanted, {"image"}, ENGINES[name])
        assert caught.value.param == param


def test_an_empty_prompt_says_how_much_moves() -> None:
    # Every engine answers 400 or 422 to an empty one.
    empty = a_clip(prompt="")
    assert video_form(empty, {"image"}, ENGINES["sglang"])["prompt"] == "moderate, natural motion"
    subtle = replace(empty, intensity=Intensity.SUBTLE)
    assert "subtle" in video_form(subtle, {"image"}, ENGINES["sglang"])["prompt"]


def test_words_of_all_engines_have_a_phase() -> None:
    told = {"queued", "in_progress", "generating", "encoding", "completed", "failed", "deleted"}
    assert told <= set(PHASES)
    assert [word for word, phase in PHASES.items() if not phase.over] == [
        "queued", "pending", "in_progress", "processing", "generating", "encoding",
    ]  # fmt: skip


def test_an_engine_needs_a_url_and_says_what_it_can() -> None:
    with pytest.raises(ConfigError, match="needs a url"):
        spec("sglang").connect(Account("sglang"))
    cancels = {
        name: spec(name).connect(Account(name, url="http://127.0.0.1:1/v1")).abilities.cancels
        for name in NAMES
    }
    assert cancels == {"fastvideo": False, "sglang": False, "trtllm": False, "vllm-omni": True}


@pytest.mark.parametrize(
    ("code", "told", "expected"),
    [
        (500, "CUDA out of memory. Tried to allocate 20 GiB", OutOfMemory),
        (None, "torch.OutOfMemoryError: …", OutOfMemory),
        (422, "the reference image is too small", InputRefused),
        (None, "NSFW content detected", ContentRefused),
        ("EngineDeadError", "the engine died", ProviderFault),
    ],
)
def test_reasons_of_failures(code: object, told: str, expected: type[I2VError]) -> None:
    error = failure("vllm-omni", code, f"{told}: {SECRET}")
    assert type(error) is expected
    assert SECRET not in error.message
