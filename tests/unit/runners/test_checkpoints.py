"""Loading: what is refused, and that the refusal says what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from models.errors import CheckpointMissing, ConfigError, OutOfMemory
from models.runners import checkpoints
from models.runners.diffusers import load


@pytest.fixture
def copied(checkpoint, tmp_path) -> Path:
    """A checkpoint that a test may spoil."""
    return Path(shutil.copytree(checkpoint("wan2.1"), tmp_path / "wan"))


@pytest.fixture
def loading(card_of):
    def attempt(directory: Path | None, **changes: object):
        card = card_of("wan2.1", **changes)
        return load(card, card.offers[0], checkpoint=directory and str(directory), device="cpu")

    return attempt


def test_missing_directory(loading, tmp_path):
    with pytest.raises(CheckpointMissing, match="not a diffusers checkpoint") as missing:
        loading(tmp_path / "nowhere")
    assert "I2V_MODELS" in missing.value.message


def test_pickled_weights_are_never_opened(loading, copied):
    weights = next((copied / "transformer").glob("*.safetensors"))
    weights.rename(weights.with_suffix(".bin"))

    with pytest.raises(CheckpointMissing, match="run code when opened") as missing:
        loading(copied)
    assert "transformer" in missing.value.message


def test_component_without_weights(loading, copied):
    next((copied / "vae").glob("*.safetensors")).unlink()
    with pytest.raises(CheckpointMissing, match="vae has no weights"):
        loading(copied)


def test_component_that_is_absent(loading, copied):
    shutil.rmtree(copied / "text_encoder")
    with pytest.raises(CheckpointMissing, match="lacks the component text_encoder"):
        loading(copied)


def test_other_pipeline_than_the_card_says(card_of, checkpoint):
    card = card_of("wan2.1")
    with pytest.raises(CheckpointMissing, match="WanImageToVideoPipeline") as wrong:
        load(card, card.offers[0], checkpoint=str(checkpoint("ltx-video")), device="cpu")
    assert wrong.value.param == "weights.pipeline"
    assert "LTXImageToVideoPipeline" in wrong.value.message


def test_code_from_the_checkpoint_is_refused(loading, copied):
    index = json.loads((copied / "model_index.json").read_text())
    index["transformer"] = ["my_model", "Trojan"]
    (copied / "model_index.json").write_text(json.dumps(index))
    (copied / "transformer" / "my_model.py").write_text("raise SystemExit('ran')")

    with pytest.raises(CheckpointMissing, match=r"my_model\.Trojan"):
        loading(copied)


def test_truncated_weights(loading, copied):
    weights = next((copied / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])

    with pytest.raises(CheckpointMissing, match="damaged or incomplete") as damaged:
        loading(copied)
    assert damaged.value.__cause__ is not None


def test_index_that_is_not_json(loading, copied):
    (copied / "model_index.json").write_text("<html>")
    with pytest.raises(CheckpointMissing, match="not JSON"):
        loading(copied)


def test_hub_id_without_revision_says_what_to_set(loading):
    with pytest.raises(CheckpointMissing, match="pins no revision of Some/Model") as missing:
        loading(None, weights__hub_id="Some/Model")
    assert "I2V_CARDS" in missing.value.message
    assert "I2V_MODELS" in missing.value.message


def test_card_without_hub_id(loading):
    with pytest.raises(CheckpointMissing, match="names no hub id"):
        loading(None)


def test_hub_that_cannot_be_reached(loading):
    """The tests run with HF_HUB_OFFLINE=1."""
    with pytest.raises(CheckpointMissing, match="could not be fetched"):
        loading(None, weights__hub_id="Some/Model", weights__revision="0" * 40)


def test_hub_is_asked_for_the_pinned_revision_and_safetensors(card_of, checkpoint, monkeypatch):
    asked: list[tuple[str, dict[str, object]]] = []
    directory = checkpoint("wan2.1")

    def fetch(hub_id: str, name: str, **options: object) -> str:
        asked.append((hub_id, options))
        return str(directory / name)

    def download(hub_id: str, **options: object) -> str:
        asked.append((hub_id, options))
        return str(directory)

    monkeypatch.setattr(checkpoints, "hf_hub_download", fetch)
    monkeypatch.setattr(checkpoints.diffusers.DiffusionPipeline, "download", download)

    card = card_of("wan2.1", weights__hub_id="Some/Model", weights__revision="a" * 40)
    pipe = checkpoints.load_pipeline(card, None, device="cpu", float32=())

    assert type(pipe).__name__ == "WanImageToVideoPipeline"
    assert [hub_id for hub_id, _ in asked] == ["Some/Model", "Some/Model"]
    assert all(options["revision"] == "a" * 40 for _, options in asked)
    assert asked[1][1]["use_safetensors"] is True
    assert asked[1][1]["trust_remote_code"] is False


def test_memory_that_runs_out_while_loading(loading, checkpoint, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(checkpoints.diffusers.WanImageToVideoPipeline, "from_pretrained", fail)
    with pytest.raises(OutOfMemory, match="while loading"):
        loading(checkpoint("wan2.1"))


def test_pipeline_that_no_family_runs(loading, checkpoint):
    with pytest.raises(ConfigError) as unknown:
        loading(checkpoint("wan2.1"), weights__pipeline="MochiPipeline")
    assert "WanImageToVideoPipeline" in unknown.value.allowed


def test_offer_without_sampling(card_of, checkpoint):
    card = card_of("wan2.1")
    offer = card.offers[0].model_copy(update={"sampling": None})
    with pytest.raises(ConfigError, match="says nothing of steps"):
        load(card, offer, checkpoint=str(checkpoint("wan2.1")), device="cpu")


@pytest.mark.parametrize(
    ("device", "float32", "expected"),
    [
        ("cpu", ("vae",), {"default": torch.float32, "vae": torch.float32}),
        ("cuda:1", ("vae",), {"default": torch.bfloat16, "vae": torch.float32}),
        ("cuda", (), {"default": torch.bfloat16}),
    ],
)
def test_precision_follows_the_device(device, float32, expected):
    assert checkpoints._types(device, float32) == expected
