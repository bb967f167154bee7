from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.catalog import Catalog, load_catalog
from models.gpus import load_gpus
from policies.engine import Engine
from policies.profile import load_profiles
from router.jobs.retry import Backoff
from router.jobs.sql import SqlJobStore
from router.media import MediaStore
from tests.unit.router.dispatching import CARDS, Bench


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.of([card for card in load_catalog(CARDS) if card.family in {"fake", "parallax"}])


@pytest.fixture(scope="module")
def engine(catalog: Catalog) -> Engine:
    return Engine(catalog, load_gpus(), load_profiles())


@pytest.fixture
async def bench(tmp_path: Path, engine: Engine, catalog: Catalog) -> AsyncIterator[Bench]:
    store = SqlJobStore(f"sqlite:///{tmp_path / 'jobs.db'}", backoff=Backoff(base_s=0.0))
    await store.open()
    yield Bench(store, MediaStore((tmp_path / "media").as_uri()), engine, catalog)
    await store.close()
