"""What the simulator finds: with fixed seeds and generous margins, since these are statistics."""

from __future__ import annotations

from functools import cache

import pytest

from models.errors import InvalidRequest
from policies.profile import load_profiles
from policies.simulate.bounds import with_capacity, without_queues
from policies.simulate.contest import ceilings, chosen, compete, entrants
from policies.simulate.metrics import measure
from policies.simulate.toy import ROWS
from policies.simulate.worlds import SCENES, scene, staged

SEEDS = (0, 1)
HOURS = 0.6


@cache
def table(world="toy", load=0.16, hours=HOURS, seed=0, names=("production", "baselines"), failures=False):
    place, jobs = staged(world, load, hours, seed, failures=failures)
    return {row["policy"]: row for row in compete(place, jobs, load_profiles(), chosen(names))}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("load", [0.16, 0.24])
def test_production_is_ahead_and_breaks_no_limit(load, seed):
    rows = table(load=load, seed=seed)
    ours = rows["production"]
    assert ours["capability_violations"] == ours["budget_violations"] == 0
    assert ours["slo_feasible"] >= 0.96
    for name, row in rows.items():
        if name.startswith(("litellm", "vllm_sr")):
            assert ours["utility"] >= 1.2 * row["utility"], name
        assert ours["utility"] >= 0.98 * row["utility"], name


def test_baselines_stand_where_a_second_simulation_puts_them():
    """Utilities of an independent simulation of the same nine models over 24 seeds, at 0.16 jobs/s."""
    rows = table()
    for name, expected in (
        ("round_robin", 0.305),
        ("least_outstanding", 0.303),
        ("vllm_sr_multi_factor", 0.298),
        ("vllm_sr_multi_factor_slo", 0.317),
    ):
        assert rows[name]["utility"] == pytest.approx(expected, abs=0.03), name
    assert rows["static_best"]["slo_attainment"] < 0.1
    assert rows["production"]["utility"] == pytest.approx(0.44, abs=0.03)


def test_nobody_exceeds_the_bounds(play):
    world, jobs = staged("toy", 0.24, 1.0, 0)
    menu = play.menu(world)
    free, limited = without_queues(jobs, menu), with_capacity(jobs, menu, world)
    assert 0.0 < limited <= free + 1e-9
    for row in table(load=0.24).values():
        assert row["utility_expected"] <= limited + 0.02, row["policy"]  # runs' luck: 880 jobs
        assert row["regret"] >= -0.02


def test_the_bound_of_a_crowded_world_follows_its_servers(play):
    world, jobs = staged("toy", 0.24, 0.5, 0)
    small = play.world(*(row._replace(servers=1) for row in ROWS))
    menu = play.menu(world)
    assert with_capacity(jobs, menu, small) < 0.9 * with_capacity(jobs, menu, world)


def test_predictions_are_calibrated():
    ours = table(load=0.16, hours=2.0, names=("production",))["production"]
    assert ours["bias_learned"] <= 0.03
    assert ours["mape_cold"] <= 0.10
    assert 0.86 <= ours["q90_coverage"] <= 0.94
    assert ours["on_time_error"] <= 0.04
    assert ours["jain_tenants"] > 0.95


def test_leaving_the_deadline_out_costs_most():
    rows = table(
        load=0.16, hours=0.5, names=("production", "no_on_time_term", "oracle_wait", "no_use_case_quality")
    )
    assert rows["no_on_time_term"]["utility"] < 0.9 * rows["production"]["utility"]
    assert rows["oracle_wait"]["utility"] == pytest.approx(rows["production"]["utility"], abs=0.02)
    # The toy's cards claim nothing, so there is nothing to lose.
    assert rows["no_use_case_quality"]["utility"] == rows["production"]["utility"]


def test_failures_cost_something_and_break_nothing():
    calm = table(names=("production",))["production"]
    broken = table(names=("production",), failures=True)["production"]
    assert broken["failed_runs"] > 0
    assert broken["capability_violations"] == broken["budget_violations"] == 0
    assert 0.75 * calm["utility"] < broken["utility"] <= calm["utility"] + 0.01


def test_the_shipped_catalog_can_be_played():
    row = table(world="catalog", load=0.2, hours=0.1, names=("production", "vllm_sr_multi_factor_slo"))
    assert row["production"]["capability_violations"] == row["production"]["budget_violations"] == 0
    assert row["production"]["utility"] > row["vllm_sr_multi_factor_slo"]["utility"] * 0.95


def test_names_and_groups():
    names = [entrant.name for entrant in entrants()]
    assert names[0] == "production"
    assert len(set(names)) == len(names)
    assert [e.kind for e in chosen(["production", "ablations"])].count("ablation") == len(names) - 14
    assert [e.name for e in chosen(["round_robin"])] == ["round_robin"]
    with pytest.raises(InvalidRequest, match="round_robin"):
        chosen(["nonsense"])
    with pytest.raises(InvalidRequest, match="toy"):
        scene("nowhere")
    with pytest.raises(InvalidRequest, match="no job"):
        staged("toy", 0.001, 0.01, 0)
    assert set(SCENES) == {"toy", "catalog"}


def test_ceilings_and_figures_of_a_tiny_run(play):
    world = play.world()
    jobs = [
        play.job(0, 0.0, deadline=600.0, budget=2.0),
        play.job(1, 1.0, deadline=60.0, camera=True, budget=0.1),
    ]
    found = ceilings(world, jobs, load_profiles())
    assert found["budget_feasible"] == 0.5
    assert found["bound_without_queues"] == pytest.approx(world.rated("kling-v3-pro") / 2, abs=0.001)
    tales = play.run(world, jobs)
    figures = measure(tales, world, play.menu(world))
    assert (figures.arrivals, figures.rejected, figures.in_budget) == (2, 0.5, 0.5)
    assert figures.usd_per_clip == 0.56
    assert figures.utility == pytest.approx(world.quality(jobs[0], "kling-v3-pro") / 2)
    assert figures.utility_expected == pytest.approx(world.rated("kling-v3-pro") / 2)
    assert figures.slo_feasible == 1.0
    assert figures.wait_mean == 0.0
