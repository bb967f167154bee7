"""Arithmetic of one denoiser forward, one small file a kind of denoiser, found by itself.

A kind turns the figures of a card's `cost.transformer` into the coefficients of a polynomial (`Work`), so
that pricing a clip stays a few dozen multiplications whatever the model. A module here exposes `KINDS`, a
mapping of the names that cards write to `Kind`. Pure: no torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from models.flops.work import Flops, Kind, Work

__all__ = ["KINDS", "Flops", "Kind", "Work"]


def _found() -> Mapping[str, Kind]:
    kinds: dict[str, Kind] = {}
    for module in pkgutil.iter_modules(__path__):
        kinds |= getattr(importlib.import_module(f"{__name__}.{module.name}"), "KINDS", {})
    return MappingProxyType(kinds)


KINDS: Mapping[str, Kind] = _found()
"""By the `kind` that a card writes."""
