"""How long one routing decision takes: 50 cards, 500 queued jobs, one core; growth to 1,000 cards.

    python -m benchmarks.decision [--decisions 2000] [--passes 3]

Cards are distinct variants of the shipped ones, open and hosted: own rating, strengths and price, every third
with own limits of size and length. Each card has a pool under load for one of its offers, as a fleet with one
account has; `every_offer_deployed` is the case in which every offer has one. Two in three pools have gangs of
one GPU, the others of two or four, hosted accounts several calls at a time. The queued jobs have deadlines
and priorities and wait for pools one by one; half the models have been voted on. Requests are distinct:
photographs in the shapes of phones and cameras and, one in ten, cropped by hand; clips, deadlines,
priorities, budgets, camera moves and objectives vary.

Each pass takes a fresh engine, warms it with as many other requests, then times every request once.
`decision` takes the least CPU time of each request over the passes, which leaves out what other processes did
to the machine's caches and one-off garbage collections; `single_pass` leaves nothing out, and
`decision_on_new_shapes` gives every request a photograph of a shape never seen before.

Two peers run on the same requests: `naive` comes to the same choice by the obvious loop (plan, estimate and
score each candidate afresh, as pydantic objects, take the maximum), and `adaptive` is LiteLLM's
adaptive-router formula, 0.7 x quality + 0.3 x (1 - cost), which plans no geometry, predicts no time and
explains nothing.
"""

from __future__ import annotations

import gc
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from pydantic import BaseModel

from benchmarks.report import Report, Target, arguments, percentiles
from models.card import HOSTED, AreaSizes, Card, LatticeFrames, Mode, PricePerGpuSecond, Strength
from models.catalog import Catalog, load_catalog
from models.cost import estimate, price_of, usd
from models.gpus import GpuType, load_gpus
from models.sharding import DEGREES
from models.types import CameraMove, CameraWish, ClipWish, Intensity, Objective, Priority, Size, TaskType
from policies.base import (
    Candidate,
    Decision,
    Features,
    Fleet,
    ImageFeatures,
    Pool,
    PromptFeatures,
    RouteRequest,
    Waiting,
)
from policies.calibration import EXPLORE_BELOW, Belief, slice_of
from policies.candidates import predict, ways
from policies.durations import default_seconds
from policies.engine import Engine, idle_fleet
from policies.geometry import plan_clip
from policies.load import congestion, utilisation, wait_seconds
from policies.profile import Profile, load_profiles
from policies.quality import adapted, evidence, expected, standing, use_case

SEED = 20_261_121
CAMERAS = ((4032, 3024), (3024, 4032), (4000, 3000), (1920, 1080), (1080, 1920), (6000, 4000), (1024, 1024))
GANGS = (1, 1, 1, 1, 2, 4)
BY_HAND = 0.1


def synthetic_cards(count: int, rng: random.Random) -> Catalog:
    """`count` distinct cards, variants of the shipped ones in turn."""
    shipped = [card for card in load_catalog() if card.status != "retired"]
    return Catalog.of([_variant(shipped[at % len(shipped)], at, rng) for at in range(count)])


def _variant(card: Card, at: int, rng: random.Random) -> Card:
    offers = card.offers
    if at % 3 == 0:
        offers = tuple(
            offer.model_copy(update={"modes": tuple(_limits(mode, rng) for mode in offer.modes)})
            for offer in offers
        )
    if card.cost is not None and card.cost.transformer is not None:
        # Whatever degrees the card ships with, the case is a fleet in which clips may share GPUs.
        offers = tuple(
            offer if offer.backend in HOSTED else offer.model_copy(update={"degrees": DEGREES})
            for offer in offers
        )
    tag = rng.choice(("portrait", "landscape", "group", "product", "ambient_motion", "cinematic_camera"))
    said = Strength(
        tag=tag, weight=rng.uniform(-0.4, 0.4), source="synthetic", checked_at=card.checked_at, inferred=True
    )
    rating, _ = card.quality.rating
    return card.model_copy(
        update={
            "id": f"{card.id}-{at}",
            "replacement": None,
            "aliases": (),
            "offers": offers,
            "quality": card.quality.model_copy(update={"elo": rating + rng.uniform(-90, 250)}),
            "strengths": (*card.strengths, said),
        }
    )


