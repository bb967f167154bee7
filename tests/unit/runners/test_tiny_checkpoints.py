"""Tiny checkpoints: reproducible, complete or absent, safetensors only."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.errors import ConfigError
from models.runners import tiny
from models.runners.tiny import MARK, write_tiny_checkpoint

# By name only: a clear id for each case.
KINDS = tuple(sorted(tiny.KINDS))


def replace_wan(monkeypatch: pytest.MonkeyPatch, build: Callable[[str], object]) -> None:
    recipe = tiny.Recipe(build, tiny.KINDS["wan2.1"].scales)
    monkeypatch.setattr(tiny, "KINDS", {**tiny.KINDS, "wan2.1": recipe})


def digests(directory: Path) -> dict[str, str]:
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_same_kind_gives_the_same_bytes_whatever_the_random_state(kind, checkpoint, tmp_path):
    torch.manual_seed(99)
    state = torch.random.get_rng_state()

    again = write_tiny_checkpoint(kind, tmp_path / "again")

    assert digests(again) == digests(checkpoint(kind))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_safetensors_only(kind, checkpoint):
    suffixes = {file.suffix for file in checkpoint(kind).rglob("*") if file.is_file()}
    assert ".safetensors" in suffixes
    assert suffixes <= {".safetensors", ".json", ".jinja", ".model", ".txt"}


def test_second_call_changes_nothing(tmp_path, monkeypatch):
    path = write_tiny_checkpoint("wan2.1", tmp_path / "wan")
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    replace_wan(monkeypatch, lambda scale: pytest.fail("built again"))

    assert write_tiny_checkpoint("wan2.1", path) == path
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


def test_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    class Broken:
        def save_pretrained(self, directory: Path, **_: object) -> None:
            (directory / "model_index.json").write_text("{}")
            raise OSError(28, "No space left on device")

    replace_wan(monkeypatch, lambda scale: Broken())

    with pytest.raises(OSError, match="No space left"):
        write_tiny_checkpoint("wan2.1", tmp_path / "deep" / "wan")
    assert list((tmp_path / "deep").iterdir()) == []


def test_loser_of_a_race_uses_what_the_winner_wrote(tmp_path, monkeypatch):
    target, real = tmp_path / "wan", tiny.KINDS["wan2.1"].build
    stamps: list[int] = []

    def slow(scale: object) -> object:
        """While this process builds, another one finishes."""
        replace_wan(monkeypatch, real)
        write_tiny_checkpoint("wan2.1", target)
        stamps.append((target / MARK).stat().st_mtime_ns)
        return real(scale)

    replace_wan(monkeypatch, slow)

    assert write_tiny_checkpoint("wan2.1", target) == target
    assert [(target / MARK).stat().st_mtime_ns] == stamps
    assert [entry.name for entry in tmp_path.iterdir()] == ["wan"], "no scratch directory is left"


def test_outdated_recipe_is_built_anew(tmp_path):
    path = write_tiny_checkpoint("wan2.1", tmp_path / "wan")
    fresh = (path / MARK).read_text()
    (path / MARK).write_text(json.dumps({**json.loads(fresh), "recipe": 0}))
    (path / "leftover").write_text("old")

    write_tiny_checkpoint("wan2.1", path)

    assert (path / MARK).read_text() == fresh
    assert not (path / "leftover").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["wan"]


def test_foreign_directory_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"precious")

    with pytest.raises(ConfigError, match="was not written by"):
        write_tiny_checkpoint("wan2.1", tmp_path / "mine")
    assert (tmp_path / "mine" / "photo.jpg").read_bytes() == b"precious"


def test_empty_directory_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    assert (write_tiny_checkpoint("wan2.1", tmp_path / "empty") / "model_index.json").is_file()


@pytest.mark.parametrize(
    ("kind", "scale", "param"),
    [("svd", "demo", "scale"), ("sora", "tiny", "kind"), ("wan2.1", "huge", "scale")],
)
def test_unknown_combinations_name_the_field(kind, scale, param, tmp_path):
    with pytest.raises(ConfigError) as refused:
        write_tiny_checkpoint(kind, tmp_path / "x", scale=scale)
    assert refused.value.param == param
    assert refused.value.allowed
    assert list(tmp_path.iterdir()) == []


def test_demo_scale_is_width_96_with_the_real_codec_lattice(tmp_path):
    import diffusers

    path = write_tiny_checkpoint("wan2.1", tmp_path / "demo", scale="demo")
    pipe = diffusers.DiffusionPipeline.from_pretrained(str(path), local_files_only=True)

    config = pipe.transformer.config
    assert (config.num_attention_heads * config.attention_head_dim, config.num_layers) == (96, 2)
    assert (pipe.vae_scale_factor_spatial, pipe.vae_scale_factor_temporal) == (8, 4)


def test_command_line_writes_and_says_that_weights_are_random(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "models.runners.tiny", "wan2.1", str(tmp_path / "cli")],
        capture_output=True, text=True, check=True, timeout=120, cwd=Path(tiny.__file__).parents[3],
    )  # fmt: skip

    told = json.loads(done.stdout.splitlines()[-1])
    assert told["path"] == str(tmp_path / "cli")
    assert told["random_weights"] is True
    assert told["bytes"] == sum(f.stat().st_size for f in (tmp_path / "cli").rglob("*") if f.is_file())
