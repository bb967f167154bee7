"""The decision in the README is what the program prints."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_shown_decision_is_what_the_shown_command_prints() -> None:
    text = (ROOT / "README.md").read_text()
    block = text.split("```text\n$ i2v route", 1)[1].split("```", 1)[0]
    command, shown = block.split("--max-cost 0.30\n", 1)
    arguments = shlex.split(command.replace("\\\n", " ") + "--max-cost 0.30")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("I2V_")}
    environment.pop("COLUMNS", None)  # as without a terminal: the program's own width
    outcome = subprocess.run(
        [sys.executable, "-m", "router.cli", "route", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    printed = [line.rstrip() for line in outcome.stdout.rstrip().splitlines()]
    assert printed == shown.rstrip().splitlines()
