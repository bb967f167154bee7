"""The fake of fal: the queue, results that are failures, storage, and webhooks signed with Ed25519."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from PIL import Image

from models.providers.fake.core import Fake
from models.providers.fake.receiver import Message, receiving
from models.providers.fake.server import FakeSettings, running

KEY = {"Authorization": "Key id:secret"}
WAN = "/fal-ai/wan/v2.7/image-to-video"
BODY = {"prompt": "waves", "image_url": "https://pictures.example.com/sea.jpg", "duration": 5}


@asynccontextmanager
async def fal(latency_s: float = 0.02) -> AsyncIterator[tuple[Fake, httpx.AsyncClient]]:
    settings = FakeSettings(provider="fal", key="id:secret", latency_s=latency_s)
    async with running(settings) as fake, httpx.AsyncClient(base_url=fake.url, headers=KEY) as client:
        yield fake, client


async def submitted(client: httpx.AsyncClient, endpoint: str = WAN, **body: Any) -> dict[str, Any]:
    answer = await client.post(endpoint, json=BODY | body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def over(fake: Fake, ticket: dict[str, Any]) -> None:
    call = fake.calls.get(ticket["request_id"])
    assert call is not None
    await fake.over(call)


def photograph(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(file, "JPEG")
    return file.getvalue()


async def test_a_request_waits_runs_and_completes() -> None:
    async with fal(latency_s=1000) as (fake, client):
        first, second = await submitted(client), await submitted(client)
        assert (first["queue_position"], second["queue_position"]) == (0, 1)
        assert first["response_url"] == f"{fake.url}/fal-ai/wan/requests/{first['request_id']}"
        waiting = await client.get(second["status_url"])
        assert (waiting.status_code, waiting.json()["status"]) == (202, "IN_QUEUE")
        assert waiting.json()["queue_position"] == 1
        assert (await client.get(first["response_url"])).status_code == 400

        call = fake.calls.get(first["request_id"])
        assert call is not None
        call.begun -= 500
        running_now = await client.get(first["status_url"] + "?logs=1")
        assert (running_now.json()["status"], running_now.json()["logs"]) == ("IN_PROGRESS", [])

        fake.set_latency(0)
        done = (await client.get(first["status_url"])).json()
        assert done["status"] == "COMPLETED"
        assert "error" not in done
        assert done["metrics"]["inference_time"] > 0
        result = (await client.get(first["response_url"])).json()
        assert result["video"]["content_type"] == "video/mp4"
        async with httpx.AsyncClient() as stranger:
            assert (await stranger.get(result["video"]["url"])).headers["content-type"] == "video/mp4"


async def test_requests_are_asked_for_under_two_segments_only() -> None:
    async with fal() as (_, client):
        ticket = await submitted(client)
        number = ticket["request_id"]
        for path, status in (
            (f"/fal-ai/wan/requests/{number}/status", 200),
            (f"/fal-ai/wan/v2.7/image-to-video/requests/{number}/status", 404),
            (f"/fal-ai/pika/requests/{number}/status", 404),
            ("/fal-ai/wan/requests/nothing/status", 404),
        ):
            await asyncio.sleep(0.03)
            assert (await client.get(path)).status_code == status, path
        luma = await submitted(client, "/luma/agent/ray/v3.2/image-to-video", duration="5s")
        assert f"/luma/agent/requests/{luma['request_id']}/status" in luma["status_url"]


@pytest.mark.parametrize("key", [None, "Bearer id:secret", "Key other"])
async def test_a_wrong_key_is_refused(key: str | None) -> None:
    async with fal() as (fake, _), httpx.AsyncClient(base_url=fake.url) as stranger:
        headers = {} if key is None else {"Authorization": key}
        assert (await stranger.post(WAN, json=BODY, headers=headers)).status_code == 401
        assert (await stranger.post("/storage/auth/token", json={}, headers=headers)).status_code == 401
        assert fake.ledger == []


async def test_what_the_schema_does_not_take_is_refused_by_place() -> None:
    async with fal() as (fake, client):
        for body, place, kind in (
            ({"prompt": "p", "fps": 24}, ["body", "fps"], "extra_forbidden"),
            ({"duration": "5"}, ["body", "duration"], "int_type"),
            ({"duration": 99}, ["body", "duration"], "less_than_equal"),
            ({"duration": 1}, ["body", "duration"], "greater_than_equal"),
            ({"resolution": "4k"}, ["body", "resolution"], "one_of"),
            ({"image_url": "http://192.168.0.1/x"}, ["body", "image_url"], "file_download_error"),
            ({"prompt": "x" * 5001}, ["body", "prompt"], "string_too_long"),
        ):
            answer = await client.post(WAN, json=BODY | body)
            (told,) = answer.json()["detail"]
            assert (answer.status_code, told["loc"], told["type"]) == (422, place, kind)
            assert {"loc", "msg", "type", "url"} <= set(told)
        expected = (await client.post(WAN, json=BODY | {"resolution": "4k"})).json()["detail"][0]["ctx"]
        assert expected == {"expected": ["720p", "1080p"]}
        (missing,) = (await client.post("/fal-ai/wan-i2v", json={"prompt": "p"})).json()["detail"]
        assert (missing["loc"], missing["type"]) == (["body", "image_url"], "missing")
        assert (await client.post(WAN, content=b"[")).status_code == 422
        assert (await client.post("/fal-ai/nothing", json={})).status_code == 404
        assert fake.ledger == []
        fake.script("schema_changed")
        (changed,) = (await client.post(WAN, json=BODY)).json()["detail"]
        assert (changed["loc"], changed["type"]) == (["body", "duration"], "extra_forbidden")


@pytest.mark.parametrize(
    ("fault", "status", "kind", "retryable"),
    [
        ("fails", 500, "internal_server_error", "true"),
        ("refuses_input", 422, "face_detection_error", "false"),
        ("refuses_content", 422, "content_policy_violation", "false"),
    ],
)
async def test_completed_is_not_success(fault: str, status: int, kind: str, retryable: str) -> None:
    async with fal() as (fake, client):
        fake.script(fault)
        ticket = await submitted(client)
        await over(fake, ticket)
        told = (await client.get(ticket["status_url"])).json()
        assert (told["status"], told["error_type"]) == ("COMPLETED", kind)
        result = await client.get(ticket["response_url"])
        assert result.status_code == status
        assert result.json()["detail"][0]["type"] == kind
        assert result.headers["x-fal-retryable"] == retryable
        (row,) = fake.ledger
        assert (row["status"], row["billed"]) == ("failed", False)


async def test_a_joint_limit_is_found_by_the_runner() -> None:
    async with fal() as (fake, client):
        body = {"prompt": "p", "image_url": BODY["image_url"], "duration": 20, "resolution": "2160p"}
        answer = await client.post("/fal-ai/ltx-2.3/image-to-video/fast", json=body)
        await over(fake, answer.json())
        result = await client.get(answer.json()["response_url"])
        (told,) = result.json()["detail"]
        assert (result.status_code, told["loc"], told["type"]) == (422, ["body", "resolution"], "value_error")
        assert "1080p" in told["msg"]


async def test_cancelling() -> None:
    async with fal(latency_s=1000) as (fake, client):
        ticket = await submitted(client)
        assert (await client.put(ticket["cancel_url"])).json() == {"status": "CANCELLATION_REQUESTED"}
        again = await client.put(ticket["cancel_url"])
        assert (again.status_code, again.json()) == (400, {"status": "ALREADY_COMPLETED"})
        told = (await client.get(ticket["status_url"])).json()
        assert (told["status"], told["error_type"]) == ("COMPLETED", "client_cancelled")
        assert (await client.get(ticket["response_url"])).status_code == 499
        assert (await client.put("/fal-ai/wan/requests/nothing/cancel")).status_code == 404

        fake.script("cancel_race")
        raced = await submitted(client)
        assert (await client.put(raced["cancel_url"])).status_code == 202
        assert (await client.get(raced["response_url"])).status_code == 200
        fake.script("cancel_deaf")
        deaf = await submitted(client)
        assert (await client.put(deaf["cancel_url"])).status_code == 500
        assert [row["status"] for row in fake.ledger] == ["cancelled", "succeeded", "queued"]


async def test_a_request_that_does_not_start_in_time_ends() -> None:
    async with fal(latency_s=1000) as (fake, client):
        answer = await client.post(WAN, json=BODY, headers={"X-Fal-Request-Timeout": "20"})
        call = fake.calls.get(answer.json()["request_id"])
        assert call is not None
        call.deadline = fake.now()
        result = await client.get(answer.json()["response_url"])
        assert (result.status_code, result.headers["x-fal-request-timeout-type"]) == (504, "user")
        fake.set_latency(1)
        patient = await client.post(WAN, json=BODY, headers={"X-Fal-Request-Timeout": "20"})
        call = fake.calls.get(patient.json()["request_id"])
        assert call is not None
        assert call.deadline is None


async def test_an_empty_account_is_told_in_fals_own_way() -> None:
    async with fal() as (fake, client):
        fake.script("no_quota")
        locked = await client.post(WAN, json=BODY)
        assert locked.status_code == 403
        assert "Exhausted balance" in locked.json()["detail"]
        for fault, status in (("rate_limited", 429), ("error_before_accept", 503), ("retired", 404)):
            fake.script(fault)
            assert (await client.post(WAN, json=BODY)).status_code == status
        ticket = await submitted(client)
        fake.script("look_errors")
        fake.script("forgets")
        looks = [(await client.get(ticket["status_url"])).status_code for _ in range(2)]
        assert looks == [503, 404]


# --- storage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/rest"])
async def test_an_announced_upload_is_put_and_read(prefix: str) -> None:
    async with fal() as (fake, client):
        told = {"file_name": "call_1-image.jpg", "content_type": "image/jpeg"}
        place = (await client.post(f"{prefix}/storage/upload/initiate", json=told)).json()
        body = {**BODY, "image_url": place["file_url"]}
        assert (await client.post(WAN, json=body)).status_code == 422, "nothing lies there yet"
        async with httpx.AsyncClient() as stranger:
            put = await stranger.put(place["upload_url"], content=photograph(480, 640))
            assert put.status_code == 200
            unsigned = place["upload_url"].partition("?")[0]
            assert (await stranger.put(unsigned, content=b"x")).status_code == 403
        made = await client.post(WAN, json=body)
        call = fake.calls.get(made.json()["request_id"])
        assert call is not None
        assert call.shape.width / call.shape.height == pytest.approx(0.75, rel=0.01)
        assert (await client.post(f"{prefix}/storage/upload/initiate", json={})).status_code == 400


async def test_an_upload_with_a_token() -> None:
    async with fal() as (fake, client):
        token = (await client.post("/storage/auth/token?storage_type=fal-cdn-v3", json={})).json()
        headers = {
            "Authorization": f"{token['token_type']} {token['token']}",
            "Content-Type": "image/jpeg",
            "X-Fal-File-Name": "small.jpg",
        }
        content = photograph(100, 100)
        stored = await client.post(f"{token['base_url']}/files/upload", content=content, headers=headers)
        url = stored.json()["access_url"]
        upload = fake.uploads.by_url(url)
        assert upload is not None
        assert (upload.facts.name, upload.facts.width) == ("small.jpg", 100)
        refused = await client.post("/files/upload", content=content)
        assert refused.status_code == 401

        ticket = await submitted(client, image_url=url)
        await over(fake, ticket)
        (told,) = (await client.get(ticket["response_url"])).json()["detail"]
        assert told["type"] == "image_too_small"
        assert told["ctx"] == {"min": 240, "provided": 100}


# --- webhooks --------------------------------------------------------------------------------


def genuine(message: Message, jwks: dict[str, Any]) -> bool:
    """fal's signature, checked by hand."""
    headers = message.headers
    lines = [headers[f"x-fal-webhook-{name}"] for name in ("request-id", "user-id", "timestamp")]
    signed = "\n".join([*lines, hashlib.sha256(message.body).hexdigest()]).encode()
    (key,) = jwks["keys"]
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    try:
        public.verify(bytes.fromhex(headers["x-fal-webhook-signature"]), signed)
    except InvalidSignature:
        return False
    return True


