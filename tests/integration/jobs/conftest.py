from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from router.jobs.records import Attempt, Job, NewJob
from router.jobs.sql import SqlJobStore

LEASE_S = 30.0


def new_job(**changes: Any) -> NewJob:
    values: dict[str, Any] = {
        "tenant": "acme",
        "model": "auto",
        "prompt": "slow push in",
        "request": {"prompt": "slow push in", "media": {"image": {"key": "in/a.png"}}},
        "features": {"subject": "portrait"},
        "routing": {"chosen": None},
        "priority": 1,
        "due_in_s": 600.0,
        "expires_in_s": 3600.0,
        "fingerprint": "f" * 64,
    }
    return NewJob(**(values | changes))


@dataclass(frozen=True)
class Steps:
    """The usual steps of a job, with the arguments that most tests do not care about."""

    store: SqlJobStore

    async def create(self, **changes: Any) -> Job:
        created = await self.store.create(new_job(**changes))
        assert not created.replayed
        return created.job

    async def claim(self, job_id: str, *, offer: str = "local", lease_s: float = LEASE_S) -> Attempt | None:
        return await self.store.claim(
            job_id,
            pool="pool-a",
            model="parallax",
            offer=offer,
            gpus=1,
            decision={"model": "parallax", "offer": offer},
            routing={"chosen": {"model": "parallax"}},
            lease_s=lease_s,
        )

    async def run(self, job_id: str, *, offer: str = "local", lease_s: float = LEASE_S) -> Attempt:
        attempt = await self.claim(job_id, offer=offer, lease_s=lease_s)
        assert attempt is not None
        await self.store.start(job_id, attempt.fence, "worker-1", lease_s)
        return attempt

    async def complete(self, job_id: str, fence: int, *, key: str = "out/a.mp4", **changes: Any) -> Job:
        values: dict[str, Any] = {
            "result": {
                "media": {"video": {"key": key, "bytes": 9, "sha256": "ab", "content_type": "video/mp4"}}
            },
            "usage": {"gpu_seconds": 2.0},
            "gpu_seconds": 2.0,
            "retain_s": 600.0,
            "observation": None,
        }
        return await self.store.complete(job_id, fence, **(values | changes))

    async def types(self, job_id: str) -> list[str]:
        events = await self.store.events(job_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        return [event.type for event in events]


@pytest.fixture
def steps(store: SqlJobStore) -> Steps:
    return Steps(store)


@pytest.fixture
def make_new_job() -> Callable[..., NewJob]:
    return new_job


@pytest.fixture
def make_steps() -> Callable[[SqlJobStore], Steps]:
    return Steps


@pytest.fixture
def keyed_job() -> Callable[[int], NewJob]:
    """What `client_process.py` creates as its n-th job."""
    return lambda number: new_job(
        request={"media": {"image": f"in/{number}"}},
        fingerprint=f"content {number}",
        idempotency_key=f"key {number}",
    )
