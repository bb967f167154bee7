"""Find a checkpoint, check that it is what the card says and safe to open, and load it.

Safe means: safetensors only (a pickle runs code when it is opened), classes of diffusers and transformers
only (no code from the checkpoint), and a hub id only at a pinned revision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch
from diffusers.utils import logging as diffusers_logging
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from models.errors import CheckpointMissing, OutOfMemory
from models.runners.failures import is_out_of_memory, typed_failures

if TYPE_CHECKING:
    from models.card import Card

INDEX = "model_index.json"
_LIBRARIES = {"diffusers", "transformers"}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def load_pipeline(card: Card, checkpoint: str | None, *, device: str, float32: tuple[str, ...]) -> Any:
    """Load the card's pipeline, on `device`, ready to run.

    Args:
        card: Names the pipeline class, and the hub id with its revision.
        checkpoint: A local directory, or None for the hub.
        device: A torch device string. On CUDA the weights run in bfloat16, on a CPU in float32.
        float32: Components that stay in float32 on CUDA, too.

    Raises:
        CheckpointMissing: not there, not pinned, not safetensors, not this class, or damaged.
        OutOfMemory: the weights do not fit.
    """
    # A worker's log is no terminal.
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    directory = _local(card, checkpoint) if checkpoint is not None else _downloaded(card)
    pipeline = getattr(diffusers, str(card.weights.pipeline))
    try:
        pipe = pipeline.from_pretrained(
            str(directory),
            dtype=_types(device, float32),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"out of memory while loading {card.id}: {error}") from error
        raise CheckpointMissing(
            f"the checkpoint of {card.id} in {directory} is damaged or incomplete: {error}",
            param="checkpoint",
        ) from error
    with typed_failures(f"moving {card.id} to {device}"):
        return pipe.to(device)


def _types(device: str, float32: tuple[str, ...]) -> dict[str, torch.dtype]:
    default = torch.bfloat16 if device.startswith("cuda") else torch.float32
    return {"default": default, **dict.fromkeys(float32, torch.float32)}


def _local(card: Card, checkpoint: str) -> Path:
    directory = Path(checkpoint)
    if not (directory / INDEX).is_file():
        raise CheckpointMissing(
            f"{card.id}: {directory} is not a diffusers checkpoint: it has no {INDEX}. Put one there, or "
            "take the directory away from I2V_MODELS to load the card's hub id",
            param="checkpoint",
        )
    try:
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointMissing(f"{card.id}: {directory / INDEX} is not JSON: {error}") from error
    _check_index(card, index, str(directory))
    _check_files(card, index, directory)
    return directory


def _downloaded(card: Card) -> Path:
    """Fetch (or find in the hub's cache) the card's pinned revision; the index is checked before the rest."""
    weights = card.weights
    if weights.hub_id is None or weights.revision is None:
        lacking = "names no hub id" if weights.hub_id is None else f"pins no revision of {weights.hub_id}"
        raise CheckpointMissing(
            f"{card.id}: no checkpoint. The card {lacking}; set weights.hub_id and weights.revision (the "
            "40-digit commit) in an overlay card under I2V_CARDS, or put a diffusers directory with "
            f"safetensors under I2V_MODELS for {card.id}",
            param="checkpoint",
        )
    where = f"{weights.hub_id}@{weights.revision}"
    try:
        fetched = hf_hub_download(weights.hub_id, INDEX, revision=weights.revision)
        index = json.loads(Path(fetched).read_text(encoding="utf-8"))
        _check_index(card, index, where)
        directory = Path(
            diffusers.DiffusionPipeline.download(
                weights.hub_id, revision=weights.revision, use_safetensors=True, trust_remote_code=False
            )
        )
    except (OSError, ValueError, EntryNotFoundError) as error:
        raise CheckpointMissing(
            f"{card.id}: {where} could not be fetched: {error}", param="checkpoint"
        ) from error
    _check_files(card, index, directory)
    return directory


def _check_index(card: Card, index: Mapping[str, Any], where: str) -> None:
    found, wanted = str(index.get("_class_name")), str(card.weights.pipeline)
    if not _same_family(found, wanted):
        raise CheckpointMissing(
            f"{card.id}: the card says {wanted}, the checkpoint in {where} is a {found}",
            param="weights.pipeline",
            allowed=wanted,
        )
    for name, library, kind in _components(index):
        if library not in _LIBRARIES and not _of_diffusers_pipelines(library, kind):
            raise CheckpointMissing(
                f"{card.id}: component {name} in {where} is {library}.{kind}, code of its own; only classes "
                "of diffusers and transformers are loaded",
                param="checkpoint",
                allowed=sorted(_LIBRARIES),
            )


def _of_diffusers_pipelines(library: str, kind: str) -> bool:
    """True for a component that diffusers keeps beside its pipeline: the index then names that package.

    LTX-2's vocoder is `ltx2.LTX2Vocoder`, for example, a class of `diffusers.pipelines.ltx2`.
    """
    package = getattr(diffusers.pipelines, library, None)
    found = getattr(package, kind, None)
    return str(getattr(found, "__module__", "")).startswith(f"diffusers.pipelines.{library}.")


def _same_family(found: str, wanted: str) -> bool:
    """One class, or two over the same components: hub repositories often name the text-to-video sibling.

    Lightricks/LTX-Video says `LTXPipeline`, for example, and its image-to-video class loads it.
    """
    if found == wanted:
        return True
    packages = {
        getattr(getattr(diffusers, name, None), "__module__", name).rpartition(".")[0]
        for name in (found, wanted)
    }
    return len(packages) == 1 and "" not in packages


def _check_files(card: Card, index: Mapping[str, Any], directory: Path) -> None:
    for name, _, _ in _components(index):
        folder = directory / name
        if not folder.is_dir():
            raise CheckpointMissing(f"{card.id}: {directory} lacks the component {name}", param="checkpoint")
        # Models have a config.json; tokenizers, processors and schedulers have files of other names.
        if not (folder / "config.json").is_file() or any(folder.glob("*.safetensors")):
            continue
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLES)
        has = f"only {', '.join(pickles)}, which can run code when opened" if pickles else "no weights"
        raise CheckpointMissing(
            f"{card.id}: {folder} has {has}; convert it to safetensors (save_pretrained does)",
            param="checkpoint",
            allowed="*.safetensors",
        )


def _components(index: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, library and class of every component that is there (absent ones are null in the index)."""
    entries = ((name, value) for name, value in index.items() if not name.startswith("_"))
    return [
        (name, str(value[0]), str(value[1]))
        for name, value in entries
        if isinstance(value, list | tuple) and len(value) == 2 and value[1] is not None
    ]
