"""How long one routing decision takes: 50 cards, 500 queued jobs, one core; growth to 1,000 cards.

    python benchmarks/decision.py [--decisions 2000] [--out benchmarks/results/decision.json]

Cards are distinct variants of the shipped ones: own rating, strengths and price, every second one with own
limits of size and length. Every offer has a pool under load, with gangs of 1 to 8 GPUs. Requests are
distinct: photographs in the sizes of phones and cameras and, one in three, cropped by hand; clips,
deadlines, budgets, camera moves and objectives vary. Wall and CPU time of each decision are taken; on a busy
machine only the CPU time is the product's own.

Two peers run on the same requests: `naive` comes to the same choice by the obvious loop (plan, estimate and
score each candidate afresh, as pydantic objects, take the maximum), and `adaptive` is LiteLLM's
adaptive-router formula, 0.7 x quality + 0.3 x (1 - cost), which plans no geometry, predicts no time and
explains nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pydantic import BaseModel

from models.card import AreaSizes, Card, LatticeFrames, Mode, PricePerGpuSecond, Strength
from models.catalog import Catalog, load_catalog
from models.cost import estimate, usd
from models.gpus import GpuType, load_gpus
from models.types import CameraMove, CameraWish, ClipWish, Intensity, Objective, Size, TaskType
from policies.base import Candidate, Features, Fleet, ImageFeatures, PromptFeatures, RouteRequest
from policies.candidates import DEGREES, predict
from policies.durations import default_seconds
from policies.engine import Engine, idle_fleet
from policies.geometry import plan_clip
from policies.load import wait_seconds
from policies.profile import Profile, load_profiles
from policies.quality import preference

SEED = 20_261_121
CAMERAS = ((4032, 3024), (3024, 4032), (4000, 3000), (1920, 1080), (1080, 1920), (6000, 4000), (1024, 1024))
GANGS = (1, 1, 1, 2, 4, 8)


def synthetic_cards(count: int, rng: random.Random) -> Catalog:
    """`count` distinct cards, variants of the shipped ones in turn."""
    shipped = [card for card in load_catalog() if card.status != "retired"]
    return Catalog.of([_variant(shipped[at % len(shipped)], at, rng) for at in range(count)])


def _variant(card: Card, at: int, rng: random.Random) -> Card:
    offers = card.offers
    if at % 2:
        offers = tuple(
            offer.model_copy(update={"modes": tuple(_limits(mode, rng) for mode in offer.modes)})
            for offer in offers
        )
    tag = rng.choice(("portrait", "landscape", "group", "product", "ambient_motion", "cinematic_camera"))
    said = Strength(
        tag=tag, weight=rng.uniform(-0.4, 0.4), source="synthetic", checked_at=card.checked_at, inferred=True
    )
    return card.model_copy(
        update={
            "id": f"{card.id}-{at}",
            "replacement": None,
            "offers": offers,
            "quality": card.quality.model_copy(update={"elo": card.quality.elo + rng.uniform(-90, 250)}),
            "strengths": (*card.strengths, said),
        }
    )


def _limits(mode: Mode, rng: random.Random) -> Mode:
    update: dict[str, object] = {}
    if isinstance(mode.sizes, AreaSizes):
        pixels = round(mode.sizes.pixels * rng.uniform(0.9, 1.3))
        update["sizes"] = mode.sizes.model_copy(update={"pixels": max(pixels, mode.sizes.min_pixels)})
    if isinstance(mode.length, LatticeFrames):
        more = mode.length.max + mode.length.step * rng.randrange(10)
        update["length"] = mode.length.model_copy(update={"max": more})
    return mode.model_copy(update=update)


def requests(count: int, rng: random.Random) -> list[RouteRequest]:
    """Distinct requests as a mixed clientele sends them."""
    return [_request(rng) for _ in range(count)]


def _request(rng: random.Random) -> RouteRequest:
    hand_cropped = rng.random() < 1 / 3
    width, height = (
        (rng.randrange(640, 4000), rng.randrange(640, 4000)) if hand_cropped else rng.choice(CAMERAS)
    )
    move = rng.choice(list(CameraMove))
    image = ImageFeatures(
        width,
        height,
        "landscape" if width > height else "portrait" if height > width else "square",
        subject=rng.choice(("portrait", "group", "landscape", "product", "other")),
        subject_confidence=round(rng.random(), 2),
    )
    prompt = PromptFeatures(
        camera=(move,) if rng.random() < 0.4 else (),
        environment_motion=("water",) if rng.random() < 0.4 else (),
        intensity=rng.choice([None, *Intensity]),
        words=rng.randrange(20),
    )
    return RouteRequest(
        Features(image, prompt),
        wish=ClipWish(
            size=rng.choice([None, None, Size(832, 480), Size(1280, 720)]),
            seconds=rng.choice([None, 4, 5, 8, 10]),
            fps=rng.choice([None, None, 24, 30]),
        ),
        task=TaskType.TI2V if prompt.words else TaskType.I2V,
        objective=rng.choice(list(Objective)),
        camera=(CameraWish(move),) if rng.random() < 0.2 else (),
        deadline_s=rng.choice([None, 300.0, 1200.0, 3600.0]),
        max_cost_usd=rng.choice([None, None, 0.5, 2.0]),
    )


def loaded_fleet(catalog: Catalog, gpus: dict[str, GpuType], rng: random.Random) -> Fleet:
    """A pool for every offer, with some replicas at work and one cold in ten."""
    pools = []
    for pool in idle_fleet(catalog, gpus).pools:
        replicas = rng.choice((0, 1, 1, 1, 2, 2, 2, 3, 4, 8))
        busy = tuple(rng.uniform(5, 300) for _ in range(rng.randrange(replicas + 1)))
        gang = min(pool.gang_size, rng.choice(GANGS))
        pools.append(
            replace(pool, replicas=replicas, busy_seconds=busy, gang_size=gang, cold_start_s=60.0, speed=1.03)
        )
    return Fleet(tuple(pools))


def fold(fleet: Fleet, queued: Sequence[tuple[tuple[str, str], float]]) -> Fleet:
    """Queued jobs poured into their pools, as the Router does before it decides."""
    totals: dict[tuple[str, str], float] = defaultdict(float)
    for offer, seconds in queued:
        totals[offer] += seconds
    return replace(
        fleet,
        pools=tuple(replace(p, queued_seconds=totals.get((p.model, p.offer), 0.0)) for p in fleet.pools),
    )


class NaiveCandidate(BaseModel):
    """What the obvious implementation would carry around."""

    model: str
    offer: str
    gpus: int
    seconds: float
    usd: float | None
    utility: float
    reasons: dict[str, str]


def naive(
    catalog: Catalog, gpus: dict[str, GpuType], profile: Profile, request: RouteRequest, fleet: Fleet
) -> str | None:
    """The same choice by the obvious loop; returns its model."""
    found: list[NaiveCandidate] = []
    for pool in fleet.pools:
        card = catalog.get(pool.model)
        offer = card.offer(pool.offer)
        if any(reject(request, card, offer) for _, reject in profile.offer_filters):
            continue
        for mode in offer.modes:
            plan = plan_clip(
                mode,
                request.features.image.size,
                request.wish,
                profile.tolerance,
                default_seconds=default_seconds(request),
                whole=request.has_last_image,
            )
            if isinstance(plan, str):
                continue
            for degree in (d for d in DEGREES if d in offer.degrees and d <= pool.gang_size):
                gpu = gpus[pool.gpu]
                estimated = estimate(card, offer, plan, gpu, degree)
                prediction = predict(
                    (
                        estimated.seconds,
                        estimated.gpu_seconds,
                        estimated.memory_bytes,
                        estimated.fits,
                        usd(offer, plan, estimated, gpu),
                    ),
                    pool,
                    wait_seconds(pool),
                    preference(card.quality.elo, profile.reference_elo),
                    request.deadline_s,
                    isinstance(offer.price, PricePerGpuSecond),
                )
                made = Candidate(card, offer, mode, plan, degree, pool, prediction)
                if any(reject(request, made) for _, reject in profile.candidate_filters):
                    continue
                marks = {s.name: s.score(request, [made])[0] for s, _ in profile.scorers}
                utility = 1.0
                for scorer, weight in profile.scorers:
                    utility *= marks[scorer.name].value ** weight
                utility -= profile.picker.cost_weight * (made.prediction.usd or 0.0)  # type: ignore[attr-defined]
                found.append(
                    NaiveCandidate(
                        model=card.id,
                        offer=offer.id,
                        gpus=degree,
                        seconds=made.prediction.seconds,
                        usd=made.prediction.usd,
                        utility=utility,
                        reasons={name: mark.reason for name, mark in marks.items()},
                    )
                )
    return max(found, key=lambda c: c.utility).model if found else None


def adaptive(catalog: Catalog, prices: dict[str, float], request: RouteRequest) -> str | None:
    """LiteLLM 1.109's adaptive-router score with its means in place of Beta samples."""
    dearest = max(prices.values())
    deployments = []
    for card in catalog:
        if request.task not in card.tasks:
            continue
        quality = 0.5 + 0.3 * sum(s.weight for s in card.strengths if s.tag == request.features.image.subject)
        cost = prices[card.id] / dearest
        deployments.append({"id": card.id, "score": 0.7 * quality + 0.3 * (1 - cost)})
    return str(max(deployments, key=lambda d: d["score"])["id"]) if deployments else None


