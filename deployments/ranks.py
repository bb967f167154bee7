"""The seam between the executor and the ranks of its gang: what is asked, and what is heard.

`deployments.gang` implements it with Ray actors; `deployments.fakes` follows a script.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from models.errors import I2VError
from models.runners.base import Place

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
    folder: str = ""
    """Directory of this machine that holds the clip's state; made by the executor."""

    @property
    def name(self) -> str:
        """Tells the attempts of all jobs apart."""
        return f"{self.job_id}-{self.fence}"


@dataclass(frozen=True, slots=True)
class Quantum:
    """Steps to do in one go, on an aligned block of ranks that all hold the clip, or resume it first.

    Attributes:
        ranks: The crew; the first one leads.
        steps: How many, at most.
        resume: Ranks of the crew that take the clip's state from its folder.
        save: The leader leaves the state in the folder afterwards.
    """

    ranks: tuple[int, ...]
    steps: int
    resume: frozenset[int] = frozenset()
    save: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What came of something that was asked.

    Attributes:
        place: Where the clip stands now; None when it failed.
        seconds: How long it took.
        preview_key: The newest preview picture.
        stages: Seconds by stage.
        error: Why it failed (see `error_json`); the ranks are well and no longer hold the clip.
        saved: The folder holds the state of `place`.
    """

    place: Place | None
    seconds: float = 0.0
    preview_key: str | None = None
    stages: Mapping[str, float] | None = None
    error: Mapping[str, Any] | None = None
    saved: bool = False


class RankFailedAlone(Exception):
    """One rank failed at a clip while the others of its crew wait: the gang is lost, the clip at fault."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.message = f"one rank failed alone: {error.get('message', 'it said nothing')}"
        super().__init__(self.message)
        self.error = error


class Ranks(Protocol):
    """The ranks of one replica; they live and die together.

    A rank does one thing at a time. Whatever is asked raises `RankLost` when a rank that it needs dies.
    """

    size: int
    failure: dict[str, Any] | None
    """Why the weights could not be loaded, when they could not (see `error_json`)."""
    facts: dict[str, Any]
    """Process ids, load time, memory: for operators."""
    stepped: bool
    """True when the runner's clips can be paused after any step; known once the ranks have started."""

    async def spawn(self) -> None:
        """Start the ranks and load their weights. Raises `RankLost` when one dies meanwhile."""
        ...

    def kill(self) -> None:
        """End every rank at once."""
        ...

    async def alive(self) -> bool:
        """False when a rank is known to be dead."""
        ...

    async def begin(self, task: ClipTask, rank: int) -> Report:
        """Encode photograph and words on one rank, which then holds the clip; its state is saved."""
        ...

    async def advance(self, task: ClipTask, quantum: Quantum) -> Report:
        """Denoise on a crew, whose ranks hold the clip afterwards."""
        ...

    async def save(self, task: ClipTask, rank: int) -> Report:
        """Write the state that a rank holds to the clip's folder."""
        ...

    async def turn(self, task: ClipTask, rank: int, *, resume: bool) -> Report:
        """Decode a segment and begin the next one, on one rank, which then holds the clip; saved."""
        ...

    def finish(self, task: ClipTask, rank: int, *, resume: bool) -> AsyncGenerator[Event, None]:
        """Decode the last segment, encode and store the clip on one rank; events, the last word last."""
        ...

    def whole(self, task: ClipTask, rank: int) -> AsyncGenerator[Event, None]:
        """Make a clip that cannot be paused from beginning to end; events, the last word last."""
        ...

    async def close(self, task: ClipTask, ranks: frozenset[int]) -> None:
        """These ranks let go of the clip; its folder stays."""
        ...

    async def cancel(self, task: ClipTask, rank: int) -> None:
        """Ask a rank that finishes a clip, or makes a whole one, to stop; may be asked again."""
        ...


def error_json(error: I2VError) -> dict[str, Any]:
    """An error as it travels from a rank to the job store."""
    return {
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "disposition": error.disposition.value,
    }
