"""Results that survive an interruption, and the clock that prevents one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.gpu.budget import MARGIN_S, Budget
from benchmarks.gpu.ledger import Ledger, OtherMachine

HEAD = {"machine": {"device": "one", "capability": (9, 0)}, "settings": {}}


def test_a_record_is_on_disk_at_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "gpu.json"
    Ledger(path, HEAD).put("a/step", {"status": "measured", "seconds": 1.0})
    assert json.loads(path.read_text())["cases"]["a/step"]["seconds"] == 1.0
    again = Ledger(path, HEAD)
    assert again.has("a/step")
    assert not again.has("b/step")


def test_only_what_failed_is_tried_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "gpu.json", HEAD)
    ledger.put("good", {"status": "measured"})
    ledger.put("bad", {"status": "failed", "error": "no"})
    assert ledger.has("bad")
    assert not ledger.has("bad", retry=True)
    assert ledger.has("good", retry=True)


def test_figures_of_another_machine_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    Ledger(path, HEAD).put("a", {"status": "measured"})
    other = {**HEAD, "machine": {"device": "two"}}
    with pytest.raises(OtherMachine, match=r"--out.*--fresh"):
        Ledger(path, other)
    assert not Ledger(path, other, fresh=True).has("a")


def test_what_is_added_last_stays_for_later_writes(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    ledger = Ledger(path, HEAD)
    ledger.write(ceilings={"copy": 1})
    ledger.put("a", {"status": "measured"})
    assert json.loads(path.read_text())["ceilings"] == {"copy": 1}
    assert not path.with_suffix(".partial").exists()


def test_a_case_is_begun_only_when_it_fits() -> None:
    now = 100.0
    budget = Budget(60.0, clock=lambda: now)
    assert budget.allows(60.0 - MARGIN_S)
    assert not budget.allows(60.0 - MARGIN_S + 0.1)
    now = 150.0
    assert budget.left_s == pytest.approx(10.0)
    assert not budget.allows(0.0)


def test_no_limit_allows_everything() -> None:
    assert Budget(0.0).allows(1e9)
    with pytest.raises(ValueError, match="got -1"):
        Budget(-1.0)
