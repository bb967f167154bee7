"""docs/configuration.md lists every variable with its real default, and every argument of an application."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deployments.args import ModelArgs, ProviderArgs
from deployments.config import load_serve_config
from deployments.discovery import PROVIDER_BUILDER
from models.providers.registry import SHIPPED, spec
from models.types import Objective
from router.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def rows(title: str) -> dict[str, str]:
    """Name to default, of the tables of one section."""
    _, _, rest = TEXT.partition(f"\n## {title}\n")
    assert rest, f"no section {title}"
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", rest.partition("\n## ")[0], re.MULTILINE))


ROWS = rows("Environment")


def test_every_variable_is_listed_and_no_other() -> None:
    assert set(ROWS) == {f"I2V_{name.upper()}" for name in Settings.model_fields}


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
    told = rows("serve_config.yaml and overlays")
    assert set(told) == set(ModelArgs.model_fields)
    for name, field in ModelArgs.model_fields.items():
        if isinstance(field.default, str | int):
            assert told[name].strip("`") == str(field.default)
        assert (told[name] == "required") == field.is_required()


def test_every_argument_of_a_provider_is_listed() -> None:
    told = rows("Hosted accounts and engines")
    assert set(told) == set(ProviderArgs.model_fields)
    for name, field in ProviderArgs.model_fields.items():
        if isinstance(field.default, int | float):
            assert float(told[name]) == field.default
        elif isinstance(field.default, str):
            assert told[name] == f"`{field.default}`"
        assert (told[name] == "required") == field.is_required()
    hosted = ProviderArgs(provider="replicate").most_calls
    engine = ProviderArgs(provider="sglang", url="http://e", model="m", offer="engine", gpu="h100").most_calls
    assert told["concurrency"] == f"{hosted}, of an engine {engine}"


def test_every_provider_is_named_with_its_key() -> None:
    section, keys = (
        TEXT.partition("\n## Hosted accounts and engines\n")[2],
        TEXT.partition("\n## Secrets\n")[2],
    )
    for name in SHIPPED:
        assert f"`{name}`" in section.partition("\n## ")[0]
        assert spec(name).key_env is None or f"| `{spec(name).key_env}` |" in keys


def test_the_accounts_of_the_shipped_files_have_the_caps_that_are_told() -> None:
    """serve_config.yaml's and the profile's."""
    for overlays, told in (((), r"cap of \$(\d+) a day"), (("hosted.yaml",), r"capped at \$(\d+) a day")):
        files = [ROOT / "deployments" / "overlays" / name for name in overlays]
        config = load_serve_config(ROOT / "serve_config.yaml", *files)
        accounts = [app.args for app in config.applications if app.import_path == PROVIDER_BUILDER]
        assert {args["provider"] for args in accounts} == {"replicate", "fal"}
        cap = re.search(told, TEXT)
        assert cap is not None
        assert {args["spend_cap_usd"] for args in accounts} == {int(cap[1])}


def test_every_shipped_profile_is_named() -> None:
    assert all(f"`{objective.value}`" in TEXT for objective in Objective)


def test_variables_that_code_reads_elsewhere_are_told() -> None:
    read = set()
    for package in ("models", "policies", "router", "deployments"):
        for path in (ROOT / package).rglob("*.py"):
            read.update(re.findall(r"\"(I2V_[A-Z_]+)\"", path.read_text(encoding="utf-8")))
    assert read
    assert all(f"`{name}" in TEXT for name in read), read
