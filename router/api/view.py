"""The `Video` object and its companions: what a stored job looks like on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from router.jobs.call_store import RemoteCall
from router.jobs.records import Attempt, AttemptStatus, Event, Job, JobStatus

POLL_MS = (250, 5000)
"""Bounds of `openai-poll-after-ms`: the OpenAI client reads it once, at its first poll, and keeps it."""
POLLS_PER_CLIP = 20
POLL_UNKNOWN_MS = 1000


class VideoError(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None
    type: str | None = None


class Shape(BaseModel):
    """A clip's shape; None where the router may choose."""

    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    seconds: float | None = None


class Geometries(BaseModel):
    """As asked, and as delivered (before the end: as planned)."""

    requested: Shape
    effective: Shape | None


class ProgressDetail(BaseModel):
    """Where a job is; seconds are the Gateway's reading of its own clock against the database's."""

    stage: str
    step: int
    steps: int
    queue_position: int | None
    eta_seconds: float | None
    heartbeat_age_seconds: float | None
    attempt: int
    gpus: int | None
    """GPUs at work on the clip now; 0 while it is paused, null where nobody counts."""


class CallView(BaseModel):
    """A call to a provider, as our books have it."""

    id: str
    provider: str
    account: str
    ticket: str | None
    """The provider's own id."""
    state: str
    outcome: str | None
    usd: float
    """Expected until it is closed, then what it cost."""


class AttemptView(BaseModel):
    """One run of the job."""

    attempt: int
    status: str
    pool: str
    model: str
    offer: str
    gpus: int
    worker: str | None
    dispatched_at: float
    started_at: float | None
    finished_at: float | None
    gpu_seconds: float | None
    error: dict[str, Any] | None
    calls: list[CallView] = []
    """What this attempt sent to a provider; one that resumes an earlier call has none of its own."""


class Video(BaseModel):
    """A job: OpenAI's fields, then ours. Listings leave out `routing` and `attempts`."""

    id: str
    object: Literal["video"] = "video"
    created_at: int
    status: str
    progress: int
    model: str
    prompt: str | None
    seconds: str
    size: str
    completed_at: int | None = None
    expires_at: int | None = None
    remixed_from_video_id: str | None = None
    finalizes: str | None = None
    """The preview that this job makes again."""
    finalized_by: str | None = None
    """The newest job that makes this preview again."""
    error: VideoError | None = None
    served_model: str | None = None
    seed: int | None = None
    tags: list[str] = []
    geometry: Geometries
    progress_detail: ProgressDetail
    usage: dict[str, Any] | None = None
    advice: list[str] = []
    routing: dict[str, Any] | None = None
    attempts: list[AttemptView] | None = None


class VideoList(BaseModel):
    """One page."""

    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(BaseModel):
    """The answer to a delete."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


def video(
    job: Job,
    *,
    now: float,
    attempts: Sequence[Attempt] | None = None,
    queue_position: int | None = None,
    full: bool = True,
    calls: Sequence[RemoteCall] = (),
) -> Video:
    """The wire form of a job at `now` (Unix seconds)."""
    requested = _requested(job)
    effective = _effective(job)
    shown = effective or requested
    done = job.status is JobStatus.COMPLETED
    return Video(
        id=job.id,
        created_at=int(job.created_at),
        status=job.status.value,
        progress=job.progress,
        model=job.model,
        prompt=job.prompt or None,
        seconds=_plain(shown.seconds),
        size=f"{shown.width}x{shown.height}" if shown.width and shown.height else "",
        completed_at=int(job.finished_at) if done and job.finished_at is not None else None,
        expires_at=int(job.retain_until) if job.retain_until is not None else None,
        remixed_from_video_id=job.remixed_from,
        finalizes=job.finalizes,
        finalized_by=job.finalized_by,
        error=_error(job),
        served_model=_served_model(job),
        seed=job.request.get("seed"),
        tags=list(job.request.get("tags", ())),
        geometry=Geometries(requested=requested, effective=effective),
        progress_detail=_progress(job, now, attempts, queue_position),
        usage=_usage(job),
        advice=list(job.routing.get("advice", ())),
        routing=dict(job.routing) if full else None,
        attempts=[_attempt(attempt, calls) for attempt in attempts or ()] if full else None,
    )


def eta_seconds(job: Job, now: float) -> float | None:
    """Predicted seconds until the clip is there; None when final or unknown.

    A running job says it itself at each step; before that the prediction of the decision holds.
    """
    if job.status.final:
        return None
    said = job.progress_detail.eta_seconds if job.progress_detail is not None else None
    if said is not None and job.heartbeat_at is not None:
        return round(max(0.0, said - max(0.0, now - job.heartbeat_at)), 3)
    chosen = job.routing.get("chosen")
    if chosen is None:
        return None
    predicted = chosen["predicted"]
    if job.started_at is not None:
        left = predicted["seconds"] - (now - job.started_at)
    else:
        left = predicted["wait_seconds"] + predicted["seconds"] - (now - job.created_at)
    return round(max(0.0, float(left)), 3)


def poll_after_ms(job: Job, now: float) -> int | None:
    """How long a client should wait before it asks again; None when there is nothing to wait for."""
    if job.status.final:
        return None
    eta = eta_seconds(job, now)
    if eta is None:
        return POLL_UNKNOWN_MS
    low, high = POLL_MS
    return int(min(max(eta * 1000 / POLLS_PER_CLIP, low), high))


def event_json(event: Event) -> dict[str, Any]:
    """One event of a job's history, without keys of the media store."""
    content = {
        key: value for key, value in event.data.items() if key not in {"preview_key", "media", "result"}
    }
    if event.data.get("preview_key"):
        content["preview"] = f"/v1/videos/{event.job_id}/content?variant=preview"
    return {"id": event.job_id, "seq": event.seq, "type": event.type, "at": event.at, "data": content}