async def told_of(fault: str | None) -> list[tuple[Message, bool]]:
    """What arrived, and whether its signature holds."""
    async with receiving() as receiver, fal() as (fake, client):
        if fault is not None:
            fake.script(fault, seconds=0.2)
        hook = f"{receiver.url}/hook?call=call_7"
        made = await client.post(WAN, json=BODY, params={"fal_webhook": hook})
        assert made.status_code == 200
        await over(fake, made.json())
        await fake.idle()
        jwks = (await client.get("/.well-known/jwks.json", headers={"Authorization": ""})).json()
        for message in receiver.messages:
            assert message.path == "/hook?call=call_7"
            assert message.json()["request_id"] == made.json()["request_id"]
        return [(message, genuine(message, jwks)) for message in receiver.messages]


async def test_a_webhook_brings_the_result_under_a_signature_that_holds() -> None:
    ((message, holds),) = await told_of(None)
    assert holds
    told = message.json()
    assert (told["status"], told["error"]) == ("OK", None)
    assert told["payload"]["video"]["url"].endswith(".mp4")
    assert told["gateway_request_id"]


async def test_a_webhook_of_a_failed_run_says_so() -> None:
    ((message, holds),) = await told_of("refuses_content")
    assert holds
    assert message.json()["status"] == "ERROR"
    assert message.json()["payload"]["detail"][0]["type"] == "content_policy_violation"


async def test_webhooks_go_wrong_as_scripted() -> None:
    twice, missing, forged, late = await asyncio.gather(
        *(told_of(f"webhook_{fault}") for fault in ("twice", "missing", "forged", "late"))
    )
    assert [holds for _, holds in twice] == [True, True]
    assert missing == []
    assert [holds for _, holds in forged] == [False]
    assert [holds for _, holds in late] == [True]