def _limits(mode: Mode, rng: random.Random) -> Mode:
    update: dict[str, object] = {}
    if isinstance(mode.sizes, AreaSizes):
        factor = rng.uniform(0.9, 1.3)
        scaled = {name: round(getattr(mode.sizes, name) * factor) for name in ("pixels", "min_pixels")}
        update["sizes"] = mode.sizes.model_copy(update=scaled)
    if isinstance(mode.length, LatticeFrames):
        more = mode.length.max + mode.length.step * rng.randrange(10)
        update["length"] = mode.length.model_copy(update={"max": more})
    return mode.model_copy(update=update)


def requests(count: int, rng: random.Random, by_hand: float = BY_HAND) -> list[RouteRequest]:
    """Distinct requests as a mixed clientele sends them; a share of the photographs is cropped by hand."""
    return [_request(rng, by_hand) for _ in range(count)]


def _request(rng: random.Random, by_hand: float) -> RouteRequest:
    hand_cropped = rng.random() < by_hand
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
        priority=rng.choice(list(Priority)),
        # Some are held out from what was learned; none explores, so that the peer has one right answer.
        draw=rng.uniform(EXPLORE_BELOW, 1.0),
    )


def loaded_fleet(
    catalog: Catalog, gpus: dict[str, GpuType], rng: random.Random, *, every_offer: bool
) -> Fleet:
    """A pool for one offer of each card, or for every offer, some replicas at work and one cold in ten."""
    idle = idle_fleet(catalog, gpus).pools
    if not every_offer:
        by_card: dict[str, list[Pool]] = defaultdict(list)
        for pool in idle:
            by_card[pool.model].append(pool)
        idle = tuple(rng.choice(offered) for offered in by_card.values())
    pools = []
    for pool in idle:
        replicas = rng.choice((0, 1, 1, 1, 2, 2, 2, 3, 4, 8))
        busy = tuple(rng.uniform(5, 300) for _ in range(rng.randrange(replicas + 1)))
        gang = min(pool.gang_size, rng.choice(GANGS))
        pools.append(
            replace(pool, replicas=replicas, busy_seconds=busy, gang_size=gang, cold_start_s=60.0, speed=1.03)
        )
    return Fleet(tuple(pools))


def votes(catalog: Catalog, rng: random.Random) -> dict[tuple[str, str], Belief]:
    """What has been learned of half the models, in every use case."""
    return {
        (card.id, use): Belief(rng.gauss(0.0, 30.0), rng.uniform(19.0, 60.0), rng.randrange(1, 200))
        for card in catalog
        if rng.random() < 0.5
        for use in (
            "portrait",
            "group",
            "landscape",
            "product",
            "cinematic_camera",
            "ambient_motion",
            "other",
        )
    }


def queue(fleet: Fleet, count: int, rng: random.Random) -> list[tuple[str, Waiting]]:
    """Jobs that wait, each for the pool of that name."""
    names = sorted({pool.name for pool in fleet.pools})
    return [
        (
            rng.choice(names),
            Waiting(
                rng.choice([inf, rng.uniform(30, 3600)]), rng.choice(list(Priority)), rng.uniform(5, 400)
            ),
        )
        for _ in range(count)
    ]


def fold(fleet: Fleet, queued: Sequence[tuple[str, Waiting]]) -> Fleet:
    """Queued jobs put with their pools, as the Router does before it decides."""
    waiting: dict[str, list[Waiting]] = defaultdict(list)
    for name, job in queued:
        waiting[name].append(job)
    return replace(fleet, pools=tuple(replace(p, waiting=tuple(waiting[p.name])) for p in fleet.pools))


class NaiveCandidate(BaseModel):
    """What the obvious implementation would carry around."""

    model: str
    offer: str
    gpus: int
    seconds: float
    usd: float | None
    congestion: float
    utility: float
    reasons: dict[str, str]


