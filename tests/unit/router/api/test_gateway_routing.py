"""Dry runs, models, capabilities, fleet, health, and the OpenAPI document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models.errors import StoreUnavailable
from models.types import Priority
from policies.base import Fleet, Pool, Waiting
from router.accounts import Places
from router.fleet import LiveFleet
from router.jobs.records import PoolRecord, Worker

KEYS = {
    "profile", "features", "chosen", "fallbacks", "candidates", "rejected", "counter_offers", "advice",
    "pareto", "clashes", "notes",
}  # fmt: skip


def set_fleet(stack: Any, *pools: Pool) -> None:
    show(stack, Fleet(pools))


def show(stack: Any, seen: Fleet) -> None:
    async def fleet() -> Fleet:
        return seen

    object.__setattr__(stack.app.state.context, "fleet", fleet)


async def test_a_dry_run_stores_nothing(stack: Any, photograph: bytes) -> None:
    response = await stack.client.post(
        "/v1/route",
        data={"prompt": "slow push in", "routing[objective]": "speed"},
        files={"input_reference": ("p", photograph)},
    )
    body = response.json()
    assert response.status_code == 200, body
    assert set(body) == KEYS
    assert body["chosen"]["model"]
    assert body["features"]["image"]["width"] == 320
    assert (await stack.job_count(), stack.objects()) == (0, [])


async def test_a_shape_alone_can_be_routed(stack: Any) -> None:
    for size, orientation in (("640x480", "landscape"), ("480x640", "portrait"), ("500x500", "square")):
        response = await stack.client.post(
            "/v1/route", json={"image_size": size, "prompt": "pan left", "fleet": "all"}
        )
        features = response.json()["features"]
        assert features["image"]["orientation"] == orientation
        assert features["prompt"]["camera"] == ["pan_left"]


async def test_a_dry_run_that_finds_nothing_is_an_answer(stack: Any) -> None:
    response = await stack.client.post(
        "/v1/route", json={"image_size": "640x480", "size": "7680x4320", "fps": 120, "seconds": 300}
    )
    body = response.json()
    assert response.status_code == 200
    assert body["chosen"] is None
    assert body["rejected"]
    assert body["counter_offers"]


async def test_a_dry_run_asks_the_live_fleet_unless_told_otherwise(stack: Any) -> None:
    set_fleet(stack)
    ask = {"image_size": "640x480", "model": "parallax"}
    live = (await stack.client.post("/v1/route", json=ask)).json()
    everything = (await stack.client.post("/v1/route", json={**ask, "fleet": "all"})).json()
    assert live["chosen"] is None
    assert everything["chosen"]["model"] == "parallax"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "x"}, "input_reference"),
        ({"image_size": "0x4"}, "image_size"),
        ({"image_size": "64x64", "fleet": "none"}, "fleet"),
        ({"image_size": "64x64", "seconds": -1}, "seconds"),
    ],
)
async def test_a_bad_dry_run_is_refused(stack: Any, body: dict[str, Any], param: str) -> None:
    response = await stack.client.post("/v1/route", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_an_unknown_model_is_answered_with_close_matches(stack: Any, post: Any) -> None:
    for response in (await post(model="paralax"), await stack.client.get("/v1/models/paralax")):
        body = response.json()
        assert (response.status_code, body["error"]["code"]) == (404, "unknown_model")
        assert "parallax" in body["detail"]
        assert "parallax" in body["allowed"]


async def test_a_fleet_that_is_not_there_is_our_fault(stack: Any, post: Any) -> None:
    set_fleet(stack)
    response = await post()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "fleet_unavailable")
    assert response.headers["retry-after"] == "1"
    assert await stack.job_count() == 0


async def test_models_are_listed_with_their_readiness(stack: Any) -> None:
    card = stack.engine.catalog.get("parallax")
    pool = Pool(name="p", model="parallax", offer=card.offers[0].id, gpu="cpu", replicas=1)
    for pools, readiness in (
        ((pool,), "warm"),
        ((Pool(**{**_fields(pool), "replicas": 0}),), "cold"),
        ((Pool(**{**_fields(pool), "healthy": False}),), "unhealthy"),
        ((), "absent"),
    ):
        set_fleet(stack, *pools)
        one = (await stack.client.get("/v1/models/parallax")).json()
        assert one["readiness"] == readiness
    everything = (await stack.client.get("/v1/models")).json()
    assert everything["object"] == "list"
    assert [model["id"] for model in everything["data"]] == list(stack.engine.catalog.cards)
    assert all(model["object"] == "model" and model["created"] > 0 for model in everything["data"])


def _fields(pool: Pool) -> dict[str, Any]:
    return {name: getattr(pool, name) for name in Pool.__dataclass_fields__}


async def test_capabilities_of_every_card(stack: Any) -> None:
    body = (await stack.client.get("/v1/videos/models")).json()
    by_id = {model["id"]: model for model in body["data"]}
    assert set(by_id) == set(stack.engine.catalog.cards)
    for card in stack.engine.catalog:
        shown = by_id[card.id]
        assert [offer["id"] for offer in shown["offers"]] == [offer.id for offer in card.offers]
        for offer in shown["offers"]:
            for mode in offer["modes"]:
                assert (mode["sizes"] is None) != (mode["area"] is None)
                assert 0 < mode["min_seconds"] <= mode["max_seconds"]
        assert shown["supported_frame_images"][0] == "first_frame"
    assert by_id["parallax"]["camera"]["explicit"]
    animate = by_id["wan2.2-animate"]
    assert (animate["driving_video"], animate["audio"]) == ("required", "none")
    assert by_id["parallax"]["driving_video"] == "none"
    wan = by_id["wan2.1-i2v-480p"]
    assert "480p" in wan["supported_resolutions"]
    assert "1080p" not in wan["supported_resolutions"]


async def test_the_fleet_is_shown(stack: Any) -> None:
    body = (await stack.client.get("/v1/fleet")).json()
    assert set(body) == {"pools", "workers", "jobs"}


async def test_a_pool_shows_what_waits_for_it(stack: Any) -> None:
    record = PoolRecord("p", "parallax", "local", "cpu", 1, 0, 2, True, "")
    await stack.store.publish_pools([record])
    shared = Pool("p", "parallax", "other", "cpu")
    waiting = tuple(Waiting(60.0, Priority.NORMAL, seconds) for seconds in (3.0, 4.0))
    set_fleet(stack, Pool("p", "parallax", "local", "cpu", replicas=2, waiting=waiting), shared)
    (pool,) = (await stack.client.get("/v1/fleet")).json()["pools"]
    assert (pool["name"], pool["offer"], pool["replicas"], pool["queued_seconds"]) == ("p", "local", 2, 7.0)


async def test_an_account_is_shown_with_its_calls_and_how_much_it_can_run(stack: Any) -> None:
    fields: dict[str, Any] = {
        "model": "", "offer": "", "gpu": "hosted", "gang_size": 1, "min_replicas": 1, "max_replicas": 1,
        "healthy": True, "reason": "", "backend": "replicate",
    }  # fmt: skip
    await stack.store.publish_pools([PoolRecord(name="account", **fields)])
    await stack.store.register(Worker("w", "account", "", "", "hosted", 1, 50, "here", "ready", {}))
    flagged = Pool("account", "parallax", "a", "hosted", replicas=48, healthy=False, reason="flagged")
    fleet = LiveFleet((flagged, replace(flagged, offer="b", healthy=True, reason="")))
    accounts = {"account": Places(50, (3.0, 9.0))}
    show(stack, replace(fleet, accounts=accounts))
    (pool,) = (await stack.client.get("/v1/fleet")).json()["pools"]
    assert (pool["backend"], pool["offers"], pool["replicas"], pool["busy"]) == ("replicate", 2, 1, 2)
    assert (pool["model"], pool["healthy"], pool["reason"]) == ("", True, "")


async def test_what_ails_an_account_is_told_once(stack: Any) -> None:
    sick = Pool("account", "parallax", "a", "hosted", healthy=False, reason="no key")
    set_fleet(stack, sick, replace(sick, offer="b"))
    checks = (await stack.client.get("/readyz")).json()["checks"]
    assert checks["models"] == {"ok": False, "reason": "account: no key"}


async def test_health(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await stack.client.get("/healthz")).json() == {"status": "ok"}
    ready = await stack.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert list(stack.media_root.rglob("*.tmp")) == []

    async def refuse() -> None:
        raise StoreUnavailable("database is locked")

    monkeypatch.setattr(stack.store, "ping", refuse)
    set_fleet(stack, Pool(name="p", model="m", offer="o", gpu="cpu", healthy=False, reason="out of memory"))
    broken = await stack.client.get("/readyz")
    assert broken.status_code == 503
    checks = broken.json()["checks"]
    assert checks["database"] == {"ok": False, "reason": "database is locked"}
    assert checks["media"] == {"ok": True}
    assert checks["models"] == {"ok": False, "reason": "p: out of memory"}


async def test_the_openapi_document_names_every_field(stack: Any) -> None:
    document = (await stack.client.get("/openapi.json")).json()
    body = document["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    form = body["multipart/form-data"]["schema"]["properties"]
    assert form["input_reference"] == {"type": "string", "format": "binary"}
    assert {"prompt", "seconds", "size", "camera", "routing"} <= set(form)
    schemas = document["components"]["schemas"]
    assert {"Video", "CreateVideo", "RemixVideo", "RouteVideo", "Problem"} <= set(schemas)
    for name in _references(document):
        assert name in schemas


def _references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {str(node["$ref"]).rsplit("/", 1)[-1]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(child) for child in node.values()))
    if isinstance(node, list):
        return set().union(*(_references(child) for child in node))
    return set()


async def test_request_ids(stack: Any) -> None:
    given = await stack.client.get("/healthz", headers={"X-Request-Id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    for bad in ("a b", "x" * 200, "", "a\tb"):
        made = await stack.client.get("/v1/nothing", headers={"X-Request-Id": bad})
        assert made.headers["x-request-id"].startswith("req_")
        assert made.json()["request_id"] == made.headers["x-request-id"]


async def test_what_nobody_foresaw_says_nothing_of_the_inside(
    stack: Any, post: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def explode(*args: object, **kwargs: object) -> None:
        raise RuntimeError(" ".join(["secret", "words", "of", "a", "prompt"]))

    monkeypatch.setattr(stack.store, "create", explode)
    response = await post()
    assert response.status_code == 500
    body = response.json()
    assert body["error"]["code"] == "internal_error"
    assert body["error"]["type"] == "server_error"
    assert "secret" not in response.text
    assert "RuntimeError" in caplog.text
    assert "secret words of" not in caplog.text
