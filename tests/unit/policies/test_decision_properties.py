"""What holds of every decision, whatever is asked, over the whole catalog."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from models.card import HOSTED
from models.catalog import load_catalog
from models.cost import estimate, price_of, usd
from models.gpus import load_gpus
from models.types import CameraMove, CameraWish, ClipWish, Intensity, Objective, Priority, Size, TaskType
from policies.base import (
    Features,
    Fleet,
    ImageFeatures,
    Pool,
    PromptFeatures,
    RouteRequest,
    Waiting,
)
from policies.calibration import Belief
from policies.engine import Engine, idle_fleet
from policies.geometry import plan_clip
from policies.ordering import EQUAL
from policies.profile import load_profiles
from policies.render import decision_json

CATALOG, GPUS, PROFILES = load_catalog(), load_gpus(), load_profiles()
ENGINE, IDLE = Engine(CATALOG, GPUS, PROFILES), idle_fleet(CATALOG, GPUS)
PHOTOS = st.sampled_from([(4032, 3024), (1080, 1920), (640, 480), (1000, 1000), (300, 400), (3001, 1403)])
MOVES = st.sampled_from(list(CameraMove))


@st.composite
def requests(draw: st.DrawFn) -> RouteRequest:
    width, height = draw(PHOTOS)
    image = ImageFeatures(
        width,
        height,
        "landscape" if width > height else "portrait" if height > width else "square",
        faces=draw(st.sampled_from([(), ((0.3, 0.2, 0.2, 0.3),)])),
        subject=draw(st.sampled_from(["portrait", "group", "landscape", "product", "other"])),
        subject_confidence=draw(st.sampled_from([0.0, 0.4, 0.9])),
    )
    prompt = PromptFeatures(
        camera=draw(st.one_of(st.just(()), st.tuples(MOVES))),
        subject_motion=draw(st.sampled_from([(), ("smile",), ("billow",)])),
        environment_motion=draw(st.sampled_from([(), ("water",)])),
        intensity=draw(st.sampled_from([None, *Intensity])),
        words=draw(st.sampled_from([0, 8])),
    )
    return RouteRequest(
        Features(image, prompt),
        wish=ClipWish(
            draw(st.sampled_from([None, Size(1280, 720), Size(480, 832), Size(3840, 2160)])),
            draw(st.sampled_from([None, 3.0, 5.0, 10.0, 15.0])),
            draw(st.sampled_from([None, 24.0, 50.0])),
        ),
        task=TaskType.TI2V if prompt.words else TaskType.I2V,
        objective=draw(st.sampled_from(list(Objective))),
        camera=draw(st.one_of(st.just(()), st.tuples(st.builds(CameraWish, MOVES, st.booleans())))),
        motion=draw(st.sampled_from([None, *Intensity])),
        deadline_s=draw(st.sampled_from([None, 20.0, 120.0, 900.0])),
        max_cost_usd=draw(st.sampled_from([None, 0.05, 0.3, 2.0])),
        priority=draw(st.sampled_from(list(Priority))),
        generate_audio=draw(st.booleans()),
        draw=draw(st.sampled_from([None, 0.001, 0.02, 0.5, 0.97])),
    )


Load = tuple[tuple[float, ...], tuple[Waiting, ...]]
"""Seconds of running work, and what waits."""


@dataclass(frozen=True)
class Busy:
    """A fleet in few words: Hypothesis refuses to write down one of every offer (more than 30 kB)."""

    loads: tuple[Load, ...]
    beliefs: dict[tuple[str, str], Belief]

    def fleet(self) -> Fleet:
        """Every offer deployed, under these loads in turn; only the first two have a queue."""
        return Fleet(
            tuple(self._loaded(at % len(self.loads), pool) for at, pool in enumerate(IDLE.pools)),
            beliefs=self.beliefs,
        )

    def _loaded(self, turn: int, pool: Pool) -> Pool:
        busy, waiting = self.loads[turn]
        return replace(pool, replicas=2, busy_seconds=busy, waiting=waiting if turn < 2 else ())


@st.composite
def fleets(draw: st.DrawFn) -> Busy:
    """Every offer deployed, under some load, with some votes."""
    seconds = st.integers(0, 3000).map(lambda tenths: tenths / 10)
    job = st.builds(Waiting, seconds, st.sampled_from(list(Priority)), seconds, st.sampled_from((1, 2, 8)))
    load = st.tuples(st.lists(seconds, max_size=1).map(tuple), st.lists(job, max_size=2).map(tuple))
    belief = st.builds(Belief, st.floats(-60, 60), st.floats(19, 200), st.integers(1, 99))
    cards = st.sampled_from([card.id for card in CATALOG])
    beliefs = st.dictionaries(st.tuples(cards, st.sampled_from(["portrait", "other"])), belief, max_size=5)
    return Busy(draw(st.tuples(load, load, load, load, load)), draw(beliefs))


@settings(max_examples=40, deadline=None)
@given(requests(), fleets())
def test_the_same_request_on_the_same_fleet_gives_the_same_decision(
    request: RouteRequest, busy: Busy
) -> None:
    fleet = busy.fleet()
    once = ENGINE.decide(request, fleet, counter_offers=False)
    fresh = Engine(CATALOG, GPUS, PROFILES).decide(request, replace(fleet), counter_offers=False)
    assert decision_json(once) == decision_json(fresh)
    assert decision_json(ENGINE.decide(request, fleet, counter_offers=False)) == decision_json(once)


@settings(max_examples=60, deadline=None)
@given(requests(), st.floats(0.001, 5), st.floats(0, 5))
def test_more_money_never_lowers_the_best_utility(request: RouteRequest, budget: float, more: float) -> None:
    tight, loose = (
        ENGINE.decide(replace(request, max_cost_usd=usd, draw=None), IDLE, counter_offers=False).chosen
        for usd in (budget, budget + more)
    )
    if tight is not None:
        assert loose is not None
        assert loose.utility >= tight.utility - EQUAL


@settings(max_examples=40, deadline=None)
@given(requests(), fleets(), st.floats(1, 500))
def test_more_work_ahead_never_makes_anything_sooner(request: RouteRequest, busy: Busy, more: float) -> None:
    fleet = busy.fleet()

    def sure(given: Fleet) -> dict[str, tuple[float, float]]:
        asked = replace(request, deadline_s=1e5 if request.deadline_s is None else request.deadline_s)
        return {
            s.candidate.key: (s.candidate.prediction.wait_seconds, s.candidate.prediction.on_time)
            for s in ENGINE.decide(asked, given, counter_offers=False).candidates
        }

    busier = replace(
        fleet, pools=tuple(replace(p, queued_seconds=p.queued_seconds + more) for p in fleet.pools)
    )
    before, after = sure(fleet), sure(busier)
    assert set(after) <= set(before)
    for key, (wait, on_time) in after.items():
        assert wait >= before[key][0] - 1e-9
        assert on_time <= before[key][1] + 1e-12


@settings(max_examples=40, deadline=None)
@given(requests(), st.floats(5, 500), st.floats(0, 500))
def test_more_time_never_rules_anything_out(request: RouteRequest, deadline: float, more: float) -> None:
    soon, late = (
        {s.candidate.key: s.candidate.prediction.on_time for s in decision.candidates}
        for decision in (
            ENGINE.decide(replace(request, deadline_s=d), IDLE, counter_offers=False)
            for d in (deadline, deadline + more)
        )
    )
    assert set(soon) <= set(late)
    assert all(late[key] >= chance for key, chance in soon.items())


@settings(max_examples=40, deadline=None)
@given(requests(), fleets())
def test_every_score_of_every_candidate_says_why(request: RouteRequest, busy: Busy) -> None:
    decision = ENGINE.decide(request, busy.fleet(), counter_offers=False)
    profile = PROFILES[request.objective.value]
    for scored in decision.candidates:
        assert list(scored.scores) == [scorer.name for scorer, _ in profile.scorers]
        for name, (score, _) in scored.scores.items():
            assert 0.0 <= score.value <= 1.0
            assert len(score.reason) >= 10, (name, score.reason)
            assert "None" not in score.reason
            # What is neither perfect nor a matter of kind says a figure.
            if score.value not in {0.5, 1.0} and name != "makes":
                assert re.search(r"\d", score.reason), (name, score.reason)
    for row in decision.rejected:
        assert len(row.reason) > 10
    named = {s.candidate.card.id for s in decision.candidates} | {row.model for row in decision.rejected}
    assert named == {card.id for card in CATALOG}
    assert set(decision.pareto) <= set(decision.candidates)
    assert bool(decision.pareto) == bool(decision.candidates)


@settings(max_examples=60, deadline=None)
@given(requests(), requests())
def test_filters_read_what_they_say_they_read(one: RouteRequest, other: RouteRequest) -> None:
    """Where two requests look alike to a filter, its answers are the same for every offer."""
    words = replace(other.features.prompt, words=one.features.prompt.words)
    other = replace(
        other,
        features=replace(other.features, prompt=words),
        task=one.task,
        camera=one.camera,
        generate_audio=one.generate_audio,
    )
    compared = 0
    for profile in PROFILES.values():
        filters = zip(profile.offer_filters, profile.offer_reads, strict=True)
        for (name, reject, _), reads in filters:
            if reads is None:
                continue
            assert reads(one) == reads(other), name
            compared += 1
            for card in CATALOG:
                for offer in card.offers:
                    assert reject(one, card, offer) == reject(other, card, offer), name
    assert compared


@settings(max_examples=20, deadline=None)
@given(requests())
def test_filters_keep_silent_where_they_say_so(request: RouteRequest) -> None:
    unlimited = Engine(CATALOG, GPUS, PROFILES)
    candidates = [s.candidate for s in unlimited.decide(request, IDLE, counter_offers=False).candidates]
    sick = replace(IDLE.pools[0], healthy=False)
    for profile in PROFILES.values():
        for (_, reject, _), (on_mode, on_pool) in zip(
            profile.candidate_filters, profile.silences, strict=True
        ):
            for made in candidates:
                for pool in (made.pool, sick):
                    given = made._replace(pool=pool)
                    silent = (on_mode and on_mode(given.mode)) or (on_pool and on_pool(pool))
                    if silent:
                        assert reject(request, given) is None


def test_equal_utilities_take_the_one_that_just_makes_it(build: Any) -> None:
    """Two pools of one model differ in their wait alone: the later one that is still in time is taken."""
    catalog, gpus = build.catalog(build.card(offer={"degrees": [1]})), build.gpus()
    engine = Engine(catalog, gpus, PROFILES)
    pools = (build.pool(name="later", busy_seconds=(2.0,)), build.pool(name="soon", busy_seconds=(1.0,)))
    for deadline, name in ((1e6, "later"), (None, "later")):
        request = build.request(deadline_s=deadline, objective=Objective.QUALITY)
        for given_pools in (pools, pools[::-1]):
            decision = engine.decide(request, build.fleet(*given_pools))
            assert decision.chosen is not None
            assert len({round(scored.utility, 8) for scored in decision.candidates}) == 1
            assert decision.chosen.candidate.pool.name == name


def test_a_crowded_pool_counts_dearer_than_it_is(build: Any) -> None:
    """Load moves to the lighter of two equals; the price that is told stays the list price."""
    cards = [build.card(name, offer={"degrees": [1]}) for name in ("crowded", "light")]
    catalog, gpus = build.catalog(*cards), build.gpus()
    engine = Engine(catalog, gpus, PROFILES)
    crowded = build.pool("crowded", busy_seconds=(600.0,))
    fleet = build.fleet(crowded, build.pool("light", busy_seconds=(600.0,), congestion=1.0))
    assert engine.decide(build.request(), fleet).chosen.candidate.card.id == "crowded"  # type: ignore[union-attr]
    fleet = build.fleet(replace(crowded, congestion=3.0), fleet.pools[1])
    decision = engine.decide(build.request(), fleet)
    assert decision.chosen is not None
    assert decision.chosen.candidate.card.id == "light"
    assert len({scored.candidate.prediction.usd for scored in decision.candidates}) == 1


def test_a_hosted_clip_takes_and_costs_the_same_at_every_size_of_a_mode() -> None:
    """What is kept for one size answers for the others: providers bill by time or by clip."""
    compared = 0
    for card in CATALOG:
        for offer in card.offers:
            if offer.backend not in HOSTED:
                continue
            for mode in offer.modes:
                found = set()
                for photo in (Size(1920, 1080), Size(1000, 1000), Size(1080, 1920)):
                    plan = plan_clip(mode, photo, ClipWish(seconds=5.0))
                    if not isinstance(plan, str):
                        cost = estimate(card, offer, plan, None, 1)
                        found.add(
                            (cost, usd(price_of(offer, mode), plan, cost, None), plan.native.num_frames)
                        )
                assert len(found) <= 1, (card.id, offer.id, mode.name)
                compared += len(found)
    assert compared > 20
