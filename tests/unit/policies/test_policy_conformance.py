"""Every registered policy, shipped or installed, keeps the contract of its kind."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from models.types import CameraMove, CameraWish, ClipWish, Fit, Framing, Intensity, Objective, Residency, Size
from policies.registry import discover

REGISTRY = discover()


def of(kind: str) -> list[str]:
    return REGISTRY.names(kind)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cards(build: Any) -> list[Any]:
    sourced = {"source": "made up for a test", "checked_at": "2026-11-21"}
    return [
        build.card("plain"),
        build.card("rendered", makes="rendered", camera={"kind": "native", "moves": ["push_in"]}),
        build.card("mute", controls={"prompt": False}, camera={"kind": "none"}),
        build.card("old", status="retired", retires_on="2026-01-01", replacement=None),
        build.card(
            "strong",
            quality={"elo": 2000, "dynamic_degree": 1.0},
            strengths=[{"tag": t, "weight": 1.0, **sourced} for t in ("portrait", "ambient_motion", "speed")],
        ),
        build.card(
            "weak",
            quality={"elo": 100, "dynamic_degree": 0.0},
            strengths=[
                {"tag": t, "weight": -1.0, **sourced} for t in ("portrait", "ambient_motion", "speed")
            ],
            tasks=["flf2v"],
            controls={"last_image": "required"},
        ),
    ]


@pytest.fixture(scope="module")
def candidates(build: Any, cards: list[Any]) -> list[Any]:
    plans = [
        build.plan(),
        build.plan(64, 64, 1, 1.0, framing=Framing(Fit.PAD, 1.0, 0.01), gave_way=("asked more; less",)),
        build.plan(4096, 2160, 481, 60.0, segments=4, interpolation=2, framing=Framing(Fit.CROP, 0.9, 1.0)),
    ]
    predictions = [
        {},
        {"usd": None, "seconds": 1e6, "wait_seconds": 1e6, "quality": 0.0, "on_time": 0.0, "fits": False},
        {"usd": 0.0, "seconds": 0.0, "quality": 1.0},
        {"usd": 1e4, "memory_bytes": 2**40},
    ]
    pools = [
        build.pool(),
        build.pool(replicas=0, max_replicas=0, healthy=False),
        build.pool(replicas=1, busy_seconds=(9.0,), queued_seconds=100.0),
    ]
    return [
        build.candidate(card, plan=plan, pool=pool, **predicted)
        for card in cards
        for plan in plans
        for predicted in predictions
        for pool in pools
    ]


@pytest.fixture(scope="module")
def requests(build: Any) -> list[Any]:
    return [
        build.request(),
        build.request(
            300,
            4000,
            subject="portrait",
            subject_confidence=1.0,
            subject_motion=("dress",),
            environment_motion=("water",),
            intensity=Intensity.EXTREME,
            wish=ClipWish(Size(3840, 2160), 60.0, 60.0),
            camera=(CameraWish(CameraMove.PUSH_IN, True), CameraWish(CameraMove.ROLL)),
            objective=Objective.PREVIEW,
            motion=Intensity.SUBTLE,
            deadline_s=1.0,
            max_cost_usd=0.0,
            residency=Residency.SELF_HOSTED,
            allow=("plain",),
            deny=("weak",),
            has_last_image=True,
            has_audio=True,
            has_driving_video=True,
            generate_audio=True,
        ),
    ]


def test_something_is_registered() -> None:
    assert {"lifecycle", "budget", "deadline"} <= set(of("filter"))
    assert {"quality", "on_time", "cost"} <= set(of("scorer"))
    assert {"expected_utility", "max_score"} <= set(of("picker"))


@pytest.mark.parametrize("kind_name", sorted(REGISTRY.classes), ids="-".join)
def test_is_a_documented_frozen_value(kind_name: tuple[Any, str]) -> None:
    cls = REGISTRY.classes[kind_name]
    policy = REGISTRY.build(*kind_name, {}, "test")
    assert is_dataclass(cls)
    assert cls.__doc__
    assert not cls.__doc__.startswith(f"{cls.__name__}(")
    assert policy == cls()
    assert pickle.loads(pickle.dumps(policy)) == policy
    for field in fields(cls):
        with pytest.raises(AttributeError):
            setattr(policy, field.name, 0.5)


@pytest.mark.parametrize("name", of("scorer"))
def test_scorer(name: str, requests: list[Any], candidates: list[Any]) -> None:
    scorer = REGISTRY.build("scorer", name, {}, "test")
    before = copy.deepcopy((requests, [c.prediction for c in candidates], [c.plan for c in candidates]))
    for request in requests:
        scores = scorer.score(request, candidates)
        assert len(scores) == len(candidates)
        assert all(isinstance(value, float) and 0.0 <= value <= 1.0 for value in scores)
        assert list(scorer.score(request, candidates)) == list(scores)
        reasons = [scorer.explain(request, candidate) for candidate in candidates]
        assert all(len(reason) >= 3 for reason in reasons)
        assert reasons == [scorer.explain(request, candidate) for candidate in candidates]
        assert scorer.score(request, []) == []
    assert (requests, [c.prediction for c in candidates], [c.plan for c in candidates]) == before


@pytest.mark.parametrize("name", of("scorer"))
def test_scorer_gives_each_its_own(name: str, requests: list[Any], candidates: list[Any]) -> None:
    scorer = REGISTRY.build("scorer", name, {}, "test")
    for request in requests:
        together = scorer.score(request, candidates)
        reverse = list(reversed(scorer.score(request, list(reversed(candidates)))))
        assert list(together) == reverse


@pytest.mark.parametrize("name", of("filter"))
def test_filter(name: str, requests: list[Any], candidates: list[Any], cards: list[Any]) -> None:
    policy = REGISTRY.build("filter", name, {}, "test")
    before = copy.deepcopy(requests)
    reasons = []
    for _ in range(2):
        reasons.append(
            [
                policy.reject_offer(request, card, card.offers[0])
                for request in requests
                for card in cards
                if hasattr(policy, "reject_offer")
            ]
            + [
                policy.reject(request, candidate)
                for request in requests
                for candidate in candidates
                if hasattr(policy, "reject")
            ]
        )
    assert reasons[0] == reasons[1]
    assert reasons[0]
    assert all(reason is None or len(reason) > 10 for reason in reasons[0])
    assert any(reason is None for reason in reasons[0])
    assert requests == before


@pytest.mark.parametrize(
    "name", [n for n in of("filter") if hasattr(REGISTRY.classes["filter", n], "applies")]
)
def test_a_filter_that_does_not_apply_rejects_nothing(
    name: str, requests: list[Any], candidates: list[Any], cards: list[Any]
) -> None:
    policy = REGISTRY.build("filter", name, {}, "test")
    idle = [request for request in requests if not policy.applies(request)]
    assert idle
    assert len(idle) < len(requests)
    for request in idle:
        if hasattr(policy, "reject_offer"):
            assert not any(policy.reject_offer(request, card, card.offers[0]) for card in cards)
        if hasattr(policy, "reject"):
            assert not any(policy.reject(request, candidate) for candidate in candidates)


def test_every_shipped_filter_can_reject(
    build: Any, cards: list[Any], candidates: list[Any], requests: list[Any]
) -> None:
    hosted = build.card(
        "hosted",
        offer={
            "backend": "fal",
            "latency": {"p50": 1, "p95": 2, "source": "made up for a test", "checked_at": "2026-11-21"},
        },
        input_image={"min_side": 9000, "source": "made up for a test", "checked_at": "2026-11-21"},
    )
    for name in of("filter"):
        policy = REGISTRY.build("filter", name, {}, "test")
        said = [
            *(
                policy.reject_offer(r, card, card.offers[0])
                for r in requests
                for card in [*cards, hosted]
                if hasattr(policy, "reject_offer")
            ),
            *(policy.reject(r, c) for r in requests for c in candidates if hasattr(policy, "reject")),
        ]
        assert any(said), name


@pytest.mark.parametrize("name", of("picker"))
def test_picker(name: str, build: Any, requests: list[Any], candidates: list[Any]) -> None:
    picker = REGISTRY.build("picker", name, {}, "test")
    scored = [
        build.scored(c, quality=((at * 7919 % 100) / 100, 1.0), cost=((at * 31 % 10) / 10, 0.5))
        for at, c in enumerate(candidates)
    ]
    for request in requests:
        order = list(picker.order(request, scored))
        assert sorted(id(s.candidate) for s in order) == sorted(id(s.candidate) for s in scored)
        told = [round(s.utility, 8) for s in order]
        assert told == sorted(told, reverse=True)
        assert list(picker.order(request, scored)) == order
    assert all(s.utility == 0.0 for s in scored)
