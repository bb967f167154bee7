"""The face of the job store; `router.jobs.sql` is the one implementation (SQLite and PostgreSQL)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from models.errors import Disposition
from router.jobs.call_store import CallEnd, CallStore
from router.jobs.records import (
    Attempt,
    Beat,
    Calibration,
    Checkpoint,
    Created,
    Ended,
    Event,
    Job,
    JobStatus,
    Json,
    Learned,
    NewJob,
    Observation,
    Page,
    PoolRecord,
    Progress,
    Queued,
    Reaped,
    Standing,
    Submission,
    Vote,
    Worker,
)


class JobStore(Protocol):
    """Durable jobs under leases and fences.

    Every method is one transaction. Time is the database's. A write that carries a fence raises
    `StaleFence` when a later attempt exists or the job is final; it then changes nothing. A store that
    cannot be reached or stays locked raises `StoreUnavailable`.
    """

    @property
    def calls(self) -> CallStore:
        """Calls to providers."""
        ...

    async def open(self) -> None:
        """Connect and migrate to the newest schema."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...

    async def ping(self) -> None:
        """Prove that the database can be written."""
        ...

    # --- clients ---------------------------------------------------------------------------------

    async def create(self, new: NewJob) -> Created:
        """Commit a job, or replay the one that the idempotency key (or a client's retry) names.

        Raises:
            IdempotencyMismatch: the key came before with another fingerprint.
        """
        ...

    async def earlier(self, submission: Submission) -> Job | None:
        """The job that `create` would replay for this submission, or None when it is new.

        Raises:
            IdempotencyMismatch: the key came before with another fingerprint.
        """
        ...

    async def get(self, job_id: str, tenant: str | None = None) -> Job:
        """One job; `tenant` None is for workers and operators. Raises `JobNotFound`."""
        ...

    async def standing(self, job_id: str, tenant: str | None = None) -> Standing:
        """One job with its attempts and its place in the queue. Raises `JobNotFound`.

        Clients poll this: on SQLite it answers without giving up the event loop whenever it can.
        """
        ...

    async def list(
        self,
        tenant: str,
        *,
        after: str | None = None,
        limit: int = 20,
        descending: bool = True,
        status: JobStatus | None = None,
    ) -> Page:
        """Jobs of a tenant by (created_at, id). Raises `JobNotFound` when `after` is unknown."""
        ...

    async def attempts(self, job_id: str) -> Sequence[Attempt]:
        """All attempts of a job, oldest first."""
        ...

    async def events(self, job_id: str, *, after: int = 0, limit: int = 200) -> Sequence[Event]:
        """Events with `seq > after`, in order."""
        ...

    async def cancel(self, job_id: str, tenant: str | None = None) -> Job:
        """A queued job is cancelled at once; a running one gets the flag. Idempotent on final jobs."""
        ...

    async def delete(self, job_id: str, tenant: str | None = None) -> Sequence[str]:
        """Cancel if needed, hide the job for ever, drop its prompt; returns its media keys to purge."""
        ...

    async def vote(self, vote: Vote) -> None:
        """Keep a vote and count it in the same transaction; a later one replaces it."""
        ...

    async def learned(self) -> Learned:
        """What all votes add up to."""
        ...

    async def descendant(
        self, tenant: str, source: str, *, idempotency_key: str | None, client_retry: int
    ) -> Job | None:
        """The job that an earlier send of the same remix or finalize made, though its source may be gone."""
        ...

    # --- router ----------------------------------------------------------------------------------

    async def queued(
        self, limit: int = 500, *, after: Job | None = None, other_than: Collection[str] = ()
    ) -> Sequence[Job]:
        """Jobs ready to run now, by (priority descending, due_at, created_at, id)."""
        ...

    async def backlog(self, limit: int = 10_000) -> Sequence[Queued]:
        """All that waits, in the order of `queued`, with what its newest decision predicts."""
        ...

    async def ended(self, within_s: float, limit: int = 2000) -> Sequence[Ended]:
        """How attempts that began ended lately, oldest first."""
        ...

    async def received(self, within_s: float) -> Mapping[str, float]:
        """Predicted GPU-seconds of attempts that run or ended within `within_s`, by tenant."""
        ...

    async def queue_position(self, job_id: str) -> int | None:
        """1 for the job that runs next; None when it is not queued."""
        ...

    async def counts(self) -> dict[str, int]:
        """Jobs by status."""
        ...

    async def running(self) -> Sequence[Attempt]:
        """Attempts that hold a lease (dispatched or running)."""
        ...

    async def claim(
        self,
        job_id: str,
        *,
        pool: str,
        model: str,
        offer: str,
        gpus: int,
        decision: Json,
        routing: Json,
        lease_s: float,
    ) -> Attempt | None:
        """Take a queued job for a pool: fence + 1, attempt `dispatched`, lease from now.

        The job keeps the status `queued` until a worker calls `start`. None when it is no longer queued,
        already claimed, cancelled, or waits for `not_before`.
        """
        ...

    async def renew(self, job_id: str, fence: int, lease_s: float) -> None:
        """Keep a dispatched attempt alive while no worker has taken it (cold start). Fenced."""
        ...

    async def release(self, job_id: str, fence: int, reason: str) -> None:
        """Give a dispatched attempt back without counting it against `max_attempts`. Fenced."""
        ...

    async def fail_queued(self, job_id: str, *, error: Json) -> Job:
        """End a queued job that no offer is left for. A job that is not waiting is returned unchanged."""
        ...

    async def reap(self) -> Reaped:
        """Requeue or end attempts whose lease ran out, expire old queued jobs, purge retained results.

        Keys of what was purged (and of deleted jobs) are named by `garbage` until they are forgotten.
        """
        ...

    async def garbage(self, limit: int = 500) -> Sequence[str]:
        """Media keys that no job uses any more: remove the files, then call `forget_garbage`."""
        ...

    async def forget_garbage(self, keys: Sequence[str]) -> None:
        """These keys are gone from the media store."""
        ...

    async def workers(self, *, stale_after_s: float = 10.0) -> Sequence[Worker]:
        """Workers whose heartbeat is fresh."""
        ...

    async def publish_pools(self, pools: Sequence[PoolRecord]) -> None:
        """Replace the table of pools by what the Router sees now."""
        ...

    async def pools(self) -> Sequence[PoolRecord]:
        """Pools as last published."""
        ...

    async def calibrations(self) -> Sequence[Calibration]:
        """All latency fits."""
        ...

    # --- workers ---------------------------------------------------------------------------------

    async def register(self, worker: Worker) -> None:
        """Insert or replace a worker."""
        ...

    async def worker_beat(self, worker_id: str, state: str, detail: Json) -> bool:
        """Refresh a worker's heartbeat; False when it is not registered (any more): register again."""
        ...

    async def deregister(self, worker_id: str) -> None:
        """Remove a worker."""
        ...

    async def start(self, job_id: str, fence: int, worker: str, lease_s: float) -> Job:
        """A worker begins: job `in_progress`, attempt `running`. Fenced."""
        ...

    async def beat(self, job_id: str, fence: int, lease_s: float, progress: Progress | None = None) -> Beat:
        """Renew the lease, write progress (and an event), read the cancel flag. Fenced."""
        ...

    async def complete(
        self,
        job_id: str,
        fence: int,
        *,
        result: Json,
        usage: Json,
        gpu_seconds: float,
        retain_s: float,
        observation: Observation | None,
        call: CallEnd | None = None,
    ) -> Job:
        """Publish the result exactly once and fold the observation into its calibration. Fenced.

        `call` closes the job's open call to a provider in the same transaction, here and in `hand_back`,
        `fail` and `finish_cancelled`; without it an open call stays open.
        The same attempt may repeat the same result (its first reply may have been lost): the job is
        returned and nothing changes.

        Raises:
            Cancelled: the cancel flag was set before; call `finish_cancelled` and drop the result.
        """
        ...

    async def keep_checkpoint(self, job_id: str, fence: int, checkpoint: Checkpoint) -> None:
        """From now on the job resumes there, whoever runs it; the one before is let go. Fenced."""
        ...

    async def drop_checkpoint(self, job_id: str, fence: int) -> None:
        """The job's checkpoint is of no use: it begins anew. Fenced."""
        ...

    async def hand_back(
        self,
        job_id: str,
        fence: int,
        *,
        reason: str,
        gpu_seconds: float = 0.0,
        call: CallEnd | None = None,
    ) -> Job:
        """A worker that leaves gives a running job back, uncounted. Fenced."""
        ...

    async def fail(
        self,
        job_id: str,
        fence: int,
        *,
        error: Json,
        disposition: Disposition,
        gpu_seconds: float = 0.0,
        call: CallEnd | None = None,
    ) -> Job:
        """End an attempt that failed. Fenced.

        RETRY requeues with full-jitter back-off until `max_attempts`; FALLBACK requeues with the offer
        excluded; FAIL ends the job. With the cancel flag set the job becomes `cancelled` instead.
        """
        ...

    async def finish_cancelled(
        self, job_id: str, fence: int, gpu_seconds: float = 0.0, call: CallEnd | None = None
    ) -> Job:
        """The worker has stopped at the cancel flag. Fenced."""
        ...

    async def lose(self, job_id: str, fence: int, reason: str) -> None:
        """The process of an attempt is known to be dead: like an expired lease, but now. Fenced."""
        ...
