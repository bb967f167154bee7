"""Create, retrieve, list, cancel, delete, remix, feedback over a real store."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from models.errors import JobNotFound, MediaUnavailable, StoreUnavailable
from policies.base import Fleet
from router.engine import RouteEngine, route_request_from_job
from router.jobs.records import JobStatus, Progress


async def test_create_commits_before_it_answers(stack: Any, post: Any) -> None:
    response = await post(seconds="3", size="640x400", tags="a,b")
    body = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/videos/{body['id']}"
    job = await stack.store.get(body["id"])
    assert job.status is JobStatus.QUEUED
    assert (job.model, job.prompt) == ("parallax", "slow push in")
    assert body["object"] == "video"
    assert body["status"] == "queued"
    assert body["progress"] == 0
    assert body["created_at"] == int(job.created_at)
    assert body["tags"] == ["a", "b"]
    assert body["geometry"]["requested"] == {
        "width": 640, "height": 400, "num_frames": None, "fps": None, "seconds": 3.0,
    }  # fmt: skip
    effective = body["geometry"]["effective"]
    assert body["size"] == f"{effective['width']}x{effective['height']}"
    assert float(body["seconds"]) == pytest.approx(effective["seconds"], abs=1e-3)
    assert body["routing"]["chosen"]["model"] == "parallax"
    assert body["seed"] == job.request["seed"]
    assert len(stack.objects()) == 1
    await stack.nudged(1)


async def test_the_stored_request_decides_like_the_submission(
    stack: Any, post: Any, route_engine: RouteEngine
) -> None:
    response = await post(model="auto", camera="push_in", motion="gentle", deadline_s="600", fps="24")
    job = await stack.store.get(response.json()["id"])
    request = route_request_from_job(job, job.created_at)
    again = route_engine.estimate(request, route_engine.idle())
    assert again.chosen is not None
    chosen = job.routing["chosen"]
    assert again.chosen.candidate.card.id == chosen["model"]
    assert again.chosen.utility == pytest.approx(chosen["utility"], abs=1e-3)
    later = route_request_from_job(job, job.created_at + 100)
    assert later.deadline_s == pytest.approx(500)
    assert route_request_from_job(job, job.created_at + 10_000).deadline_s == 1.0


async def test_json_and_forms_are_one_request(stack: Any, post: Any, photograph: bytes) -> None:
    form = await post(seconds="3", routing="", **{"routing[objective]": "speed", "seed": "5"})
    address = "data:image/jpeg;base64," + base64.b64encode(photograph).decode()
    body = {
        "input_reference": {"image_url": address},
        "prompt": "slow push in", "model": "parallax", "duration": 3, "objective": "speed", "seed": 5,
    }  # fmt: skip
    json = await stack.client.post("/v1/videos", json=body)
    assert (form.status_code, json.status_code) == (202, 202), (form.text, json.text)
    flat = {"input_reference": address, "prompt": "slow push in", "model": "parallax", "seconds": "3.0"}
    urlencoded = await stack.client.post("/v1/videos", data={**flat, "objective": "speed", "seed": "5"})
    assert urlencoded.status_code == 202, urlencoded.text
    jobs = [await stack.store.get(response.json()["id"]) for response in (form, json, urlencoded)]
    assert len({job.id for job in jobs}) == 3
    assert len({job.fingerprint for job in jobs}) == 1


@pytest.mark.parametrize("keys", [("k1", '"k1"'), ('"a\\"b"', 'a"b')])
async def test_an_idempotency_key_replays(stack: Any, post: Any, keys: tuple[str, str]) -> None:
    first = await post(headers={"Idempotency-Key": keys[0]})
    second = await post(headers={"Idempotency-Key": keys[1]})
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert await stack.job_count() == 1
    assert len(stack.objects()) == 1, "the duplicate photograph is dropped"
    other = await post(prompt="something else", headers={"Idempotency-Key": keys[0]})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    assert other.headers["x-should-retry"] == "false"
    assert len(stack.objects()) == 1


@pytest.mark.parametrize(
    ("first", "again"),
    [({"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}), ({}, {"x-stainless-retry-count": "1"})],
)
async def test_a_repeat_of_an_accepted_request_is_that_job_though_nothing_could_take_it_now(
    stack: Any, post: Any, first: dict[str, str], again: dict[str, str]
) -> None:
    accepted = await post(headers=first)

    async def nothing() -> Fleet:
        return Fleet(())

    stack.app.state.context = replace(stack.app.state.context, fleet=nothing)
    repeated = await post(headers=again)
    assert (repeated.status_code, repeated.json()["id"]) == (202, accepted.json()["id"])
    assert repeated.headers["idempotent-replayed"] == "true"
    assert (await post(prompt="something else", headers={"Idempotency-Key": "new"})).status_code == 503
    if "Idempotency-Key" in first:
        other = await post(prompt="something else", headers=first)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    assert await stack.job_count() == 1


async def test_a_retry_of_the_openai_client_is_the_same_job(stack: Any, post: Any) -> None:
    first = await post()
    retry = await post(headers={"x-stainless-retry-count": "1"})
    assert retry.json()["id"] == first.json()["id"]
    fresh = await post(headers={"x-stainless-retry-count": "0"})
    assert fresh.json()["id"] != first.json()["id"]
    assert await stack.job_count() == 2
    assert len(stack.objects()) == 2


async def test_a_full_disk_is_our_fault_and_loses_nothing(
    stack: Any, post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise MediaUnavailable("no space left on device")

    monkeypatch.setattr(stack.media, "put_bytes", refuse)
    response = await post()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "media_unavailable")
    assert response.headers["retry-after"] == "1"
    assert "x-should-retry" not in response.headers
    assert await stack.job_count() == 0


async def test_a_locked_database_is_told_as_such(
    stack: Any, post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*args: object, **kwargs: object) -> None:
        raise StoreUnavailable("database is locked")

    monkeypatch.setattr(stack.store, "create", refuse)
    response = await post()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "store_unavailable")


async def test_a_dead_router_does_not_stop_a_submission(stack: Any, post: Any) -> None:
    async def refuse() -> None:
        raise ConnectionError("the router is gone")

    object.__setattr__(stack.app.state.context, "nudge", refuse)
    assert (await post()).status_code == 202


async def test_retrieve_tells_where_a_job_is(stack: Any, post: Any) -> None:
    first, second = (await post()).json()["id"], (await post()).json()["id"]
    queued = await stack.client.get(f"/v1/videos/{second}")
    assert queued.json()["progress_detail"]["queue_position"] == 2
    assert queued.json()["progress_detail"]["stage"] == "queued"
    assert 250 <= int(queued.headers["openai-poll-after-ms"]) <= 5000
    fence = await stack.claim(first)
    dispatched = (await stack.client.get(f"/v1/videos/{first}")).json()
    assert dispatched["status"] == "queued"
    assert dispatched["progress_detail"]["stage"] == "dispatched"
    await stack.store.start(first, fence, "worker-1", 60)
    await stack.store.beat(first, fence, 60, Progress("denoising", 3, 10, 7.0))
    running = (await stack.client.get(f"/v1/videos/{first}")).json()
    assert running["status"] == "in_progress"
    detail = running["progress_detail"]
    assert (detail["stage"], detail["step"], detail["steps"], detail["attempt"]) == ("denoising", 3, 10, 1)
    assert 0 < detail["eta_seconds"] <= 7.0
    assert detail["heartbeat_age_seconds"] >= 0
    assert [attempt["status"] for attempt in running["attempts"]] == ["running"]
    assert running["served_model"] == "parallax"


async def test_a_failed_job_is_a_good_answer(stack: Any, post: Any) -> None:
    from models.errors import Disposition

    job_id = (await post()).json()["id"]
    fence = await stack.claim(job_id)
    await stack.store.start(job_id, fence, "worker-1", 60)
    await stack.store.fail(
        job_id,
        fence,
        error={"code": "encode_failed", "message": "the frames could not be written"},
        disposition=Disposition.FAIL,
    )
    response = await stack.client.get(f"/v1/videos/{job_id}")
    assert response.status_code == 200
    assert response.json()["status"] == "failed"
    assert response.json()["error"]["code"] == "encode_failed"
    assert response.json()["error"]["message"] == "the frames could not be written"
    assert "openai-poll-after-ms" not in response.headers


async def test_a_completed_job_shows_everything(
    stack: Any, post: Any, clip: bytes, photograph: bytes
) -> None:
    job_id = (await post()).json()["id"]
    job = await stack.complete(job_id, clip, photograph)
    body = (await stack.client.get(f"/v1/videos/{job_id}")).json()
    assert (body["status"], body["progress"]) == ("completed", 100)
    assert body["completed_at"] == int(job.finished_at)
    assert body["expires_at"] == int(job.retain_until)
    assert body["usage"]["gpu_seconds"] == 0.5
    assert body["geometry"]["effective"]["width"] > 0
    assert "key" not in str(body["attempts"])


async def test_cancel_is_idempotent(stack: Any, post: Any) -> None:
    job_id = (await post()).json()["id"]
    for _ in range(2):
        response = await stack.client.post(f"/v1/videos/{job_id}/cancel")
        assert response.status_code == 200
        assert response.json()["status"] == "cancelled"
    await stack.nudged(3)


async def test_a_running_job_shows_that_it_is_being_cancelled(stack: Any, post: Any) -> None:
    job_id = (await post()).json()["id"]
    fence = await stack.claim(job_id)
    await stack.store.start(job_id, fence, "worker-1", 60)
    body = (await stack.client.post(f"/v1/videos/{job_id}/cancel")).json()
    assert (body["status"], body["progress_detail"]["stage"]) == ("in_progress", "cancelling")
    assert (await stack.store.beat(job_id, fence, 60)).cancel


async def test_delete_cancels_and_purges(stack: Any, post: Any) -> None:
    job_id = (await post()).json()["id"]
    assert len(stack.objects()) == 1
    response = await stack.client.delete(f"/v1/videos/{job_id}")
    assert response.json() == {"id": job_id, "object": "video.deleted", "deleted": True}
    assert stack.objects() == []
    with pytest.raises(JobNotFound):
        await stack.store.get(job_id)
    assert list(await stack.store.garbage()) == []
    assert (await stack.client.delete(f"/v1/videos/{job_id}")).status_code == 404


async def test_media_that_cannot_be_deleted_stay_on_the_list(
    stack: Any, post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = (await post()).json()["id"]

    def refuse(keys: object) -> None:
        raise MediaUnavailable("bucket is read-only")

    monkeypatch.setattr(stack.media, "delete", refuse)
    assert (await stack.client.delete(f"/v1/videos/{job_id}")).status_code == 200
    assert len(await stack.store.garbage()) == 1


async def test_listing_pages_both_ways(stack: Any, post: Any) -> None:
    ids = [(await post()).json()["id"] for _ in range(5)]
    await stack.client.post(f"/v1/videos/{ids[0]}/cancel")
    seen: list[str] = []
    after = None
    for _ in range(3):
        query = {"limit": 2, "order": "asc", **({"after": after} if after else {})}
        page = (await stack.client.get("/v1/videos", params=query)).json()
        seen += [video["id"] for video in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        assert page["has_more"] is (len(seen) < 5)
        after = page["last_id"]
    assert seen == ids
    newest = (await stack.client.get("/v1/videos?limit=2")).json()
    assert [video["id"] for video in newest["data"]] == ids[:2:-1]
    assert newest["data"][0]["routing"] is None
    cancelled = (await stack.client.get("/v1/videos?status=cancelled")).json()
    assert [video["id"] for video in cancelled["data"]] == ids[:1]
    empty = (await stack.client.get("/v1/videos?status=failed")).json()
    assert (empty["data"], empty["first_id"], empty["has_more"]) == ([], None, False)


async def test_a_remix_shares_the_photograph(stack: Any, post: Any) -> None:
    source = (await post(seconds="3", seed="7")).json()["id"]
    response = await stack.client.post(f"/v1/videos/{source}/remix", json={"prompt": "pan left", "fps": 12})
    body = response.json()
    assert response.status_code == 202, body
    assert body["remixed_from_video_id"] == source
    assert (body["prompt"], body["seed"]) == ("pan left", 7)
    assert body["geometry"]["requested"]["fps"] == 12
    remix = await stack.store.get(body["id"])
    assert "pan_left" in remix.features["prompt"]["camera"]
    await stack.client.delete(f"/v1/videos/{source}")
    key = remix.request["media"]["image"]
    assert [path.name for path in stack.objects()] == [key.rsplit("/", 1)[-1]]
    await stack.client.delete(f"/v1/videos/{body['id']}")
    assert stack.objects() == []


@pytest.mark.parametrize(
    ("given", "prompt", "camera"),
    [
        ("push_in", "orbit left around the scene", []),
        ("push_in", "she smiles", [{"move": "push_in", "required": False}]),
        ("zoom_in", "she smiles, no zoom", []),
        ("push_in", "she smiles, no zoom", [{"move": "push_in", "required": False}]),
        ("push_in:required", "orbit left around the scene", [{"move": "push_in", "required": True}]),
    ],
)
async def test_a_remix_in_new_camera_words_drops_the_old_wish(
    stack: Any, post: Any, given: str, prompt: str, camera: list[dict[str, Any]]
) -> None:
    source = (await post(camera=given)).json()["id"]
    response = await stack.client.post(f"/v1/videos/{source}/remix", json={"prompt": prompt})
    assert (await stack.store.get(response.json()["id"])).request["camera"] == camera


async def test_a_bad_remix_is_refused(stack: Any, post: Any) -> None:
    source = (await post()).json()["id"]
    for body, param in (
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x", "input_reference": "data:,"}, "input_reference"),
        ({"prompt": "x", "seconds": -1}, "seconds"),
    ):
        response = await stack.client.post(f"/v1/videos/{source}/remix", json=body)
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    missing = await stack.client.post("/v1/videos/vid_none/remix", json={"prompt": "x"})
    assert missing.status_code == 404


async def test_a_last_frame_makes_it_a_first_and_last_frame_task(
    stack: Any, photograph: bytes, make_picture: Callable[..., Image.Image], encode: Callable[..., bytes]
) -> None:
    files = {
        "input_reference": ("a", photograph, "image/jpeg"),
        "last_image": ("b", encode(make_picture(seed=3)), "image/jpeg"),
    }
    response = await stack.client.post("/v1/videos", data={"prompt": "x"}, files=files)
    if response.status_code == 202:
        job = await stack.store.get(response.json()["id"])
        assert job.request["media"]["last_image"] is not None
        assert len(stack.objects()) == 2
        assert route_request_from_job(job, job.created_at).has_last_image
    else:
        body = response.json()
        assert body["error"]["code"] == "no_route"
        assert "last" in body["detail"]
        assert stack.objects() == []
