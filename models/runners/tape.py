"""What a pipeline prepares before its denoising loop, recorded once and played back when a clip is resumed.

Encoding words and photograph is most of what happens before the first step. A recorded call wraps the
pipeline's own preparation methods and keeps what they return; a resumed call gets those results back and
encodes nothing. The pipeline's code runs unchanged in both.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.errors import CheckpointUnusable

Calls = dict[str, list[Any]]
"""Method name to the results of its calls, in order."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One preparation method of a pipeline.

    Attributes:
        method: Its name on the pipeline; with a dot, on one of the pipeline's parts.
        moves: The step callback's name for its (first) result, where that is what the loop then changes:
            a resumed call gets the newest in its place.
        dropped: Calls (from 0) whose results only feed other prepared methods: their shape and type are
            kept, their content is not.
    """

    method: str
    moves: str | None = None
    dropped: frozenset[int] = frozenset()


def record(pipe: Any, prepared: Sequence[Prepared]) -> Calls:
    """Wrap the preparation methods of one clip's own pipeline object.

    Returns:
        What they return, filled while the pipeline runs.
    """
    calls: Calls = {}
    for item in prepared:
        kept = calls.setdefault(item.method, [])
        _replace(pipe, item.method, _recorder(_method(pipe, item.method), kept, item.dropped))
    return calls


def _recorder(real: Callable[..., Any], kept: list[Any], dropped: frozenset[int]) -> Callable[..., Any]:
    def recorded(*given: Any, **named: Any) -> Any:
        made = real(*given, **named)
        kept.append(_hollow(made) if len(kept) in dropped else made)
        return made

    return recorded


def play(pipe: Any, prepared: Sequence[Prepared], calls: Calls, moved: Mapping[str, torch.Tensor]) -> None:
    """Let the preparation methods of one clip's own pipeline object return what was recorded.

    Args:
        pipe: The clip's own pipeline object.
        prepared: As they were recorded.
        calls: Their results.
        moved: The newest latents, by the name that `Prepared.moves` gives.

    Raises:
        CheckpointUnusable: (when played) the pipeline asks for more than was recorded.
    """
    for item in prepared:
        results = [_moved(made, moved.get(item.moves or "")) for made in calls.get(item.method, ())]
        _replace(pipe, item.method, _player(item.method, deque(results)))


def forget(calls: Calls) -> None:
    """Let go of the results: what the loop reads of them, the pipeline holds itself."""
    for results in calls.values():
        results.clear()


def _player(method: str, left: deque[Any]) -> Callable[..., Any]:
    count = len(left)

    def played(*_: Any, **__: Any) -> Any:
        if not left:
            raise CheckpointUnusable(f"the saved state holds {count} results of {method}, one too few")
        return left.popleft()

    return played


def _moved(made: Any, newest: torch.Tensor | None) -> Any:
    if newest is None:
        return made
    return (newest, *made[1:]) if isinstance(made, tuple) else newest


def _hollow(made: Any) -> Any:
    """The same structure with tensors of no rows."""
    if isinstance(made, torch.Tensor):
        return made.new_empty((0, *made.shape[1:]))
    if isinstance(made, tuple | list):
        return type(made)(_hollow(part) for part in made)
    return made


def _method(pipe: Any, path: str) -> Callable[..., Any]:
    for name in path.split("."):
        pipe = getattr(pipe, name)
    method: Callable[..., Any] = pipe
    return method


def _replace(pipe: Any, path: str, call: Callable[..., Any]) -> None:
    part, _, name = path.rpartition(".")
    if part:
        # The part is shared with other clips: this clip gets a copy of its own.
        vars(pipe)[part] = copy.copy(vars(pipe)[part])
        pipe = vars(pipe)[part]
    # Past `DiffusionPipeline.__setattr__`, which writes components into the config.
    vars(pipe)[name] = call


# --- as tensors and plain values ----------------------------------------------------------------


def flattened(calls: Calls) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors under names of their own, and the structure that holds them, in what JSON knows.

    Raises:
        TypeError: a result is neither tensor, number, word nor None.
    """
    tensors: dict[str, torch.Tensor] = {}

    def plain(value: Any, name: str) -> Any:
        if isinstance(value, torch.Tensor):
            tensors[name] = value
            return {"tensor": name}
        if isinstance(value, tuple | list):
            parts = [plain(part, f"{name}.{index}") for index, part in enumerate(value)]
            return {"tuple" if isinstance(value, tuple) else "list": parts}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"{name} is a {type(value).__name__}, which is not saved")

    return tensors, {
        method: [plain(made, f"{method}.{index}") for index, made in enumerate(results)]
        for method, results in calls.items()
    }


def unflattened(tensors: Mapping[str, torch.Tensor], structure: Mapping[str, Any]) -> Calls:
    """What `flattened` took apart.

    Raises:
        KeyError: a tensor is missing.
    """

    def whole(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((kind, inner),) = value.items()
        if kind == "tensor":
            return tensors[inner]
        parts = [whole(part) for part in inner]
        return tuple(parts) if kind == "tuple" else parts

    return {method: [whole(made) for made in results] for method, results in structure.items()}
