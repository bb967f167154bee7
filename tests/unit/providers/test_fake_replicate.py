"""The fake of Replicate: routes, states, refusals, files, listing and signed webhooks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.providers.fake.core import Fake
from models.providers.fake.receiver import Message, receiving
from models.providers.fake.schema import schemas
from models.providers.fake.server import FakeSettings, running

KEY = {"Authorization": "Bearer r8_key"}
SECRET = "whsec_" + base64.b64encode(b"between us").decode()
HAILUO = "/v1/models/minimax/hailuo-2.3/predictions"
INPUT = {"prompt": "waves", "first_frame_image": "https://pictures.example.com/sea.jpg"}


@asynccontextmanager
async def replicate(latency_s: float = 0.02) -> AsyncIterator[tuple[Fake, httpx.AsyncClient]]:
    settings = FakeSettings(provider="replicate", key="r8_key", latency_s=latency_s, webhook_secret=SECRET)
    async with running(settings) as fake, httpx.AsyncClient(base_url=fake.url, headers=KEY) as client:
        yield fake, client


async def finished(fake: Fake, client: httpx.AsyncClient, prediction: dict[str, Any]) -> dict[str, Any]:
    call = fake.calls.get(prediction["id"])
    assert call is not None
    await fake.over(call)
    told: dict[str, Any] = (await client.get(prediction["urls"]["get"])).raise_for_status().json()
    return told


def photograph(width: int = 640, height: int = 480) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(file, "JPEG")
    return file.getvalue()


async def upload(client: httpx.AsyncClient, content: bytes, name: str = "call_1-image.jpg") -> dict[str, Any]:
    files = {"content": (name, content, "image/jpeg")}
    answer = await client.post("/v1/files", files=files, data={"metadata": "{}"})
    assert answer.status_code == 201
    told: dict[str, Any] = answer.json()
    return told


async def test_a_prediction_runs_and_its_output_is_fetched_without_a_key() -> None:
    async with replicate() as (fake, client):
        answer = await client.post(HAILUO, json={"input": INPUT})
        made = answer.json()
        assert answer.status_code == 201
        assert (made["status"], made["model"], made["version"]) == (
            "starting",
            "minimax/hailuo-2.3",
            "hidden",
        )
        assert made["input"] == INPUT
        assert len(made["id"]) == 26
        assert (made["output"], made["error"], made["completed_at"]) == (None, None, None)
        done = await finished(fake, client, made)
        assert done["status"] == "succeeded"
        assert done["metrics"]["predict_time"] > 0
        assert done["started_at"] < done["completed_at"]
        async with httpx.AsyncClient() as stranger:
            clip = await stranger.get(done["output"])
        assert clip.headers["content-type"] == "video/mp4"


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_routes_are_there_with_and_without_the_version(prefix: str) -> None:
    async with replicate() as (_, client):
        assert (await client.get(f"{prefix}/account")).json()["type"] == "organization"
        assert (await client.get(f"{prefix}/webhooks/default/secret")).json() == {"key": SECRET}
        made = await client.post(HAILUO.replace("/v1", prefix), json={"input": INPUT})
        assert (await client.get(f"{prefix}/predictions/{made.json()['id']}")).status_code == 200


@pytest.mark.parametrize("key", [None, "Bearer other", "Key r8_key", "Bearer"])
async def test_a_wrong_key_gets_a_problem_document(key: str | None) -> None:
    async with replicate() as (fake, _), httpx.AsyncClient(base_url=fake.url) as stranger:
        headers = {} if key is None else {"Authorization": key}
        for answer in (
            await stranger.post(HAILUO, json={"input": INPUT}, headers=headers),
            await stranger.get("/v1/predictions", headers=headers),
        ):
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == 401
        assert fake.ledger == []


async def test_what_the_schema_does_not_take_is_refused_by_name() -> None:
    async with replicate() as (fake, client):

        async def refused(**changes: object) -> str:
            answer = await client.post(HAILUO, json={"input": {**INPUT, **changes}})
            assert answer.status_code == 422
            return str(answer.json()["detail"])

        assert await refused(fps=24) == "- input: Additional property fps is not allowed\n"
        assert "input.duration" in await refused(duration=7)
        assert "Expected: integer, given: string" in await refused(duration="6")
        assert "input.first_frame_image" in await refused(first_frame_image="http://10.1.1.1/a.jpg")
        none = await client.post(HAILUO, json={"input": {}})
        assert none.json()["detail"] == "- input: prompt is required\n"
        for body in ({}, {"input": []}, {"input": INPUT, "seed": 1}, {"input": INPUT, "webhook": "x"},
                     {"input": INPUT, "webhook_events_filter": ["never"]}):  # fmt: skip
            assert (await client.post(HAILUO, json=body)).status_code == 422
        assert (await client.post(HAILUO, content=b"{")).status_code == 400
        assert fake.ledger == []
        fake.script("schema_changed", field="duration")
        assert "Additional property duration" in await refused()


async def test_a_joint_limit_is_found_by_the_run() -> None:
    async with replicate() as (fake, client):
        body = {"input": {**INPUT, "resolution": "1080p", "duration": 10}}
        made = await client.post(HAILUO, json=body)
        assert made.status_code == 201
        done = await finished(fake, client, made.json())
        assert done["status"] == "failed"
        assert "E006" in done["error"]
        assert "1080p supports only 6 seconds" in done["error"]
        assert fake.ledger[0]["billed"] is False


@pytest.mark.parametrize(
    ("fault", "words"),
    [("fails", "E1000"), ("refuses_input", "E006 invalid input"), ("refuses_content", "E005")],
)
async def test_runs_fail_as_scripted(fault: str, words: str) -> None:
    async with replicate() as (fake, client):
        fake.script(fault)
        first, second = [(await client.post(HAILUO, json={"input": INPUT})).json() for _ in range(2)]
        failed = await finished(fake, client, first)
        assert (failed["status"], failed["output"]) == ("failed", None)
        assert words in failed["error"]
        assert (await finished(fake, client, second))["status"] == "succeeded"


async def test_community_models_are_reached_by_version_only() -> None:
    async with replicate() as (fake, client):
        name = "ali-vilab/i2vgen-xl"
        body = {"input": {"image": "https://a.example/b.jpg", "prompt": "waves"}}
        assert (await client.post(f"/v1/models/{name}/predictions", json=body)).status_code == 404
        model = (await client.get(f"/v1/models/{name}")).json()
        version = model["latest_version"]["id"]
        assert version.startswith(schemas("replicate")[name].version_prefix)
        assert len(version) == 64
        for named in (version, f"{name}:{version}", name, "6b3fb8d142d5" + "0" * 52):
            made = await client.post("/v1/predictions", json={**body, "version": named})
            assert made.status_code == 201, named
            assert made.json()["version"] == version
        for wrong in ("f" * 64, "nobody/nothing", f"cjwbw/pia:{version}", "latest"):
            refused = await client.post("/v1/predictions", json={**body, "version": wrong})
            assert refused.status_code == 422
            assert "does not exist" in refused.json()["detail"]
        assert (await client.post("/v1/predictions", json=body)).status_code == 422
        assert (await client.get(f"/v1/models/{name}/versions/{version}")).json()["id"] == version
        assert {row["endpoint"] for row in fake.ledger} == {name}


async def test_the_live_schema_lists_fields_enums_and_what_is_needed() -> None:
    async with replicate() as (_, client):
        told = (await client.get("/v1/models/minimax/hailuo-2.3")).json()
        parts = told["latest_version"]["openapi_schema"]["components"]["schemas"]
        assert set(parts["Input"]["properties"]) == set(schemas("replicate")["minimax/hailuo-2.3"].fields)
        assert parts["Input"]["required"] == ["prompt"]
        assert parts["Input"]["properties"]["duration"]["allOf"] == [
            {"$ref": "#/components/schemas/duration"}
        ]
        assert parts["duration"] == {"enum": [6, 10], "type": "integer", "title": "duration"}
        assert (await client.get("/v1/models/nobody/nothing")).status_code == 404


async def test_cancelling_stops_what_is_open_and_leaves_the_rest() -> None:
    async with replicate(latency_s=1000) as (fake, client):
        first = (await client.post(HAILUO, json={"input": INPUT})).json()
        told = (await client.post(first["urls"]["cancel"])).json()
        assert told["status"] == "canceled"
        assert fake.ledger[0]["cancelled"] is True
        assert fake.ledger[0]["billed"] is False, "it had not begun"

        fake.script("cancel_race")
        second = (await client.post(HAILUO, json={"input": INPUT})).json()
        assert (await client.post(second["urls"]["cancel"])).json()["status"] == "succeeded"
        assert (await client.post(second["urls"]["cancel"])).json()["status"] == "succeeded"

        fake.script("cancel_deaf")
        third = (await client.post(HAILUO, json={"input": INPUT})).json()
        assert (await client.post(third["urls"]["cancel"])).status_code == 500
        assert (await client.get(third["urls"]["get"])).json()["status"] == "starting"
        assert (await client.post("/v1/predictions/unknown/cancel")).status_code == 404


async def test_cancel_after_aborts_what_has_not_begun_and_cancels_what_has() -> None:
    async with replicate(latency_s=1000) as (fake, client):
        made = (await client.post(HAILUO, json={"input": INPUT}, headers={"Cancel-After": "5s"})).json()
        assert made["deadline"] is not None
        call = fake.calls.get(made["id"])
        assert call is not None
        call.deadline = fake.now()
        assert (await client.get(made["urls"]["get"])).json()["status"] == "aborted"

        fake.set_latency(4.0)
        run = (await client.post(HAILUO, json={"input": INPUT}, headers={"Cancel-After": "1m"})).json()
        call = fake.calls.get(run["id"])
        assert call is not None
        assert call.deadline == pytest.approx(call.begun + 60)
        call.begun, call.deadline = fake.now() - 2.0, fake.now() - 0.5
        assert (await client.get(run["urls"]["get"])).json()["status"] == "canceled"
        assert fake.ledger[1]["billed"] is True


async def test_prefer_wait_answers_when_it_is_done() -> None:
    async with replicate(latency_s=0.05) as (fake, client):
        made = await client.post(HAILUO, json={"input": INPUT}, headers={"Prefer": "wait=5"})
        assert made.json()["status"] == "succeeded"
        fake.set_latency(1000)
        early = await client.post(HAILUO, json={"input": INPUT}, headers={"Prefer": "wait=1"})
        assert early.json()["status"] == "starting"


async def test_the_listing_is_newest_first_with_a_cursor() -> None:
    async with replicate() as (fake, client):
        made = [(await client.post(HAILUO, json={"input": INPUT})).json()["id"] for _ in range(205)]
        url: str | None = "/v1/predictions"
        pages = []
        while url is not None:
            told = (await client.get(url)).json()
            pages.append([row["id"] for row in told["results"]])
            assert all(row["input"] == INPUT for row in told["results"])
            url = told["next"]
        assert [len(page) for page in pages] == [100, 100, 5]
        assert [row for page in pages for row in page] == made[::-1]
        assert (await client.get("/v1/predictions?cursor=nothing")).status_code == 400
        assert fake.requests["list"] == 4


async def test_old_predictions_lose_input_and_output() -> None:
    async with replicate() as (fake, client):
        made = (await client.post(HAILUO, json={"input": INPUT})).json()
        call = fake.calls.get(made["id"])
        assert call is not None
        call.begun -= 3700
        told = (await client.get(made["urls"]["get"])).json()
        assert (told["status"], told["data_removed"], told["input"], told["output"]) == (
            "succeeded",
            True,
            {},
            None,
        )


async def test_an_uploaded_photograph_shapes_the_clip() -> None:
    async with replicate() as (fake, client):
        file = await upload(client, photograph(480, 640))
        assert file["size"] == len(photograph(480, 640))
        assert file["checksums"]["sha256"] == hashlib.sha256(photograph(480, 640)).hexdigest()
        url = file["urls"]["get"]
        assert (await client.get(url)).json()["name"] == "call_1-image.jpg"
        made = await client.post(HAILUO, json={"input": {**INPUT, "first_frame_image": url}})
        call = fake.calls.get(made.json()["id"])
        assert call is not None
        assert call.shape.width / call.shape.height == pytest.approx(480 / 640, rel=0.01)
        assert (await client.delete(url)).status_code == 204
        assert (await client.delete(url)).status_code == 404
        again = await client.post(HAILUO, json={"input": {**INPUT, "first_frame_image": url}})
        assert again.status_code == 422
        assert (await client.post("/v1/files", data={"metadata": "{}"})).status_code == 400


async def test_an_unreadable_or_small_photograph_fails_the_run() -> None:
    async with replicate() as (fake, client):
        kling = "/v1/models/kwaivgi/kling-v3-video/predictions"
        for content in (b"not a picture", photograph(200, 200)):
            url = (await upload(client, content))["urls"]["get"]
            made = await client.post(kling, json={"input": {"prompt": "p", "start_image": url}})
            assert made.status_code == 201
            assert "E006" in (await finished(fake, client, made.json()))["error"]


async def test_data_uris_have_a_limit() -> None:
    async with replicate() as (_, client):
        small = "data:image/jpeg;base64," + base64.b64encode(photograph()).decode()
        large = "data:image/jpeg;base64," + base64.b64encode(bytes(200 * 1024)).decode()
        assert (
            await client.post(HAILUO, json={"input": {**INPUT, "first_frame_image": small}})
        ).status_code == 201
        refused = await client.post(HAILUO, json={"input": {**INPUT, "first_frame_image": large}})
        assert refused.status_code == 422


async def test_looks_go_wrong_as_scripted() -> None:
    async with replicate() as (fake, client):
        made = (await client.post(HAILUO, json={"input": INPUT})).json()
        for fault in ("look_errors", "forgets"):
            fake.script(fault)
        statuses = [(await client.get(made["urls"]["get"])).status_code for _ in range(3)]
        assert statuses == [503, 404, 200]
        fake.script("rate_limited", retry_after_s=30)
        throttled = await client.post(HAILUO, json={"input": INPUT})
        assert "resets in ~30s" in throttled.json()["detail"]
        fake.script("retired")
        assert (await client.get("/v1/models/minimax/hailuo-2.3")).status_code == 404


# --- webhooks --------------------------------------------------------------------------------


def genuine(message: Message, secret: str = SECRET) -> bool:
    """Standard Webhooks, checked by hand."""
    headers = message.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + message.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return headers["webhook-signature"] == f"v1,{digest}"


async def told_of(fault: str | None, *, events: list[str] | None = None, refuse: int = 0) -> list[Message]:
    async with receiving(refuse=refuse) as receiver, replicate() as (fake, client):
        if fault is not None:
            fake.script(fault, seconds=0.2)
        body = {"input": INPUT, "webhook": f"{receiver.url}/hook?call=call_7"}
        made = await client.post(HAILUO, json=body | ({"webhook_events_filter": events} if events else {}))
        await finished(fake, client, made.json())
        await fake.idle()
        for message in receiver.messages:
            assert message.path == "/hook?call=call_7"
            assert message.json()["id"] == made.json()["id"]
        return receiver.messages


async def test_webhooks_are_signed_and_show_the_prediction() -> None:
    (message,) = await told_of(None, events=["completed"])
    assert message.json()["status"] == "succeeded"
    assert genuine(message)
    assert not genuine(message, "whsec_" + base64.b64encode(b"another").decode())


async def test_webhooks_tell_of_start_and_output_too() -> None:
    messages = await told_of(None)
    assert [message.json()["status"] for message in messages] == ["processing", "succeeded", "succeeded"]
    assert all(map(genuine, messages))


async def test_a_webhook_that_is_refused_comes_again_under_its_id() -> None:
    messages = await told_of(None, events=["completed"], refuse=2)
    assert len(messages) == 3
    assert len({message.headers["webhook-id"] for message in messages}) == 1
    assert all(map(genuine, messages))


async def test_webhooks_go_wrong_as_scripted() -> None:
    done = ["completed"]
    twice, missing, forged, late = await asyncio.gather(
        *(told_of(f"webhook_{fault}", events=done) for fault in ("twice", "missing", "forged", "late"))
    )
    assert len(twice) == 2
    assert twice[0].headers["webhook-id"] == twice[1].headers["webhook-id"]
    assert missing == []
    assert [genuine(message) for message in forged] == [False]
    assert [genuine(message) for message in late] == [True]
