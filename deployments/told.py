"""What was heard of a clip while it is made, and what of it was passed on to the stores."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from deployments.ranks import Event
from models.errors import StaleFence
from models.runners.base import Place
from router.jobs.records import Progress


@dataclass(slots=True)
class Told:
    """What was heard of a clip, and what of it was passed on."""

    progress: Progress | None = None
    gpus_beaten: int | None = None
    beaten_at: float = float("-inf")
    anew: str | None = None
    saved: Place | None = None
    keeping: Place | None = None
    kept: Place | None = None
    kept_at: float = field(default_factory=time.monotonic)
    overtaken: StaleFence | None = None
    stopping: bool = False

    def hear(self, event: Event) -> None:
        """A progress event."""
        self.progress = Progress(
            stage=event["stage"],
            step=event["step"],
            steps=event["steps"],
            eta_seconds=event["eta_seconds"],
            preview_key=event["preview_key"],
            gpus=event["gpus"],
        )
        self.saved = event["saved"]
        self.anew = event.get("anew")

    def due(self, beat_s: float) -> bool:
        """A beat is due; sooner when the number of GPUs changed, so that the job's history shows it."""
        since = time.monotonic() - self.beaten_at
        changed = self.progress is not None and self.progress.gpus != self.gpus_beaten
        return since >= beat_s or (changed and since >= beat_s / 5)

    def beaten(self) -> Progress | None:
        """What the beat says."""
        self.beaten_at = time.monotonic()
        self.gpus_beaten = None if self.progress is None else self.progress.gpus
        return self.progress

    def worth_keeping(self, every_s: float) -> bool:
        """The clip was saved on this machine since it was last copied, and that is a while ago."""
        moved = self.saved is not None and self.saved != self.kept
        return moved and time.monotonic() - self.kept_at >= every_s

    def keep(self) -> None:
        """What was saved last is copied from now on."""
        self.keeping, self.kept_at = self.saved, time.monotonic()
