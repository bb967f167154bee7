"""The fakes of engines: what each refuses, ignores and repeats, and that one GPU makes one clip at a time."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from PIL import Image

from models.providers.fake.core import Fake
from models.providers.fake.engine_forms import BadField, EngineName, parsed
from models.providers.fake.server import FakeSettings, app

NAMES: tuple[EngineName, ...] = ("vllm-omni", "sglang", "trtllm", "fastvideo")
each_engine = pytest.mark.parametrize("name", NAMES)
FORM = {"prompt": "waves", "size": "96x64", "fps": "16", "num_frames": "9", "seconds": "1"}


class Clock:
    """Time that tests move by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def a_picture() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (96, 64)).save(target, "PNG")
    return target.getvalue()


@asynccontextmanager
async def asked(name: str, latency_s: float = 4.0) -> AsyncIterator[tuple[Fake, httpx.AsyncClient, Clock]]:
    clock = Clock()
    fake = Fake(FakeSettings(provider=name, latency_s=latency_s), clock)
    fake.url = "http://engine"
    transport = httpx.ASGITransport(app(fake))
    async with httpx.AsyncClient(transport=transport, base_url=fake.url) as client:
        yield fake, client, clock
    await fake.close()


async def submit(client: httpx.AsyncClient, **more: str) -> httpx.Response:
    files = {"input_reference": ("x.png", a_picture(), "image/png")}
    return await client.post("/v1/videos", data={**FORM, **more}, files=files)


def status(response: httpx.Response) -> Any:
    return response.json()["status"]


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("vllm-omni", "seconds", "4.5"),
        ("vllm-omni", "size", "96by64"),
        ("vllm-omni", "num_inference_steps", "201"),
        ("vllm-omni", "guidance_scale", "30"),
        ("sglang", "fps", "12.5"),
        ("sglang", "seconds", "4.5"),
        ("trtllm", "fps", "12.5"),
        ("fastvideo", "num_frames", "nine"),
    ],
)
async def test_what_a_form_refuses(name: EngineName, field: str, value: str) -> None:
    with pytest.raises(BadField):
        parsed(name, {**FORM, field: value})
    async with asked(name) as (fake, client, _):
        assert (await submit(client, **{field: value})).status_code in {400, 422}
        assert not fake.ledger


@pytest.mark.parametrize(
    ("name", "form", "frames", "fps"),
    [
        ("vllm-omni", {"prompt": "p", "num_frames": "81", "fps": "12.5", "seconds": "9"}, 81, 12.5),
        ("sglang", {"prompt": "p", "seconds": "5"}, 120, 24.0),
        ("sglang", {"prompt": "p", "num_frames": "81"}, 81, 24.0),
        ("fastvideo", {"prompt": "p"}, 96, 24.0),
        ("trtllm", {"prompt": "p", "seconds": "5.0", "fps": "16", "num_frames": "81"}, 80, 16.0),
        ("trtllm", {"prompt": "p", "seconds": "5.04166", "fps": "24"}, 120, 24.0),
    ],
)
def test_what_is_left_out_is_filled_in(
    name: EngineName, form: dict[str, str], frames: int, fps: float
) -> None:
    shape = parsed(name, form).shape
    assert (shape.frames, shape.fps) == (frames, fps)


@each_engine
async def test_no_prompt_no_clip(name: str) -> None:
    async with asked(name) as (fake, client, _):
        refused = await submit(client, prompt="")
        assert refused.status_code in {400, 422}
        assert ("message" in refused.json()) == (name == "trtllm")
        assert not fake.ledger


@each_engine
async def test_one_clip_at_a_time_in_order(name: str) -> None:
    async with asked(name, latency_s=4.0) as (_, client, clock):
        ids = [(await submit(client)).json()["id"] for _ in range(3)]

        async def words() -> list[str]:
            return [status(await client.get(f"/v1/videos/{job}")) for job in ids]

        if name == "fastvideo":
            assert await words() == ["queued"] * 3
            clock.now += 4.0
            assert await words() == ["completed"] * 3
            return
        working = {"trtllm": "generating"}.get(name, "in_progress")
        assert await words() == ["queued"] * 3
        clock.now += 1.5
        assert await words() == [working, "queued", "queued"]
        clock.now += 3.0
        assert await words() == ["completed", working, "queued"]
        clock.now += 3.0
        assert await words() == ["completed", "completed", working]
        clock.now += 3.0
        assert await words() == ["completed"] * 3


