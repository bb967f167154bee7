"""Driving videos and sounds: taken, probed, stored by reference; anything else refused by name."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from models.types import TaskType
from router.engine import route_request_from_job
from router.jobs.records import JobStatus

Files = Callable[..., dict[str, Any]]


@pytest.fixture
def send(stack: Any, large_photograph: bytes) -> Any:
    """`POST /v1/videos` (or another path) with drivers as files."""

    async def post(path: str = "/v1/videos", fields: Any = None, **drivers: bytes) -> Any:
        files = {name: (name, content) for name, content in drivers.items()}
        return await stack.client.post(
            path,
            data={"prompt": "she dances", **(fields or {})},
            files={"input_reference": ("p.jpg", large_photograph, "image/jpeg"), **files},
        )

    return post


def uri(content: bytes, kind: str = "video/mp4") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("name", "task", "seconds"),
    [("driving_video", TaskType.ANIMATE, 2.0), ("audio", TaskType.A2V, 3.0)],
)
async def test_a_driver_is_stored_and_routed_on(
    stack: Any, send: Any, driving_video: bytes, sound: bytes, name: str, task: TaskType, seconds: float
) -> None:
    content = driving_video if name == "driving_video" else sound
    response = await send(fields={"model": MODELS[name]}, **{name: content})
    assert response.status_code == 202, response.text
    job = await stack.store.get(response.json()["id"])
    assert stack.media.read(job.request["media"][name]) == content
    request = route_request_from_job(job, job.created_at)
    assert request.task is task
    assert (request.has_driving_video, request.has_audio) == (name == "driving_video", name == "audio")
    assert (request.driving_seconds or request.audio_seconds) == pytest.approx(seconds, abs=0.05)
    assert job.routing["chosen"]["geometry"]["seconds"] == pytest.approx(seconds, abs=0.2)


MODELS = {"driving_video": "wan2.2-animate", "audio": "kling-avatar-v2"}


async def test_data_uris_are_read_in_json_and_in_forms(
    stack: Any, send: Any, large_photograph: bytes, driving_video: bytes
) -> None:
    as_form = await send(fields={"model": "wan2.2-animate", "driving_video": uri(driving_video)})
    as_json = await stack.client.post(
        "/v1/videos",
        json={
            "prompt": "she dances",
            "model": "wan2.2-animate",
            "input_reference": uri(large_photograph, "image/jpeg"),
            "driving_video": {"url": uri(driving_video)},
        },
    )
    jobs = []
    for response in (as_form, as_json):
        assert response.status_code == 202, response.text
        jobs.append(await stack.store.get(response.json()["id"]))
    assert jobs[0].fingerprint == jobs[1].fingerprint
    plain = await send(fields={"model": "wan2.2-animate"})
    assert plain.status_code == 422, "a model that follows a video is no answer without one"


async def test_another_driver_is_another_request(stack: Any, send: Any, driving_video: bytes) -> None:
    fields = {"model": "wan2.2-animate"}
    headers = {"Idempotency-Key": "k"}
    stack.client.headers.update(headers)
    first = await send(fields=fields, driving_video=driving_video)
    again = await send(fields=fields, driving_video=driving_video)
    assert again.json()["id"] == first.json()["id"]
    assert len([path for path in stack.objects() if "drivers" in str(path)]) == 1, "the replay left nothing"
    other = await send(fields=fields, driving_video=driving_video + b"\0")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")


async def test_a_remix_shares_the_driver(stack: Any, send: Any, driving_video: bytes) -> None:
    source = (await send(fields={"model": "wan2.2-animate"}, driving_video=driving_video)).json()["id"]
    remix = await stack.client.post(f"/v1/videos/{source}/remix", json={"prompt": "she waves"})
    assert remix.status_code == 202, remix.text
    a, b = await stack.store.get(source), await stack.store.get(remix.json()["id"])
    assert a.request["media"] == b.request["media"]
    assert a.request["drivers"] == b.request["drivers"]
    await stack.client.delete(f"/v1/videos/{source}")
    assert stack.media.exists(b.request["media"]["driving_video"])
    await stack.client.delete(f"/v1/videos/{b.id}")
    assert stack.objects() == []


async def test_a_dry_run_probes_and_stores_nothing(stack: Any, send: Any, sound: bytes) -> None:
    response = await send("/v1/route", {"fleet": "all"}, audio=sound)
    assert response.status_code == 200, response.text
    assert response.json()["chosen"]["geometry"]["seconds"] == pytest.approx(3.0, abs=0.2)
    assert stack.objects() == []


BAD: list[tuple[str, bytes | None, int, str]] = [
    ("driving_video", b"", 400, "invalid_media"),
    ("driving_video", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/x.ts\n", 400, "invalid_media"),
    ("driving_video", b"ffconcat version 1.0\nfile /etc/passwd\n", 400, "invalid_media"),
    ("driving_video", b"\0\0\0\x18ftypisom" + bytes(100), 400, "invalid_media"),
    ("driving_video", bytes(2 * 2**20 + 1), 413, "payload_too_large"),
    ("audio", b"RIFF\x24\0\0\0WAVEfmt ", 400, "invalid_media"),
    ("audio", b"ID3" + bytes(50), 400, "invalid_media"),
    ("audio", bytes(2**20 + 1), 413, "payload_too_large"),
    ("driving_video", None, 400, "invalid_media"),
    ("audio", None, 400, "invalid_media"),
]


@pytest.mark.parametrize(("name", "content", "status", "code"), BAD)
async def test_what_drives_nothing_is_refused_by_name(
    stack: Any, send: Any, sound: bytes, driving_video: bytes,
    name: str, content: bytes | None, status: int, code: str,
) -> None:  # fmt: skip
    if content is None:  # the other kind of file: a sound has no pictures, this video no sound
        content = sound if name == "driving_video" else driving_video
    response = await send(**{name: content})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, name), error
    assert error["message"].startswith(f"{name}: ")
    assert await stack.job_count() == 0
    assert stack.objects() == []


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("https://example.org/dance.mp4", "invalid_request"),
        ("data:video/mp4,plain", "invalid_media"),
        ("data:video/mp4;base64,%%%", "invalid_media"),
        ("just words", "invalid_media"),
    ],
)
async def test_addresses_that_are_no_data_are_refused(stack: Any, send: Any, address: str, code: str) -> None:
    response = await send(fields={"driving_video": address})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, "driving_video")


async def test_a_driver_given_twice_is_refused(stack: Any, send: Any, driving_video: bytes) -> None:
    response = await send(fields={"driving_video": uri(driving_video)}, driving_video=driving_video)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "driving_video")


async def test_nothing_of_an_upload_stays_on_disk(
    stack: Any, send: Any, driving_video: bytes, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    good = await send(fields={"model": "wan2.2-animate"}, driving_video=driving_video)
    bad = await send(audio=b"noise")
    assert (good.status_code, bad.status_code) == (202, 400)
    assert list(scratch.iterdir()) == []
    assert (await stack.store.get(good.json()["id"])).status is JobStatus.QUEUED
