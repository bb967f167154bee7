"""The store against a model in memory, by random sequences of calls (Hypothesis), on both databases.

Zombies are calls under an older fence; silence is a lease in the past; nothing here sleeps.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from models.errors import Cancelled, Disposition, I2VError, IdempotencyMismatch, JobNotFound, StaleFence
from router.jobs.records import AttemptStatus, Job, JobStatus, NewJob, Progress
from router.jobs.sql import SqlJobStore

LEASES = st.sampled_from([60.0, 60.0, -1.0])
LIVE = {"waiting", "dispatched", "running"}
STATUS = {"waiting": "queued", "dispatched": "queued", "running": "in_progress"}
TENANTS = itertools.count()
MOST_LIVE = 3  # few jobs meet many calls each


# What usually comes next, by phase: most random calls would otherwise be refused.
NEXT = {
    "waiting": ["claim"] * 6 + ["cancel", "delete", "fail_queued"],
    "dispatched": ["start"] * 6 + ["release", "renew", "fail", "lose", "cancel", "delete"],
    "running": ["beat"] * 4 + ["complete", "complete", "fail", "fail", "lose", "cancel", "delete", "renew"],
    "cancelling": ["beat", "complete", "fail", "lose", "delete"] + ["finish_cancelled"] * 3,
}
ANY = sorted({action for actions in NEXT.values() for action in actions})
ARGUMENTS = {
    "claim": {"offer": st.sampled_from(["big", "small"]), "lease": LEASES},
    "renew": {"lease": LEASES},
    "start": {"worker": st.sampled_from(["w1", "w1", "w1", "w2"]), "lease": LEASES},
    "beat": {"lease": LEASES, "step": st.none() | st.integers(0, 4)},
    "complete": {"purge": st.booleans()},
    "fail": {"disposition": st.sampled_from(Disposition)},
}
UNFENCED = {"claim", "cancel", "delete", "fail_queued"}


@dataclass
class Known:
    """What the model knows of one job."""

    id: str
    key: str | None
    fingerprint: str
    overdue: bool
    max_attempts: int
    created_at: float
    phase: str = "waiting"
    fence: int = 0
    attempts: int = 0
    excluded: set[str] = field(default_factory=set)
    offer: str = ""
    lapsed: bool = False
    began: bool = False
    cancel: bool = False
    deleted: bool = False
    purge_due: bool = False
    progress: int = 0
    ends: dict[int, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=lambda: ["queued"])

    def fail(self, disposition: Disposition, status: str) -> None:
        self.ends[self.fence] = "cancelled" if self.cancel else status
        if self.cancel:
            self.end("cancelled")
            return
        if disposition is Disposition.FAIL:
            self.end("failed")
            return
        fallback = disposition is Disposition.FALLBACK and self.offer not in self.excluded
        if fallback:
            self.excluded.add(self.offer)
        if self.attempts - len(self.excluded) >= self.max_attempts:
            self.end("failed")
            return
        self.phase, self.progress = "waiting", 0
        self.events.append("fallback" if fallback else "retrying")

    def end(self, phase: str) -> None:
        self.phase = phase
        self.events.append(phase)


class StoreMachine(RuleBasedStateMachine):
    """Every rule makes one call, foretells its outcome, and compares the job it touched."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], store: SqlJobStore) -> None:
        super().__init__()
        self.run, self.store = run, store
        self.tenant = f"tenant-{next(TENANTS)}"
        self.known: dict[str, Known] = {}

    def live(self) -> list[Known]:
        return [job for job in self.known.values() if job.phase in LIVE]

    def call(self, error: type[I2VError] | None, action: Coroutine[Any, Any, Any]) -> Any:
        """Run a call that must raise exactly `error` (or nothing)."""
        try:
            outcome, raised = self.run(action), None
        except I2VError as exc:
            outcome, raised = None, exc
        assert (None if raised is None else type(raised)) is error, f"{raised!r}, foretold {error}"
        return outcome

    def same(self, job: Known) -> None:
        seen: Job | None = self.call(
            JobNotFound if job.deleted else None, self.store.get(job.id, self.tenant)
        )
        events = self.run(self.store.events(job.id, limit=1000))
        assert [event.seq for event in events] == list(range(1, len(job.events) + 1))
        assert [event.type for event in events] == job.events
        attempts = self.run(self.store.attempts(job.id))
        assert [attempt.fence for attempt in attempts] == list(range(1, job.fence + 1))
        live = {"dispatched": "dispatched", "running": "running"}.get(job.phase)
        foretold = {**job.ends} if live is None else {**job.ends, job.fence: live}
        assert {attempt.fence: attempt.status.value for attempt in attempts} == foretold
        if seen is not None:
            assert seen.status == STATUS.get(job.phase, job.phase)
            assert (seen.fence, seen.attempts) == (job.fence, job.attempts)
            assert set(seen.excluded) == {f"m/{offer}" for offer in job.excluded}
            assert seen.cancel_requested == job.cancel
            assert seen.progress == job.progress
            assert (seen.result is not None) == (job.phase == "completed")

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def next_calls(self, data: st.DataObject) -> None:
        """Calls that somebody who knows the job would make."""
        job = data.draw(st.sampled_from(self.live()))
        for _ in range(data.draw(st.integers(1, 3))):
            if job.phase in LIVE:
                actions = NEXT["cancelling" if job.cancel else job.phase]
                self.act(data, job, data.draw(st.sampled_from(actions)), 0)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), back=st.integers(0, 1))
    def any_call(self, data: st.DataObject, back: int) -> None:
        """A call that may be too late or out of place: by a zombie, another worker, a confused client."""
        job = data.draw(st.sampled_from(list(self.known.values())))
        self.act(data, job, data.draw(st.sampled_from(ANY)), back)
        if data.draw(st.booleans()):
            self.reap()
            self.look()

    def act(self, data: st.DataObject, job: Known, action: str, back: int) -> None:
        arguments = {name: data.draw(each, label=name) for name, each in ARGUMENTS.get(action, {}).items()}
        if action not in UNFENCED:
            arguments["back"] = back
        getattr(self, action)(job, **arguments)

    # --- clients ---------------------------------------------------------------------------------

    @precondition(lambda self: len(self.live()) < MOST_LIVE)
    @rule(
        key=st.sampled_from([None, None, "a", "b"]),
        fingerprint=st.sampled_from(["x", "y"]),
        retry=st.booleans(),
        overdue=st.sampled_from([False] * 5 + [True]),
        max_attempts=st.integers(1, 3),
    )
    def create(
        self, key: str | None, fingerprint: str, retry: bool, overdue: bool, max_attempts: int
    ) -> None:
        visible = [job for job in self.known.values() if not job.deleted]
        if key is not None:
            twins = [job for job in visible if job.key == key]
        else:
            same = [job for job in visible if job.key is None and job.fingerprint == fingerprint]
            twins = sorted(same, key=lambda job: (job.created_at, job.id))[-1:] if retry else []
        mismatch = bool(twins) and twins[0].fingerprint != fingerprint
        new = NewJob(
            tenant=self.tenant,
            model="auto",
            prompt="p",
            request={"media": {"image": f"{self.tenant}/in"}},
            features={},
            routing={},
            priority=1,
            due_in_s=60.0,
            expires_in_s=0.0 if overdue else 600.0,
            fingerprint=fingerprint,
            idempotency_key=key,
            client_retry=int(retry),
            max_attempts=max_attempts,
        )
        created = self.call(IdempotencyMismatch if mismatch else None, self.store.create(new))
        if created is None:
            return
        assert created.replayed == bool(twins)
        if twins:
            assert created.job.id == twins[0].id
            return
        job = created.job
        assert job.id not in self.known
        self.known[job.id] = Known(job.id, key, fingerprint, overdue, max_attempts, job.created_at)

    def cancel(self, job: Known) -> None:
        self.call(JobNotFound if job.deleted else None, self.store.cancel(job.id, self.tenant))
        if not job.deleted and job.phase in LIVE:
            job.cancel = True
            if job.phase == "dispatched":
                job.ends[job.fence] = "cancelled"
            if job.phase != "running":
                job.end("cancelled")
        self.same(job)

    def delete(self, job: Known) -> None:
        self.call(JobNotFound if job.deleted else None, self.store.delete(job.id, self.tenant))
        if not job.deleted:
            if job.phase == "dispatched":
                job.ends[job.fence] = "cancelled"
            if job.phase in {"waiting", "dispatched"}:
                job.end("cancelled")
            job.cancel |= job.phase in LIVE
            job.deleted = True
            job.events.append("deleted")
        self.same(job)

    # --- router ----------------------------------------------------------------------------------

    def claim(self, job: Known, offer: str, lease: float) -> None:
        free = job.phase == "waiting" and (job.began or not job.overdue)
        attempt = self.call(
            None,
            self.store.claim(
                job.id, pool="p", model="m", offer=offer, gpus=1, decision={}, routing={}, lease_s=lease
            ),
        )
        assert (attempt is not None) == free
        if free:
            job.fence += 1
            job.attempts += 1
            job.phase, job.offer, job.lapsed = "dispatched", offer, lease < 0.0
            assert attempt.fence == job.fence
            job.events.append("dispatched")
        self.same(job)

    def release(self, job: Known, back: int) -> None:
        good = back == 0 and job.phase == "dispatched"
        self.call(None if good else StaleFence, self.store.release(job.id, job.fence - back, "why"))
        if good:
            job.phase = "waiting"
            job.attempts -= 1
            job.ends[job.fence] = "cancelled"
            job.events.append("queued")
        self.same(job)

    def renew(self, job: Known, back: int, lease: float) -> None:
        good = back == 0 and job.phase in {"dispatched", "running"}
        self.call(None if good else StaleFence, self.store.renew(job.id, job.fence - back, lease))
        if good and job.phase == "dispatched":
            job.lapsed = lease < 0.0
        self.same(job)

    def fail_queued(self, job: Known) -> None:
        self.call(None, self.store.fail_queued(job.id, error={"code": "no_route"}))
        if job.phase == "waiting":
            job.end("failed")
        self.same(job)

    def reap(self) -> None:
        reaped = self.call(None, self.store.reap())
        foretold: dict[str, set[str]] = {
            name: set() for name in ("waiting", "failed", "cancelled", "expired")
        }
        for job in self.known.values():
            if job.phase in {"dispatched", "running"} and job.lapsed:
                job.fail(Disposition.RETRY, "lost")
                foretold[job.phase].add(job.id)
            elif job.phase == "waiting" and job.overdue and not job.began:
                job.end("expired")
                foretold["expired"].add(job.id)
        purged = {job.id for job in self.known.values() if job.purge_due and not job.deleted}
        for job_id in purged:
            self.known[job_id].purge_due = False
        ours = set(self.known)
        assert ours & set(reaped.requeued) == foretold["waiting"]
        assert ours & set(reaped.failed) == foretold["failed"]
        assert ours & set(reaped.cancelled) == foretold["cancelled"]
        assert ours & set(reaped.expired) == foretold["expired"]
        assert ours & set(reaped.purged) == purged

    def look(self) -> None:
        ready = {
            job.id for job in self.known.values() if job.phase == "waiting" and (job.began or not job.overdue)
        }
        assert {job.id for job in self.run(self.store.queued(limit=100_000))} & set(self.known) == ready
        leased = {job.id: job.fence for job in self.known.values() if job.phase in {"dispatched", "running"}}
        running = {each.job_id: each.fence for each in self.run(self.store.running())}
        assert {job_id: fence for job_id, fence in running.items() if job_id in self.known} == leased

    # --- workers, among them zombies ---------------------------------------------------------------

    def start(self, job: Known, back: int, worker: str, lease: float) -> None:
        repeat = job.phase == "running" and worker == "w1"
        good = back == 0 and ((job.phase == "dispatched" and worker == "w1") or repeat)
        if back == 0 and job.phase == "dispatched" and worker != "w1":
            return  # only w1 ever begins, so that w2 is always the impostor
        self.call(None if good else StaleFence, self.store.start(job.id, job.fence - back, worker, lease))
        if good:
            job.lapsed = lease < 0.0
            if not repeat:
                job.phase, job.began, job.progress = "running", True, 0
                job.events.append("started")
        self.same(job)

    def beat(self, job: Known, back: int, lease: float, step: int | None) -> None:
        good = back == 0 and job.phase == "running"
        progress = None if step is None else Progress("denoising", step, 4, preview_key=f"{job.id}/{step}")
        shown = None if job.deleted else self.run(self.store.get(job.id)).progress_detail
        beat = self.call(
            None if good else StaleFence, self.store.beat(job.id, job.fence - back, lease, progress)
        )
        if good:
            assert beat.cancel == job.cancel
            job.lapsed = lease < 0.0
            if progress is not None and not job.deleted:
                job.progress = max(job.progress, 5 + 20 * progress.step)
                if shown != progress:
                    job.events.append("progress")
        self.same(job)

    def complete(self, job: Known, back: int, purge: bool) -> None:
        good = back == 0 and job.phase == "running" and not job.cancel
        flagged = back == 0 and job.phase == "running" and job.cancel and not job.deleted
        # Another result each time: repeating the same one is allowed, and tested elsewhere.
        result = {"media": {"video": {"key": f"{job.id}/{len(job.events)}"}}}
        done = self.call(
            None if good else Cancelled if flagged else StaleFence,
            self.store.complete(
                job.id,
                job.fence - back,
                result=result,
                usage={},
                gpu_seconds=1.0,
                retain_s=-1.0 if purge else 600.0,
                observation=None,
            ),
        )
        if good:
            assert done.status is JobStatus.COMPLETED
            job.ends[job.fence] = "completed"
            job.progress, job.purge_due = 100, purge
            job.end("completed")
        self.same(job)

    def fail(self, job: Known, back: int, disposition: Disposition) -> None:
        good = back == 0 and job.phase in {"dispatched", "running"}
        self.call(
            None if good else StaleFence,
            self.store.fail(job.id, job.fence - back, error={"code": "x"}, disposition=disposition),
        )
        if good:
            job.fail(disposition, "failed")
        self.same(job)

    def lose(self, job: Known, back: int) -> None:
        good = back == 0 and job.phase in {"dispatched", "running"}
        self.call(None if good else StaleFence, self.store.lose(job.id, job.fence - back, "killed"))
        if good:
            job.fail(Disposition.RETRY, "lost")
        self.same(job)

    def finish_cancelled(self, job: Known, back: int) -> None:
        good = back == 0 and job.phase in {"dispatched", "running"}
        repeat = back == 0 and job.phase == "cancelled"
        self.call(
            None if good or repeat else StaleFence, self.store.finish_cancelled(job.id, job.fence - back)
        )
        if good:
            job.ends[job.fence] = "cancelled"
            job.cancel = True
            job.end("cancelled")
        self.same(job)

    # --- what holds whatever happened --------------------------------------------------------------

    def teardown(self) -> None:
        listed = self.run(self.store.list(self.tenant, limit=1000)).jobs
        assert {job.id for job in listed} == {job.id for job in self.known.values() if not job.deleted}
        for job in self.known.values():
            self.same(job)
            attempts = self.run(self.store.attempts(job.id))
            published = [each for each in attempts if each.status is AttemptStatus.COMPLETED]
            ends = [each for each in job.events if each in {"completed", "failed", "cancelled", "expired"}]
            assert len(published) == ends.count("completed") <= 1
            assert len(ends) <= 1


@pytest.mark.timeout(600)  # a failure is shrunk for up to five minutes before it is shown
def test_the_store_does_what_the_model_says(make_store: Callable[[], SqlJobStore]) -> None:
    with asyncio.Runner() as runner:
        store = make_store()
        runner.run(store.open())
        try:
            run_state_machine_as_test(
                lambda: StoreMachine(runner.run, store),
                settings=settings(
                    max_examples=40,
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    print_blob=True,
                ),
            )
        finally:
            runner.run(store.close())