@each_engine
async def test_a_deleted_clip_makes_room_only_where_deleting_stops(name: str) -> None:
    async with asked(name, latency_s=8.0) as (fake, client, clock):
        first, second = [(await submit(client)).json()["id"] for _ in range(2)]
        clock.now += 3.0
        told = (await client.delete(f"/v1/videos/{first}")).json()
        assert told.get("deleted", told.get("status")) in {True, "deleted"}
        assert (await client.get(f"/v1/videos/{first}")).status_code == 404
        assert (await client.delete(f"/v1/videos/{first}")).status_code == 404
        clock.now += 1.0
        running = status(await client.get(f"/v1/videos/{second}")) not in {"queued"}
        assert running == (name == "vllm-omni")
        assert fake.ledger[0]["status"] == ("cancelled" if name == "vllm-omni" else "running")


async def test_a_waiting_clip_that_is_deleted_takes_no_time() -> None:
    async with asked("vllm-omni", latency_s=4.0) as (_, client, clock):
        ids = [(await submit(client)).json()["id"] for _ in range(3)]
        await client.delete(f"/v1/videos/{ids[1]}")
        clock.now += 4.5
        assert status(await client.get(f"/v1/videos/{ids[2]}")) == "in_progress"


@each_engine
async def test_what_a_listing_repeats(name: str) -> None:
    async with asked(name) as (_, client, _):
        model = {} if name == "vllm-omni" else {"model": "anything"}
        await submit(client, **model)
        (job,) = (await client.get("/v1/videos")).json()["data"]
        assert job["model"] == ("Wan-AI/Wan2.2-I2V-A14B-Diffusers" if name == "vllm-omni" else "anything")
        assert ("prompt" in job) == (name in {"vllm-omni", "trtllm"})
        assert job["size"] == "96x64"
        other = await submit(client, model="another")
        assert (other.status_code == 400) == (name == "vllm-omni")


@each_engine
async def test_pages_of_a_listing(name: str) -> None:
    async with asked(name) as (fake, client, _):
        ids = [(await submit(client)).json()["id"] for _ in range(25)]
        for age, job in enumerate(reversed(ids)):
            fake.calls.get(job).accepted_at -= 10 * age  # type: ignore[union-attr]
        page = (await client.get("/v1/videos", params={"limit": "10", "order": "desc"})).json()
        shown = [job["id"] for job in page["data"]]
        if name == "trtllm":
            assert shown == ids
            return
        assert shown == ids[:-11:-1]
        assert page.get("has_more") == (None if name == "fastvideo" else True)
        rest = (await client.get("/v1/videos", params={"after": shown[-1], "limit": "100"})).json()
        assert [job["id"] for job in rest["data"]] == ids[14::-1]
        whole = len((await client.get("/v1/videos")).json()["data"])
        assert whole == (20 if name == "sglang" else 25)


@each_engine
async def test_a_failed_job_as_http(name: str) -> None:
    async with asked(name, latency_s=0.0) as (fake, client, _):
        fake.script("fails")
        job = (await submit(client)).json()["id"]
        answer = await client.get(f"/v1/videos/{job}")
        assert answer.status_code == (500 if name == "vllm-omni" else 200)
        assert status(answer) == "failed"
        assert isinstance(answer.json()["error"], str if name == "trtllm" else dict)
        assert (await client.get(f"/v1/videos/{job}/content")).status_code >= 400


async def test_the_content_route_of_sglang_wants_a_number() -> None:
    async with asked("sglang", latency_s=0.0) as (fake, client, _):
        job = (await submit(client)).json()["id"]
        content = f"/v1/videos/{job}/content"
        assert (await client.get(content, params={"variant": "video"})).status_code == 404
        assert (await client.get(content, params={"variant": "0"})).headers["content-type"] == "video/mp4"
        fake.calls.get(job).tags["cloud"] = True  # type: ignore[union-attr]
        assert (await client.get(content)).status_code == 400


@each_engine
async def test_content_comes_when_it_is_there(name: str) -> None:
    async with asked(name, latency_s=4.0) as (_, client, clock):
        job = (await submit(client)).json()["id"]
        assert (await client.get(f"/v1/videos/{job}/content")).status_code in {400, 404}
        clock.now += 4.0
        assert (await client.get(f"/v1/videos/{job}/content")).content[4:8] == b"ftyp"
