"""Files of a clip's state: tensors as safetensors, everything else as JSON in their header; no pickles.

A file appears in one piece or not at all: it is written beside its place and renamed. It is not flushed to
the disk: the folder is meant to lie in memory (tmpfs), and what must outlive the machine is copied away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.errors import CheckpointUnusable

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = "clip"
"""Key of our JSON among safetensors' metadata, which knows words only."""
_ORDERS = "orders"
"""Key of the order of dimensions in memory, for tensors that have another than their own: kernels may add in
another order there, and a clip should come out as if it had never been away, to the bit."""


def write_state(path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write one file, in one piece or not at all.

    Args:
        path: Its place; an older file there is replaced.
        tensors: On any device.
        header: What JSON knows.

    Raises:
        OSError: no space, or no such folder.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    orders = {name: order for name, tensor in tensors.items() if (order := _order(tensor))}
    laid = {
        name: tensor.permute(tuple(orders.get(name, range(tensor.ndim)))) for name, tensor in tensors.items()
    }
    try:
        save_file(_apart(laid), str(part), {_HEADER: json.dumps(header), _ORDERS: json.dumps(orders)})
        part.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path.name} could not be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _order(tensor: torch.Tensor) -> list[int] | None:
    """Its dimensions from the outermost in memory to the innermost; None when that is as they are counted."""
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    swapped = not tensor.is_contiguous() and tensor.permute(order).is_contiguous()
    return order if swapped else None


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous, on the CPU, and no two of them over the same memory, as safetensors asks."""
    apart: dict[str, torch.Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        held = tensor.detach().cpu().contiguous()
        place = held.untyped_storage().data_ptr()
        if place in taken or held.untyped_storage().nbytes() != held.nbytes:
            held = held.clone()
        taken.add(held.untyped_storage().data_ptr())
        apart[name] = held
    return apart


class StateReader:
    """One file, of which tensors are read as they are asked for."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        """Open it.

        Raises:
            CheckpointUnusable: it is missing, cut short, or not ours.
        """
        self._name = path.name
        try:
            self._file: Any = safe_open(str(path), framework="pt", device=device)
        except FileNotFoundError as error:
            raise CheckpointUnusable(f"{path.name} is missing") from error
        except (SafetensorError, OSError) as error:
            raise CheckpointUnusable(f"{path.name} was cut short or is damaged: {error}") from error

    @cached_property
    def header(self) -> dict[str, Any]:
        """What was written beside the tensors.

        Raises:
            CheckpointUnusable: it is not JSON.
        """
        try:
            header: dict[str, Any] = json.loads((self._file.metadata() or {})[_HEADER])
        except (KeyError, ValueError) as error:
            raise CheckpointUnusable(f"{self._name} is not the state of a clip") from error
        return header

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of them, in memory of their own: off its usual alignment, kernels add in another order."""
        orders = json.loads((self._file.metadata() or {}).get(_ORDERS, "{}"))
        tensors = {name: self._file.get_tensor(name).clone() for name in self._file.keys()}  # noqa: SIM118 - no dict
        for name, order in orders.items():
            back = [order.index(dimension) for dimension in range(len(order))]
            tensors[name] = tensors[name].permute(back)
        return tensors

    def tensor(self, name: str) -> torch.Tensor:
        """One of them.

        Raises:
            CheckpointUnusable: the file has none of that name.
        """
        try:
            tensor: torch.Tensor = self._file.get_tensor(name)
        except SafetensorError as error:
            raise CheckpointUnusable(f"{self._name} holds no {name}") from error
        return tensor

    def rows(self, name: str) -> int:
        """Length of a tensor's first dimension."""
        return int(self._file.get_slice(name).get_shape()[0])

    def part(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Some rows of a tensor."""
        rows: torch.Tensor = self._file.get_slice(name)[start:stop]
        return rows
