"""The solver of one clip: its own copy of the scheduler, what it remembers, and how it starts in mid-clip.

Two kinds are known. One-step solvers derive everything from the timestep: given only the remaining timesteps
and sigmas they go on as if nothing had been. Multistep solvers also look back, so they keep whole tables and
their index, and what they remember is saved with the clip.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import torch

ONE_STEP = frozenset({"FlowMatchEulerDiscreteScheduler", "EulerDiscreteScheduler", "DDIMScheduler"})
"""Schedulers of diffusers whose step depends on the timestep and the latents alone."""
MULTISTEP = frozenset({"UniPCMultistepScheduler", "DPMSolverMultistepScheduler"})
"""Schedulers of diffusers that remember earlier steps, in attributes of their own."""

_NOT_REMEMBERED = frozenset({"timesteps", "every_timestep", "copies"})


def can_start_late(scheduler: Any) -> bool:
    """True where a clip can go on in mid-segment with a new scheduler object."""
    return bool({kind.__name__ for kind in type(scheduler).__mro__} & (ONE_STEP | MULTISTEP))


def own_solver(scheduler: Any, done: int = 0) -> Any:
    """A copy for one clip whose `set_timesteps` leaves out the first `done` steps.

    The class is derived from the scheduler's, so that `isinstance` behaves as before. Copies that a pipeline
    makes of it (LTX-2 one for its sound, diffusion forcing one for each latent frame) are known in `copies`.
    """
    own = copy.deepcopy(scheduler)
    own.__class__ = _own(own.__class__)
    own.steps_left_out, own.copies = done, []
    return own


@functools.cache
def _own(kind: type[Any]) -> type[Any]:
    @functools.wraps(kind.set_timesteps)  # pipelines read its signature
    def set_timesteps(self: Any, *given: Any, **named: Any) -> None:
        kind.set_timesteps(self, *given, **named)
        done = self.steps_left_out
        if _looks_back(self):
            self.every_timestep = self.timesteps
        elif isinstance(getattr(self, "sigmas", None), torch.Tensor):
            self.sigmas = self.sigmas[done:]
        self.timesteps = self.timesteps[done:]

    def copied(self: Any, memo: dict[int, Any]) -> Any:
        made = object.__new__(type(self))
        kept = {name: value for name, value in vars(self).items() if name != "copies"}
        vars(made).update(copy.deepcopy(kept, memo), copies=[])
        self.copies.append(made)
        return made

    return type(kind.__name__, (kind,), {"set_timesteps": set_timesteps, "__deepcopy__": copied})


def _looks_back(scheduler: Any) -> bool:
    return bool({kind.__name__ for kind in type(scheduler).__mro__} & MULTISTEP)


class Memory:
    """What a multistep solver and its copies have come to remember since the denoising loop began."""

    def __init__(self, scheduler: Any) -> None:
        """At the loop's entry, or later for one that starts late.

        Args:
            scheduler: From `own_solver`; a pipeline's copies of it are there by now.
        """
        self._solvers = (scheduler, *scheduler.copies) if _looks_back(scheduler) else ()
        self._before = [
            {name: _shallow(value) for name, value in vars(solver).items()} for solver in self._solvers
        ]

    def changed(self) -> dict[str, Any]:
        """Attributes that differ from those at the loop's entry: tensors, numbers, None, or lists of them.

        Those of the copies come under their number, from 1: `3.last_sample`.
        """
        return {
            f"{index}.{name}" if index else name: _shallow(value)
            for index, (solver, before) in enumerate(zip(self._solvers, self._before, strict=True))
            for name, value in vars(solver).items()
            if name not in _NOT_REMEMBERED and (name not in before or _differs(value, before[name]))
        }

    def restore(self, remembered: Mapping[str, Any]) -> None:
        """Go on with what was remembered; called at the loop's entry, once the pipeline has its timesteps."""
        for solver in self._solvers:
            # The pipeline iterates over the rest, but the solver's index counts from the first step.
            solver.timesteps = solver.every_timestep
        for path, value in remembered.items():
            index, _, name = path.rpartition(".")
            setattr(self._solvers[int(index or 0)], name, _shallow(value))


def _shallow(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


def _differs(now: Any, before: Any) -> bool:
    if isinstance(now, list) and isinstance(before, list):
        return len(now) != len(before) or any(
            _differs(one, other) for one, other in zip(now, before, strict=True)
        )
    plain = bool | int | float | str | None
    if isinstance(now, plain) and isinstance(before, plain):
        return now != before
    return now is not before