def timed(act: Callable[[RouteRequest], object], asked: Sequence[RouteRequest]) -> dict[str, Any]:
    """Wall and CPU milliseconds of one call each."""
    wall, cpu = [], []
    for request in asked:
        w, c = time.perf_counter(), time.thread_time()
        act(request)
        cpu.append(time.thread_time() - c)
        wall.append(time.perf_counter() - w)
    return {"calls": len(asked), "cpu_ms": _spread(cpu), "wall_ms": _spread(wall)}


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1e3, 4) for name, q in at.items()
    }


def measure(cards: int, queued: int, decisions: int) -> dict[str, Any]:
    """One size of catalog: folding the queue, deciding, and what a first decision costs."""
    rng = random.Random(SEED)
    catalog, gpus, profiles = synthetic_cards(cards, rng), load_gpus(), load_profiles()
    start = time.perf_counter()
    engine = Engine(catalog, gpus, profiles)
    compiled = time.perf_counter() - start
    base = loaded_fleet(catalog, gpus, rng)
    offers = [(pool.model, pool.offer) for pool in base.pools]
    jobs = [(rng.choice(offers), rng.uniform(5, 400)) for _ in range(queued)]
    fleet = fold(base, jobs)
    warm, asked = requests(decisions, rng), requests(decisions, rng)

    first = timed(lambda r: engine.decide(r, fleet, counter_offers=False), warm[:1])
    warming = timed(lambda r: engine.decide(r, fleet, counter_offers=False), warm[1:])
    steady = timed(lambda r: engine.decide(r, fleet, counter_offers=False), asked)
    same_photo = timed(lambda r: engine.decide(r, fleet, counter_offers=False), [asked[0]] * (decisions // 4))
    # Every decision on another fleet, as when each placement changes it.
    folding = timed(lambda _: fold(base, jobs), asked[: decisions // 4])
    moving = timed(
        lambda r: engine.decide(r, replace(fleet, now=fleet.now + 1), counter_offers=False),
        asked[: decisions // 4],
    )
    counted = [engine.decide(r, fleet, counter_offers=False) for r in asked[:200]]
    return {
        "cards": cards,
        "queued": queued,
        "mean_candidates": round(sum(len(d.candidates) for d in counted) / len(counted), 1),
        "mean_rejected": round(sum(len(d.rejected) for d in counted) / len(counted), 1),
        "compile_ms": round(compiled * 1e3, 2),
        "first_decision": first,
        "first_requests": warming,
        "decision": steady,
        "decision_on_a_changed_fleet": moving,
        "decision_repeated": same_photo,
        "fold_queue": folding,
    }


def peers(cards: int, queued: int, decisions: int) -> dict[str, Any]:
    """The two peers on the same catalog, fleet and requests as `measure`."""
    rng = random.Random(SEED)
    catalog, gpus, profiles = synthetic_cards(cards, rng), load_gpus(), load_profiles()
    engine = Engine(catalog, gpus, profiles)
    base = loaded_fleet(catalog, gpus, rng)
    offers = [(pool.model, pool.offer) for pool in base.pools]
    fleet = fold(base, [(rng.choice(offers), rng.uniform(5, 400)) for _ in range(queued)])
    requests(decisions, rng)
    asked = requests(decisions, rng)[: max(50, decisions // 10)]
    prices = {card.id: rng.uniform(0.01, 1.0) for card in catalog}

    def by_loop(request: RouteRequest) -> str | None:
        return naive(catalog, gpus, profiles[request.objective.value], request, fleet)

    same = 0
    for request in asked:
        chosen = engine.decide(request, fleet, counter_offers=False).chosen
        same += by_loop(request) == (chosen.candidate.card.id if chosen else None)
    return {
        "naive": timed(by_loop, asked),
        "naive_same_choice": f"{same}/{len(asked)}",
        "adaptive": timed(lambda r: adaptive(catalog, prices, r), asked),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cards", type=int, default=50)
    parser.add_argument("--queued", type=int, default=500)
    parser.add_argument("--decisions", type=int, default=2000)
    parser.add_argument("--growth", type=int, nargs="*", default=[10, 100, 200, 500, 1000])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "decision.json")
    given = parser.parse_args()
    main_case = measure(given.cards, given.queued, given.decisions)
    beside = peers(given.cards, given.queued, given.decisions)
    ours = main_case["decision"]["cpu_ms"]
    result = {
        "benchmark": "decision",
        "machine": {"python": platform.python_version(), "machine": platform.machine(), "cores_used": 1},
        "goal": {"cards": 50, "queued": 500, "p99_ms": 1.0},
        "result": main_case,
        "peers": beside
        | {
            "naive_over_ours_p50": round(beside["naive"]["cpu_ms"]["p50"] / ours["p50"], 1),
            "naive_over_ours_p99": round(beside["naive"]["cpu_ms"]["p99"] / ours["p99"], 1),
            "adaptive_over_ours_p50": round(beside["adaptive"]["cpu_ms"]["p50"] / ours["p50"], 3),
        },
        "growth": [measure(cards, given.queued, max(200, given.decisions // 10)) for cards in given.growth],
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(
        f"{given.cards} cards x {given.queued} queued, {main_case['mean_candidates']} candidates a decision"
    )
    print(f"decision  cpu ms {ours}  wall ms {main_case['decision']['wall_ms']}")
    print(f"folding   cpu ms {main_case['fold_queue']['cpu_ms']}")
    print(f"naive     cpu ms {beside['naive']['cpu_ms']}  same choice {beside['naive_same_choice']}")
    print(f"adaptive  cpu ms {beside['adaptive']['cpu_ms']}")
    for row in result["growth"]:
        cpu = row["decision"]["cpu_ms"]
        print(f"{row['cards']:5d} cards: cpu p50 {cpu['p50']} ms, p99 {cpu['p99']} ms")
    print(f"written to {given.out}")


if __name__ == "__main__":
    main()
