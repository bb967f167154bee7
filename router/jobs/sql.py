"""`SqlJobStore`: the job store on SQLite (one node) and PostgreSQL (a fleet)."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import Disposition, StoreUnavailable
from router.jobs import clients, dispatching, fleet, learning, node, pausing, reaper, running
from router.jobs.call_store import CallEnd
from router.jobs.clock import db_now
from router.jobs.database import Database
from router.jobs.migrate import current_revision, file_lock, upgrade, use_wal
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
from router.jobs.retry import Backoff
from router.jobs.schema import REVISION, meta
from router.jobs.sql_calls import SqlCalls
from router.jobs.standing import Glance, attempts_of, standing_of
from router.jobs.transitions import Rules, upsert


class SqlJobStore:
    """A `router.jobs.store.JobStore` over SQLAlchemy; bound to the event loop that opened it.

    Args:
        url: `sqlite:///FILE` or `postgresql://…` (async drivers are chosen here).
        host: name of this node, by which SQLite turns a second node away; the hostname by default.
        timeout_s: how long a call waits for a lock, a connection or an answer before `StoreUnavailable`.
        pool_size: PostgreSQL connections of this process.
        retry_window_s: a client's keyless retry within this many seconds is the same job.
        backoff: wait before a failed job runs again.
        retain_ended_s: how long media of a job that ended without a clip is kept.

    Attributes:
        calls: The books of calls to providers.
    """

    def __init__(
        self,
        url: str,
        *,
        host: str | None = None,
        timeout_s: float = 5.0,
        pool_size: int = 4,
        retry_window_s: float = 600.0,
        backoff: Backoff | None = None,
        retain_ended_s: float = 86_400.0,
    ) -> None:
        self._db = Database(url, timeout_s=timeout_s, pool_size=pool_size)
        self._glance: Glance | None = None
        self._host = host if host is not None else socket.gethostname()
        self._retry_window_s = retry_window_s
        self._rules = Rules(backoff if backoff is not None else Backoff(), retain_ended_s)
        self.calls = SqlCalls(self._db)

    async def open(self) -> None:
        """Connect and migrate to the newest schema.

        Raises:
            ConfigError: another node uses this SQLite file, or a newer version migrated the database.
            StoreUnavailable: the database cannot be reached or stays locked.
        """
        self._db.connect()
        try:
            path = self._db.sqlite_path
            if path is None:
                if await self._db.read(current_revision) != REVISION:
                    await self._db.write(upgrade)
                return
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                # The switch to WAL and the first migration need the file alone.
                async with file_lock(path.with_name(path.name + ".lock"), self._db.timeout_s):
                    await self._db.read(use_wal)
                    await self._db.write(self._open_sqlite)
                self._glance = Glance(path)
            except OSError as exc:
                raise StoreUnavailable(f"the job store {path} cannot be opened: {exc}") from exc
        except BaseException:
            await self._db.close()
            raise

    async def _open_sqlite(self, conn: AsyncConnection) -> None:
        await upgrade(conn)
        await node.hold(conn, self._host)

    async def _hold_node(self, conn: AsyncConnection) -> None:
        if conn.dialect.name == "sqlite":
            await node.hold(conn, self._host)

    async def close(self) -> None:
        """Release connections."""
        glance, self._glance = self._glance, None
        if glance is not None:
            glance.close()
        await self._db.close()

    async def ping(self) -> None:
        """Prove that the database can be written."""

        async def work(conn: AsyncConnection) -> None:
            await self._hold_node(conn)
            stmt = upsert(conn, meta).values(key="ping", value=self._host, at=db_now())
            changed = {"value": self._host, "at": db_now()}
            await conn.execute(stmt.on_conflict_do_update(index_elements=[meta.c.key], set_=changed))

        await self._db.write(work)

    # --- clients ---------------------------------------------------------------------------------

    async def create(self, new: NewJob) -> Created:
        """Commit a job, or replay the one that the idempotency key (or a client's retry) names.

        Raises:
            IdempotencyMismatch: the key came before with another fingerprint.
            JobNotFound: `remixed_from` names no job of the tenant.
            NotReady: the media of `remixed_from` were purged.
            InvalidRequest: a text cannot be stored (NUL, broken Unicode).
        """
        clients.check_storable(new)
        return await self._db.write(partial(clients.create, new=new, retry_window_s=self._retry_window_s))

    async def earlier(self, submission: Submission) -> Job | None:
        """The job that `create` would replay for this submission, or None when it is new.

        Raises:
            IdempotencyMismatch: the key came before with another fingerprint.
        """
        work = partial(clients.earlier, submission=submission, retry_window_s=self._retry_window_s)
        return await self._db.read(work)

    async def get(self, job_id: str, tenant: str | None = None) -> Job:
        """One job; `tenant` None is for workers and operators. Raises `JobNotFound`."""
        return await self._db.read(partial(clients.get, job_id=job_id, tenant=tenant))

    async def standing(self, job_id: str, tenant: str | None = None) -> Standing:
        """One job with its attempts and its place in the queue. Raises `JobNotFound`."""
        if self._glance is not None and (seen := self._glance.standing(job_id, tenant)) is not None:
            return seen
        return await self._db.read(partial(standing_of, job_id=job_id, tenant=tenant))

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
        return await self._db.read(
            partial(
                clients.page, tenant=tenant, after=after, limit=limit, descending=descending, status=status
            )
        )

    async def attempts(self, job_id: str) -> Sequence[Attempt]:
        """All attempts of a job, oldest first."""
        return await self._db.read(partial(attempts_of, job_id=job_id))

    async def events(self, job_id: str, *, after: int = 0, limit: int = 200) -> Sequence[Event]:
        """Events with `seq > after`, in order; those of a deleted job say no more than their type."""
        return await self._db.read(partial(clients.events_of, job_id=job_id, after=after, limit=limit))

    async def cancel(self, job_id: str, tenant: str | None = None) -> Job:
        """A queued job is cancelled at once; a running one gets the flag. Idempotent on final jobs."""
        return await self._db.write(partial(clients.cancel, job_id=job_id, tenant=tenant, rules=self._rules))

    async def delete(self, job_id: str, tenant: str | None = None) -> Sequence[str]:
        """Cancel if needed, hide the job for ever, drop its prompt; returns its media keys to purge.

        Keys that another job uses (a remix of the same photograph) are not among them.
        """
        return await self._db.write(partial(clients.delete, job_id=job_id, tenant=tenant, rules=self._rules))

    async def vote(self, vote: Vote) -> None:
        """Keep a vote and count it; a later one of the same clip (or pair of clips) replaces it.

        Raises:
            InvalidRequest: any rating but -1 and 1.
            JobNotFound: a job is not there for this tenant.
            NotReady: a job is not completed.
        """
        await self._db.write(partial(learning.vote, given=vote))

    async def learned(self) -> Learned:
        """What all votes add up to."""
        return await self._db.read(learning.learned)

    async def descendant(
        self, tenant: str, source: str, *, idempotency_key: str | None, client_retry: int
    ) -> Job | None:
        """The job that an earlier send of the same remix or finalize made, though its source may be gone."""
        return await self._db.read(
            partial(
                clients.descendant,
                tenant=tenant,
                source=source,
                idempotency_key=idempotency_key,
                client_retry=client_retry,
                retry_window_s=self._retry_window_s,
            )
        )

    # --- router ----------------------------------------------------------------------------------

    async def queued(
        self, limit: int = 500, *, after: Job | None = None, other_than: Collection[str] = ()
    ) -> Sequence[Job]:
        """Jobs ready to run now, by (priority descending, due_at, created_at, id).

        Args:
            limit: Most of them.
            after: Only those behind this one.
            other_than: None of these tenants.
        """
        return await self._db.read(
            partial(dispatching.queued, limit=limit, after=after, other_than=other_than)
        )

    async def backlog(self, limit: int = 10_000) -> Sequence[Queued]:
        """All that waits, in the order of `queued`, with what its newest decision predicts."""
        return await self._db.read(partial(dispatching.backlog, limit=limit))

    async def ended(self, within_s: float, limit: int = 2000) -> Sequence[Ended]:
        """How attempts that began ended lately, oldest first."""
        return await self._db.read(partial(dispatching.ended, within_s=within_s, limit=limit))

    async def received(self, within_s: float) -> Mapping[str, float]:
        """Predicted GPU-seconds of attempts that run or ended within `within_s`, by tenant."""
        return await self._db.read(partial(dispatching.received, within_s=within_s))

    async def queue_position(self, job_id: str) -> int | None:
        """1 for the job that runs next; None when it is not queued."""
        return await self._db.read(partial(dispatching.queue_position, job_id=job_id))

    async def counts(self) -> dict[str, int]:
        """Jobs by status."""
        return await self._db.read(dispatching.counts)

    async def running(self) -> Sequence[Attempt]:
        """Attempts that hold a lease (dispatched or running)."""
        return await self._db.read(dispatching.running)

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
        """Take a queued job for a pool: fence + 1, attempt `dispatched`, lease from now."""
        return await self._db.write(
            partial(
                dispatching.claim,
                job_id=job_id,
                pool=pool,
                model=model,
                offer=offer,
                gpus=gpus,
                decision=decision,
                routing=routing,
                lease_s=lease_s,
            )
        )

    async def renew(self, job_id: str, fence: int, lease_s: float) -> None:
        """Keep a dispatched attempt alive while no worker has taken it (cold start). Fenced."""
        await self._db.write(partial(dispatching.renew, job_id=job_id, fence=fence, lease_s=lease_s))

    async def release(self, job_id: str, fence: int, reason: str) -> None:
        """Give a dispatched attempt back without counting it against `max_attempts`. Fenced."""
        await self._db.write(partial(dispatching.release, job_id=job_id, fence=fence, reason=reason))

    async def fail_queued(self, job_id: str, *, error: Json) -> Job:
        """End a queued job that no offer is left for. A job that is not waiting is returned unchanged."""
        return await self._db.write(
            partial(dispatching.fail_queued, job_id=job_id, error=error, rules=self._rules)
        )

    async def reap(self) -> Reaped:
        """Requeue or end attempts whose lease ran out, expire old queued jobs, purge retained results."""

        async def work(conn: AsyncConnection) -> Reaped:
            await self._hold_node(conn)
            return await reaper.reap(conn, self._rules)

        return await self._db.write(work)

    async def garbage(self, limit: int = 500) -> Sequence[str]:
        """Media keys that no job uses any more: remove the files, then call `forget_garbage`."""
        return await self._db.read(partial(reaper.garbage, limit=limit))

    async def forget_garbage(self, keys: Sequence[str]) -> None:
        """These keys are gone from the media store."""
        await self._db.write(partial(reaper.forget_garbage, keys=keys))

    async def workers(self, *, stale_after_s: float = 10.0) -> Sequence[Worker]:
        """Workers whose heartbeat is fresh."""
        return await self._db.read(partial(fleet.fresh_workers, stale_after_s=stale_after_s))

    async def publish_pools(self, pools: Sequence[PoolRecord]) -> None:
        """Replace the table of pools by what the Router sees now."""
        await self._db.write(partial(fleet.publish_pools, seen=pools))

    async def pools(self) -> Sequence[PoolRecord]:
        """Pools as last published."""
        return await self._db.read(fleet.all_pools)

    async def calibrations(self) -> Sequence[Calibration]:
        """All latency fits."""
        return await self._db.read(fleet.calibrations)

    # --- workers ---------------------------------------------------------------------------------

    async def register(self, worker: Worker) -> None:
        """Insert or replace a worker."""
        await self._db.write(partial(fleet.register, worker=worker))

    async def worker_beat(self, worker_id: str, state: str, detail: Json) -> bool:
        """Refresh a worker's heartbeat; False when it is not registered (any more): register again."""

        async def work(conn: AsyncConnection) -> bool:
            await self._hold_node(conn)
            return await fleet.worker_beat(conn, worker_id, state, detail)

        return await self._db.write(work)

    async def deregister(self, worker_id: str) -> None:
        """Remove a worker."""
        await self._db.write(partial(fleet.deregister, worker_id=worker_id))

    async def start(self, job_id: str, fence: int, worker: str, lease_s: float) -> Job:
        """A worker begins: job `in_progress`, attempt `running`. Fenced."""
        return await self._db.write(
            partial(running.start, job_id=job_id, fence=fence, worker=worker, lease_s=lease_s)
        )

    async def beat(self, job_id: str, fence: int, lease_s: float, progress: Progress | None = None) -> Beat:
        """Renew the lease, write progress (and an event), read the cancel flag. Fenced."""
        return await self._db.write(
            partial(running.beat, job_id=job_id, fence=fence, lease_s=lease_s, progress=progress)
        )

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
        """Publish the result exactly once and fold the observation into its calibration. Fenced."""
        return await self._db.write(
            partial(
                running.complete,
                job_id=job_id,
                fence=fence,
                result=result,
                usage=usage,
                gpu_seconds=gpu_seconds,
                retain_s=retain_s,
                observation=observation,
                call=call,
            )
        )

    async def keep_checkpoint(self, job_id: str, fence: int, checkpoint: Checkpoint) -> None:
        """From now on the job resumes there, whoever runs it; the one before is let go. Fenced."""
        await self._db.write(
            partial(pausing.keep_checkpoint, job_id=job_id, fence=fence, checkpoint=checkpoint)
        )

    async def drop_checkpoint(self, job_id: str, fence: int) -> None:
        """The job's checkpoint is of no use: it begins anew. Fenced."""
        await self._db.write(partial(pausing.drop_checkpoint, job_id=job_id, fence=fence))

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
        work = partial(pausing.hand_back, job_id=job_id, fence=fence, rules=self._rules, reason=reason)
        return await self._db.write(partial(work, gpu_seconds=gpu_seconds, call=call))

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
        """End an attempt that failed: again, elsewhere, or for good. Fenced."""
        return await self._db.write(
            partial(
                running.fail,
                job_id=job_id,
                fence=fence,
                rules=self._rules,
                error=error,
                disposition=disposition,
                gpu_seconds=gpu_seconds,
                call=call,
            )
        )

    async def finish_cancelled(
        self, job_id: str, fence: int, gpu_seconds: float = 0.0, call: CallEnd | None = None
    ) -> Job:
        """The worker has stopped at the cancel flag. Fenced."""
        work = partial(running.finish_cancelled, job_id=job_id, fence=fence, rules=self._rules)
        return await self._db.write(partial(work, gpu_seconds=gpu_seconds, call=call))

    async def lose(self, job_id: str, fence: int, reason: str) -> None:
        """The process of an attempt is known to be dead: like an expired lease, but now. Fenced."""
        await self._db.write(
            partial(running.lose, job_id=job_id, fence=fence, reason=reason, rules=self._rules)
        )