def naive(
    catalog: Catalog, gpus: dict[str, GpuType], profile: Profile, request: RouteRequest, fleet: Fleet
) -> str | None:
    """The same choice by the obvious loop; returns its model."""
    found: list[NaiveCandidate] = []
    seen, use = evidence(request), use_case(request)
    beliefs = {} if slice_of(request.draw, request.objective) == "hold_out" else fleet.beliefs
    for pool in fleet.pools:
        card = catalog.get(pool.model)
        offer = card.offer(pool.offer)
        if any(reject(request, card, offer) for _, reject, _ in profile.offer_filters):
            continue
        belief = beliefs.get((card.id, use))
        quality, rating = expected(standing(card, adapted(offer)), seen, belief, profile.reference_elo)
        for mode in [way for row in offer.modes for way in ways(row)]:
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
                gpu = gpus.get(pool.gpu)
                price = price_of(offer, mode)
                estimated = estimate(card, offer, plan, gpu, degree)
                prediction = predict(
                    (
                        estimated.seconds,
                        estimated.gpu_seconds,
                        estimated.memory_bytes,
                        estimated.fits,
                        usd(price, plan, estimated, gpu),
                    ),
                    pool,
                    wait_seconds(
                        pool,
                        inf if request.deadline_s is None else request.deadline_s,
                        request.priority,
                        degree,
                    ),
                    quality,
                    request.deadline_s,
                    isinstance(price, PricePerGpuSecond),
                    congestion(utilisation(pool)),
                    rating,
                )
                made = Candidate(card, offer, mode, plan, degree, pool, prediction)
                if any(reject(request, made) for _, reject, _ in profile.candidate_filters):
                    continue
                utility = 1.0
                for scorer, weight in profile.scorers:
                    utility *= scorer.score(request, [made])[0] ** weight
                found.append(
                    NaiveCandidate(
                        model=card.id,
                        offer=offer.id,
                        gpus=degree,
                        seconds=made.prediction.seconds,
                        usd=made.prediction.usd,
                        congestion=made.prediction.congestion,
                        utility=utility,
                        reasons={s.name: s.explain(request, made) for s, _ in profile.scorers},
                    )
                )
    dearest = max((c.usd or 0.0 for c in found), default=0.0)
    rate = profile.picker.cost_weight  # type: ignore[attr-defined]

    def worth(made: NaiveCandidate) -> float:
        return made.utility - float(rate) * (dearest if made.usd is None else made.usd) * made.congestion

    return max(found, key=worth).model if found else None


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


def timed(
    act: Callable[[RouteRequest], object], asked: Sequence[RouteRequest]
) -> tuple[list[float], list[float]]:
    """CPU and wall seconds of one call each."""
    cpu, wall = [], []
    for request in asked:
        w, c = time.perf_counter(), time.thread_time()
        act(request)
        cpu.append(time.thread_time() - c)
        wall.append(time.perf_counter() - w)
    return cpu, wall


def least(passes: Sequence[Sequence[float]]) -> dict[str, float]:
    """Percentiles in milliseconds of each call's least time over the passes."""
    return percentiles([min(times) for times in zip(*passes, strict=True)], 1e3)


