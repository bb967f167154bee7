"""Each filter on what it keeps and what it rejects, with the reason's figures."""

from __future__ import annotations

from typing import Any

import pytest

from models.types import CameraMove, CameraWish, Residency, TaskType
from policies.filters.budget import Budget
from policies.filters.camera_control import CameraControl
from policies.filters.deadline import Deadline
from policies.filters.health import Health
from policies.filters.input_image import InputImage
from policies.filters.lifecycle import Lifecycle
from policies.filters.memory import Memory
from policies.filters.model_choice import ModelChoice
from policies.filters.residency import Residency as ResidencyFilter
from policies.filters.task import Task

PUSH = CameraWish(CameraMove.PUSH_IN, required=True)
PAN = CameraWish(CameraMove.PAN_LEFT, required=True)
SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}


def offer_reason(policy: Any, build: Any, card: Any, **asked: Any) -> str | None:
    return policy.reject_offer(build.request(**asked), card, card.offers[0])


FOLLOWS = {"kind": "follows", "of": "audio", "min": 2, "max": 20}


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        ({}, None),
        ({"status": "deprecated"}, None),
        (
            {"status": "retired", "retires_on": "2026-10-01", "replacement": "beta"},
            "Alpha was retired on 2026-10-01; use beta instead",
        ),
        ({"status": "retired", "retires_on": "2026-10-01"}, "Alpha was retired on 2026-10-01"),
    ],
)
def test_lifecycle(build: Any, over: dict[str, Any], reason: str | None) -> None:
    assert offer_reason(Lifecycle(), build, build.card(**over)) == reason


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({}, None),
        ({"model": "alpha"}, None),
        ({"model": "beta"}, "beta was asked for"),
        ({"allow": ("alpha",)}, None),
        ({"allow": ("alpha/local",)}, None),
        ({"allow": ("beta", "gamma")}, "not among the allowed models (beta, gamma)"),
        ({"deny": ("beta",)}, None),
        ({"deny": ("alpha",)}, "denied by the request"),
        ({"deny": ("alpha/local",)}, "denied by the request"),
        ({"allow": ("alpha",), "deny": ("alpha/local",)}, "denied by the request"),
    ],
)
def test_model_choice(build: Any, asked: dict[str, Any], reason: str | None) -> None:
    assert offer_reason(ModelChoice(), build, build.card(), **asked) == reason


@pytest.mark.parametrize(
    ("card", "asked", "reason"),
    [
        ({}, {}, None),
        ({"tasks": ["i2v"]}, {}, None),
        ({"tasks": ["i2v"]}, {"task": TaskType.I2V}, None),
        ({"tasks": ["animate"]}, {}, "does animate only, not ti2v"),
        ({}, {"task": TaskType.A2V}, "does i2v, ti2v only, not a2v"),
        ({}, {"task": TaskType.FLF2V, "has_last_image": True}, "takes no last image"),
        (
            {"tasks": ["flf2v"], "controls": {"last_image": "required"}},
            {"task": TaskType.FLF2V, "has_last_image": True},
            None,
        ),
        ({"controls": {"last_image": "required"}}, {}, "needs a last image, and none was given"),
        ({}, {"has_driving_video": True}, "takes no driving video"),
        ({"controls": {"driving_video": "required"}}, {}, "needs a driving video, and none was given"),
        ({"controls": {"driving_video": "required"}}, {"has_driving_video": True}, None),
        ({"controls": {"driving_video": "optional"}}, {}, None),
        ({"controls": {"audio_in": "required"}}, {}, "needs an audio file, and none was given"),
        ({}, {"has_audio": True}, "takes no audio file"),
        ({}, {"generate_audio": True}, "makes no sound, and sound was asked for"),
        ({"controls": {"audio_out": "native"}}, {"generate_audio": True}, None),
        ({"controls": {"prompt_required": True}}, {}, None),
        (
            {"controls": {"prompt_required": True}},
            {"words": 0, "task": TaskType.I2V},
            "needs a motion prompt, and none was given",
        ),
        (
            {"controls": {"prompt_max_chars": 800}},
            {"chars": 801},
            "reads 800 characters at most; the prompt has 801",
        ),
        ({"controls": {"prompt_max_chars": 800}}, {"chars": 800}, None),
        ({"controls": {"prompt": False}}, {}, "reads no words, so the prompt would have no effect"),
        ({"controls": {"prompt": False}}, {"words": 0, "task": TaskType.I2V}, None),
        ({"controls": {"prompt": False}}, {"model": "alpha"}, None),
        ({"controls": {"prompt": False}, "camera": {"kind": "native", "moves": ["push_in"]}}, {}, None),
    ],
)
def test_task(build: Any, card: dict[str, Any], asked: dict[str, Any], reason: str | None) -> None:
    assert offer_reason(Task(), build, build.card(**card), **asked) == reason


@pytest.mark.parametrize(
    ("mode", "asked", "reason"),
    [
        ({}, {}, None),
        ({"needs": ["last_image"]}, {}, "this mode needs last image, and none was given"),
        ({"needs": ["last_image"]}, {"has_last_image": True}, None),
        ({"excludes": ["audio"]}, {}, None),
        ({"excludes": ["audio"]}, {"has_audio": True}, "this mode takes no audio"),
        ({"excludes": ["loop"]}, {"wants_loop": True}, None),
        ({"length": FOLLOWS}, {"audio_seconds": 2}, None),
        ({"length": FOLLOWS}, {"audio_seconds": 20.05}, None),
        ({"length": FOLLOWS}, {}, None),
        (
            {"length": FOLLOWS},
            {"audio_seconds": 1.5},
            "the audio lasts 1.5 s; this mode takes 2 to 20 s",
        ),
        (
            {"length": FOLLOWS | {"of": "driving_video", "max": 30}},
            {"driving_seconds": 40, "audio_seconds": 5},
            "the driving video lasts 40 s; this mode takes 2 to 30 s",
        ),
    ],
)
def test_task_of_a_mode(build: Any, mode: dict[str, Any], asked: dict[str, Any], reason: str | None) -> None:
    made = build.candidate(mode=build.mode(**mode))
    assert Task().reject(build.request(**asked), made) == reason


