"""Torch's global random state, kept apart for each clip.

Explicit generators cover the pipelines, but some modules draw from the global one (the LTX decoder's
`inject_noise`, SkyReels-V2's diffusion forcing); torch seeds that one differently in every process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

_PROCESSOR = "processor"
_ACCELERATOR = "accelerator"


class Randomness:
    """The random state of one clip: in force inside `own`, out of the way outside."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        with _forked(device):
            torch.manual_seed(seed)
            self._state = self._read()

    @contextmanager
    def own(self) -> Iterator[None]:
        """The clip's state while the body runs; the process's own afterwards."""
        with _forked(self._device):
            self._write(self._state)
            try:
                yield
            finally:
                self._state = self._read()

    def saved(self) -> dict[str, torch.Tensor]:
        """The state, as byte tensors."""
        return dict(self._state)

    def restore(self, saved: Mapping[str, torch.Tensor]) -> None:
        """Go on from a saved state; a device that it does not know keeps its seed."""
        self._state |= {name: state.cpu() for name, state in saved.items() if name in self._state}

    def _read(self) -> dict[str, torch.Tensor]:
        state = {_PROCESSOR: torch.random.get_rng_state()}
        if self._device.type == "cuda":
            state[_ACCELERATOR] = torch.cuda.get_rng_state(self._device)
        return state

    def _write(self, state: Mapping[str, torch.Tensor]) -> None:
        torch.random.set_rng_state(state[_PROCESSOR])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(state[_ACCELERATOR], self._device)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The body draws as after `manual_seed`; the process's state is as before afterwards."""
    with _forked(device):
        torch.manual_seed(seed)
        yield


@contextmanager
def _forked(device: torch.device) -> Iterator[None]:
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
