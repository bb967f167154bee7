"""Server-sent events: order, replay, heartbeat, end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.errors import StoreUnavailable
from router.api.events import stream
from router.jobs.records import Progress


def read(text: str) -> list[dict[str, Any]]:
    """Events of a stream; checks that id and event agree with the data."""
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":")
        if "data" in lines:
            event = json.loads(lines["data"])
            assert lines["event"] == event["type"]
            if "id" in lines:
                assert lines["id"] == str(event["seq"])
            events.append(event)
    return events


async def test_a_finished_job_tells_its_whole_history(
    stack: Any, post: Any, clip: bytes, photograph: bytes
) -> None:
    job_id = (await post()).json()["id"]
    await stack.complete(job_id, clip, photograph)
    response = await stack.client.get(f"/v1/videos/{job_id}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.startswith("retry: ")
    events = read(response.text)
    assert [event["type"] for event in events] == ["queued", "dispatched", "started", "progress", "completed"]
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    assert {event["id"] for event in events} == {job_id}
    rest = await stack.client.get(f"/v1/videos/{job_id}/events", headers={"Last-Event-ID": "3"})
    assert [event["seq"] for event in read(rest.text)] == [4, 5]
    none = await stack.client.get(f"/v1/videos/{job_id}/events", headers={"Last-Event-ID": "5"})
    assert read(none.text) == []


@pytest.mark.parametrize("given", ["-1", "x", "1.5", "²", "9" * 30])
async def test_a_bad_last_event_id_is_refused(stack: Any, post: Any, given: str) -> None:
    job_id = (await post()).json()["id"]
    response = await stack.client.get(
        f"/v1/videos/{job_id}/events", headers={"Last-Event-ID": given.encode()}
    )
    assert (response.status_code, response.json()["error"]["param"]) == (400, "Last-Event-ID")


async def test_media_keys_stay_inside(stack: Any, post: Any, photograph: bytes, clip: bytes) -> None:
    job_id = (await post()).json()["id"]
    fence = await stack.claim(job_id)
    await stack.store.start(job_id, fence, "worker-1", 60)
    await stack.store.beat(
        job_id, fence, 60, Progress("denoising", 1, 2, 1.0, stack.preview_key(job_id, fence))
    )
    await stack.client.post(f"/v1/videos/{job_id}/cancel")
    await stack.store.finish_cancelled(job_id, fence)
    text = (await stack.client.get(f"/v1/videos/{job_id}/events")).text
    assert stack.preview_key(job_id, fence) not in text
    progress = next(event for event in read(text) if event["type"] == "progress")
    assert progress["data"]["preview"] == f"/v1/videos/{job_id}/content?variant=preview"
    assert progress["data"]["step"] == 1


async def test_a_stream_follows_a_job_to_its_end(stack: Any, post: Any) -> None:
    job_id = (await post()).json()["id"]
    live = stream(stack.store, job_id, "default", after=0, poll_s=0.01, heartbeat_s=0)
    told: list[str] = []
    async for block in live:
        told.append(block)
        if len(told) == 3:
            assert block == ": heartbeat\n\n"
            await stack.client.post(f"/v1/videos/{job_id}/cancel")
    types = [event["type"] for event in read("".join(told))]
    assert types == ["queued", "cancelled"]


async def test_a_stream_of_a_deleted_job_ends(stack: Any, post: Any) -> None:
    job_id = (await post()).json()["id"]
    live = stream(stack.store, job_id, "default", after=1, poll_s=0.01)
    assert (await anext(live)).startswith("retry")
    await stack.client.delete(f"/v1/videos/{job_id}")
    rest = [block async for block in live]
    assert [event["type"] for event in read("".join(rest))] == ["deleted"]


async def test_a_stream_ends_when_the_store_is_away(
    stack: Any, post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = (await post()).json()["id"]
    live = stream(stack.store, job_id, "default", after=0, poll_s=0.01)
    await anext(live)

    async def refuse(*args: object, **kwargs: object) -> None:
        raise StoreUnavailable("database is locked")

    monkeypatch.setattr(stack.store, "get", refuse)
    assert [block async for block in live] == []
