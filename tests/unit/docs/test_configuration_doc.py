"""docs/configuration.md lists every variable with its real default, and every argument of an application."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deployments.args import ModelArgs
from models.types import Objective
from router.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", TEXT, re.MULTILINE))


def test_every_variable_is_listed_and_no_other() -> None:
    told = {name for name in ROWS if name.startswith("I2V_")}
    assert told == {f"I2V_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_default_is_the_real_one(name: str) -> None:
    told = ROWS[f"I2V_{name.upper()}"]
    default = Settings.model_fields[name].default
    if isinstance(default, int | float):
        assert float(told.split()[0]) == default
    elif default is None:
        assert told == "none"
    elif default == "":
        assert "`I2V_HOME`" in told
    else:
        assert told == f"`{default}`"


def test_every_argument_of_a_model_is_listed() -> None:
    told = {name for name in ROWS if not name.startswith("I2V_")}
    assert told == set(ModelArgs.model_fields)
    for name, field in ModelArgs.model_fields.items():
        if isinstance(field.default, str | int):
            assert ROWS[name].strip("`") == str(field.default)
        assert (ROWS[name] == "required") == field.is_required()


def test_every_shipped_profile_is_named() -> None:
    assert all(f"`{objective.value}`" in TEXT for objective in Objective)


def test_variables_that_code_reads_elsewhere_are_told() -> None:
    read = set()
    for package in ("models", "policies", "router", "deployments"):
        for path in (ROOT / package).rglob("*.py"):
            read.update(re.findall(r"\"(I2V_[A-Z_]+)\"", path.read_text(encoding="utf-8")))
    assert read
    assert all(f"`{name}" in TEXT for name in read), read
