"""The engine on small catalogs: who is a candidate, who is rejected and why, what is chosen."""

from __future__ import annotations

from typing import Any

import pytest

from models.cost import estimate
from models.errors import ConfigError, UnknownModel
from models.types import CameraMove, CameraWish, ClipWish, Intensity, Objective, Residency, Size
from policies.base import Decision
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles

PROFILES = load_profiles()
BIG = {"sizes": {"kind": "list", "sizes": [[1280, 720]]}}
SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}


def decide(
    build: Any, *cards: Any, fleet: Any = None, exclude: frozenset[str] = frozenset(), **asked: Any
) -> Decision:
    catalog, gpus = build.catalog(*cards), build.gpus()
    engine = Engine(catalog, gpus, PROFILES)
    return engine.decide(build.request(**asked), fleet or idle_fleet(catalog, gpus), exclude=exclude)


def models(decision: Decision) -> list[str]:
    return sorted({s.candidate.card.id for s in decision.candidates})


def rejected(decision: Decision) -> dict[str, str]:
    return {row.model: row.filter for row in decision.rejected}


def test_every_degree_of_the_gang_is_a_candidate(build: Any) -> None:
    card = build.card(offer={"degrees": [1, 2, 4]})
    decision = decide(
        build, card, fleet=build.fleet(build.pool(gang_size=2), build.pool(name="other", gang_size=1))
    )
    assert sorted((s.candidate.pool.name, s.candidate.gpus) for s in decision.candidates) == [
        ("alpha-pool", 1),
        ("alpha-pool", 2),
        ("other", 1),
    ]


def test_geometry_does_not_depend_on_the_degree(build: Any) -> None:
    decision = decide(build, build.card())
    assert {s.candidate.gpus for s in decision.candidates} == {1, 2, 4, 8}
    assert len({s.candidate.plan for s in decision.candidates}) == 1


def test_prediction_follows_estimate_price_and_pool(build: Any) -> None:
    pool = build.pool(replicas=1, busy_seconds=(30.0,), speed=1.5)
    (only,) = decide(build, build.card(), fleet=build.fleet(pool), deadline_s=1000).candidates
    made, predicted = only.candidate, only.candidate.prediction
    estimated = estimate(made.card, made.offer, made.plan, build.gpus()["g"], 1)
    assert predicted.wait_seconds == 30.0
    assert predicted.seconds == pytest.approx(1.5 * estimated.seconds)
    assert predicted.usd == pytest.approx(predicted.seconds * 3.6 / 3600)
    assert predicted.gpu_seconds == pytest.approx(predicted.seconds)
    assert predicted.quality == 0.5
    assert predicted.on_time == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("over", "asked", "filter_name"),
    [
        ({"status": "retired", "retires_on": "2026-01-01"}, {}, "lifecycle"),
        ({}, {"deny": ("beta",)}, "model_choice"),
        ({}, {"model": "alpha"}, "model_choice"),
        ({"tasks": ["animate"]}, {}, "task"),
        ({"modes": ["needy"]}, {}, "task"),
        ({}, {"camera": (CameraWish(CameraMove.PUSH_IN, True),)}, "camera_control"),
        ({"input_image": {"min_side": 5000, **SOURCED}}, {}, "input_image"),
        ({}, {"wish": ClipWish(size=Size(3840, 2160))}, "geometry"),
        ({}, {"wish": ClipWish(seconds=60)}, "geometry"),
        ({}, {"max_cost_usd": 0.0001}, "budget"),
        ({"offer": {"price": None}}, {"max_cost_usd": 100}, "budget"),
        ({}, {"deadline_s": 0.5}, "deadline"),
        ({"offer": {"degrees": [16]}}, {}, "gang"),
        ({"offer": {"default_gpu": "unheard-of"}}, {}, "health"),
    ],
)
def test_filters_reject(build: Any, over: dict[str, Any], asked: dict[str, Any], filter_name: str) -> None:
    if over.get("modes"):
        over = {
            "modes": [build.mode(needs=["last_image"])],
            "controls": {"last_image": "optional"},
        }
    alpha = build.card("alpha")
    decision = decide(build, alpha, build.card("beta", **over), **asked)
    assert rejected(decision)["beta"] == filter_name
    assert "beta" not in models(decision)


