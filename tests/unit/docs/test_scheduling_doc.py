"""The tables of docs/scheduling.md are those of the stored runs, and the runs' commands are real."""

from __future__ import annotations

import pytest
import typer
from typer.main import get_command

from benchmarks.gang_simulation import DOCUMENT, PARTS, RUNS, STORE, stored
from policies.simulate.gang.contest import entrants
from router.cli_simulate import simulate

TEXT = DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_table_is_what_its_runs_say(name: str) -> None:
    shown = TEXT.split(f"<!-- {name}: begin -->\n")[1].split(f"\n<!-- {name}: end -->")[0]
    assert shown == PARTS[name]()


@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_run_is_stored_and_its_command_exists(name: str) -> None:
    assert (STORE / f"{name}.json").is_file()
    group = get_command(simulate)
    command = group.get_command(typer.Context(group), "gang")  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in RUNS[name] if word.startswith("--")} <= known


@pytest.mark.parametrize("name", sorted(RUNS))
def test_its_policies_still_exist(name: str) -> None:
    assert {row["policy"] for row in stored(name)["policies"]} <= {entrant.name for entrant in entrants()}
