"""Lay a LoRA over a denoiser for one clip and take it off again, without a trace.

The narrow matrices run beside the layer (`y = W x + B (A x)`) and are never added into `W`: switching takes
milliseconds, the base weights are not written to, and so the base offer's clips are the same bits before and
after; adding and subtracting in bfloat16 would not give them back. A rank of 64 beside a width of 5120 is
2.5 % more arithmetic and, in bfloat16, 0.6 GB for each expert of Wan 2.2. What a file adds to whole weights
and biases (small tensors: norms, biases, the output layer) is kept as a second version of that tensor,
exchanged by reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional

from models.errors import CheckpointMissing
from models.runners.adapter_keys import Part, parsed, spellings

if TYPE_CHECKING:
    from models.card import Adapter, Card, Offer

FOLDER = "adapters"
"""Below a local checkpoint: `adapters/<offer id>/<file>`."""
_EXPERTS = ("transformer", "transformer_2", "unet")


@dataclass(frozen=True, slots=True)
class _Branch:
    """The two narrow matrices beside one layer; the scale is in `up`."""

    layer: torch.nn.Linear
    down: torch.Tensor
    up: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Version:
    """Another version of one parameter."""

    parameter: torch.nn.Parameter
    laid: torch.Tensor


@dataclass(frozen=True, slots=True)
class Overlay:
    """One adapter, ready to be laid over the denoisers that it was read for."""

    branches: tuple[_Branch, ...]
    versions: tuple[_Version, ...]

    @contextmanager
    def laid(self) -> Iterator[None]:
        """The denoisers with the adapter while the body runs; without it afterwards, whatever happens."""
        with ExitStack() as undo:
            for version in self.versions:
                undo.callback(setattr, version.parameter, "data", version.parameter.data)
                version.parameter.data = version.laid
            for branch in self.branches:
                hook = branch.layer.register_forward_hook(partial(_beside, branch))
                undo.callback(hook.remove)
            yield


def _beside(
    branch: _Branch, layer: torch.nn.Module, given: tuple[Any, ...], made: torch.Tensor
) -> torch.Tensor:
    return made + functional.linear(functional.linear(given[0], branch.down), branch.up)


def load_overlay(card: Card, offer: Offer, pipe: Any, checkpoint: str | None) -> Overlay:
    """Read the adapter of an offer, on the denoisers' device and in their type.

    Args:
        card: For messages.
        offer: Its `adapter` names the files, one for each expert in order.
        pipe: The pipeline that holds the denoisers.
        checkpoint: The local checkpoint directory; None when the weights came from the hub.

    Raises:
        CheckpointMissing: a file cannot be had, is no safetensors file, or does not fit this model.
    """
    adapter = offer.adapter
    experts = [getattr(pipe, name) for name in _EXPERTS if getattr(pipe, name, None) is not None]
    if adapter is None or len(adapter.files) != len(experts):
        given = 0 if adapter is None else len(adapter.files)
        raise CheckpointMissing(
            f"{card.id}/{offer.id}: the adapter names {given} files; the model has {len(experts)} experts",
            param="offers.adapter.files",
            allowed=len(experts),
        )
    branches: list[_Branch] = []
    versions: list[_Version] = []
    for file, expert in zip(adapter.files, experts, strict=True):
        path = _located(card, offer, adapter, file, checkpoint)
        overlay = _read(path, expert, adapter.scale, f"{card.id}/{offer.id}: {path}")
        branches += overlay.branches
        versions += overlay.versions
    return Overlay(tuple(branches), tuple(versions))


def _located(card: Card, offer: Offer, adapter: Adapter, file: str, checkpoint: str | None) -> Path:
    """The file below the checkpoint, else the adapter's pinned revision on the hub."""
    name = f"{card.id}/{offer.id}"
    if not file.endswith(".safetensors"):
        raise CheckpointMissing(
            f"{name}: {file} is no safetensors file; others can run code when opened",
            param="offers.adapter.files",
            allowed="*.safetensors",
        )
    local = Path(checkpoint or ".") / FOLDER / offer.id / file
    if checkpoint is not None and local.is_file():
        return local
    where = (
        f"put it at {local}"
        if checkpoint is not None
        else f"put {FOLDER}/{offer.id}/{file} below a local checkpoint"
    )
    if adapter.hub_id is None or adapter.revision is None:
        lacking = "names no hub id" if adapter.hub_id is None else f"pins no revision of {adapter.hub_id}"
        raise CheckpointMissing(
            f"{name}: the adapter file {file} is missing and the card {lacking}; {where}",
            param="offers.adapter",
        )
    try:
        return Path(hf_hub_download(adapter.hub_id, file, revision=adapter.revision))
    except (OSError, ValueError, EntryNotFoundError) as error:
        raise CheckpointMissing(
            f"{name}: the adapter file {file} could not be fetched from {adapter.hub_id}@{adapter.revision}: "
            f"{error}; {where}",
            param="offers.adapter",
        ) from error


