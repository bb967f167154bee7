"""The seam between a coordinator and the ranks of its gang: what is asked, and what is heard.

`deployments.gang` implements it with Ray actors; `deployments.fakes` follows a script.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from models.errors import I2VError

Event = dict[str, Any]
"""`{"type": "progress", "stage", "step", "steps", "preview_key"}`, and as the last word either
`{"type": "done", "media", "geometry", "stages", "notes", "seconds"}` or `{"type": "error", "error"}`."""


@dataclass(frozen=True, slots=True)
class ClipTask:
    """One clip to make, by reference."""

    job_id: str
    fence: int
    prompt: str
    negative_prompt: str
    seed: int
    image_key: str
    last_image_key: str | None
    plan: Mapping[str, Any]
    camera: tuple[str, ...]
    intensity: str | None
    faces: tuple[tuple[float, float, float, float], ...]
    offer: str | None = None
    """The card's offer that the clip is for; None: the one that the rank was started with."""
    driving_video_key: str | None = None
    audio_key: str | None = None
    generate_audio: bool = False


class Ranks(Protocol):
    """The ranks of one replica; they live and die together."""

    failure: dict[str, Any] | None
    """Why the weights could not be loaded, when they could not (see `error_json`)."""
    facts: dict[str, Any]
    """Process ids, load time, memory: for operators."""

    async def spawn(self) -> None:
        """Start the ranks and load their weights. Raises `RankLost` when one dies meanwhile."""
        ...

    def kill(self) -> None:
        """End every rank at once."""
        ...

    def generate(self, task: ClipTask) -> AsyncGenerator[Event, None]:
        """Events of one clip, the last word last. Raises `RankLost` when a rank dies."""
        ...

    async def cancel(self, task: ClipTask) -> None:
        """Ask the ranks to stop that clip at the next step; may be asked again."""
        ...

    async def alive(self) -> bool:
        """False when a rank is known to be dead."""
        ...


def error_json(error: I2VError) -> dict[str, Any]:
    """An error as it travels from a rank to the job store."""
    return {
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "disposition": error.disposition.value,
    }
