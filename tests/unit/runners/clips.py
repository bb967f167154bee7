"""Clips for tests of stepping: small requests of each kind, made to their end from wherever they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.runners.base import RunRequest, RunResult
from models.runners.crew import ALONE, Crew
from tests.unit.runners.conftest import Recorder, _card_of, _photograph, _plan_of

STEPS = 4
"""Of a segment. The noise schedules of the tiny checkpoints cross A14B's boundary after the second one."""
STEPPED = (
    "wan2.1",
    "wan2.2-a14b",
    "wan2.2-ti2v-5b",
    "wan2.2-animate",
    "ltx-video",
    "ltx-2",
    "skyreels-v2-i2v",
    "skyreels-v2-df",
)
"""Kinds that can be taken up in mid-segment."""


def request(
    kind: str, driving_video: Path, *, seed: int = 7, prompt: str = "a cat", **changes: Any
) -> RunRequest:
    """Two segments of 9 frames; of Animate, 12 frames (two runs where a run is 9)."""
    follows = kind == "wan2.2-animate"
    plan = _plan_of(kind, 12) if follows else _plan_of(kind, 9, segments=2)
    given: dict[str, Any] = {"steps": STEPS, "driving_video": driving_video if follows else None, **changes}
    return RunRequest(_photograph(), prompt, given.pop("plan", plan), seed, **given)


def loaded(kind: str, checkpoint: Path, **changes: object) -> Any:
    """A runner for that checkpoint."""
    from models.runners.diffusers import load

    card = _card_of(kind, **changes)
    return load(card, card.offers[0], checkpoint=str(checkpoint), device="cpu")


def to_the_end(clip: Any, monitor: Any = None, crew: Crew = ALONE) -> RunResult:
    """Make the rest of a clip."""
    monitor = monitor or Recorder()
    while True:
        clip.advance(clip.place.steps, crew, monitor)
        if clip.place.last:
            result: RunResult = clip.finish(monitor)
            return result
        clip.turn(monitor)


def to(clip: Any, segment: int, step: int) -> Any:
    """Bring a clip to that place."""
    monitor = Recorder()
    for _ in range(segment):
        clip.advance(clip.place.steps, ALONE, monitor)
        clip.turn(monitor)
    clip.advance(step, ALONE, monitor)
    return clip


class Made:
    """Pictures and sound of a result, all taken."""

    def __init__(self, result: RunResult) -> None:
        self.frames = np.stack(list(result.frames))
        self.sound = None if result.audio is None else result.audio.samples

    def __eq__(self, other: object) -> bool:
        """To the bit."""
        if not isinstance(other, Made):
            return NotImplemented
        same_sound = (self.sound is None) == (other.sound is None) and (
            self.sound is None or other.sound is None or np.array_equal(self.sound, other.sound)
        )
        return np.array_equal(self.frames, other.frames) and same_sound

    __hash__ = None  # type: ignore[assignment]

    def apart(self, other: Made) -> int:
        """Largest difference of a picture's value, in levels of 255."""
        return int(np.abs(self.frames.astype(int) - other.frames.astype(int)).max())


def latents(clip: Any) -> dict[str, torch.Tensor]:
    """What the clip's loop changes, as it stands."""
    return {name: tensor.clone() for name, tensor in clip._running.call.latest.items()}