def test_memory_is_a_filter(build: Any) -> None:
    cost = {
        "rendering": {"seconds_per_megapixel": 1.0, "fixed_seconds": 0.0, "bytes_per_pixel": 1e6, **SOURCED}
    }
    assert rejected(decide(build, build.card(cost=cost))) == {"alpha": "memory"}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"model": "b"},
        {"max_cost_usd": 0.1},
        {"deadline_s": 5},
        {"wish": ClipWish(seconds=15)},
        {"wish": ClipWish(size=Size(1920, 1080))},
        {"camera": (CameraWish(CameraMove.ROLL, True),)},
        {"residency": Residency.SELF_HOSTED},
    ],
)
def test_every_card_is_a_candidate_or_rejected_once(build: Any, asked: dict[str, Any]) -> None:
    cards = [
        build.card("a", modes=[build.mode(), build.mode("720p", **BIG)]),
        build.card("b", camera={"kind": "native", "moves": ["roll"]}),
        build.card("c", offer={"backend": "fal", "latency": {"p50": 3, "p95": 6, **SOURCED}, "price": None}),
        build.card("d", status="retired", retires_on="2026-01-01"),
    ]
    decision = decide(build, *cards, **asked)
    kept = {(s.candidate.card.id, s.candidate.offer.id, s.candidate.mode.name) for s in decision.candidates}
    assert set(models(decision)) | {row.model for row in decision.rejected} == {"a", "b", "c", "d"}
    assert len(decision.rejected) <= 5 - len(kept)
    assert all(row.reason for row in decision.rejected)


def test_modes_are_named_where_there_are_several(build: Any) -> None:
    card = build.card(modes=[build.mode(), build.mode("720p", **BIG)])
    decision = decide(build, card, wish=ClipWish(size=Size(1280, 720), seconds=5))
    assert [s.candidate.mode.name for s in decision.candidates[:1]] == ["720p"]
    far = decide(build, card, wish=ClipWish(size=Size(1920, 1080)))
    (row,) = far.rejected
    assert row.reason.startswith("mode 480p: asked 1920x1080")


def test_the_nearest_rejected_candidate_speaks(build: Any) -> None:
    # One GPU is cheapest: the budget's reason names its price; under a deadline the soonest speaks.
    cheap = decide(build, build.card(), max_cost_usd=0.001).rejected[0].reason
    one = decide(build, build.card(offer={"degrees": [1]}), max_cost_usd=0.001).rejected[0].reason
    assert cheap == one
    slow = build.pool(name="slow", speed=10.0)
    fleet = build.fleet(slow, build.pool(name="fast"))
    assert decide(build, build.card(), fleet=fleet, deadline_s=5).rejected[0].reason.startswith("takes 32.")


def test_unhealthy_pool_is_told_and_another_is_used(build: Any) -> None:
    sick = build.pool(name="sick", healthy=False, reason="weights missing")
    decision = decide(build, build.card(), fleet=build.fleet(sick))
    assert decision.rejected[0].reason == "pool sick is not healthy: weights missing"
    both = decide(build, build.card(), fleet=build.fleet(sick, build.pool(name="well")))
    assert both.rejected == ()
    assert both.chosen is not None
    assert both.chosen.candidate.pool.name == "well"


def test_excluded_offers_have_refused_the_job(build: Any) -> None:
    decision = decide(build, build.card("a"), build.card("b"), exclude=frozenset({"a/local"}))
    assert models(decision) == ["b"]
    assert rejected(decision) == {"a": "excluded"}


def test_fallbacks_are_other_offers_in_order(build: Any) -> None:
    cards = [build.card(f"m{at}", quality={"elo": 1000 + 50 * at}) for at in range(8)]
    decision = decide(build, *cards)
    assert decision.chosen is not None
    assert decision.chosen.candidate.card.id == "m7"
    assert [s.candidate.card.id for s in decision.fallbacks] == ["m6", "m5", "m4", "m3"]


