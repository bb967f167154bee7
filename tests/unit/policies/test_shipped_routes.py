"""What the shipped catalog answers: requests that differ get answers that differ, each explained."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from models.catalog import load_catalog
from models.gpus import load_gpus
from models.types import CameraMove, CameraWish, ClipWish, Objective, Residency, Size
from policies.base import Decision
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles
from policies.render import decision_json

CATALOG, GPUS = load_catalog(), load_gpus()
ENGINE = Engine(CATALOG, GPUS, load_profiles())
FLEET = idle_fleet(CATALOG, GPUS)
PUSH_IN = CameraWish(CameraMove.PUSH_IN, required=True)


def ask(build: Any, width: int = 4032, height: int = 3024, **asked: Any) -> Decision:
    return ENGINE.decide(build.request(width, height, **asked), FLEET)


def portrait(build: Any, **asked: Any) -> Decision:
    return ask(
        build, 3024, 4032, subject="portrait", subject_confidence=0.9, subject_motion=("smile",), **asked
    )


def landscape(build: Any, **asked: Any) -> Decision:
    return ask(build, subject="landscape", subject_confidence=0.8, environment_motion=("water",), **asked)


def lines(build: Any) -> dict[str, Decision]:
    return {
        "portrait": portrait(build),
        "landscape": landscape(build),
        "camera": landscape(build, camera=(PUSH_IN,)),
        "4k": landscape(build, wish=ClipWish(size=Size(3840, 2160))),
        "15 s": landscape(build, wish=ClipWish(seconds=15)),
        "5 cents": landscape(build, max_cost_usd=0.05),
    }


def answer(decision: Decision) -> str:
    if decision.chosen is None:
        return "; ".join(offer.change for offer in decision.counter_offers)
    made = decision.chosen.candidate
    return f"{made.key} {made.plan.effective}"


def test_answers_differ_and_are_explained(build: Any) -> None:
    decisions = lines(build)
    assert len({answer(decision) for decision in decisions.values()}) == len(decisions)
    for name, decision in decisions.items():
        shown = decision_json(decision)
        assert shown["chosen"] or shown["counter_offers"], name
        named = {c["model"] for c in shown["candidates"]} | {r["model"] for r in shown["rejected"]}
        assert named == {card.id for card in CATALOG}, name
        assert all(len(row["reason"]) > 15 for row in shown["rejected"]), name
        for candidate in shown["candidates"]:
            assert all(score["reason"] for score in candidate["scores"].values()), name


def test_portrait_and_landscape_keep_their_shape(build: Any) -> None:
    tall, wide = portrait(build).chosen, landscape(build).chosen
    assert tall is not None
    assert wide is not None
    assert tall.candidate.plan.effective.size.aspect < 1 < wide.candidate.plan.effective.size.aspect
    assert tall.candidate.plan.framing.kept > 0.95
    assert wide.candidate.card.makes == tall.candidate.card.makes == "generated"


def test_required_camera_needs_a_real_interface(build: Any) -> None:
    decision = landscape(build, camera=(PUSH_IN,))
    assert {s.candidate.card.controls.camera.kind for s in decision.candidates} == {
        "native",
        "parameter",
        "brackets",
    }
    assert any(
        row.filter == "camera_control" and "only prompt words" in row.reason for row in decision.rejected
    )
    own = landscape(build, camera=(PUSH_IN,), residency=Residency.SELF_HOSTED)
    assert {s.candidate.card.id for s in own.candidates} == {"parallax"}
    assert any("Nothing is generated" in line for line in own.advice)


def test_4k_is_made_by_hosts_or_refused_with_the_largest_that_can_be_had(build: Any) -> None:
    wish = ClipWish(size=Size(3840, 2160))
    hosted = landscape(build, wish=wish).chosen
    assert hosted is not None
    assert hosted.candidate.plan.effective.size == wish.size
    decision = landscape(build, wish=wish, residency=Residency.SELF_HOSTED)
    assert decision.chosen is None
    assert all("3840x2160" in row.reason for row in decision.rejected if row.filter == "geometry")
    (offer,) = [offer for offer in decision.counter_offers if "size" in offer.patch]
    size = offer.chosen.candidate.plan.effective.size
    assert offer.patch["size"] == str(size)
    assert size.pixels >= 1248 * 704


def test_15_seconds_are_made_whole_or_chained_or_refused_with_figures(build: Any) -> None:
    whole = landscape(build, wish=ClipWish(seconds=15)).chosen
    assert whole is not None
    assert whole.candidate.plan.segments == 1
    decision = landscape(build, wish=ClipWish(seconds=15), residency=Residency.SELF_HOSTED)
    assert decision.chosen is not None
    plan = decision.chosen.candidate.plan
    assert plan.segments > 1
    assert plan.effective.seconds == pytest.approx(15, abs=0.05)
    assert "segments chained" in decision.chosen.scores["geometry_fit"][0].reason
    assert any("try fewer seconds" in line for line in decision.advice)
    longer = landscape(build, wish=ClipWish(seconds=60))
    assert any("is the longest this model chains" in row.reason for row in longer.rejected)


def test_5_cents_buy_a_cheaper_model(build: Any) -> None:
    decision = landscape(build, max_cost_usd=0.05)
    rich = landscape(build)
    assert decision.chosen is not None
    assert rich.chosen is not None
    assert (decision.chosen.candidate.prediction.usd or 0) <= 0.05
    assert decision.chosen.candidate.card.id != rich.chosen.candidate.card.id
    assert any(
        row.filter == "budget" and "above the budget of $0.05" in row.reason for row in decision.rejected
    )


def test_a_preview_of_a_camera_move_is_rendered_and_of_moving_water_generated(build: Any) -> None:
    by_camera = ask(build, objective=Objective.PREVIEW, said=(CameraMove.PUSH_IN,)).chosen
    assert by_camera is not None
    assert by_camera.candidate.card.id == "parallax"
    by_water = landscape(build, objective=Objective.PREVIEW).chosen
    assert by_water is not None
    assert by_water.candidate.card.makes == "generated"


@pytest.mark.parametrize("objective", [o for o in Objective if o is not Objective.PREVIEW])
def test_a_rendered_clip_is_not_sold_as_a_generated_one(build: Any, objective: Objective) -> None:
    chosen = landscape(build, objective=objective).chosen
    assert chosen is not None
    assert chosen.candidate.card.makes == "generated"


def test_objectives_pull_apart(build: Any) -> None:
    by = {objective: landscape(build, objective=objective).chosen for objective in Objective}
    told = {objective: scored.candidate.prediction for objective, scored in by.items() if scored}
    assert (told[Objective.COST].usd or 0) < (told[Objective.BALANCED].usd or 0)
    assert told[Objective.SPEED].seconds < told[Objective.QUALITY].seconds
    assert told[Objective.QUALITY].quality >= max(p.quality for p in told.values())


def test_importing_policies_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys, policies, policies.engine, policies.profile, policies.render\n"
        "policies.profile.load_profiles()\n"
        "heavy = {'torch', 'ray', 'diffusers', 'fastapi', 'sqlalchemy'}\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & heavy))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
