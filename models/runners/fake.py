"""A runner without weights that does what its script says: real frames, real timing, real faults.

It ships so that the path around a runner (leases, cancel, retry, recovery after a kill) can be tried on any
machine. The script is a JSON object at the end of the prompt, `... [[fake {"steps": 6}]]`, else in the
file that the environment variable `I2V_FAKE_SCRIPT` names, else empty.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

import cv2
import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import ConfigError, I2VError, InputRefused, RunnerError
from models.runners.base import RunMonitor, RunRequest, RunResult, Stage
from models.runners.framing import face_focus, fit_photograph
from models.types import Geometry, Size

if TYPE_CHECKING:
    from models.card import Card, Offer
    from models.runners.base import Frame

SCRIPT_VARIABLE = "I2V_FAKE_SCRIPT"
DIRECTIVE = re.compile(r"\[\[fake (\{.*\})\]\]\s*$", re.DOTALL)
DEFAULT_STEPS = 4
PAN_SHARE = 0.125
"""Share of the frame's width that the photograph slides by over the whole clip."""
EXIT_CODE = 137
"""What a shell reports for a process that SIGKILL ended (128 + 9)."""


class Script(BaseModel):
    """What a run of the fake does. Times are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int | None = Field(default=None, ge=1, le=10_000)
    """Denoising steps; None: those of the request, else of the offer, else 4."""
    step_seconds: float = Field(default=0.0, ge=0)
    frame_seconds: float = Field(default=0.0, ge=0)
    """How long each frame takes to decode."""
    fail: str | None = None
    """The code of a runner error, or `hang` (sleeps until killed), or `exit` (the process ends at once)."""
    at_step: int | None = Field(default=None, ge=1)
    """The step that the fault belongs to; None: the last one."""
    when: Literal["before", "during", "after", "decoding"] = "during"
    """Before the step begins, half-way through it, after it was reported, or half-way through the frames."""
    once: bool = False
    """Only on the first attempt: the same as `on_attempts: [1]`."""
    on_attempts: tuple[int, ...] | None = None
    """Attempts, counted from 1, that meet the fault; None: all of them."""
    marker_dir: Path | None = None
    """Directory in which attempts are counted, so that the count survives the death of the process."""

    @model_validator(mode="after")
    def _coherent(self) -> Script:
        allowed = sorted([*_errors(), "hang", "exit"])
        if self.fail is not None and self.fail not in allowed:
            raise ValueError(f"fail must be one of {', '.join(allowed)}; got {self.fail!r}")
        if self.once and self.on_attempts is not None:
            raise ValueError("give once or on_attempts, not both")
        if (self.once or self.on_attempts is not None) and self.marker_dir is None:
            raise ValueError("once and on_attempts need marker_dir, the directory that counts attempts")
        return self

    @property
    def faulty_attempts(self) -> tuple[int, ...] | None:
        """Attempts that meet the fault; None: all."""
        return (1,) if self.once else self.on_attempts


def load(card: Card, offer: Offer, *, checkpoint: str | None, device: str) -> FakeRunner:
    """Make the runner; nothing is loaded, so `checkpoint` and `device` are only kept to be told."""
    steps = offer.sampling.steps if offer.sampling is not None else DEFAULT_STEPS
    return FakeRunner(card.id, steps, origin=f"checkpoint {checkpoint}, device {device}")


@dataclass(slots=True)
class FakeRunner:
    """Pans the photograph, draws the frame number, and fails where the script says."""

    model: str
    steps: int
    origin: str
    loaded: bool = True

    def generate(self, request: RunRequest, monitor: RunMonitor) -> RunResult:
        """Run the script of this request.

        Raises:
            InputRefused: the prompt's script is not valid; the message says what is.
            ConfigError: the script file is not valid.
            RunnerError: the one that the script asks for.
        """
        if not self.loaded:
            raise RunnerError(f"{self.model} was unloaded")
        script = read_script(request.prompt)
        run = _Run(script, script.steps or request.steps or self.steps, _armed(script))
        monitor.stage(Stage.ENCODING_INPUT)
        geometry = request.plan.effective
        canvas = _canvas(request, geometry)
        monitor.stage(Stage.DENOISING)
        for step in range(1, run.steps + 1):
            run.fault_at(step, "before")
            time.sleep(script.step_seconds / 2)
            run.fault_at(step, "during")
            time.sleep(script.step_seconds / 2)
            preview = None
            if monitor.wants_preview():
                preview = _picture(canvas, geometry, step * (geometry.num_frames - 1) // run.steps)
            monitor.step(step, run.steps, preview)
            run.fault_at(step, "after")
        monitor.stage(Stage.DECODING)
        notes = (f"fake runner for {self.model}: the photograph is panned ({self.origin})",)
        return RunResult(_frames(canvas, geometry, run), notes)

    def unload(self) -> None:
        """Refuse further runs, as a runner without weights would."""
        self.loaded = False


def read_script(prompt: str) -> Script:
    """The script of a prompt, or of the file that the environment names, or the empty one.

    Raises:
        InputRefused: the prompt ends in a directive that is not a valid script.
        ConfigError: the file cannot be read or is not a valid script.
    """
    directive = DIRECTIVE.search(prompt)
    if directive is not None:
        return _parse(directive[1], InputRefused("the fake's script in the prompt", param="prompt"))
    path = os.environ.get(SCRIPT_VARIABLE)
    if path is None:
        return Script()
    wrong = ConfigError(f"the fake's script {path}", param=SCRIPT_VARIABLE)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{wrong.message} cannot be read: {error}", param=SCRIPT_VARIABLE) from error
    return _parse(text, wrong)


def _parse(text: str, wrong: I2VError) -> Script:
    try:
        return Script.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'script'}: {problem['msg']}"
            for problem in error.errors()
        )
        fields = list(Script.model_fields)
        message = f"{wrong.message} is not valid: {problems}; fields are {', '.join(fields)}"
        raise type(wrong)(message, param=wrong.param, allowed=fields) from error


def _errors() -> dict[str, type[RunnerError]]:
    """Every runner error by its code, the base among them."""
    found, open_classes = {RunnerError.code: RunnerError}, [RunnerError]
    while open_classes:
        for cls in open_classes.pop().__subclasses__():
            found[cls.code] = cls
            open_classes.append(cls)
    return found


def _armed(script: Script) -> bool:
    """Count this attempt and say whether it meets the fault."""
    if script.fail is None or script.marker_dir is None or script.faulty_attempts is None:
        return script.fail is not None
    script.marker_dir.mkdir(parents=True, exist_ok=True)
    attempt = 1
    while True:
        try:
            # Exclusive creation: two processes never count as the same attempt.
            (script.marker_dir / f"attempt-{attempt}").touch(exist_ok=False)
        except FileExistsError:
            attempt += 1
        else:
            return attempt in script.faulty_attempts


@dataclass(frozen=True, slots=True)
class _Run:
    """One run: its script, its number of steps, and whether it meets the fault."""

    script: Script
    steps: int
    armed: bool

    def fault_at(self, step: int, when: Literal["before", "during", "after"]) -> None:
        """Meet the fault if this is its place."""
        place = min(self.script.at_step or self.steps, self.steps)
        if self.armed and self.script.when == when and step == place:
            self._meet(f"{when} step {step} of {self.steps}")

    def fault_in_decoding(self, index: int, total: int) -> None:
        """Meet the fault if it belongs to the decoding and half of the frames are out."""
        if self.armed and self.script.when == "decoding" and index == total // 2:
            self._meet(f"at frame {index} of {total}")

    def _meet(self, where: str) -> NoReturn:
        if self.script.fail == "exit":
            os._exit(EXIT_CODE)
        while self.script.fail == "hang":
            time.sleep(3600)
        raise _errors()[str(self.script.fail)](f"scripted {self.script.fail} {where}")


def _canvas(request: RunRequest, geometry: Geometry) -> Frame:
    """The photograph, fitted as planned and enlarged by the way that the pan takes."""
    fitted = fit_photograph(request.image, geometry.size, request.plan.framing, face_focus(request.faces))
    wide = Size(math.ceil(geometry.width * (1 + PAN_SHARE)), math.ceil(geometry.height * (1 + PAN_SHARE)))
    canvas: Frame = np.asarray(fitted.resize((wide.width, wide.height), Image.Resampling.BILINEAR))
    return canvas


def _picture(canvas: Frame, geometry: Geometry, index: int) -> Frame:
    """Frame `index`: the window slides from left to right, with the number in the upper left corner."""
    moment = index / max(1, geometry.num_frames - 1)
    left = round((canvas.shape[1] - geometry.width) * moment)
    top = (canvas.shape[0] - geometry.height) // 2
    frame = canvas[top : top + geometry.height, left : left + geometry.width].copy()
    # A font of a tenth of the height: Hershey's capital letters are 21 pixels at scale 1.
    scale = max(0.3, geometry.height / 10 / 21)
    place = (max(1, geometry.width // 40), max(8, round(geometry.height * 0.12)))
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        text = f"{index + 1}/{geometry.num_frames}"
        cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, width, cv2.LINE_AA)
    return frame


def _frames(canvas: Frame, geometry: Geometry, run: _Run) -> Iterator[Frame]:
    for index in range(geometry.num_frames):
        run.fault_in_decoding(index, geometry.num_frames)
        time.sleep(run.script.frame_seconds)
        yield _picture(canvas, geometry, index)
