"""The shipped client against the real Gateway, so that neither side can drift from the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.errors import Disposition
from router.client import ApiError, AsyncClient


@pytest.fixture
async def client(stack: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient("http://gateway", transport=httpx.ASGITransport(stack.app)) as connected:
        yield connected


async def test_a_job_from_create_to_download(
    client: AsyncClient, stack: Any, photograph: bytes, clip: bytes, tmp_path: Path
) -> None:
    job = await client.create(
        photograph,
        "slow push in",
        model="parallax",
        seconds=2,
        size="320x192",
        camera=["push_in"],
        tags=["a", "b"],
    )
    assert (job.status, job.model, job.tags) == ("queued", "parallax", ["a", "b"])
    assert job.routing is not None
    assert job.routing["chosen"]["model"] == "parallax"
    assert job.geometry is not None
    assert (job.geometry.requested.width, job.geometry.requested.seconds) == (320, 2)

    waiting = asyncio.create_task(client.wait(job.id, poll=0.02, timeout=30))
    await stack.complete(job.id, clip, b"a picture")
    done = await waiting
    assert (done.status, done.progress, done.served_model) == ("completed", 100, "parallax")
    events = [event async for event in client.events(job.id)]
    assert (events[0].type, events[-1].type) == ("queued", "completed")
    assert [event async for event in client.events(job.id, after=events[0].seq)] == events[1:]

    assert await client.content(job.id) == clip
    assert await client.content(job.id, "thumbnail") == b"a picture"
    assert (await client.download(job.id, tmp_path / "clip.mp4")).read_bytes() == clip


async def test_same_key_is_the_same_job(client: AsyncClient, photograph: bytes) -> None:
    jobs = [await client.create(photograph, "waves", model="parallax", idempotency_key="k") for _ in range(2)]
    others = [await client.create(photograph, "waves", model="parallax") for _ in range(2)]
    assert jobs[0].id == jobs[1].id
    assert len({job.id for job in [*jobs, *others]}) == 3


async def test_listing_cancel_and_delete(client: AsyncClient, photograph: bytes) -> None:
    made = [(await client.create(photograph, f"waves {index}", model="parallax")).id for index in range(5)]
    assert [job.id async for job in client.list(page_size=2)] == made[::-1]
    assert (await client.cancel(made[0])).status == "cancelled"
    assert [job.id async for job in client.list(status="cancelled")] == [made[0]]
    await client.delete(made[0])
    with pytest.raises(ApiError) as caught:
        await client.retrieve(made[0])
    assert (caught.value.status, caught.value.code) == (404, "job_not_found")


async def test_remix_keeps_what_is_not_replaced(client: AsyncClient, photograph: bytes) -> None:
    first = await client.create(photograph, "waves", model="parallax", seconds=2, seed=5)
    second = await client.remix(first.id, "rain", seconds=3)
    assert (second.prompt, second.remixed_from_video_id, second.seed) == ("rain", first.id, 5)
    assert second.geometry is not None
    assert second.geometry.requested.seconds == 3


async def test_a_failed_job_is_returned_and_says_why(
    client: AsyncClient, stack: Any, photograph: bytes
) -> None:
    job = await client.create(photograph, "waves", model="parallax")
    fence = await stack.claim(job.id)
    await stack.store.start(job.id, fence, "worker-1", 60)
    error = {"code": "input_refused", "message": "no"}
    await stack.store.fail(job.id, fence, error=error, disposition=Disposition.FAIL)
    ended = await client.wait(job.id, timeout=30)
    assert ended.status == "failed"
    assert ended.error is not None
    assert (ended.error.code, ended.error.message) == ("input_refused", "no")
    assert ended.attempts is not None
    assert ended.attempts[0].status == "failed"


async def test_route_by_photograph_and_by_shape(client: AsyncClient, photograph: bytes) -> None:
    by_photograph = await client.route(photograph, "slow push in", objective="preview", fleet="all")
    by_shape = await client.route(prompt="slow push in", image_size="320x200", objective="preview")
    assert by_photograph["chosen"]["model"] == by_shape["chosen"]["model"]
    assert by_photograph["features"]["image"]["width"] == 320


async def test_refusals_name_the_field(client: AsyncClient, photograph: bytes) -> None:
    for options, param in (({"model": "nobody"}, "model"), ({"size": "1x1"}, "size"), ({"fps": 0.0}, "fps")):
        with pytest.raises(ApiError) as caught:
            await client.create(photograph, "waves", **options)  # type: ignore[arg-type]
        assert caught.value.param == param
        assert caught.value.request_id


async def test_models_and_health(client: AsyncClient) -> None:
    cards = await client.models()
    assert "parallax" in {card.id for card in cards}
    assert (await client.model("parallax")).title
    assert (await client.health()).ready


async def test_a_preview_its_final_and_a_word_on_both(
    client: AsyncClient, stack: Any, large_photograph: bytes, clip: bytes
) -> None:
    draft = await client.create(large_photograph, "slow push in", objective="preview", seconds=4)
    assert draft.final_estimate is not None
    assert draft.final_estimate["predicted"]["usd"] > 0
    await stack.complete(draft.id, clip, b"a picture")
    final = await client.finalize(draft.id, priority="high")
    assert final.finalizes == draft.id
    assert (await client.retrieve(draft.id)).finalized_by == final.id
    await stack.complete(final.id, clip, b"a picture")
    assert (await client.feedback(draft.id, -1)).rating == -1
    taken = await client.feedback(final.id, better_than=draft.id)
    assert (taken.better_than, taken.use_case) == (draft.id, "cinematic_camera")


async def test_a_driving_video_from_the_client_to_the_job(
    client: AsyncClient, stack: Any, large_photograph: bytes, driving_video: bytes
) -> None:
    made = await client.create(
        large_photograph, "she dances", driving_video=driving_video, model="wan2.2-animate"
    )
    job = await stack.store.get(made.id)
    assert job.request["drivers"]["driving_video"]["seconds"] == pytest.approx(2.0, abs=0.05)
    decision = await client.route(
        large_photograph, "she dances", driving_video=driving_video, model="wan2.2-animate", fleet="all"
    )
    assert decision["chosen"]["model"] == "wan2.2-animate"
