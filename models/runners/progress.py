"""Hear every denoising step of a pipeline: progress, previews and cancelling.

The pipelines of diffusers differ in callbacks and interrupt flags, but each drives one progress bar, once a
step. Its place is taken by `StepBar`, whose `update` reports to the monitor and may raise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from models.runners.base import Stage

if TYPE_CHECKING:
    import torch

    from models.runners.base import Frame, RunMonitor


class Latest:
    """The latents after the newest step, for a preview."""

    def __init__(self) -> None:
        self.latents: torch.Tensor | None = None

    def keep(self, pipe: object, step: int, timestep: object, tensors: dict[str, Any]) -> dict[str, Any]:
        """`callback_on_step_end`: changes nothing."""
        self.latents = tensors["latents"]
        return {}


@contextmanager
def listening(pipe: Any, latest: Latest) -> Iterator[dict[str, Any]]:
    """Keep `latest` up to date while the pipeline runs.

    Yields:
        Arguments for the call. Pipelines without a step callback (HunyuanVideo 1.5, I2VGen-XL) take none:
        there the scheduler is overheard instead, whose step returns the new latents.
    """
    if hasattr(type(pipe), "_callback_tensor_inputs"):
        yield {"callback_on_step_end": latest.keep, "callback_on_step_end_tensor_inputs": ["latents"]}
        return
    scheduler, step = pipe.scheduler, pipe.scheduler.step

    @functools.wraps(step)  # the pipelines read its signature
    def overheard(*arguments: Any, **named: Any) -> Any:
        made = step(*arguments, **named)
        latest.latents = made[0]
        return made

    scheduler.step = overheard
    try:
        yield {}
    finally:
        del scheduler.step  # the class has its own


class Progress:
    """Steps done over all segments, told to the monitor."""

    def __init__(self, monitor: RunMonitor, total: int) -> None:
        self._monitor = monitor
        self._total = total
        self._done = 0

    def enter(self) -> None:
        """The first denoising loop begins."""
        if self._done == 0:
            self._monitor.stage(Stage.DENOISING)

    def tick(self, picture: Callable[[], Frame | None]) -> None:
        """One more step; the picture is made only when somebody looks."""
        self._done += 1
        preview = picture() if self._monitor.wants_preview() else None
        self._monitor.step(self._done, self._total, preview)

    def beat(self) -> None:
        """A sign of life (and a look at the cancel flag) while pictures are decoded."""
        self._monitor.step(self._done, self._total)


class StepBar:
    """What the pipelines expect of a progress bar."""

    def __init__(self, tick: Callable[[], None], enter: Callable[[], None]) -> None:
        self._tick = tick
        self._begin = enter

    def __enter__(self) -> StepBar:
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, n: int = 1) -> None:
        """One denoising step is done; may raise `Cancelled`."""
        for _ in range(n):
            self._tick()
