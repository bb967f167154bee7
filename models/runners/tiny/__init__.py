"""Small checkpoints of the real diffusers classes with random weights, built on the spot.

They prove the path (loading, conditioning, denoising, decoding, cancelling), not beauty: with untrained
weights the picture is noise or grey, and nothing here pretends otherwise. The shapes follow the tiny
configurations of diffusers' own pipeline tests.

One module a family, found by itself: its `KINDS` maps a name to a `Recipe`. Every component is built under
its own fixed seed, so the same kind and scale give the same weights on every machine. Run
`python -m models.runners.tiny KIND DIRECTORY [--scale demo]` to write one by hand.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from models.errors import ConfigError
from models.runners.tiny.store import MARK, SCALES, Recipe, Scale, write

__all__ = ["KINDS", "MARK", "SCALES", "Recipe", "Scale", "write_tiny_checkpoint"]


def _found() -> Mapping[str, Recipe]:
    kinds: dict[str, Recipe] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            kinds |= getattr(importlib.import_module(f"{__name__}.{module.name}"), "KINDS", {})
    return MappingProxyType(kinds)


KINDS: Mapping[str, Recipe] = _found()
"""By the name of the kind."""


def write_tiny_checkpoint(kind: str, directory: Path, *, scale: Scale = "tiny") -> Path:
    """Write a checkpoint directory that `DiffusionPipeline.from_pretrained` loads; safetensors only.

    Safe to call again and from several processes: it is written to a sibling directory, marked complete,
    and renamed into place in one step; whoever comes second uses what is there.

    Args:
        kind: The model whose pipeline class is built; one of `KINDS`.
        directory: Where the checkpoint is to be; its parent is created.
        scale: `tiny` for tests, `gang` for tests with four attention heads, so that four ranks can share
            them (families that can be shared), `demo` for a laptop, `bench` for timing (both Wan 2.1 and 2.2
            only).

    Returns:
        `directory`.

    Raises:
        ConfigError: unknown kind or scale, or `directory` holds something that was not written here.
    """
    recipe = KINDS.get(kind)
    if recipe is None:
        raise ConfigError(f"no tiny checkpoint of kind {kind!r}", param="kind", allowed=sorted(KINDS))
    if scale not in recipe.scales:
        raise ConfigError(
            f"{kind} is built at scale {' or '.join(recipe.scales)}; got {scale!r}",
            param="scale",
            allowed=recipe.scales,
        )
    return write(kind, recipe, directory, scale)
