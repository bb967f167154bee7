"""Real architectures with random weights, made where they will run: nothing is read from a disk or a hub.

Every matrix has entries of variance 1 / fan-in, so that activations stay near one through all layers and a
change of arithmetic shows in the output. Trained weights have outliers that random ones lack: an error here
is a lower bound for them, not a verdict on pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diffusers
import torch


def build(
    kind: str, config: Mapping[str, Any], device: torch.device, dtype: torch.dtype, *, seed: int = 0
) -> Any:
    """A model of a diffusers class, equal on every call with the same arguments.

    Args:
        kind: Name of the class.
        config: Arguments of its constructor.
        device: Weights are made there.
        dtype: As `from_pretrained` would load it: modules that the class keeps in float32 stay so.
        seed: Of the weights.
    """
    before = torch.get_default_dtype()
    torch.manual_seed(seed)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = getattr(diffusers, kind)(**config)
    finally:
        torch.set_default_dtype(before)
    generator = torch.Generator(device).manual_seed(seed)
    kept = set(model._keep_in_fp32_modules or ())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _draw(name, parameter, generator)
            if kept & set(name.split(".")):
                parameter.data = parameter.data.float()
    return model.eval().requires_grad_(False)


def parameters(model: torch.nn.Module) -> int:
    """How many numbers a model has learnt (or would have)."""
    return sum(parameter.numel() for parameter in model.parameters())


def _draw(name: str, parameter: torch.nn.Parameter, generator: torch.Generator) -> None:
    if name.endswith("weight") and parameter.ndim >= 2:
        parameter.normal_(0.0, (parameter[0].numel()) ** -0.5, generator=generator)
    elif name.endswith("bias"):
        parameter.normal_(0.0, 0.02, generator=generator)
