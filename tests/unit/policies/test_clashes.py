"""Contradictory wishes: the smallest sets that clash are named, and what is offered instead really fits."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from models.catalog import load_catalog
from models.gpus import load_gpus
from models.types import CameraMove, CameraWish, ClipWish, Objective, Prefer, Residency, Size, TaskType
from policies.base import Decision, RouteRequest
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles
from policies.wishes import WISHES, patch, present, without
from router.engine import clashing_fields, no_route_message

CATALOG, GPUS = load_catalog(), load_gpus()
PROFILES = load_profiles()
ENGINE, FLEET = Engine(CATALOG, GPUS, PROFILES), idle_fleet(CATALOG, GPUS)
SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}
UHD = Size(3840, 2160)
EVERYTHING: dict[str, Any] = {
    "wish": ClipWish(Size(1280, 720), 8, 24),
    "deadline_s": 60.0,
    "max_cost_usd": 0.5,
    "camera": (CameraWish(CameraMove.PUSH_IN, True), CameraWish(CameraMove.ROLL)),
    "generate_audio": True,
    "has_last_image": True,
    "has_driving_video": True,
    "driving_seconds": 4.0,
    "has_audio": True,
    "audio_seconds": 4.0,
    "task": TaskType.ANIMATE,
    "allow": ("alpha",),
    "deny": ("beta",),
    "residency": Residency.SELF_HOSTED,
    "model": "alpha",
}


def ask(build: Any, **asked: Any) -> Decision:
    return ENGINE.decide(build.request(4032, 3024, environment_motion=("water",), **asked), FLEET)


def applied(request: RouteRequest, changes: Any) -> RouteRequest:
    """A patch as a client would apply it."""
    wish, after = request.wish, request
    for name, value in changes.items():
        if name == "size":
            wish = replace(wish, size=None if value is None else Size.parse(value))
        elif name in {"seconds", "fps"}:
            wish = replace(wish, **{name: value})
        elif name == "prefer":
            wish = replace(wish, prefer=Prefer(value))
        elif name == "camera":
            moves = [move.partition(":") for move in value or ()]
            after = replace(after, camera=tuple(CameraWish(CameraMove(m), bool(r)) for m, _, r in moves))
        elif name in {"last_image", "driving_video", "audio"}:
            assert value is None
            after = without(after, name)
        elif name in {"allow", "deny"}:
            after = replace(after, **{name: tuple(value or ())})
        elif name == "residency":
            after = replace(after, residency=Residency(value))
        else:
            after = replace(after, **{name: value})
    return replace(after, wish=wish)


CASES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a camera move that none of them takes": (
        {"camera": (CameraWish(CameraMove.ROLL, True),), "allow": ("wan2.6-i2v", "svd-xt")},
        {"camera", "allow"},
    ),
    "a driving video and no model for it": (
        {
            "has_driving_video": True,
            "driving_seconds": 8.0,
            "task": TaskType.ANIMATE,
            "allow": ("wan2.6-i2v", "hailuo-2.3"),
        },
        {"driving_video", "allow"},
    ),
    "audio for a silent model": (
        {"has_audio": True, "audio_seconds": 8.0, "task": TaskType.A2V, "model": "svd-xt"},
        {"audio", "model"},
    ),
    "sound from a silent model": ({"generate_audio": True, "model": "svd-xt"}, {"generate_audio", "model"}),
    "4K and 15 s and 60 fps and five cents": (
        {"wish": ClipWish(UHD, 15, 60), "max_cost_usd": 0.05},
        {"size", "max_cost_usd"},
    ),
    "8K": ({"wish": ClipWish(Size(7680, 4320))}, {"size"}),
    "4K at home": ({"wish": ClipWish(UHD), "residency": Residency.SELF_HOSTED}, {"size", "residency"}),
    "two seconds": ({"deadline_s": 2.0}, {"deadline_s"}),
    "a retired model": ({"model": "luma-ray-2"}, {"model"}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_wishes_that_clash_are_named_with_offers_that_fit(build: Any, name: str) -> None:
    asked, fields = CASES[name]
    decision = ask(build, **asked)
    assert decision.chosen is None
    assert {field for clash in decision.clashes for field in clash.fields} == fields
    assert set((clashing_fields(decision) or "").split(",")) == fields
    request = build.request(4032, 3024, environment_motion=("water",), **asked)
    message = no_route_message(decision)
    for clash in decision.clashes:
        # Dropping any one of them helps, or at least this set no longer clashes.
        assert clash.told[1:] in message
        alone = without(request, *(w.field for w in present(request) if w.field not in clash.fields))
        assert ENGINE.decide(alone, FLEET, counter_offers=False).chosen is None
        for field in clash.fields:
            assert ENGINE.decide(without(alone, field), FLEET, counter_offers=False).chosen is not None
    assert decision.counter_offers
    for offer in decision.counter_offers:
        assert offer.change in message
        again = ENGINE.decide(applied(request, offer.patch), FLEET, counter_offers=False).chosen
        assert again is not None, offer.change
        assert again.candidate.key == offer.chosen.candidate.key
        assert offer.patch


TOGETHER: dict[str, tuple[dict[str, Any], set[frozenset[str]]]] = {
    "two seconds, and sound from a silent model": (
        {"deadline_s": 2.0, "generate_audio": True, "model": "svd-xt"},
        {frozenset({"deadline_s"}), frozenset({"generate_audio", "model"})},
    ),
    "8K, and a roll that none of them takes": (
        {
            "wish": ClipWish(Size(7680, 4320)),
            "camera": (CameraWish(CameraMove.ROLL, True),),
            "allow": ("wan2.6-i2v", "svd-xt"),
        },
        {frozenset({"size"}), frozenset({"camera", "allow"})},
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_all_that_must_give_way_is_named(build: Any, name: str) -> None:
    asked, sets = TOGETHER[name]
    decision = ask(build, **asked)
    assert {frozenset(clash.fields) for clash in decision.clashes} == sets
    request = build.request(4032, 3024, environment_motion=("water",), **asked)
    for given_up in product(*(clash.fields for clash in decision.clashes)):
        assert ENGINE.decide(without(request, *given_up), FLEET, counter_offers=False).chosen is not None


def test_an_errors_reasons_are_the_asked_models_own(build: Any) -> None:
    asked = ask(build, generate_audio=True, model="svd-xt")
    assert asked.rejected[0].model == "svd-xt"
    assert "svd-xt was asked for" not in no_route_message(asked)
    free = ask(build, deadline_s=2.0)
    filters = [row.filter for row in free.rejected]
    gone = filters.count("lifecycle")
    assert gone > 0
    assert filters[-gone:] == ["lifecycle"] * gone
    retired = ask(build, model="luma-ray-2")
    assert retired.rejected[0].filter == "lifecycle"
    assert f"luma-ray-2: {retired.rejected[0].reason}" in no_route_message(retired)


def test_a_slower_clip_saves_no_time(build: Any) -> None:
    dear = {"backend": "fal", "degrees": [1], "price": {"kind": "per_clip", "usd": 1.0, **SOURCED}}
    dear["latency"] = {"p50": 5, "p95": 9, **SOURCED}
    slow = {"cost": {"rendering": {"seconds_per_megapixel": 10.0, "fixed_seconds": 0.0, **SOURCED}}}
    catalog = build.catalog(build.card("dear", offer=dear), build.card("slow", **slow))
    engine, fleet = Engine(catalog, build.gpus(), PROFILES), idle_fleet(catalog, build.gpus())
    request = build.request(objective=Objective.SPEED, max_cost_usd=0.001)
    free = engine.decide(replace(request, max_cost_usd=None), fleet).chosen
    offer = engine.decide(request, fleet).counter_offers[0]
    assert free is not None
    assert offer.chosen.candidate.prediction.total_seconds > free.candidate.prediction.total_seconds
    assert offer.saves.seconds == 0.0
    assert offer.saves.usd is not None
    assert offer.saves.usd > 0.0


def test_a_successor_is_named(build: Any) -> None:
    decision = ask(build, model="luma-ray-2")
    offer = decision.counter_offers[0]
    assert (offer.change, offer.patch) == ("take its successor luma-ray-3.2", {"model": "luma-ray-3.2"})


def test_a_successor_that_is_retired_too_is_passed_over(build: Any) -> None:
    retired = {"status": "retired", "retires_on": "2026-01-01"}
    cards = (
        build.card("one", replacement="two", **retired),
        build.card("two", replacement="three", **retired),
        build.card("three"),
        build.card("ring", replacement="ring2", **retired),
        build.card("ring2", replacement="ring", **retired),
    )
    catalog, gpus = build.catalog(*cards), build.gpus()
    engine, fleet = Engine(catalog, gpus, PROFILES), idle_fleet(catalog, gpus)
    offers = engine.decide(build.request(model="one"), fleet).counter_offers
    assert offers[0].patch == {"model": "three"}
    assert [o.patch for o in engine.decide(build.request(model="ring"), fleet).counter_offers] == [
        {"model": "auto"}
    ]


def test_the_largest_size_is_offered_even_where_a_smaller_one_would_be_chosen(build: Any) -> None:
    """A rival of far better quality makes 720p; the only model that makes 1080p is poor."""

    def sizes(width: int, height: int) -> list[Any]:
        return [build.mode(sizes={"kind": "list", "sizes": [[width, height]]})]

    good = build.card("good", modes=sizes(1280, 720), quality={"elo": 1600})
    poor = build.card("poor", modes=sizes(1920, 1080), quality={"elo": 900})
    catalog, gpus = build.catalog(good, poor), build.gpus()
    engine, fleet = Engine(catalog, gpus, PROFILES), idle_fleet(catalog, gpus)
    request = build.request(1920, 1080, wish=ClipWish(size=Size(3840, 2160)))
    (offer,) = engine.decide(request, fleet).counter_offers
    assert offer.chosen.candidate.plan.effective.size == Size(1920, 1080)
    assert offer.patch == {"size": "1920x1080", "model": "poor"}
    assert offer.change == "make it smaller: 1920x1080 and take poor"


def test_a_rendered_clip_is_offered_only_where_no_generated_one_is_to_be_had(build: Any) -> None:
    render = {"makes": "rendered", "camera": {"kind": "native", "moves": ["push_in"]}}
    large = [build.mode(sizes={"kind": "list", "sizes": [[1920, 1080]]})]
    small = [build.mode(sizes={"kind": "list", "sizes": [[1280, 720]]})]
    catalog = build.catalog(build.card("made", modes=small), build.card("moved", modes=large, **render))
    engine, fleet = Engine(catalog, build.gpus(), PROFILES), idle_fleet(catalog, build.gpus())
    request = build.request(1920, 1080, wish=ClipWish(size=Size(3840, 2160)))
    (offer,) = engine.decide(request, fleet).counter_offers
    assert offer.chosen.candidate.card.id == "made"
    assert offer.chosen.candidate.plan.effective.size == Size(1280, 720)


def test_what_is_saved_is_told_against_the_request_without_limits(build: Any) -> None:
    slow = {"cost": {"rendering": {"seconds_per_megapixel": 10.0, "fixed_seconds": 0.0, **SOURCED}}}
    catalog = build.catalog(build.card("slow", **slow), build.card("fast"), build.card("fine", **slow))
    engine, fleet = Engine(catalog, build.gpus(), PROFILES), idle_fleet(catalog, build.gpus())
    request = build.request(deadline_s=40.0, model="slow")
    free = engine.decide(replace(request, deadline_s=None), fleet).chosen
    offers = engine.decide(request, fleet).counter_offers
    fast = next(offer for offer in offers if offer.patch == {"model": "auto"})
    assert free is not None
    was, now = free.candidate.prediction, fast.chosen.candidate.prediction
    assert fast.change == "let the router choose: it takes fast"
    assert fast.saves.seconds == pytest.approx(was.total_seconds - now.total_seconds)
    assert fast.saves.seconds is not None
    assert fast.saves.seconds > 100
    assert fast.saves.usd == pytest.approx((was.usd or 0) - (now.usd or 0))


def test_nothing_clashes_when_nothing_can_be_had_at_all(build: Any) -> None:
    catalog, gpus = build.catalog(build.card()), build.gpus()
    engine = Engine(catalog, gpus, PROFILES)
    decision = engine.decide(build.request(deadline_s=1), build.fleet(build.pool(healthy=False)))
    assert (decision.clashes, decision.counter_offers) == ((), ())
    assert clashing_fields(decision) is None


def test_each_wish_can_be_dropped_alone(build: Any) -> None:
    request = build.request(**EVERYTHING)
    assert present(request) == WISHES
    for wish in WISHES:
        left = wish.dropped(request)
        assert wish.told(left) is None
        assert [w for w in WISHES if w.told(left) is not None] == [w for w in WISHES if w is not wish]
        assert applied(request, patch(request, left)) == left
    bare = without(request, *(wish.field for wish in WISHES))
    assert (bare.task, bare.driving_seconds, bare.audio_seconds) == (TaskType.TI2V, None, None)
    assert [w.move for w in bare.camera] == [CameraMove.PUSH_IN, CameraMove.ROLL]
    assert patch(request, request) == {}


def test_dropping_an_input_leaves_the_next_task(build: Any) -> None:
    request = build.request(**EVERYTHING)
    tasks = []
    for field in ("driving_video", "audio", "last_image"):
        request = without(request, field)
        tasks.append(request.task)
    assert tasks == [TaskType.A2V, TaskType.FLF2V, TaskType.TI2V]
    # A file that is not what the task is about leaves the task alone.
    assert without(build.request(**EVERYTHING), "audio").task is TaskType.ANIMATE
