"""Rows of the job store as frozen values. Times are database time, Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from policies.calibration import Belief, Ledger

Json = Mapping[str, Any]


class JobStatus(StrEnum):
    """Status of a job; the last four are final."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """True when nothing can change it any more."""
        return self not in (JobStatus.QUEUED, JobStatus.IN_PROGRESS)


class AttemptStatus(StrEnum):
    """Status of one run of a job."""

    DISPATCHED = "dispatched"
    """Claimed for a pool; no worker has begun."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"
    """The lease ran out, or the process is known to be dead."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class NewJob:
    """What the Gateway commits before it answers."""

    tenant: str
    model: str
    """As asked: `auto` or a card id."""
    prompt: str
    request: Json
    """The full request without bytes; media by key."""
    features: Json
    routing: Json
    """The estimate made at submission (Decision JSON)."""
    priority: int
    """0 low, 1 normal, 2 high."""
    due_in_s: float
    """Seconds until the clip is due; orders the queue inside a priority."""
    expires_in_s: float
    """Seconds after which a job that has not begun expires."""
    fingerprint: str
    """SHA-256 of the canonical request fields and media digests."""
    idempotency_key: str | None = None
    client_retry: int = 0
    """`x-stainless-retry-count` of the client; above 0 a twin within ten minutes is replayed."""
    remixed_from: str | None = None
    finalizes: str | None = None
    """The completed preview that this job makes again at full quality."""
    max_attempts: int = 5


@dataclass(frozen=True, slots=True)
class Submission:
    """What identifies a submission: enough to know whether it was accepted before."""

    tenant: str
    fingerprint: str
    idempotency_key: str | None = None
    client_retry: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is."""

    stage: str
    step: int = 0
    steps: int = 0
    eta_seconds: float | None = None
    preview_key: str | None = None
    gpus: int | None = None
    """GPUs at work on the clip; 0 while it is paused, None where nobody counts."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a job can go on after its worker is gone.

    Attributes:
        model: Card that made it.
        offer: The card's offer.
        files: Media key of each file of the clip's state, by file name.
        place: Segment and step that it stands at (`models.runners.base.Place`).
    """

    model: str
    offer: str
    files: Mapping[str, str]
    place: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job somewhere, under a fence."""

    job_id: str
    fence: int
    status: AttemptStatus
    pool: str
    model: str
    offer: str
    gpus: int
    worker: str | None
    decision: Json
    """The chosen candidate (C of the Decision JSON) and its plan."""
    dispatched_at: float
    started_at: float | None = None
    finished_at: float | None = None
    lease_until: float | None = None
    error: Json | None = None
    gpu_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One job with all that the API shows."""

    id: str
    tenant: str
    status: JobStatus
    model: str
    prompt: str
    request: Json
    features: Json
    routing: Json
    priority: int
    created_at: float
    due_at: float
    expires_at: float
    """When a queued job expires."""
    fence: int
    """Fence of the newest attempt; 0 before the first."""
    attempts: int
    max_attempts: int
    progress: int
    """0-100, never falls within an attempt; 100 only when completed."""
    progress_detail: Progress | None
    heartbeat_at: float | None
    cancel_requested: bool
    not_before: float
    """A retry waits until then."""
    excluded: tuple[str, ...]
    """Offers (`model/offer`) that already refused this job."""
    started_at: float | None = None
    finished_at: float | None = None
    result: Json | None = None
    """`{"media": {variant: {"key", "bytes", "sha256", "content_type"}}, "geometry", "served_model", ...}`."""
    error: Json | None = None
    usage: Json | None = None
    remixed_from: str | None = None
    retain_until: float | None = None
    """When the result is purged (`expires_at` on the wire)."""
    idempotency_key: str | None = None
    fingerprint: str = ""
    finalizes: str | None = None
    """The preview that this job makes again at full quality."""
    finalized_by: str | None = None
    """The newest job that makes this preview again."""
    checkpoint: Checkpoint | None = None
    """Where the next attempt can go on; None: it begins anew."""
    open_call: str | None = None
    """The call to a provider that is not settled: the next attempt follows it and sends nothing."""
    spent_usd: float = 0.0
    """What settled calls cost; those of unknown outcome count with their price."""
    ceiling_usd: float | None = None
    """Most that the job may cost in all, once an outcome was unknown (see `policies.unknown`)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands: what a client that polls is shown."""

    job: Job
    attempts: tuple[Attempt, ...]
    """Oldest first."""
    queue_position: int | None
    """1 for the job that runs next; None when it is not queued."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a job's history; `seq` counts from 1 per job."""

    job_id: str
    seq: int
    at: float
    type: str
    data: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing."""

    jobs: tuple[Job, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Created:
    """What `create` did: a new job, or the replay of an earlier one."""

    job: Job
    replayed: bool


@dataclass(frozen=True, slots=True)
class Worker:
    """Whatever runs attempts: a model replica, registered by itself."""

    id: str
    pool: str
    model: str
    offer: str
    gpu: str
    gang_size: int
    slots: int
    node: str
    state: str
    """`starting`, `ready`, `draining`, `rebuilding`, `lost`, `away` (takes nothing new now) or `broken`."""
    detail: Json
    """Warm models, free memory, software versions; why it is not ready (`reason`). Of an account also
    why single offers are out (`flagged`, by `model/offer`)."""
    registered_at: float = 0.0
    heartbeat_at: float = 0.0


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """One Serve application that runs one offer, or all that a provider's account can; as last seen.

    An account's `model` and `offer` are empty.
    """

    name: str
    model: str
    offer: str
    gpu: str
    gang_size: int
    min_replicas: int
    max_replicas: int
    healthy: bool
    reason: str
    updated_at: float = 0.0
    backend: str = "local"
    """`local` for models of our own, `engine` for a running engine, else the host of an account."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat tells the worker."""

    cancel: bool


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one pass of the reaper did, by job id."""

    requeued: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    purged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """One finished run for calibration."""

    model: str
    offer: str
    gpu: str
    gpus: int
    predicted_s: float
    actual_s: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Running fit of ln(actual / predicted) for one (model, offer, gpu, gpus)."""

    model: str
    offer: str
    gpu: str
    gpus: int
    log_ratio: float
    sigma: float
    samples: int


@dataclass(frozen=True, slots=True)
class Queued:
    """One waiting job as the wait of others depends on it; its estimate, when it has one."""

    id: str
    tenant: str
    priority: int
    """0 low, 1 normal, 2 high."""
    due_at: float
    model: str | None
    offer: str | None
    seconds: float
    """Predicted wall seconds of its run; 0 when it was never estimated."""
    gpu_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How one attempt ended, as far as it tells of the offer's health."""

    job_id: str
    model: str
    offer: str
    at: float
    status: AttemptStatus
    code: str | None
    """Of its error."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """One clip as a vote sees it: who made it, in which cell it counts, how it was chosen."""

    job_id: str
    model: str
    offer: str
    use_case: str | None
    """None: the vote is kept and counts in no cell."""
    elo: float | None
    """Rating of the model for that use without what votes taught."""
    reference_elo: float
    decided: str
    """`learned`, `explore` or `hold_out` (see `policies.calibration`)."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What a person thinks: a thumb for a clip, or that it is better than another."""

    tenant: str
    ballot: Ballot
    rating: int
    """1 or -1; 1 with `over`."""
    over: Ballot | None = None
    """The clip that was liked less."""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Learned:
    """What all votes add up to: beliefs by (card id, use case), and the slices that they are judged by."""

    beliefs: Mapping[tuple[str, str], Belief]
    ledger: Ledger
