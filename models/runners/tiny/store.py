"""Write a tiny checkpoint completely or not at all, whoever else does the same."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import diffusers
import torch

from models.errors import ConfigError

Scale = Literal["tiny", "gang", "demo", "bench"]
SCALES: tuple[Scale, ...] = ("tiny", "gang", "demo", "bench")

MARK = ".i2v-tiny.json"
"""Written last: a directory without it, or with other contents, was not finished by this recipe."""
RECIPE = 1
"""Raised when a builder changes, so that older directories are built anew."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one kind is built: a pipeline of the real class with random weights, at each of its scales."""

    build: Callable[[Scale], Any]
    scales: tuple[Scale, ...] = ("tiny",)
    version: int = RECIPE
    """Raised when this builder changes."""


def write(kind: str, recipe: Recipe, directory: Path, scale: Scale) -> Path:
    """Build in a sibling directory, mark it complete, rename it into place; use what is already there.

    Raises:
        ConfigError: `directory` holds something that was not written here.
    """
    mark = json.dumps(
        {"kind": kind, "scale": scale, "recipe": recipe.version, "diffusers": diffusers.__version__}
    )
    if _finished(directory, mark):
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        with torch.random.fork_rng(devices=[]):
            recipe.build(scale).save_pretrained(scratch, safe_serialization=True)
        (scratch / MARK).write_text(mark, encoding="utf-8")
        scratch.chmod(0o755)  # mkdtemp makes it private
        _put_in_place(scratch, directory, mark)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return directory


def _finished(directory: Path, mark: str) -> bool:
    """True when `directory` is this very checkpoint; raises when it is not ours to replace."""
    if not directory.exists():
        return False
    if not (directory / MARK).is_file():
        if directory.is_dir() and not any(directory.iterdir()):
            return False
        raise ConfigError(
            f"{directory} exists and was not written by models.runners.tiny; it is left as it is",
            param="directory",
            allowed="a path that does not exist, or an earlier tiny checkpoint",
        )
    return (directory / MARK).read_text(encoding="utf-8") == mark


def _put_in_place(scratch: Path, directory: Path, mark: str) -> None:
    if directory.exists() and not _finished(directory, mark):
        outdated = Path(tempfile.mkdtemp(prefix=f".{directory.name}.old.", dir=directory.parent))
        os.replace(directory, outdated / "checkpoint")
        shutil.rmtree(outdated, ignore_errors=True)
    try:
        os.rename(scratch, directory)
    except OSError:
        # Another process was first: rename refuses a directory that is not empty.
        if not _finished(directory, mark):
            raise
