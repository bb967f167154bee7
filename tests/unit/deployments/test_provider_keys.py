"""Keys come from the environment or a file that nobody else may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.provider_keys import read_key
from models.errors import ConfigError

SECRET = "r8_do-not-tell"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    path = tmp_path / "secrets"
    path.write_text(f"# keys\n\nREPLICATE_API_TOKEN={SECRET}\nFAL_KEY = 'quoted'\n")
    path.chmod(0o600)
    return path


def test_the_file_is_read_and_the_environment_wins(secrets: Path) -> None:
    assert read_key("REPLICATE_API_TOKEN", secrets, {}) == SECRET
    assert read_key("FAL_KEY", secrets, {}) == "quoted"
    assert read_key("REPLICATE_API_TOKEN", secrets, {"REPLICATE_API_TOKEN": " mine "}) == "mine"
    assert read_key("OTHER", secrets, {}) is None
    assert read_key("OTHER", None, {}) is None
    assert read_key("REPLICATE_API_TOKEN", secrets, {"REPLICATE_API_TOKEN": " "}) == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_may_read_is_refused(secrets: Path, mode: int) -> None:
    secrets.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600") as refused:
        read_key("REPLICATE_API_TOKEN", secrets, {})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("line", ["no equals", f"bad name={SECRET}", f"={SECRET}"])
def test_a_line_that_is_none_is_named_by_number_and_not_repeated(secrets: Path, line: str) -> None:
    secrets.write_text(f"A=1\n{line}\n")
    with pytest.raises(ConfigError, match="line 2") as refused:
        read_key("A", secrets, {})
    assert SECRET not in str(refused.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_key("A", tmp_path / "none", {})


@pytest.mark.parametrize(
    "value",
    [f"{SECRET} x", f"{SECRET}\tx", f"{SECRET}\nx", f"\ufeff{SECRET}", f"“{SECRET}”", f"{SECRET}\x00"],
)
def test_a_key_that_cannot_go_into_a_header_is_named_and_not_repeated(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="REPLICATE_API_TOKEN: the key holds") as refused:
        read_key("REPLICATE_API_TOKEN", None, {"REPLICATE_API_TOKEN": value})
    assert refused.value.param == "REPLICATE_API_TOKEN"
    assert SECRET not in str(refused.value) + repr(refused.value) + repr(refused.value.__dict__)
    if "\n" not in value:
        secrets = tmp_path / "secrets"
        secrets.write_text(f"A=1\nREPLICATE_API_TOKEN={value}\n", encoding="utf-8")
        secrets.chmod(0o600)
        with pytest.raises(ConfigError, match="REPLICATE_API_TOKEN: the key holds") as refused:
            read_key("REPLICATE_API_TOKEN", secrets, {})
        assert SECRET not in str(refused.value)
        assert read_key("A", secrets, {}) == "1", "another key's fault is not this one's"


def test_an_entry_without_a_value_is_no_key(secrets: Path) -> None:
    secrets.write_text("EMPTY=\nQUOTED=''\n")
    assert read_key("EMPTY", secrets, {}) is None
    assert read_key("QUOTED", secrets, {}) is None