@pytest.mark.parametrize(
    ("camera", "wishes", "reason"),
    [
        ({}, (), None),
        ({}, (CameraWish(CameraMove.PUSH_IN),), None),
        ({}, (PUSH,), "push_in is required and this model has only prompt words for the camera"),
        ({"kind": "none"}, (PUSH,), "push_in is required and this model has no camera control"),
        ({"kind": "native", "moves": ["push_in"]}, (PUSH,), None),
        (
            {"kind": "brackets", "moves": ["push_in"]},
            (PAN,),
            "its camera interface has no pan_left (it has push_in)",
        ),
        (
            {"kind": "parameter", "moves": ["push_in", "pan_left"]},
            (PUSH, PAN),
            "takes 1 camera move(s) a clip; 2 are required",
        ),
        ({"kind": "parameter", "moves": ["push_in", "pan_left"], "max_moves": 2}, (PUSH, PAN), None),
    ],
)
def test_camera_control(build: Any, camera: dict[str, Any], wishes: Any, reason: str | None) -> None:
    assert offer_reason(CameraControl(), build, build.card(camera=camera), camera=wishes) == reason


@pytest.mark.parametrize(
    ("backend", "residency", "rejected"),
    [
        ("local", Residency.SELF_HOSTED, False),
        ("engine", Residency.SELF_HOSTED, False),
        ("fal", Residency.ANY, False),
        ("fal", Residency.SELF_HOSTED, True),
        ("vendor", Residency.SELF_HOSTED, True),
    ],
)
def test_residency(build: Any, backend: str, residency: Residency, rejected: bool) -> None:
    card = build.card(offer={"backend": backend, "latency": {"p50": 30, "p95": 60, **SOURCED}})
    reason = offer_reason(ResidencyFilter(), build, card, residency=residency)
    assert (reason is not None) == rejected
    if reason is not None:
        assert backend in reason


@pytest.mark.parametrize(
    ("limits", "size", "reason"),
    [
        ({}, (64, 64), None),
        ({"min_side": 300}, (299, 900), "the photograph is 299x900; this model takes no side below 300 px"),
        ({"min_side": 300}, (900, 299), "the photograph is 900x299; this model takes no side below 300 px"),
        (
            {"max_side": 4000},
            (4001, 300),
            "the photograph is 4001x300; this model takes no side above 4000 px",
        ),
        ({"aspect_max": 2.5}, (1000, 400), None),
        ({"aspect_max": 2.5}, (1001, 400), "the photograph's aspect is 2.50; this model takes 0.05 to 2.50"),
        ({"aspect_min": 0.4}, (300, 1000), "the photograph's aspect is 0.30; this model takes 0.40 to 20.00"),
    ],
)
def test_input_image(build: Any, limits: dict[str, Any], size: tuple[int, int], reason: str | None) -> None:
    card = build.card(input_image={"min_side": 1, **SOURCED, **limits})
    policy = InputImage()
    assert policy.reject_offer(build.request(*size), card, card.offers[0]) == reason


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        ({}, None),
        ({"replicas": 0, "max_replicas": 2}, None),
        ({"replicas": 0, "max_replicas": 0}, "pool alpha-pool has no replica and may start none"),
        (
            {"healthy": False, "reason": "weights missing"},
            "pool alpha-pool is not healthy: weights missing",
        ),
        ({"healthy": False}, "pool alpha-pool is not healthy: no reason given"),
    ],
)
def test_health(build: Any, pool: dict[str, Any], reason: str | None) -> None:
    assert Health().reject(build.request(), build.candidate(pool=build.pool(**pool))) == reason


def test_memory(build: Any) -> None:
    assert Memory().reject(build.request(), build.candidate(memory_bytes=2**40)) is None
    reason = Memory().reject(build.request(), build.candidate(memory_bytes=90 * 2**30, fits=False))
    assert reason == "81 frames of 832x480 peak at 90.0 GiB a GPU, more than a g can give"


@pytest.mark.parametrize(
    ("limit", "usd", "reason"),
    [
        (None, None, None),
        (None, 99.0, None),
        (0.10, 0.10, None),
        (0.10, 0.2112, "costs $0.211, above the budget of $0.1"),
        (0.10, None, "its price is not known, and the budget is $0.1"),
    ],
)
def test_budget(build: Any, limit: float | None, usd: float | None, reason: str | None) -> None:
    assert Budget().reject(build.request(max_cost_usd=limit), build.candidate(usd=usd)) == reason


@pytest.mark.parametrize(
    ("deadline", "on_time", "hopeless", "reason"),
    [
        (None, 0.0, 0.05, None),
        (60, 0.05, 0.05, None),
        (60, 0.04, 0.05, "takes 120 s after a wait of 7.5 s on 1 g; the deadline is 60 s"),
        (60, 0.2, 0.5, "takes 120 s after a wait of 7.5 s on 1 g; the deadline is 60 s"),
    ],
)
def test_deadline(
    build: Any, deadline: float | None, on_time: float, hopeless: float, reason: str | None
) -> None:
    made = build.candidate(seconds=120.0, wait_seconds=7.5, on_time=on_time)
    assert Deadline(hopeless=hopeless).reject(build.request(deadline_s=deadline), made) == reason
