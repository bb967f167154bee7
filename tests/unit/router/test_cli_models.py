"""`i2v models lint`: what is wrong is shown, and only errors fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from router.cli import app

RUNNER = CliRunner()
BROKEN = "cards:\n- id: svd\n  title: Mine\n- id: wan2.7-i2v\n"


@pytest.fixture(autouse=True)
def no_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("I2V_CARDS", raising=False)


def test_shipped_cards_pass() -> None:
    done = RUNNER.invoke(app, ["models", "lint", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["cards"] > 30
    assert all(finding["level"] == "warning" for finding in found["findings"])


def test_a_broken_overlay_fails_with_file_line_and_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(BROKEN)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "night.yaml").write_text("name: night\n")
    done = RUNNER.invoke(app, ["models", "lint", "--overlay", str(tmp_path), "--json"])
    assert done.exit_code == 1
    errors = [finding for finding in json.loads(done.stdout)["findings"] if finding["level"] == "error"]
    told = " | ".join(error["message"] for error in errors)
    assert f"{tmp_path}/mine.yaml: cards[0] (svd): line 2: family: Field required" in told
    assert f"{tmp_path}/mine.yaml: cards[1] (wan2.7-i2v): line 4: " in told
    assert "the shipped card wan2.7-i2v is out of the catalog" in told
    assert f"{tmp_path}/profiles/night.yaml: line 1: summary: Field required" in told
    monkeypatch.setenv("I2V_CARDS", str(tmp_path))
    assert RUNNER.invoke(app, ["models", "lint"]).exit_code == 1


def test_age_is_a_warning_for_people(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["models", "lint", "--max-age-days", "1", "--overlay", str(tmp_path)])
    assert done.exit_code == 0
    assert "more than 1" in done.stdout
    assert "0 errors" in done.stdout
    assert RUNNER.invoke(app, ["models", "lint", "--max-age-days", "0"]).exit_code == 2


def test_the_rest_is_listed_and_routed_beside_a_broken_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine.yaml").write_text(BROKEN)
    monkeypatch.setenv("I2V_CARDS", str(tmp_path))
    done = RUNNER.invoke(app, ["models", "--fleet", "all", "--json"])
    assert done.exit_code == 0
    listed = {card["id"] for card in json.loads(done.stdout)["data"]}
    assert "parallax" in listed
    assert listed.isdisjoint({"svd", "wan2.7-i2v"})
    assert any("left out: " in record.message for record in caplog.records)
