"""Commands that the documents show exist: make targets, subcommands of `i2v` and their options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import typer

from deployments.local import main as local_main
from router.cli import app

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/README.md",
    "docs/api.md",
    "docs/architecture.md",
    "docs/configuration.md",
    "docs/hosted-calls.md",
    "docs/howto/add-a-model.md",
    "docs/howto/add-a-policy.md",
    "docs/howto/add-a-runner-or-provider.md",
    "docs/scheduling.md",
    "docs/simulation.md",
]
BASH = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page: str) -> list[list[str]]:
    """Lines of bash blocks as words, continued lines joined, comments dropped."""
    lines = [
        line for body in BASH.findall(read(page)) for line in body.replace("\\\n", " ").splitlines() if line
    ]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def arguments_of(words: list[str], program: str) -> list[str] | None:
    for at, word in enumerate(words):
        if word.rpartition("/")[2] == program:
            return words[at + 1 :]
    return None


def check_i2v(arguments: list[str]) -> None:
    command: click.Command = typer.main.get_command(app)
    rest = list(arguments)
    # A group may do something by itself, with options of its own.
    while rest and not rest[0].startswith("-") and hasattr(command, "commands"):
        assert rest[0] in command.commands, f"i2v has no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts}
    asked = {word for word in rest if word.startswith("-")}
    assert asked <= known, f"{command.name} has no option {asked - known}"


@pytest.mark.parametrize("page", PAGES)
def test_shown_commands_exist(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        local_main(["--help"])
    stack_help = capsys.readouterr().out
    for words in commands(page):
        if (arguments := arguments_of(words, "i2v")) is not None:
            check_i2v(arguments)
        if "deployments.local" in words:
            assert all(word in stack_help for word in words if word.startswith("--")), words


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", read(page), re.MULTILINE))
    assert shown <= targets


@pytest.mark.parametrize("page", PAGES)
def test_files_that_commands_name_exist(page: str) -> None:
    for words in commands(page):
        for word in words:
            path = word.rpartition("@")[2]
            if re.match(r"(examples|deployments|tests|benchmarks)/", path):
                assert (ROOT / path).exists(), path


def test_the_readme_shows_the_two_commands() -> None:
    assert [words for words in commands("README.md") if words[0] == "make"][:2] == [
        ["make", "demo"],
        ["make", "test"],
    ]
