"""Every process waits for a job store that is away, and serves beside a card that is broken."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from deployments.wiring import media_store, open_store, route_engine
from models.errors import ConfigError, StoreUnavailable
from router.fleet import CachedFleet
from router.gateway import create_app
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


def test_broken_cards_and_profiles_are_logged_and_the_rest_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine.yaml").write_text("id: svd\ntitle: Mine\n")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "balanced.yaml").write_text("name: balanced\n")
    engine = route_engine(Settings(cards=tmp_path))
    assert "parallax" in engine.catalog
    assert "svd" not in engine.catalog
    told = [record.getMessage() for record in caplog.records]
    assert any(f"{tmp_path}/mine.yaml (svd): line 1: family: Field required" in line for line in told)
    assert any("profiles/balanced.yaml: line 1: summary: Field required" in line for line in told)


async def test_the_gateway_serves_beside_a_broken_card(tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "mine.yaml").write_text("id: my-model\ntitle: Mine\nseconds: 5\n")
    given = settings(tmp_path).model_copy(update={"cards": tmp_path / "cards"})
    engine, store = route_engine(given), await open_store(given)
    try:
        app = create_app(
            settings=given,
            store=store,
            media=media_store(given),
            engine=engine,
            fleet=CachedFleet(store, engine.catalog),
            nudge=store.ping,
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            listed = {card["id"] for card in (await client.get("/v1/models")).json()["data"]}
            decided = await client.post("/v1/route", json={"image_size": "640x480", "fleet": "all"})
            named = await client.post("/v1/route", json={"image_size": "640x480", "model": "my-model"})
    finally:
        await store.close()
    assert "parallax" in listed
    assert "my-model" not in listed
    assert decided.json()["chosen"] is not None
    assert named.json()["error"]["code"] == "unknown_model"
