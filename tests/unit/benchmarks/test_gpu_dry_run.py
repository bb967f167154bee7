"""The whole GPU benchmark with tiny models on the CPU, as its command line runs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu.__main__ import main, quiet

ROOT = Path(__file__).resolve().parents[3]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gpu") / "dry.json"
    outcome = run("-m", "benchmarks.gpu", "--dry-run", "--out", str(path))
    assert outcome.returncode == 0, outcome.stderr
    return path


@pytest.fixture(scope="module")
def document(out: Path) -> dict[str, Any]:
    return dict(json.loads(out.read_text()))


def test_every_case_is_measured_or_says_what_is_missing(document: dict[str, Any]) -> None:
    cases = document["cases"]
    assert {key: record["error"] for key, record in cases.items() if record["status"] == "failed"} == {}
    assert all(record["reason"] for record in cases.values() if record["status"] == "missing")
    measured = {key for key, record in cases.items() if record["status"] == "measured"}
    for model in ("wan2.1-i2v-14b", "wan2.2-ti2v-5b", "ltx-video-2b"):
        whats = {key.split("/")[1] for key in measured if key.startswith(model)}
        assert whats == {"step", "decode", "rounding", "caches"}
    levers = {key.rpartition("/")[2] for key in measured if "/step/" in key}
    assert {"eager", "compile", "fused-qkv", "float8-storage", "float8-linear", "compile+float8"} <= levers
    assert document["pending"] == []


def test_levers_that_change_nothing_count_and_float8_does_not(document: dict[str, Any]) -> None:
    steps = {key: record for key, record in document["cases"].items() if "/step/" in key}
    for key, record in steps.items():
        if record["status"] != "measured":
            continue
        changes = "float8" in key
        assert record["error"]["counts"] is not changes, (key, record["error"])
        assert record["seconds"] > 0


def test_it_says_what_it_was_measured_on(document: dict[str, Any]) -> None:
    assert document["machine"]["device"] == "cpu"
    assert {"torch", "diffusers"} <= set(document["machine"]["packages"])
    assert document["settings"]["dry_run"] is True
    assert document["ceilings"]["matmul_tflop_per_s"] > 0
    assert document["best"]


def within(*arguments: str) -> int:
    """The command in this process; libraries warn of their own matters, as they may in a benchmark."""
    with warnings.catch_warnings():
        quiet()
        return main(list(arguments))


def test_a_second_run_measures_only_what_is_left(out: Path, document: dict[str, Any]) -> None:
    shortened = json.loads(out.read_text())
    gone = "wan2.1-i2v-14b/step/64x32x9/eager"
    del shortened["cases"][gone]
    kept = out.with_name("again.json")
    kept.write_text(json.dumps(shortened))
    assert within("--dry-run", "--out", str(kept)) == 0
    again = json.loads(kept.read_text())["cases"]
    assert set(again) == set(document["cases"])
    assert {key for key in again if again[key] != document["cases"][key]} <= {gone}


def test_no_time_means_nothing_is_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.json"
    assert within("--dry-run", "--out", str(path), "--time-limit", "1") == 0
    document = json.loads(path.read_text())
    assert document["cases"] == {}
    assert len(document["pending"]) > 50
    assert "did not fit the time limit" in capsys.readouterr().out


def test_figures_of_other_software_are_not_mixed_in(
    out: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    other = out.with_name("other.json")
    other.write_text(json.dumps({**document, "machine": {"device": "another"}}))
    assert within("--dry-run", "--out", str(other)) == 2
    assert "--fresh" in capsys.readouterr().err


def test_unknown_names_are_told_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no lever is called warp; there are eager, "):
        within("--dry-run", "--out", str(tmp_path / "x.json"), "--levers", "warp")
    with pytest.raises(SystemExit, match=r"no model is called kling; there are wan2.1-i2v-14b, "):
        within("--dry-run", "--out", str(tmp_path / "x.json"), "--subjects", "kling")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_how_to_try_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert within() == 2
    assert "--dry-run" in capsys.readouterr().err


def test_two_ranks_share_every_model(tmp_path: Path) -> None:
    path = tmp_path / "shared.json"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    outcome = run(
        "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port),
        "-m", "benchmarks.gpu", "--dry-run", "--levers", "eager", "--out", str(path),
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    document = json.loads(path.read_text())
    assert len(document["cases"]) == 9
    for key, record in document["cases"].items():
        assert record["status"] == "measured", key
        assert record["error"]["counts"], (key, record["error"])
    assert set(document["speed_ups"]) == set(document["cases"])
