from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.jobs.retry import Backoff
from router.jobs.sql import SqlJobStore
from router.media import MediaStore
from tests.unit.deployments.coordinating import Bench, Flaky


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = SqlJobStore(f"sqlite:///{tmp_path / 'jobs.db'}", backoff=Backoff(base_s=0.0))
    await store.open()
    bench = Bench(store, Flaky(store), MediaStore((tmp_path / "media").as_uri()), [], tmp_path)
    yield bench
    for coordinator in bench.opened:
        # A clip that waits for ever fails its test, and does not stop the others.
        await asyncio.wait_for(coordinator.close(), 20.0)
    await store.close()
