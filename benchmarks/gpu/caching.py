"""Step caches over a short denoising run: what they skip, what a step then costs, how far off it ends.

Only caches whose decision follows the step, the same on every rank of a gang. MagCache needs the ratios of
successive residuals of a checkpoint; those of random weights are taken in the same run, so what is skipped
here shows the mechanism and its price, not what a trained model allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from diffusers import MagCacheConfig, TaylorSeerCacheConfig

from benchmarks.gpu.closeness import Error, error_of
from benchmarks.gpu.inputs import Inputs, forward
from benchmarks.gpu.levers import self_attentions
from benchmarks.gpu.timing import measure

SHIFT = 5.0
"""Flow shift of the schedule, as Wan uses at 720p."""


@dataclass(frozen=True, slots=True)
class Cached:
    """A cache over one denoising run.

    Attributes:
        steps: Denoising steps of the run.
        skipped: Steps whose blocks did not run, averaged over passes.
        seconds_per_step: With the cache, over the whole run.
        eager_seconds_per_step: Without.
        error: Of the final latents.
    """

    steps: int
    skipped: float
    seconds_per_step: float
    eager_seconds_per_step: float
    error: Error


def schedule(steps: int, shift: float = SHIFT) -> tuple[float, ...]:
    """Noise levels from 1 to 0, one more than steps, with the shift of flow matching."""
    levels = [1 - index / steps for index in range(steps + 1)]
    return tuple(shift * level / (1 + (shift - 1) * level) for level in levels)


def denoised(model: Any, inputs: Inputs, steps: int) -> torch.Tensor:
    """Euler steps along the model's velocity; random weights lead nowhere, but steps follow each other."""
    latents, levels = inputs.noise, schedule(steps)
    for level, following in pairwise(levels):
        velocity = inputs.guided(forward(model, inputs.calls(latents, 1000 * level)))
        latents = latents + (following - level) * velocity.reshape(latents.shape)
    return latents


def caches(model: Any, inputs: Inputs, device: torch.device, steps: int) -> dict[str, Cached]:
    """Every step-driven cache over the same run, beside the run without one."""
    with _residual_ratios(model, len(inputs.words)) as ratios:
        reference = denoised(model, inputs, steps)
    results: list[torch.Tensor] = []

    def run() -> None:
        results[:] = [denoised(model, inputs, steps)]

    eager = measure(run, device, repeats=1, warmups=0).median_s / steps
    found = {}
    for name, config in {
        "magcache": MagCacheConfig(num_inference_steps=steps, mag_ratios=list(ratios)),
        # Its own default patterns hook nothing in a Wan transformer.
        "taylorseer": TaylorSeerCacheConfig(
            cache_interval=2,
            disable_cache_before_step=max(2, steps // 5),
            cache_identifiers=[r"(transformer_)?blocks\.\d+"],
        ),
    }.items():
        with _enabled(model, config), _counted(model) as count:
            seconds = measure(run, device, repeats=1, warmups=0).median_s / steps
        computed = count() / len(inputs.calls(inputs.noise, 0.0))
        found[name] = Cached(steps, steps - computed, seconds, eager, error_of(results, [reference]))
    return found


@contextmanager
def _enabled(model: Any, config: Any) -> Iterator[None]:
    model.enable_cache(config)
    try:
        yield
    finally:
        model._reset_stateful_cache()
        model.disable_cache()


@contextmanager
def _counted(model: Any) -> Iterator[Callable[[], int]]:
    """How often the blocks of the model really ran: counted at the attention of its second block."""
    calls = 0

    def tick(*_: Any) -> None:
        nonlocal calls
        calls += 1

    handle = list(self_attentions(model))[1].register_forward_pre_hook(tick)
    try:
        yield lambda: calls
    finally:
        handle.remove()


@contextmanager
def _residual_ratios(model: Any, passes: int) -> Iterator[list[float]]:
    """MagCache's ratios, of the first pass of each step.

    What all blocks together add, in magnitude, over what they added in the step before.
    """
    blocks = model.blocks if hasattr(model, "blocks") else model.transformer_blocks
    ratios: list[float] = []
    entered: list[torch.Tensor] = []
    before: list[torch.Tensor] = []
    call = 0

    def enter(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        entered[:] = [kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]]

    def leave(_: Any, args: tuple[Any, ...], output: torch.Tensor) -> None:
        nonlocal call
        call += 1
        if (call - 1) % passes:
            return
        size = torch.linalg.norm((output - entered[0]).float(), dim=-1)
        ratios.append(float((size / (before[0] + 1e-8)).mean()) if before else 1.0)
        before[:] = [size]

    handles = (
        blocks[0].register_forward_pre_hook(enter, with_kwargs=True),
        blocks[-1].register_forward_hook(leave),
    )
    try:
        yield ratios
    finally:
        for handle in handles:
            handle.remove()
