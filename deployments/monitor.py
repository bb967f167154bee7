"""What a runner reports, turned into events, and the cancel flag, turned into an exception."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from deployments.ranks import Event
from models.errors import Cancelled, MediaUnavailable
from models.runners.base import Stage

if TYPE_CHECKING:
    from models.runners.base import Frame

log = logging.getLogger("i2v.rank")

PROGRESS_EVERY_S = 0.2
"""A faster stream would only be thrown away: the coordinator writes progress twice a second."""
PREVIEW_EVERY_S = 2.0
"""One preview picture per two seconds is as often as a person can tell them apart in a thumbnail."""
SIGN_OF_LIFE_S = 5.0
"""Frames that are written without a word from the runner are a sign of life to the watchdog."""


class Monitor:
    """A `models.runners.base.RunMonitor` for one piece of work on a clip."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        cancel: threading.Event,
        publish: Callable[[Frame], str] | None,
        *,
        previewed_at: float | None = None,
    ) -> None:
        """Begins in the stage `loading`.

        Args:
            emit: Takes each event.
            cancel: Raises `Cancelled` at the next report once it is set.
            publish: Stores a preview picture and returns its key; None: nobody looks.
            previewed_at: When (monotonic) the clip's last preview was made; None: just now.
        """
        self._emit, self._cancel, self._publish = emit, cancel, publish
        self._stage = Stage.LOADING
        self._place = (0, 0)
        self._last = 0.0
        self.previewed_at = time.monotonic() if previewed_at is None else previewed_at
        self.preview_key: str | None = None
        self.stages: dict[str, float] = {}
        self._entered = time.monotonic()

    def stage(self, stage: Stage) -> None:
        """Enter a stage."""
        self._check()
        self._leave()
        self._stage, self._place = stage, (0, 0)
        self._send(0, 0)

    def step(self, done: int, total: int, preview: Frame | None = None) -> None:
        """So many steps are done."""
        self._check()
        self._place = (done, total)
        if preview is not None and self._publish is not None and self.wants_preview():
            self.previewed_at = time.monotonic()
            try:
                self.preview_key = self._publish(preview)
            except MediaUnavailable as error:
                log.warning("a preview is left out: %s", error)
        if done in (1, total) or time.monotonic() - self._last >= PROGRESS_EVERY_S:
            self._send(done, total)

    def wants_preview(self) -> bool:
        """Somebody looks, and the last picture is old."""
        return self._publish is not None and time.monotonic() - self.previewed_at >= PREVIEW_EVERY_S

    def frame(self, written: int, total: int) -> None:
        """A frame was encoded; its runner may have nothing to say about frames."""
        del written, total
        self._check()
        if time.monotonic() - self._last >= SIGN_OF_LIFE_S:
            self._send(*self._place)

    def close(self) -> None:
        """The last stage is over."""
        self._leave()

    def _leave(self) -> None:
        now = time.monotonic()
        self.stages[self._stage.value] = self.stages.get(self._stage.value, 0.0) + now - self._entered
        self._entered = now

    def _send(self, done: int, total: int) -> None:
        self._last = time.monotonic()
        self._emit(
            {
                "type": "progress",
                "stage": self._stage.value,
                "step": done,
                "steps": total,
                "preview_key": self.preview_key,
            }
        )

    def _check(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("cancelled at a step boundary")
