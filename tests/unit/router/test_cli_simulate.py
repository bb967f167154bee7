"""`i2v simulate routing`: its table, its JSON, its errors."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from router.cli import app

SHORT = ["simulate", "routing", "--hours", "0.05", "--load", "0.16"]


def invoke(*options: str):
    return CliRunner().invoke(app, [*SHORT, *options])


def test_json_has_the_agreed_form_and_repeats_itself():
    def told():
        result = invoke("--json", "--seed", "3", "--policies", "production,round_robin,no_calibration")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    document = told()
    assert set(document) == {"workload", "seed", "policies"}
    assert document["seed"] == 3
    assert document["workload"]["world"] == "toy"
    assert 0 < document["workload"]["bound_with_capacity"] < 1
    rows = document["policies"]
    kinds = [(row["policy"], row["kind"]) for row in rows]
    assert kinds == [
        ("production", "production"),
        ("round_robin", "baseline"),
        ("no_calibration", "ablation"),
    ]
    assert all(0 <= row["slo_attainment"] <= 1 for row in rows)
    again = told()["policies"]
    for row in (*rows, *again):
        row.pop("decisions_per_s")  # the only figure of this machine
    assert rows == again


def test_seeds_give_intervals():
    result = invoke("--json", "--seeds", "3", "--policies", "production,litellm_cost")
    document = json.loads(result.stdout)
    assert document["workload"]["seeds"] == 3
    row = document["policies"][1]
    assert row["seeds"] == 3
    assert row["ci95"]["utility"] > 0
    assert row["utility_ratio"] > 1


def test_the_table_is_for_people(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    result = invoke("--policies", "production,vllm_sr_multi_factor")
    assert result.exit_code == 0, result.output
    assert "vllm_sr_multi_factor" in result.stdout
    assert "nobody's utility exceeds" in result.stdout


def test_documents_get_markdown():
    result = invoke("--policies", "production,round_robin", "--seeds", "2", "--markdown")
    tables = [part.splitlines() for part in result.stdout.strip().split("\n\n")]
    assert [len(table) for table in tables[:2]] == [4, 3]  # baselines predict nothing
    assert tables[0][2].startswith("| **production** | ")
    assert " ± " in tables[0][2]
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--policies", "nonsense"), "litellm_latency"),
        (("--world", "moon"), "catalog"),
        (("--load", "0.001", "--hours", "0.01"), "no job comes"),
    ],
)
def test_errors_say_what_is_known(options, told):
    result = invoke(*options)
    assert result.exit_code == 2
    assert told in result.output
