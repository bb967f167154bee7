"""A worker's own directory: where it lies, and who may remove it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deployments.scratch import PREFIX, scratch_directory
from router.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(scratch=tmp_path)


def test_what_a_live_worker_uses_stays_and_what_a_dead_one_left_goes(
    settings: Settings, tmp_path: Path
) -> None:
    mine = scratch_directory(settings, "mine")
    (mine / "clip").mkdir()
    dead = tmp_path / f"{PREFIX}dead"
    (dead / "clip").mkdir(parents=True)
    other = scratch_directory(settings, "other")
    assert mine.is_dir()
    assert other.is_dir()
    assert not dead.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{PREFIX}mine", f"{PREFIX}other"]


def test_a_worker_that_was_killed_holds_nothing(settings: Settings, tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from deployments.scratch import scratch_directory\n"
        "from router.settings import Settings\n"
        "scratch_directory(Settings(scratch=pathlib.Path(sys.argv[1])), 'killed')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ended.returncode == -9
    assert (tmp_path / f"{PREFIX}killed").is_dir()
    scratch_directory(settings, "next")
    assert not (tmp_path / f"{PREFIX}killed").exists()