def test_a_better_model_wins_until_it_is_late(build: Any) -> None:
    good = build.card("good", quality={"elo": 1400}, offer={"degrees": [1]})
    quick = build.card("quick", quality={"elo": 1100}, offer={"degrees": [1]})
    catalog, gpus = build.catalog(good, quick), build.gpus()
    engine = Engine(catalog, gpus, PROFILES)
    calm = build.fleet(build.pool("good"), build.pool("quick"))
    busy = build.fleet(build.pool("good", queued_seconds=5000.0), build.pool("quick"))
    request = build.request(deadline_s=300)
    assert engine.decide(request, calm).chosen.candidate.card.id == "good"  # type: ignore[union-attr]
    late = engine.decide(request, busy)
    assert late.chosen.candidate.card.id == "quick"  # type: ignore[union-attr]
    assert rejected(late) == {"good": "deadline"}


def test_objectives_use_their_profiles(build: Any) -> None:
    # `good` is dear and slow, `quick` cheap and soon, `drawn` is rendered at once.
    good = build.card("good", quality={"elo": 1400}, cost=_cost(30.0))
    quick = build.card("quick", quality={"elo": 1150}, cost=_cost(1.0))
    drawn = build.card(
        "drawn",
        makes="rendered",
        quality={"elo": 800},
        cost=_cost(0.1),
        camera={"kind": "native", "moves": ["push_in"]},
    )
    chosen = {
        objective: decide(
            build, good, quick, drawn, objective=objective, said=(CameraMove.PUSH_IN,)
        ).chosen.candidate.card.id  # type: ignore[union-attr]
        for objective in Objective
    }
    assert chosen == {
        Objective.QUALITY: "good",
        Objective.BALANCED: "good",
        Objective.SPEED: "quick",
        Objective.COST: "quick",
        Objective.PREVIEW: "drawn",
    }


def _cost(seconds_per_megapixel: float) -> dict[str, Any]:
    return {"rendering": {"seconds_per_megapixel": seconds_per_megapixel, "fixed_seconds": 0.0, **SOURCED}}


def test_a_rendered_clip_is_chosen_only_when_nothing_is_generated(build: Any) -> None:
    drawn = build.card("drawn", makes="rendered", quality={"elo": 1200}, cost=_cost(0.01))
    real = build.card("real", quality={"elo": 1000}, cost=_cost(20.0))
    assert decide(build, drawn, real).chosen.candidate.card.id == "real"  # type: ignore[union-attr]
    assert decide(build, drawn, real, deny=("real",)).chosen.candidate.card.id == "drawn"  # type: ignore[union-attr]


def test_decisions_are_equal_for_equal_inputs_and_do_not_depend_on_what_was_decided_before(
    build: Any,
) -> None:
    cards = [build.card(name, quality={"elo": 1200}) for name in ("a", "b", "c")]
    catalog, gpus = build.catalog(*cards), build.gpus()
    used, fresh = Engine(catalog, gpus, PROFILES), Engine(catalog, gpus, PROFILES)
    fleet = idle_fleet(catalog, gpus)
    asked = [
        build.request(w, h, wish=ClipWish(size, seconds), deadline_s=deadline)
        for w, h in ((1600, 1200), (800, 600), (900, 1600))
        for size in (None, Size(832, 480))
        for seconds in (None, 3, 5)
        for deadline in (None, 100)
    ]
    for request in asked:
        used.decide(request, fleet)
    for request in asked:
        assert used.decide(request, fleet) == fresh.decide(request, fleet) == used.decide(request, fleet)
    assert used.decide(asked[0], fleet).chosen.candidate.card.id == "a"  # type: ignore[union-attr]


def test_what_is_kept_is_bounded(build: Any) -> None:
    from policies import candidates

    catalog, gpus = build.catalog(build.card()), build.gpus()
    engine = Engine(catalog, gpus, PROFILES)
    fleet = idle_fleet(catalog, gpus)
    for at in range(candidates.MOST_SHEETS + 50):
        engine.decide(build.request(1000 + at, 1000, wish=ClipWish(seconds=1 + at / 1000)), fleet)
    kept = engine._gatherer._candidates
    assert len(kept._sheets) == candidates.MOST_SHEETS
    assert len(kept._lengths) == candidates.MOST_WISHES
    assert len(kept.entries[0].rows[0].priced) <= candidates.MOST_PRICED


