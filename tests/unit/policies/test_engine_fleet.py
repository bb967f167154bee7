"""A running engine in the fleet: there only when somebody runs it, all its GPUs on every clip."""

from __future__ import annotations

from typing import Any

import pytest

from models.catalog import load_catalog
from models.gpus import load_gpus
from models.types import Residency
from policies.base import Decision, Fleet, Pool
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles

CATALOG, GPUS = load_catalog(strict=True), load_gpus()
ENGINE = Engine(CATALOG, GPUS, load_profiles(strict=True))
MODEL = "wan2.2-i2v-a14b"


def running(gpus: int = 4) -> Pool:
    return Pool(f"{MODEL}-engine", MODEL, "engine", "h200", gang_size=gpus, replicas=1)


def decide(build: Any, fleet: Fleet, **asked: Any) -> Decision:
    return ENGINE.decide(build.request(model=MODEL, **asked), fleet)


def test_a_dry_run_has_no_engines() -> None:
    fleet = idle_fleet(CATALOG, GPUS)
    assert {pool.model for pool in fleet.pools if pool.offer == "local"} >= {MODEL}
    assert not [pool for pool in fleet.pools if pool.offer == "engine"]


def test_an_engine_that_nobody_runs_is_out_for_that_reason(build: Any) -> None:
    decision = decide(build, idle_fleet(CATALOG, GPUS))
    (row,) = [row for row in decision.rejected if (row.model, row.offer) == (MODEL, "engine")]
    assert row.filter == "health"
    assert "is deployed" in row.reason


@pytest.mark.parametrize("gpus", [1, 4])
def test_a_running_engine_puts_all_its_gpus_on_a_clip(build: Any, gpus: int) -> None:
    decision = decide(build, Fleet((running(gpus),)), residency=Residency.SELF_HOSTED)
    assert decision.chosen is not None
    assert {scored.candidate.gpus for scored in decision.candidates} == {gpus}
    made = decision.chosen.candidate
    assert made.offer.backend == "engine"
    assert made.prediction.usd == pytest.approx(
        made.prediction.gpu_seconds * GPUS["h200"].usd_per_hour / 3600, rel=1e-6
    )
    assert (made.plan.segments, made.plan.interpolation) == (1, 1)