def _read(path: Path, expert: torch.nn.Module, scale: float, name: str) -> Overlay:
    try:
        tensors = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointMissing(
            f"{name} is damaged or no safetensors file: {error}", param="offers.adapter"
        ) from error
    branches: list[_Branch] = []
    versions: list[_Version] = []
    for layer_name, parts in _by_layer(tensors, expert, name).items():
        layer = expert.get_submodule(layer_name)
        where = f"{name}: {layer_name}"
        if Part.DOWN in parts or Part.UP in parts:
            branches.append(_branch(layer, parts, scale, where))
        for part in (Part.WEIGHT, Part.BIAS, Part.MODULATION):
            if part in parts:
                changed = getattr(layer, part.value, None)
                versions.append(_version(changed, parts[part], scale, f"{where}.{part.value}"))
    return Overlay(tuple(branches), tuple(versions))


def _by_layer(
    tensors: Mapping[str, torch.Tensor], expert: torch.nn.Module, name: str
) -> dict[str, dict[Part, torch.Tensor]]:
    # Only layers with parameters of their own: norms without any bear names that other norms have elsewhere.
    known = spellings(
        layer
        for layer, module in expert.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    )
    found: dict[str, dict[Part, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        read = parsed(key)
        layer = known.get(read[0]) if read is not None else None
        if read is None or layer is None:
            raise CheckpointMissing(
                f"{name}: {key} belongs to no layer of this model", param="offers.adapter"
            )
        found.setdefault(layer, {})[read[1]] = tensor
    if not found:
        raise CheckpointMissing(f"{name} is empty", param="offers.adapter")
    return found


def _branch(layer: torch.nn.Module, parts: Mapping[Part, torch.Tensor], scale: float, where: str) -> _Branch:
    down, up = parts.get(Part.DOWN), parts.get(Part.UP)
    if not isinstance(layer, torch.nn.Linear) or down is None or up is None:
        raise CheckpointMissing(
            f"{where}: needs both narrow matrices of a linear layer; it is a {type(layer).__name__}, and the "
            f"file has {', '.join(parts)}",
            param="offers.adapter",
        )
    if (down.shape, up.shape) != ((down.shape[0], layer.in_features), (layer.out_features, down.shape[0])):
        raise CheckpointMissing(
            f"{where}: {tuple(down.shape)} and {tuple(up.shape)} do not fit a layer of {layer.in_features} "
            f"inputs and {layer.out_features} outputs",
            param="offers.adapter",
        )
    alpha = parts.get(Part.ALPHA)
    factor = scale if alpha is None else scale * float(alpha) / down.shape[0]
    weight = layer.weight
    return _Branch(
        layer, down.to(weight.device, weight.dtype), (up.float() * factor).to(weight.device, weight.dtype)
    )


def _version(
    parameter: torch.nn.Parameter | None, change: torch.Tensor, scale: float, where: str
) -> _Version:
    if parameter is None or parameter.shape != change.shape:
        has = "has none" if parameter is None else f"is {tuple(parameter.shape)}"
        raise CheckpointMissing(
            f"{where} {has}; the file changes {tuple(change.shape)}", param="offers.adapter"
        )
    base = parameter.data
    laid = base.float() + scale * change.to(base.device, torch.float32)
    return _Version(parameter, laid.to(base.dtype))
