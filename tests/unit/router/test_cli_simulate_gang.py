"""`i2v simulate gang`: its table, its JSON, its errors."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from router.cli import app

SHORT = ["simulate", "gang", "--hours", "0.5", "--load", "0.85"]


def invoke(*options: str):
    return CliRunner().invoke(app, [*SHORT, *options])


def test_json_has_the_agreed_form_and_repeats_itself():
    def told():
        result = invoke("--json", "--seed", "3", "--policies", "production,fixed4_edf,notes")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    document = told()
    assert set(document) == {"workload", "seed", "policies"}
    assert document["seed"] == 3
    assert document["workload"]["gpus"] == 8
    rows = document["policies"]
    kinds = [(row["policy"], row["kind"]) for row in rows]
    assert kinds == [("production", "production"), ("fixed4_edf", "baseline"), ("notes", "ablation")]
    for row in rows:
        assert 0 <= row["slo_attainment"] <= 1
        assert row["latency_p50"] <= row["latency_p99"] <= row["latency_max"]
    assert "lead_points" not in rows[0]
    assert rows[1]["lead_points"] == pytest.approx(
        100 * (rows[0]["slo_attainment"] - rows[1]["slo_attainment"])
    )
    again = told()["policies"]
    for row in (*rows, *again):
        row.pop("decisions_per_s")  # the only figure of this machine
    assert rows == again


def test_seeds_give_intervals_and_two_nodes_twice_the_gpus():
    result = invoke("--json", "--seeds", "3", "--nodes", "2", "--policies", "production,rssp_edf")
    document = json.loads(result.stdout)
    assert document["workload"]["gpus"] == 16
    row = document["policies"][1]
    assert row["seeds"] == 3
    assert row["ci95"]["lead_points"] > 0


def test_every_policy_plays():
    result = CliRunner().invoke(app, ["simulate", "gang", "--hours", "0.2", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["policies"]
    assert rows[0]["policy"] == "production"
    assert {row["kind"] for row in rows} == {"production", "baseline", "ablation"}
    assert len(rows) > 40


def test_the_table_is_for_people_and_markdown_for_documents():
    result = invoke("--policies", "production,notes", "--bursty", "--slack", "2")
    assert result.exit_code == 0, result.output
    assert "8 GPUs, load 0.85" in result.stdout
    result = invoke("--policies", "production,notes", "--seeds", "2", "--markdown")
    lines = result.stdout.strip().splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| **production** | ")
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--policies", "nonsense"), "tridentserve_ilp"),
        (("--load", "0.01", "--hours", "0.01"), "no clip comes"),
        (("--nodes", "3"), "nodes"),
    ],
)
def test_errors_say_what_is_known(options, told):
    result = invoke(*options)
    assert result.exit_code == 2
    assert told in result.output
