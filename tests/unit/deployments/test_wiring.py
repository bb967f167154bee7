"""Every process waits for a job store that is away, since Serve gives up a constructor that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.wiring import open_store
from models.errors import ConfigError, StoreUnavailable
from router.jobs.sql import SqlJobStore
from router.settings import Settings


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What the next openings raise; then they succeed."""
    coming: list[Exception] = []
    real = SqlJobStore.open

    async def reluctant(self: SqlJobStore) -> None:
        if coming:
            raise coming.pop(0)
        await real(self)

    monkeypatch.setattr(SqlJobStore, "open", reluctant)
    return coming


def settings(tmp_path: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path / 'jobs.db'}")


async def test_a_store_that_is_away_is_waited_for(tmp_path: Path, refusals: list[Exception]) -> None:
    refusals.extend([StoreUnavailable("it restarts")] * 3)
    store = await open_store(settings(tmp_path), retry_s=0.0)
    await store.ping()
    await store.close()
    assert refusals == []


async def test_but_not_for_ever(tmp_path: Path, refusals: list[Exception]) -> None:
    refusals.extend([StoreUnavailable("it is gone")] * 1000)
    with pytest.raises(StoreUnavailable, match="gone"):
        await open_store(settings(tmp_path), patience_s=0.02, retry_s=0.001)


async def test_a_wrong_configuration_is_told_at_once(tmp_path: Path, refusals: list[Exception]) -> None:
    refusals.extend([ConfigError("another node uses this file"), StoreUnavailable("never reached")])
    with pytest.raises(ConfigError, match="another node"):
        await open_store(settings(tmp_path))
    assert len(refusals) == 1
