"""Previews and their finals; remixes whose source is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest


@pytest.fixture
def photograph(large_photograph: bytes) -> bytes:
    return large_photograph


@pytest.fixture
def preview(stack: Any, post: Any, clip: bytes, photograph: bytes) -> Any:
    """A completed preview; returns its Video as created."""

    async def make(**fields: Any) -> Any:
        response = await post(**({"model": "auto", "objective": "preview", "seconds": "4"} | fields))
        assert response.status_code == 202, response.text
        await stack.complete(response.json()["id"], clip, photograph)
        return response.json()

    return make


async def finalize(stack: Any, job_id: str, body: Any = None, **headers: str) -> Any:
    return await stack.client.post(f"/v1/videos/{job_id}/finalize", json=body, headers=headers)


async def test_a_preview_tells_the_price_of_both_before_it_is_made(stack: Any, post: Any) -> None:
    draft = (await post(model="auto", objective="preview")).json()
    final = draft["routing"]["final_estimate"]
    assert final["predicted"]["usd"] > draft["routing"]["chosen"]["predicted"]["usd"]
    assert final["predicted"]["seconds"] > 0
    assert final["predicted"]["quality"] > draft["routing"]["chosen"]["predicted"]["quality"]
    route = await stack.client.post("/v1/route", json={"image_size": "320x200", "objective": "preview"})
    assert route.json()["final_estimate"]["model"]
    plain = await stack.client.post("/v1/route", json={"image_size": "320x200"})
    assert "final_estimate" not in plain.json()


async def test_a_final_is_the_preview_again_in_earnest(stack: Any, preview: Any) -> None:
    draft = await preview(camera="push_in:required", deadline_s="600", max_cost_usd="5")
    response = await finalize(stack, draft["id"])
    assert response.status_code == 202, response.text
    final = response.json()
    assert final["finalizes"] == draft["id"]
    assert final["routing"]["profile"] == "quality"
    assert final["routing"]["chosen"]["predicted"]["usd"] is not None
    assert (await stack.client.get(f"/v1/videos/{draft['id']}")).json()["finalized_by"] == final["id"]
    source, made = await stack.store.get(draft["id"]), await stack.store.get(final["id"])
    for same in ("prompt", "seed", "camera", "size", "media", "photograph"):
        assert made.request[same] == source.request[same], same
    assert made.request["seconds"] == pytest.approx(source.result["geometry"]["seconds"])
    assert (made.request["deadline_s"], made.request["max_cost_usd"]) == (None, None)


async def test_an_asked_size_stays_and_one_that_was_not_may_rise(stack: Any, preview: Any) -> None:
    asked, free = await preview(size="640x400"), await preview()
    kept = (await finalize(stack, asked["id"])).json()
    risen = (await finalize(stack, free["id"])).json()
    assert (await stack.store.get(kept["id"])).request["size"] == "640x400"
    assert (await stack.store.get(risen["id"])).request["size"] is None
    width, height = map(int, risen["size"].split("x"))
    assert width / height == pytest.approx(1.6, rel=0.03)


async def test_the_same_final_is_made_once(stack: Any, preview: Any) -> None:
    draft = await preview()
    first = await finalize(stack, draft["id"])
    again = await finalize(stack, draft["id"], {})
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    other = await finalize(stack, draft["id"], {"model": "ltx-video"})
    assert other.json()["id"] != first.json()["id"]
    assert (await stack.store.get(draft["id"])).finalized_by == other.json()["id"]
    await stack.store.cancel(first.json()["id"])
    anew = await finalize(stack, draft["id"])
    assert anew.json()["id"] not in {first.json()["id"], other.json()["id"]}, "a cancelled one is no final"


async def test_a_deleted_final_is_forgotten_by_its_preview(stack: Any, preview: Any) -> None:
    draft = await preview()
    final = (await finalize(stack, draft["id"])).json()
    await stack.client.delete(f"/v1/videos/{final['id']}")
    assert (await stack.store.get(draft["id"])).finalized_by is None


async def test_only_completed_previews_are_finalized(stack: Any, post: Any, preview: Any) -> None:
    earnest = await preview(objective="speed")
    waiting = (await post(model="auto", objective="preview")).json()
    for job_id, body, status, code, param in (
        (earnest["id"], None, 400, "invalid_request", "video_id"),
        (waiting["id"], None, 404, "not_ready", "video_id"),
        ("vid_unknown", None, 404, "job_not_found", "id"),
        (earnest["id"], {"objective": "cost"}, 400, "invalid_request", "objective"),
        ((await preview())["id"], {"model": "nothing"}, 404, "unknown_model", "model"),
    ):
        response = await finalize(stack, job_id, body)
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["param"]) == (status, code, param), error


# --- a remix is sent again after its source has gone -----------------------------------------------------


async def test_a_repeated_remix_is_its_job_although_its_source_is_gone(stack: Any, post: Any) -> None:
    source = (await post()).json()["id"]
    path, body = f"/v1/videos/{source}/remix", {"prompt": "slow pull out", "seconds": 2}
    first = await stack.client.post(path, json=body, headers={"Idempotency-Key": "k"})
    plain = await stack.client.post(path, json=body)
    await stack.client.delete(f"/v1/videos/{source}")
    again = await stack.client.post(path, json=body, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["idempotent-replayed"] == "true"
    retried = await stack.client.post(path, json=body, headers={"x-stainless-retry-count": "1"})
    assert retried.json()["id"] == plain.json()["id"]
    other = await stack.client.post(path, json={"prompt": "pan left"}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    new = await stack.client.post(path, json=body)
    assert (new.status_code, new.json()["error"]["code"]) == (404, "job_not_found")


# --- not ready is not impossible -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "status", "code"), [(False, 503, "fleet_unavailable"), (True, 422, "no_route")]
)
async def test_a_model_that_is_being_deployed_is_503_and_one_that_is_broken_is_not(
    stack: Any, post: Any, broken: bool, status: int, code: str
) -> None:
    from router.fleet import LiveFleet

    idle = stack.engine.idle()
    pools = tuple(
        replace(pool, healthy=False, reason="application is DEPLOYING") if pool.model == "ltx-video" else pool
        for pool in idle.pools
    )
    fleet = LiveFleet(
        pools, broken=frozenset(p.name for p in pools if p.model == "ltx-video") if broken else frozenset()
    )

    async def live() -> LiveFleet:
        return fleet

    object.__setattr__(stack.app.state.context, "fleet", live)
    response = await post(model="ltx-video")
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (status, code), body
    assert "application is DEPLOYING" in body["detail"]
    assert (response.headers.get("retry-after") is not None) is (status == 503)
    assert (await post(model="parallax")).status_code == 202
