"""Bytes of a clip: ranges, validators, variants, and what is not there."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from router.api.content import Span, etag_matches, requested_span
from router.jobs.records import Progress


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        (None, 10, None),
        ("bytes=0-3", 10, Span(0, 4)),
        ("bytes=4-", 10, Span(4, 10)),
        ("bytes=-3", 10, Span(7, 10)),
        ("bytes=-30", 10, Span(0, 10)),
        ("bytes=0-99", 10, Span(0, 10)),
        ("bytes = 1 - 2", 10, Span(1, 3)),
        ("Bytes=9-9", 10, Span(9, 10)),
        # RFC 9110, 14.2: what is not understood is ignored.
        ("bytes=5-2", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=", 10, None),
        ("bytes=-", 10, None),
        ("lines=1-2", 10, None),
        ("bytes=0-1,4-5", 10, None),
        ("bytes=²-3", 10, None),
    ],
)
def test_a_range_is_read(header: str | None, size: int, expected: Span | None) -> None:
    assert requested_span(header, size) == expected


@pytest.mark.parametrize(
    ("header", "size"),
    [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0), (f"bytes={'9' * 30}-", 10)],
)
def test_a_range_outside_is_told(header: str, size: int) -> None:
    with pytest.raises(ValueError, match="range"):
        requested_span(header, size)


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        (None, False),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
    ],
)
def test_an_etag_is_compared_weakly(header: str | None, matches: bool) -> None:
    assert etag_matches(header, '"a"') is matches
    assert not etag_matches(header, None)


@pytest.fixture
async def done(stack: Any, post: Any, clip: bytes, photograph: bytes) -> str:
    job_id: str = (await post()).json()["id"]
    await stack.complete(job_id, clip, photograph)
    return f"/v1/videos/{job_id}/content"


async def test_the_whole_clip(stack: Any, done: str, clip: bytes) -> None:
    response = await stack.client.get(done)
    assert response.status_code == 200
    assert response.content == clip
    assert response.headers["content-type"] == "video/mp4"
    assert response.headers["content-length"] == str(len(clip))
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["etag"] == f'"{hashlib.sha256(clip).hexdigest()}"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-disposition"] == 'inline; filename="video.mp4"'
    assert "private" in response.headers["cache-control"]
    head = await stack.client.head(done)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(clip))


async def test_parts_of_the_clip(stack: Any, done: str, clip: bytes) -> None:
    size = len(clip)
    for header, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=10-99", 10, 100),
        ("bytes=-100", size - 100, size),
        (f"bytes={size - 1}-", size - 1, size),
        (f"bytes=0-{10**30}", 0, size),
        (f"bytes=-{10**30}", 0, size),
    ):
        response = await stack.client.get(done, headers={"Range": header})
        assert response.status_code == 206
        assert response.content == clip[start:end]
        assert response.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert response.headers["content-length"] == str(end - start)
    outside = await stack.client.get(done, headers={"Range": f"bytes={size}-"})
    assert outside.status_code == 416
    assert outside.headers["content-range"] == f"bytes */{size}"
    assert outside.json()["error"]["param"] == "Range"


async def test_validators(stack: Any, done: str, clip: bytes) -> None:
    etag = (await stack.client.get(done)).headers["etag"]
    same = await stack.client.get(done, headers={"If-None-Match": f'"other", {etag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    other = await stack.client.get(done, headers={"If-None-Match": '"other"'})
    assert other.content == clip
    fresh = await stack.client.get(done, headers={"Range": "bytes=0-9", "If-Range": etag})
    assert fresh.status_code == 206
    stale = await stack.client.get(done, headers={"Range": "bytes=0-9", "If-Range": '"old"'})
    assert (stale.status_code, stale.content) == (200, clip)


async def test_variants(stack: Any, done: str, photograph: bytes) -> None:
    for variant in ("thumbnail", "spritesheet"):
        response = await stack.client.get(done, params={"variant": variant})
        assert response.content == photograph
        assert response.headers["content-type"] == "image/jpeg"
    none = await stack.client.get(done, params={"variant": "preview"})
    assert (none.status_code, none.json()["error"]["code"]) == (404, "not_ready")
    assert "spritesheet, thumbnail, video" in none.json()["detail"]
    bad = await stack.client.get(done, params={"variant": "../secret"})
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "variant")


async def test_what_is_not_there_yet(stack: Any, post: Any) -> None:
    job_id = (await post()).json()["id"]
    path = f"/v1/videos/{job_id}/content"
    early = await stack.client.get(path)
    assert (early.status_code, early.json()["error"]["code"]) == (404, "not_ready")
    assert "queued" in early.json()["detail"]
    fence = await stack.claim(job_id)
    await stack.store.start(job_id, fence, "worker-1", 60)
    await stack.client.post(f"/v1/videos/{job_id}/cancel")
    await stack.store.finish_cancelled(job_id, fence)
    late = await stack.client.get(path)
    assert "cancelled" in late.json()["detail"]


async def test_a_running_job_shows_its_newest_preview(stack: Any, post: Any, photograph: bytes) -> None:
    job_id = (await post()).json()["id"]
    fence = await stack.claim(job_id)
    await stack.store.start(job_id, fence, "worker-1", 60)
    path = f"/v1/videos/{job_id}/content?variant=preview"
    assert (await stack.client.get(path)).status_code == 404
    key = stack.preview_key(job_id, fence)
    stack.media.put_bytes(key, photograph, "image/jpeg")
    await stack.store.beat(job_id, fence, 60, Progress("denoising", 1, 2, 1.0, key))
    response = await stack.client.get(path)
    assert response.content == photograph
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers


async def test_an_object_that_vanished_is_a_clear_answer(stack: Any, done: str) -> None:
    for path in stack.objects():
        path.unlink()
    response = await stack.client.get(done)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "media_unavailable"


async def test_deleted_means_gone(stack: Any, done: str) -> None:
    etag = (await stack.client.get(done)).headers["etag"]
    await stack.client.delete(done.removesuffix("/content"))
    assert (await stack.client.get(done, headers={"If-None-Match": etag})).status_code == 404
    assert stack.objects() == []