def test_unknown_model_lists_those_known(build: Any) -> None:
    with pytest.raises(UnknownModel) as raised:
        decide(build, build.card("alpha"), model="alpa")
    assert raised.value.allowed == ["alpha"]
    assert "alpha" in raised.value.message


def test_an_objective_without_profile_stops_the_start(build: Any) -> None:
    some = {name: profile for name, profile in PROFILES.items() if name != "preview"}
    with pytest.raises(ConfigError, match="no profile for preview"):
        Engine(build.catalog(build.card()), build.gpus(), some)


def test_a_pool_of_an_unknown_gpu_type_is_an_error_of_the_operator(build: Any) -> None:
    with pytest.raises(ConfigError, match="GPU type 'tpu' is not known"):
        decide(build, build.card(), fleet=build.fleet(build.pool(gpu="tpu")))


def test_scores_are_clamped_and_weighted_as_the_profile_says(build: Any) -> None:
    decision = decide(build, build.card())
    assert decision.chosen is not None
    assert {name: weight for name, (_, weight) in decision.chosen.scores.items()} == {
        scorer.name: weight for scorer, weight in PROFILES["balanced"].scorers
    }
    assert all(0 <= score.value <= 1 for score, _ in decision.chosen.scores.values())


# --- advice ---------------------------------------------------------------------------------------


def test_advice_of_features_comes_first_then_what_gave_way(build: Any) -> None:
    card = build.card(offer={"label": "Only for tests."})
    decision = decide(build, card, advice=("the photograph is dark",), wish=ClipWish(fps=24, seconds=5))
    assert decision.advice == (
        "the photograph is dark",
        "alpha: asked 24 fps; 16 fps is the nearest this model makes.",
        "alpha: Only for tests.",
    )


@pytest.mark.parametrize(
    ("read", "seconds", "told"),
    [
        (
            {"subject": "portrait", "subject_confidence": 0.9, "intensity": Intensity.SUBTLE},
            5,
            "5 s asked; small movements of a portrait hold best for 2-4 s: try fewer seconds.",
        ),
        (
            {"subject": "portrait", "subject_confidence": 0.9},
            3,
            "3 s asked; portraits hold best for 4-6 s: try more seconds.",
        ),
        ({"subject": "portrait", "subject_confidence": 0.9}, 5, None),
        (
            {"environment_motion": ("water",)},
            3,
            "3 s asked; moving surroundings hold best for 4-8 s: try more seconds.",
        ),
        (
            {"subject_motion": ("walk",)},
            3,
            "3 s asked; moving bodies hold best for 4-10 s: try more seconds.",
        ),
        (
            {"said": (CameraMove.PUSH_IN,)},
            2,
            "2 s asked; camera moves hold best for 3-8 s: try more seconds.",
        ),
        ({}, 2, None),
    ],
)
def test_advice_on_duration(build: Any, read: dict[str, Any], seconds: float, told: str | None) -> None:
    decision = decide(build, build.card(), wish=ClipWish(seconds=seconds), **read)
    assert [line for line in decision.advice if "hold best" in line] == ([told] if told else [])


@pytest.mark.parametrize(
    ("read", "frames"),
    [
        ({}, 81),
        ({"subject": "portrait", "subject_confidence": 0.9, "intensity": Intensity.SUBTLE}, 65),
        ({"subject": "portrait", "subject_confidence": 0.2, "intensity": Intensity.SUBTLE}, 81),
    ],
)
def test_duration_that_nobody_asked_for_suits_the_motion(
    build: Any, read: dict[str, Any], frames: int
) -> None:
    decision = decide(build, build.card(), **read)
    assert decision.chosen.candidate.plan.effective.num_frames == frames  # type: ignore[union-attr]


def test_a_model_that_reads_no_words_says_so_when_it_was_asked_for(build: Any) -> None:
    card = build.card(controls={"prompt": False}, status="deprecated", retires_on="2027-01-01")
    decision = decide(build, card, model="alpha")
    assert decision.advice == (
        "alpha reads no words; the prompt has no effect.",
        "alpha is deprecated and ends on 2027-01-01.",
    )