class Case:
    """One size of catalog with its fleet, queue and requests."""

    def __init__(self, cards: int, queued: int, decisions: int, *, every_offer: bool = False) -> None:
        rng = random.Random(SEED)
        self.catalog, self.gpus, self.profiles = synthetic_cards(cards, rng), load_gpus(), load_profiles()
        self.base = replace(
            loaded_fleet(self.catalog, self.gpus, rng, every_offer=every_offer),
            beliefs=votes(self.catalog, rng),
        )
        self.jobs = queue(self.base, queued, rng)
        self.fleet = fold(self.base, self.jobs)
        self.warm, self.asked = requests(decisions, rng), requests(decisions, rng)
        self.new = requests(decisions // 4, rng, by_hand=1.0)
        self.prices = {card.id: rng.uniform(0.01, 1.0) for card in self.catalog}

    def engine(self) -> Engine:
        return Engine(self.catalog, self.gpus, self.profiles)


def measure(case: Case, passes: int) -> dict[str, Any]:
    """Deciding, from the first decision of a process on, and folding the queue."""
    first, steady, walls, moving, again, new = [], [], [], [], [], []
    for _ in range(passes):
        engine = case.engine()

        def decide(request: RouteRequest, engine: Engine = engine) -> Decision:
            return engine.decide(request, case.fleet, counter_offers=False)

        def decide_elsewhere(request: RouteRequest, engine: Engine = engine) -> Decision:
            # Another fleet each time, as when a placement has changed it.
            return engine.decide(request, replace(case.fleet), counter_offers=False)

        first.append(timed(decide, case.warm[:1])[0])
        timed(decide, case.warm[1:])
        # As a service should once it is up: what stays is not looked through again and again.
        gc.collect()
        gc.freeze()
        cpu, wall = timed(decide, case.asked)
        steady.append(cpu)
        walls.append(wall)
        moving.append(timed(decide_elsewhere, case.asked)[0])
        new.append(timed(decide, case.new)[0])
        again.append(timed(decide, case.asked[:1] * 200)[0])
    gc.unfreeze()
    folding = [timed(lambda _: fold(case.base, case.jobs), case.asked[:200])[0] for _ in range(passes)]
    folded = [
        timed(lambda r: engine.decide(r, fold(case.base, case.jobs), counter_offers=False), case.asked[:200])[
            0
        ]
        for _ in range(passes)
    ]
    refused = [
        replace(r, max_cost_usd=0.0, deadline_s=0.01, wish=replace(r.wish, size=Size(7680, 4320)))
        for r in case.asked[:20]
    ]
    refusing = [timed(lambda r: engine.decide(r, case.fleet), refused)[0] for _ in range(passes)]
    counted = [engine.decide(r, case.fleet, counter_offers=False) for r in case.asked[:200]]
    return {
        "cards": len(case.catalog),
        "offers": sum(len(card.offers) for card in case.catalog),
        "pools": len(case.fleet.pools),
        "queued": len(case.jobs),
        "mean_candidates": round(sum(len(d.candidates) for d in counted) / len(counted), 1),
        "mean_rejected": round(sum(len(d.rejected) for d in counted) / len(counted), 1),
        "first_decision_ms": least(first)["p50"],
        "decision_ms": least(steady),
        "single_pass_cpu_ms": percentiles(steady[-1], 1e3),
        "single_pass_wall_ms": percentiles(walls[-1], 1e3),
        "decision_on_a_changed_fleet_ms": least(moving),
        "decision_on_new_shapes_ms": least(new),
        "decision_repeated_ms": least(again),
        "refusal_with_counter_offers_ms": least(refusing),
        "fold_queue_ms": least(folding),
        "first_decision_on_a_folded_queue_ms": least(folded),
    }


def peers(case: Case, passes: int) -> dict[str, Any]:
    """The two peers on the same catalog, fleet and requests."""
    asked = case.asked[: max(50, len(case.asked) // 5)]
    engine = case.engine()

    def by_loop(request: RouteRequest) -> str | None:
        return naive(case.catalog, case.gpus, case.profiles[request.objective.value], request, case.fleet)

    same = 0
    for request in asked:
        chosen = engine.decide(request, case.fleet, counter_offers=False).chosen
        same += by_loop(request) == (chosen.candidate.card.id if chosen else None)
    return {
        "naive": "the obvious loop over pydantic candidates, everything afresh",
        "naive_ms": least([timed(by_loop, asked)[0] for _ in range(passes)]),
        "naive_same_choice": f"{same}/{len(asked)}",
        "adaptive": "LiteLLM's adaptive-router formula without geometry, time or reasons",
        "adaptive_ms": least(
            [timed(lambda r: adaptive(case.catalog, case.prices, r), asked)[0] for _ in range(passes)]
        ),
    }


def main() -> None:
    """Measure and write the result."""
    given = arguments(
        __doc__,
        cards=(50, "cards of the main case"),
        queued=(500, "queued jobs"),
        decisions=(2000, "requests timed, after as many that warm up"),
        passes=(3, "passes, of which each request's least time counts"),
        most_cards=(1000, "largest catalog of the growth series; 0: no series"),
    )
    case = Case(given.cards, given.queued, given.decisions)
    ours, beside = measure(case, given.passes), peers(case, given.passes)
    series = [cards for cards in (10, 100, 200, 500, 1000) if cards <= given.most_cards]
    growth = [measure(Case(cards, given.queued, max(100, given.decisions // 8)), 2) for cards in series]
    beside["naive_over_ours_p50"] = round(beside["naive_ms"]["p50"] / ours["decision_ms"]["p50"], 2)
    beside["naive_over_ours_p99"] = round(beside["naive_ms"]["p99"] / ours["decision_ms"]["p99"], 2)
    crowded = Case(given.cards, given.queued, max(100, given.decisions // 4), every_offer=True)
    everywhere = measure(crowded, given.passes)
    Report(
        name="decision",
        summary=f"One decision over {given.cards} cards with {given.queued} queued jobs, one core",
        figures=ours | {"every_offer_deployed": everywhere, "growth": growth},
        peer=beside,
        targets=[
            Target("decision, p99", ours["decision_ms"]["p99"], "<=", 1.0, "ms"),
            Target("same choice as the naive peer", _share(beside["naive_same_choice"]), ">=", 1.0),
        ],
        settings={"decisions": given.decisions, "passes": given.passes},
        notes=[
            "CPU time of the deciding thread; single_pass_wall_ms is wall time, other processes included."
        ],
    ).write()
    for row in (*growth, everywhere, ours):
        size = f"{row['cards']:5d} cards, {row['pools']:5d} pools, {row['mean_candidates']:6.1f} candidates"
        print(f"{size}: {row['decision_ms']}")
    print(f"naive {beside['naive_ms']}, adaptive {beside['adaptive_ms']}")


def _share(of: str) -> float:
    part, _, whole = of.partition("/")
    return int(part) / int(whole)


if __name__ == "__main__":
    main()