def _requested(job: Job) -> Shape:
    width, _, height = (job.request.get("size") or "").partition("x")
    return Shape(
        width=int(width) if width else None,
        height=int(height) if height else None,
        fps=job.request.get("fps"),
        seconds=job.request.get("seconds"),
    )


def _effective(job: Job) -> Shape | None:
    made = (job.result or {}).get("geometry")
    chosen = job.routing.get("chosen")
    found: Mapping[str, Any] | None = made or (chosen["geometry"] if chosen else None)
    return Shape.model_validate({name: found.get(name) for name in Shape.model_fields}) if found else None


def _plain(seconds: float | None) -> str:
    """`5`, `4.5`: as people write it; OpenAI's field is text."""
    return "" if seconds is None else f"{seconds:.3f}".rstrip("0").rstrip(".")


def _served_model(job: Job) -> str | None:
    served = (job.result or {}).get("served_model")
    if served is not None:
        return str(served)
    chosen = job.routing.get("chosen")
    return str(chosen["model"]) if chosen and job.fence > 0 else None


def _error(job: Job) -> VideoError | None:
    if job.error is None or job.status in (JobStatus.QUEUED, JobStatus.IN_PROGRESS, JobStatus.COMPLETED):
        return None
    return VideoError(
        code=str(job.error.get("code", "internal_error")),
        message=str(job.error.get("message", "generation failed")),
        param=job.error.get("param"),
        type=job.error.get("type"),
    )


def _progress(
    job: Job, now: float, attempts: Sequence[Attempt] | None, queue_position: int | None
) -> ProgressDetail:
    detail = job.progress_detail
    beat_age = None
    if job.heartbeat_at is not None and job.status is JobStatus.IN_PROGRESS:
        beat_age = round(max(0.0, now - job.heartbeat_at), 3)
    return ProgressDetail(
        stage=_stage(job, attempts),
        step=detail.step if detail is not None else 0,
        steps=detail.steps if detail is not None else 0,
        queue_position=queue_position,
        eta_seconds=eta_seconds(job, now),
        heartbeat_age_seconds=beat_age,
        attempt=job.fence,
        gpus=detail.gpus if detail is not None and job.status is JobStatus.IN_PROGRESS else None,
    )


def _stage(job: Job, attempts: Sequence[Attempt] | None) -> str:
    if job.status.final:
        return job.status.value
    if job.cancel_requested:
        return "cancelling"
    if job.status is JobStatus.IN_PROGRESS:
        return job.progress_detail.stage if job.progress_detail is not None else "starting"
    if attempts and attempts[-1].status is AttemptStatus.DISPATCHED:
        return "dispatched"
    return "queued"


def _usage(job: Job) -> dict[str, Any] | None:
    """`usd` is the clip's own cost; `spent_usd` all that providers took for the job, failed calls too."""
    if job.usage is None and not job.spent_usd:
        return None
    spent = {"spent_usd": round(job.spent_usd, 6)} if job.spent_usd else {}
    return {**(job.usage or {}), **spent}


def _attempt(attempt: Attempt, calls: Sequence[RemoteCall]) -> AttemptView:
    return AttemptView(
        attempt=attempt.fence,
        status=attempt.status.value,
        pool=attempt.pool,
        model=attempt.model,
        offer=attempt.offer,
        gpus=attempt.gpus,
        worker=attempt.worker,
        dispatched_at=attempt.dispatched_at,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        gpu_seconds=attempt.gpu_seconds,
        error=dict(attempt.error) if attempt.error is not None else None,
        calls=[
            CallView(
                id=call.id,
                provider=call.provider,
                account=call.account,
                ticket=call.ticket,
                state=call.state.value,
                outcome=None if call.outcome is None else call.outcome.value,
                usd=round(call.usd, 6),
            )
            for call in calls
            if call.fence == attempt.fence
        ],
    )
