"""Run a pipeline of diffusers one denoising step at a time.

The pipeline's own call runs inside a greenlet and switches out at every step boundary, from the progress bar
that it drives. Pausing is not switching back in; the pipeline never knows. Each clip has a pipeline object of
its own (a shallow copy: the weights are shared) with its own scheduler, and its own random state. All calls
for one clip must come from one thread.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from greenlet import getcurrent, greenlet

from models.errors import RunnerError
from models.runners.progress import StepBar

if TYPE_CHECKING:
    from models.runners.randomness import Randomness

_OWN_PARTS = ("guider",)
"""Parts beside the scheduler that keep a clip's state: HunyuanVideo 1.5's guider."""


def own_pipe(pipe: Any, scheduler: Any) -> Any:
    """A pipeline object for one clip: weights shared, scheduler (and guider) its own."""
    own = copy.copy(pipe)
    # Past `DiffusionPipeline.__setattr__`, which writes components into the config.
    vars(own)["scheduler"] = scheduler
    for name in _OWN_PARTS:
        if name in vars(own):
            vars(own)[name] = copy.deepcopy(vars(own)[name])
    return own


class SteppedCall:
    """One call of one clip's own pipeline, standing at its loop's entry or between two steps.

    Attributes:
        latest: What the loop changes (the latents, by the step callback's names) after the newest step.
    """

    def __init__(self, pipe: Any, moving: Sequence[str], randomness: Randomness) -> None:
        """Prepare a call.

        Args:
            pipe: From `own_pipe`.
            moving: Names of the loop's variables to keep in `latest`.
            randomness: The clip's random state.
        """
        self._pipe = pipe
        self._randomness = randomness
        self._greenlet: greenlet | None = None
        self._moving = tuple(moving)
        self._result: Any = None
        self.latest: dict[str, torch.Tensor] = {}

    def enter(self, arguments: Mapping[str, Any]) -> None:
        """Call the pipeline and run it up to its denoising loop."""
        vars(self._pipe)["progress_bar"] = lambda *_, **__: StepBar(self._leave, self._leave)
        named = {**arguments, **self._listening()}
        self._greenlet = greenlet(lambda: self._pipe(**named))
        self._switch()

    def step(self) -> None:
        """Run one denoising step.

        Raises:
            RunnerError: the pipeline has ended before.
        """
        if self._greenlet is None:
            raise RunnerError("the pipeline's call has ended; there is no step left")
        self._switch()

    @property
    def ended(self) -> bool:
        """The pipeline has returned."""
        return self._greenlet is None

    def finish(self) -> Any:
        """Run to the end; what the pipeline returns."""
        while self._greenlet is not None:
            self._switch()
        return self._result

    def close(self) -> None:
        """Unwind the pipeline where it stands; harmless when it has ended."""
        running, self._greenlet = self._greenlet, None
        if running is None or running.dead:
            return
        running.parent = getcurrent()
        with torch.no_grad(), self._randomness.own():
            running.throw()
        for part in vars(self._pipe).values():
            # As the pipelines do when they end: caches between steps (none by default) belong to one clip.
            if getattr(part, "is_cache_enabled", False):
                part._reset_stateful_cache()

    def _switch(self) -> None:
        running = self._greenlet
        if running is None:
            return
        running.parent = getcurrent()
        try:
            # Grad mode belongs to the thread: held here, it is the same on both sides of every switch.
            with torch.no_grad(), self._randomness.own():
                result = running.switch()
        except BaseException:
            self._greenlet = None
            raise
        if running.dead:
            self._greenlet, self._result = None, result

    def _leave(self) -> None:
        parent = getcurrent().parent
        if parent is not None:
            parent.switch()

    def _listening(self) -> dict[str, Any]:
        """Keep `latest` up to date while the pipeline runs.

        Pipelines without a step callback (HunyuanVideo 1.5, I2VGen-XL) take none: there the scheduler is
        overheard instead, whose step returns the new latents.
        """
        known = getattr(type(self._pipe), "_callback_tensor_inputs", None)
        if known is None:
            self._overhear()
            return {}
        # LTX-2 lists only its pictures' latents, but hands out any variable of its loop that is listed.
        vars(self._pipe)["_callback_tensor_inputs"] = [*known, *(set(self._moving) - set(known))]
        return {
            "callback_on_step_end": self._keep,
            "callback_on_step_end_tensor_inputs": list(self._moving),
        }

    def _keep(self, pipe: object, step: int, timestep: object, tensors: dict[str, Any]) -> dict[str, Any]:
        self.latest = dict(tensors)
        return {}

    def _overhear(self) -> None:
        scheduler = self._pipe.scheduler
        step: Callable[..., Any] = scheduler.step

        @functools.wraps(step)  # the pipelines read its signature
        def overheard(*given: Any, **named: Any) -> Any:
            made = step(*given, **named)
            self.latest = {"latents": made[0]}
            return made

        scheduler.step = overheard
