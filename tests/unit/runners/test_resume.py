"""The folder of a clip's state: other processes go on from it, and whatever is wrong with it is told."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from models.errors import CheckpointUnusable
from models.runners import animate, resume
from models.runners.base import Place
from models.runners.crew import ALONE
from models.runners.resume import STATE, state_files
from models.runners.state_files import StateReader, write_state
from tests.unit.runners.clips import STEPPED, STEPS, Made, request, to, to_the_end

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    monkeypatch.setattr(animate, "RUN_FRAMES", 9)


@pytest.fixture(scope="module")
def killed(checkpoint, driving_video, tmp_path_factory) -> Path:
    """Folders of clips whose process was killed one step after they were saved in their second segment."""
    states = tmp_path_factory.mktemp("states")
    for kind in STEPPED:
        checkpoint(kind)
        (states / kind).mkdir()
    module = "tests.unit.runners.die_in_mid_clip"
    program = subprocess.run(
        [sys.executable, "-m", module, checkpoint(STEPPED[0]).parent, states, driving_video, *STEPPED],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        timeout=280,
        check=False,
    )
    assert program.returncode == -signal.SIGKILL, program.stderr.decode()
    return states


@pytest.mark.parametrize("kind", STEPPED)
def test_another_process_goes_on_where_the_killed_one_was_saved(
    kind, killed, load_tiny, driving_video, recorder, tmp_path
):
    folder = shutil.copytree(killed / kind, tmp_path / kind)
    runner, clip = load_tiny(kind), request(kind, driving_video)

    resumed = runner.resume(clip, folder)

    assert resumed.place == Place(1, 2, 2, STEPS)
    assert Made(to_the_end(resumed)) == Made(runner.generate(clip, recorder()))


@pytest.fixture
def saved(load_tiny, driving_video, recorder, tmp_path):
    """A runner, its request, and the folder of a clip paused in its second segment."""
    runner, clip = load_tiny("wan2.1"), request("wan2.1", driving_video)
    paused = to(runner.begin(clip, tmp_path, recorder()), 1, 1)
    paused.save()
    paused.close()
    return runner, clip, tmp_path


def test_files_to_copy_are_those_that_are_needed(saved, tmp_path_factory):
    runner, clip, folder = saved
    files = state_files(folder)
    assert [(file.path.name, file.immutable) for file in files] == [
        ("frames-0.safetensors", True),
        ("conditioning-1.safetensors", True),
        (STATE, False),
    ]
    assert {file.path for file in files} == set(folder.iterdir()), "nothing else is left lying about"

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for file in files:
        shutil.copy(file.path, elsewhere)
    assert Made(to_the_end(runner.resume(clip, elsewhere))).frames.shape[0] == 17


def test_immutable_files_do_not_change(saved, recorder):
    runner, clip, folder = saved
    kept = {file.path: file.path.read_bytes() for file in state_files(folder) if file.immutable}
    resumed = runner.resume(clip, folder)
    resumed.advance(1, ALONE, recorder())
    resumed.save()
    assert {path: path.read_bytes() for path in kept} == kept


@pytest.mark.parametrize("name", [STATE, "conditioning-1.safetensors", "frames-0.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_file_that_was_cut_short_is_told(name, share, saved):
    runner, clip, folder = saved
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointUnusable, match=name):
        to_the_end(runner.resume(clip, folder))


@pytest.mark.parametrize("name", [STATE, "conditioning-1.safetensors"])
def test_missing_file_is_told(name, saved):
    runner, clip, folder = saved
    (folder / name).unlink()
    with pytest.raises(CheckpointUnusable, match=f"{name} is missing"):
        runner.resume(clip, folder)


def test_folder_without_state_has_no_files_to_copy(tmp_path):
    with pytest.raises(CheckpointUnusable, match="missing"):
        state_files(tmp_path)


def test_file_of_someone_else_is_told(saved):
    runner, clip, folder = saved
    save_file({"x": torch.zeros(1)}, str(folder / STATE))
    with pytest.raises(CheckpointUnusable, match="not the state of a clip"):
        runner.resume(clip, folder)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": 9}, "seed"),
        ({"steps": STEPS + 1}, "shape"),
        ({"guidance": 1.0}, "shape"),
    ],
)
def test_other_request_is_told(change, word, saved):
    runner, clip, folder = saved
    with pytest.raises(CheckpointUnusable) as told:
        runner.resume(dataclasses.replace(clip, **change), folder)
    assert told.value.param == word


def test_other_shape_is_told(saved, plan_of):
    runner, clip, folder = saved
    for plan in (plan_of("wan2.1", 13, segments=2), plan_of("wan2.1", 9, segments=3)):
        with pytest.raises(CheckpointUnusable) as told:
            runner.resume(dataclasses.replace(clip, plan=plan), folder)
        assert told.value.param == "shape"


@pytest.mark.parametrize(
    ("kind", "changes", "param"),
    [
        ("wan2.1", {"id": "another-card"}, "card"),
        ("wan2.1", {"weights__hub_id": "vendor/model", "weights__revision": 40 * "a"}, "weights"),
        ("wan2.2-a14b", {"id": "tiny-wan2.1"}, "weights"),  # another build behind the same card
    ],
)
def test_other_model_is_told(kind, changes, param, saved, load_tiny):
    _, clip, folder = saved
    other = load_tiny(kind, **{"controls__last_image": "none", **changes})
    with pytest.raises(CheckpointUnusable) as told:
        other.resume(clip, folder)
    assert told.value.param == param


def test_other_version_is_told(saved, monkeypatch):
    runner, clip, folder = saved
    with monkeypatch.context() as later:
        later.setattr(resume, "FORMAT", resume.FORMAT + 1)
        with pytest.raises(CheckpointUnusable, match=f"format {resume.FORMAT - 1}; this is {resume.FORMAT}"):
            runner.resume(clip, folder)
    with monkeypatch.context() as later:
        later.setattr(resume.diffusers, "__version__", "0.99.0")
        with pytest.raises(CheckpointUnusable, match=r"0\.99\.0"):
            runner.resume(clip, folder)


def test_state_that_lacks_a_part_is_told(saved):
    runner, clip, folder = saved
    with safe_open(str(folder / STATE), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != "generator"}  # noqa: SIM118
        metadata = file.metadata()
    save_file(tensors, str(folder / STATE), metadata)
    with pytest.raises(CheckpointUnusable, match="incomplete"):
        runner.resume(clip, folder)


def test_no_state_is_a_pickle_and_the_header_is_json(saved):
    _, _, folder = saved
    for file in state_files(folder):
        with safe_open(str(file.path), framework="pt") as opened:
            assert isinstance(json.loads(opened.metadata()["clip"]), dict)


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    write_state(path, {"a": torch.zeros(2)}, {"n": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("models.runners.state_files.save_file", full)
    with pytest.raises(OSError, match="No space"):
        write_state(path, {"a": torch.ones(2)}, {"n": 2})

    assert StateReader(path).header == {"n": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(2, 3, 4),
        torch.randn(2, 3, 4).permute(2, 0, 1),
        torch.randn(2, 1, 4).expand(2, 3, 4),
        torch.randn(2, 6)[:, ::2],
        torch.randn(3, 4).to(torch.bfloat16).T,
        torch.tensor(3),
        torch.empty(0, 4),
    ],
)
def test_tensors_come_back_as_they_were(tensor, tmp_path):
    write_state(tmp_path / "x.safetensors", {"one": tensor, "same": tensor}, {})
    for back in StateReader(tmp_path / "x.safetensors").tensors().values():
        assert back.dtype == tensor.dtype
        assert torch.equal(back, tensor)
        if tensor.is_contiguous() or (tensor.ndim == 3 and 0 not in tensor.stride()):
            assert back.stride() == tensor.stride(), "kernels may add in another order otherwise"
