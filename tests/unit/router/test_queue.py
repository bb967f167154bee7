"""The walk over the queue: pages, and turns between tenants inside a band."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from router.jobs.records import Job, JobStatus
from router.queue import Queue


def job(name: str, priority: int = 1, seconds: float = 60.0) -> Job:
    """`a3` is the third job of tenant a."""
    place = float(name[1:])
    chosen = {"predicted": {"gpu_seconds": seconds}}
    return Job(
        id=name, tenant=name[0], status=JobStatus.QUEUED, model="auto", prompt="", request={}, features={},
        routing={"chosen": chosen}, priority=priority, created_at=place, due_at=place, expires_at=0, fence=0,
        attempts=0, max_attempts=5, progress=0, progress_detail=None, heartbeat_at=None,
        cancel_requested=False, not_before=0, excluded=(),
    )  # fmt: skip


class Rows:
    """As much of a job store as a queue needs."""

    def __init__(self, jobs: Collection[Job], received: Mapping[str, float] | None = None) -> None:
        self._jobs = sorted(jobs, key=lambda job: (-job.priority, job.due_at, job.created_at, job.id))
        self._received = received or {}
        self.reads = 0

    async def queued(
        self, limit: int, *, after: Job | None = None, other_than: Collection[str] = ()
    ) -> list[Job]:
        self.reads += 1
        start = 0 if after is None else self._jobs.index(after) + 1
        return [job for job in self._jobs[start:] if job.tenant not in other_than][:limit]

    async def received(self, within_s: float) -> Mapping[str, float]:
        assert within_s > 0
        return self._received


async def walk(rows: Any, **options: int) -> list[list[str]]:
    queue, pages = Queue(rows, **options), []
    while page := await queue.next():
        pages.append([job.id for job in page])
    return pages


async def test_one_tenants_jobs_keep_their_order_and_every_page_comes_once() -> None:
    jobs = [job(f"a{n}") for n in range(7)]
    assert await walk(Rows(jobs), page=3) == [["a0", "a1", "a2"], ["a3", "a4", "a5"], ["a6"]]
    assert await walk(Rows([])) == []


async def test_tenants_take_turns_inside_a_band() -> None:
    jobs = [job(f"a{n}") for n in range(3)] + [job("b8"), job("b9"), job("c9", priority=2)]
    assert await walk(Rows(jobs)) == [["c9", "a0", "b8", "a1", "b9", "a2"]]


async def test_who_has_received_more_lately_waits() -> None:
    jobs = [job("a0"), job("b1")]
    assert await walk(Rows(jobs, {"a": 600.0, "b": 0.0})) == [["b1", "a0"]]
    assert await walk(Rows(jobs, {"a": 600.0, "b": 600.0})) == [["a0", "b1"]]


async def test_a_long_row_of_one_tenant_hides_nobody() -> None:
    jobs = [job(f"a{n}") for n in range(50)] + [job("b90"), job("c95"), job("c96")]
    first, *_ = await walk(Rows(jobs), page=10)
    assert first[:4] == ["a0", "b90", "c95", "a1"]


async def test_it_ends_after_so_many() -> None:
    rows = Rows([job(f"a{n}") for n in range(100)])
    assert sum(map(len, await walk(rows, page=10, most=25))) == 30
    assert rows.reads <= 5


@pytest.mark.parametrize("page", [1, 2, 5, 100])
async def test_no_job_comes_twice_and_none_is_left_out(page: int) -> None:
    jobs = [job(f"{tenant}{n}", priority=n % 3) for tenant in "abc" for n in range(6)]
    seen = [name for names in await walk(Rows(jobs), page=page) for name in names]
    assert sorted(seen) == sorted(each.id for each in jobs)
