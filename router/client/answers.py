"""What the server answers, as typed objects that keep fields they do not know."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "expired"})


class Answer(BaseModel):
    """Base of all answers: a field that a newer server adds is kept, not refused."""

    model_config = ConfigDict(extra="allow")


class VideoError(Answer):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None
    type: str | None = None


class Shape(Answer):
    """A clip's shape; None where the router may choose."""

    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    seconds: float | None = None


class Geometries(Answer):
    """As asked, and as delivered (before the end: as planned)."""

    requested: Shape
    effective: Shape | None = None


class ProgressDetail(Answer):
    """Where a job is."""

    stage: str
    step: int = 0
    steps: int = 0
    queue_position: int | None = None
    eta_seconds: float | None = None
    heartbeat_age_seconds: float | None = None
    attempt: int = 0
    gpus: int | None = None
    """GPUs at work on the clip now; 0 while it is paused."""


class Call(Answer):
    """A call to a provider."""

    id: str
    provider: str
    account: str
    ticket: str | None = None
    state: str
    outcome: str | None = None
    usd: float


class Attempt(Answer):
    """One run of the job."""

    attempt: int
    status: str
    model: str
    offer: str
    gpus: int
    pool: str | None = None
    worker: str | None = None
    error: dict[str, Any] | None = None
    calls: list[Call] = []
    """What it sent to a provider."""


class Video(Answer):
    """A job and, at its end, its clip."""

    id: str
    status: str
    created_at: int
    progress: int = 0
    model: str
    prompt: str | None = None
    seconds: str = ""
    size: str = ""
    completed_at: int | None = None
    expires_at: int | None = None
    remixed_from_video_id: str | None = None
    finalizes: str | None = None
    finalized_by: str | None = None
    error: VideoError | None = None
    served_model: str | None = None
    seed: int | None = None
    tags: list[str] = []
    geometry: Geometries | None = None
    progress_detail: ProgressDetail | None = None
    usage: dict[str, Any] | None = None
    advice: list[str] = []
    routing: dict[str, Any] | None = None
    """The decision; absent in listings."""
    attempts: list[Attempt] | None = None

    @property
    def final(self) -> bool:
        """True when nothing can change it any more."""
        return self.status in FINAL_STATUSES

    @property
    def final_estimate(self) -> dict[str, Any] | None:
        """Of a preview: what its final would be and take; None when nothing would make it."""
        return (self.routing or {}).get("final_estimate")


class Feedback(Answer):
    """A vote that was taken."""

    id: str
    rating: int | None = None
    better_than: str | None = None
    model: str = ""
    use_case: str | None = None


class VideoPage(Answer):
    """One page of a listing."""

    data: list[Video]
    has_more: bool = False
    last_id: str | None = None


class Model(Answer):
    """One card, as the server lists it."""

    id: str
    owned_by: str = ""
    title: str = ""
    family: str = ""
    status: str = ""
    makes: str = ""
    tasks: list[str] = []
    licence: str = ""
    summary: str = ""
    replacement: str | None = None
    readiness: str = ""


class ModelPage(Answer):
    """All cards."""

    data: list[Model]


class Health(Answer):
    """Whether the server can take work, and why not."""

    status: str
    checks: dict[str, Any] = {}

    @property
    def ready(self) -> bool:
        """True when every check passed."""
        return self.status == "ready"


class VideoEvent(Answer):
    """One entry of a job's history."""

    id: str
    type: str
    seq: int = 0
    at: float = 0.0
    data: dict[str, Any] = {}
