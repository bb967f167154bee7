"""From database rows to the frozen records of the store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from policies.calibration import Belief
from router.jobs.call_store import CallOutcome, CallState, RemoteCall
from router.jobs.fit import Fit
from router.jobs.records import (
    Attempt,
    AttemptStatus,
    Calibration,
    Checkpoint,
    Ended,
    Event,
    Job,
    JobStatus,
    PoolRecord,
    Progress,
    Queued,
    Worker,
)


def job_of(row: Row[Any]) -> Job:
    """A row of `jobs`."""
    return Job(
        id=row.id,
        tenant=row.tenant,
        status=JobStatus(row.status),
        model=row.model,
        prompt=row.prompt,
        request=row.request,
        features=row.features,
        routing=row.routing,
        priority=row.priority,
        created_at=row.created_at,
        due_at=row.due_at,
        expires_at=row.expires_at,
        fence=row.fence,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        progress=row.progress,
        progress_detail=None if row.progress_detail is None else Progress(**row.progress_detail),
        heartbeat_at=row.heartbeat_at,
        cancel_requested=row.cancel_requested,
        not_before=float(row.not_before),  # SQLite returns whole numbers as integers from RETURNING
        excluded=tuple(row.excluded),
        started_at=row.started_at,
        finished_at=row.finished_at,
        result=row.result,
        error=row.error,
        usage=row.usage,
        remixed_from=row.remixed_from,
        retain_until=row.retain_until,
        idempotency_key=row.idempotency_key,
        fingerprint=row.fingerprint,
        finalizes=row.finalizes,
        finalized_by=row.finalized_by,
        checkpoint=checkpoint_of(row.checkpoint),
        open_call=row.open_call,
        spent_usd=float(row.spent_usd),
        ceiling_usd=row.ceiling_usd,
    )


def checkpoint_of(document: Any) -> Checkpoint | None:
    """The JSON in `jobs.checkpoint`."""
    return None if document is None else Checkpoint(**document)


def attempt_of(row: Row[Any]) -> Attempt:
    """A row of `attempts`, with `lease_until` of its job when it is the newest."""
    return Attempt(
        job_id=row.job_id,
        fence=row.fence,
        status=AttemptStatus(row.status),
        pool=row.pool,
        model=row.model,
        offer=row.offer,
        gpus=row.gpus,
        worker=row.worker,
        decision=row.decision,
        dispatched_at=row.dispatched_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        lease_until=row.lease_until,
        error=row.error,
        gpu_seconds=row.gpu_seconds,
    )


def call_of(row: Row[Any]) -> RemoteCall:
    """A row of `calls`."""
    return RemoteCall(
        id=row.id,
        job_id=row.job_id,
        fence=row.fence,
        provider=row.provider,
        account=row.account,
        model=row.model,
        offer=row.offer,
        state=CallState(row.state),
        marker=row.marker,
        usd=float(row.usd),
        intended_at=row.intended_at,
        ticket=row.ticket,
        urls=row.urls,
        submitted_at=row.submitted_at,
        heard_at=row.heard_at,
        closed_at=row.closed_at,
        outcome=None if row.outcome is None else CallOutcome(row.outcome),
    )


def event_of(row: Row[Any]) -> Event:
    """A row of `events`."""
    return Event(job_id=row.job_id, seq=row.seq, at=row.at, type=row.type, data=row.data)


def worker_of(row: Row[Any]) -> Worker:
    """A row of `workers`."""
    return Worker(**row._mapping)


def pool_of(row: Row[Any]) -> PoolRecord:
    """A row of `pools`."""
    return PoolRecord(**row._mapping)


def queued_of(row: Row[Any]) -> Queued:
    """A waiting row of `jobs`, narrow."""
    return Queued(
        id=row.id,
        tenant=row.tenant,
        priority=row.priority,
        due_at=row.due_at,
        model=row.estimate_model,
        offer=row.estimate_offer,
        seconds=row.estimate_seconds or 0.0,
        gpu_seconds=row.estimate_gpu_seconds or 0.0,
    )


def ended_of(row: Row[Any]) -> Ended:
    """A finished row of `attempts`, narrow."""
    return Ended(
        job_id=row.job_id,
        model=row.model,
        offer=row.offer,
        at=row.finished_at,
        status=AttemptStatus(row.status),
        code=None if row.error is None else row.error.get("code"),
    )


def belief_of(row: Row[Any]) -> Belief:
    """A row of `beliefs`."""
    return Belief(row.elo_offset, row.precision, row.votes)


def fit_of(row: Row[Any]) -> Fit:
    """The fit in a row of `calibration`."""
    return Fit(mean=row.mean, variance=row.variance, samples=row.samples)


def calibration_of(row: Row[Any]) -> Calibration:
    """A row of `calibration`."""
    fit = fit_of(row)
    return Calibration(
        model=row.model,
        offer=row.offer,
        gpu=row.gpu,
        gpus=row.gpus,
        log_ratio=fit.mean,
        sigma=fit.sigma,
        samples=fit.samples,
    )
