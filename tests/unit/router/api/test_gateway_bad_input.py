"""Whatever a client sends, the answer is a clear 4xx that names the field, and nothing is stored."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from PIL import Image

Encode = Callable[..., bytes]


def bomb(side: int = 13_000) -> bytes:
    """A PNG of some 20 kB that unpacks to `side` x `side` pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 7) // 8 + 1) * side, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def assert_refused(
    stack: Any, response: httpx.Response, status: int, code: str, param: str | None
) -> dict[str, Any]:
    """The whole error contract: both envelopes, no retry, nothing stored."""
    body: dict[str, Any] = response.json()
    assert response.status_code == status, body
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-should-retry"] == "false"
    assert body["error"]["code"] == code
    assert body["error"]["param"] == param
    assert body["error"]["message"] == body["detail"] != ""
    assert body["error"]["type"] == "invalid_request_error"
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert await stack.job_count() == 0
    assert stack.objects() == []
    return body


def images(picture: Callable[..., Image.Image], encode: Encode) -> dict[str, tuple[bytes, int, str]]:
    whole = encode(picture())
    frames = [picture(seed=seed) for seed in range(3)]
    return {
        "empty": (b"", 400, "invalid_image"),
        "text": (b"This is not a photograph.", 400, "invalid_image"),
        "html": (b"<html><body>hello</body></html>", 400, "invalid_image"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 400, "invalid_image"),
        "gif": (encode(picture().convert("P"), "GIF"), 400, "invalid_image"),
        "tiff": (encode(picture(), "TIFF"), 400, "invalid_image"),
        "truncated JPEG": (whole[: len(whole) // 2], 400, "invalid_image"),
        "JPEG header alone": (whole[:20], 400, "invalid_image"),
        "animated WEBP": (
            encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
            400,
            "invalid_image",
        ),
        "animated PNG": (
            encode(frames[0], "PNG", save_all=True, append_images=frames[1:]),
            400,
            "invalid_image",
        ),
        "bomb": (bomb(), 413, "payload_too_large"),
        "1x1": (encode(picture(1, 1), "PNG"), 400, "invalid_image"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "empty", "text", "html", "svg", "gif", "tiff", "truncated JPEG", "JPEG header alone", "animated WEBP",
        "animated PNG", "bomb", "1x1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("notation", ["form", "json"])
async def test_what_is_no_photograph_is_refused(
    stack: Any, make_picture: Callable[..., Image.Image], encode: Encode, name: str, notation: str
) -> None:
    content, status, code = images(make_picture, encode)[name]
    assert len(content) < (40_000 if name == "bomb" else 400_000)
    if notation == "form":
        files = {"input_reference": ("photo.jpg", content, "image/jpeg")}
        response = await stack.client.post("/v1/videos", data={"prompt": "go"}, files=files)
        param = "input_reference"
    else:
        address = "data:image/jpeg;base64," + base64.b64encode(content).decode()
        response = await stack.client.post(
            "/v1/videos", json={"prompt": "go", "frame_images": [{"image_url": {"url": address}}]}
        )
        param = "frame_images[0].image_url"
    await assert_refused(stack, response, status, code, param)


@pytest.mark.parametrize("name", ["CMYK", "EXIF-rotated", "alpha", "grey", "16 bit", "WEBP"])
async def test_odd_photographs_are_accepted(
    stack: Any, make_picture: Callable[..., Image.Image], encode: Encode, name: str
) -> None:
    image = make_picture(320, 200)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = {
        "CMYK": lambda: encode(image.convert("CMYK")),
        "EXIF-rotated": lambda: encode(image, exif=exif),
        "alpha": lambda: encode(image.convert("RGBA"), "PNG"),
        "grey": lambda: encode(image.convert("L")),
        "16 bit": lambda: encode(image.convert("I;16"), "PNG"),
        "WEBP": lambda: encode(image, "WEBP"),
    }[name]()
    response = await stack.client.post(
        "/v1/videos", data={"prompt": "push in"}, files={"input_reference": ("p", content)}
    )
    assert response.status_code == 202, response.text
    job = await stack.store.get(response.json()["id"])
    with Image.open(stack.media_root / job.request["media"]["image"]) as stored:
        assert stored.mode == "RGB"
        assert stored.size == ((200, 320) if name == "EXIF-rotated" else (320, 200))
        assert not stored.getexif()


FIELDS: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"seconds": "0"}, 400, "invalid_request", "seconds"),
    ({"seconds": "nan"}, 400, "invalid_request", "seconds"),
    ({"seconds": "inf"}, 400, "invalid_request", "seconds"),
    ({"seconds": "-4"}, 400, "invalid_request", "seconds"),
    ({"seconds": "1e9"}, 400, "invalid_request", "seconds"),
    ({"fps": "0"}, 400, "invalid_request", "fps"),
    ({"fps": "1000"}, 400, "invalid_request", "fps"),
    ({"size": "huge"}, 400, "invalid_request", "size"),
    ({"size": "99999x99999"}, 400, "invalid_request", "size"),
    ({"seed": "-1"}, 400, "invalid_request", "seed"),
    ({"seed": "1e3"}, 400, "invalid_request", "seed"),
    ({"deadline_s": "0"}, 400, "invalid_request", "deadline_s"),
    ({"routing[deadline_s]": "nan"}, 400, "invalid_request", "routing.deadline_s"),
    ({"max_cost_usd": "-1"}, 400, "invalid_request", "max_cost_usd"),
    ({"camera": "teleport"}, 400, "invalid_request", "camera[0].move"),
    ({"motion": "wild"}, 400, "invalid_request", "motion"),
    ({"priority": "now"}, 400, "invalid_request", "priority"),
    ({"model": "wan-2-1"}, 404, "unknown_model", "model"),
    ({"allow": "nothing"}, 400, "invalid_request", "allow"),
    ({"deny[]": "nothing"}, 400, "invalid_request", "deny"),
    ({"colour": "blue"}, 400, "invalid_request", "colour"),
    ({"routing[colour]": "blue"}, 400, "invalid_request", "routing.colour"),
    ({"seconds[]": "4"}, 400, "invalid_request", "seconds"),
    ({"a[b": "1"}, 400, "invalid_request", "a[b"),
    ({"prompt": "x" * 10_001}, 400, "invalid_request", "prompt"),
    ({"prompt": "a\0b"}, 400, "invalid_request", "prompt"),
    ({"callback_url": "https://example.org"}, 400, "invalid_request", "callback_url"),
    ({"input_reference[image_url]": "data:image/png;base64,AAAA"}, 400, "invalid_request", "input_reference"),
]


@pytest.mark.parametrize(("fields", "status", "code", "param"), FIELDS, ids=[str(f[0])[:40] for f in FIELDS])
async def test_a_bad_field_is_refused_by_name(
    stack: Any, post: Any, fields: dict[str, Any], status: int, code: str, param: str
) -> None:
    body = await assert_refused(stack, await post(**fields), status, code, param)
    assert "x" * 100 not in body["detail"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[1, 2]", "body"),
        (b"null", "body"),
        (b"\xff\xfe\x00", "body"),
        (b"[" * 100_000, "body"),
        (b'{"seconds": ' + b"9" * 5000 + b"}", "body"),
        (b'{"prompt": "\\ud800"}', "prompt"),
        (b'{"seconds": NaN}', "seconds"),
        (b'{"seconds": 1e999}', "seconds"),
        (b'{"input_reference": "https://example.org/a.png"}', "input_reference"),
        (b'{"input_reference": {"image_url": "http://169.254.169.254/"}}', "input_reference"),
        (b'{"input_reference": {"file_id": "file-1"}}', "input_reference"),
        (b'{"input_reference": "data:image/png,plain"}', "input_reference"),
        (b'{"input_reference": "data:image/png;base64,@@@@"}', "input_reference"),
        (b'{"input_reference": "/etc/passwd"}', "input_reference"),
        (b'{"input_reference": ["a"]}', "input_reference"),
        (b'{"prompt": "no photograph"}', "input_reference"),
    ],
)
async def test_a_bad_json_body_is_refused(stack: Any, body: bytes, param: str) -> None:
    response = await stack.client.post(
        "/v1/videos", content=body, headers={"content-type": "application/json"}
    )
    code = response.json()["error"]["code"]
    assert code in {"invalid_request", "invalid_image"}
    await assert_refused(stack, response, 400, code, param)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"hello"),
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"garbage without any boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\ncontent-disposition: form-data\r\n\r\nv\r\n--x--\r\n"),
    ],
)
async def test_a_bad_content_type_is_refused(stack: Any, content_type: str, body: bytes) -> None:
    response = await stack.client.post("/v1/videos", content=body, headers={"content-type": content_type})
    answer = response.json()
    assert response.status_code == 400, answer
    assert answer["error"]["code"] == "invalid_request"
    assert await stack.job_count() == 0


async def test_files_have_their_fields(stack: Any, photograph: bytes) -> None:
    for files, param in (
        ({"video": ("a.mp4", b"xx")}, "video"),
        ([("input_reference", ("a", photograph)), ("input_reference", ("b", photograph))], "input_reference"),
    ):
        response = await stack.client.post("/v1/videos", data={"prompt": "x"}, files=files)
        await assert_refused(stack, response, 400, "invalid_request", param)


async def test_a_bad_last_frame_is_named(stack: Any, photograph: bytes) -> None:
    files = {"input_reference": ("a", photograph), "last_image": ("b", b"not an image")}
    response = await stack.client.post("/v1/videos", data={"prompt": "x"}, files=files)
    await assert_refused(stack, response, 400, "invalid_image", "last_image")


async def test_an_announced_upload_over_the_limit_is_refused_unread(stack: Any) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(200):
            read += 1
            yield bytes(2**20)

    headers = {"content-length": str(200 * 2**20), "content-type": "application/octet-stream"}
    response = await stack.client.post("/v1/videos", content=body(), headers=headers)
    answer = await assert_refused(stack, response, 413, "payload_too_large", None)
    assert answer["allowed"] == {"max_bytes": stack.settings.max_body_bytes}
    assert read <= 33  # drained up to 16 times the usual 2 MiB, none of it kept


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json"])
async def test_a_streamed_upload_over_the_limit_is_refused_on_the_way(stack: Any, kind: str) -> None:
    head = (
        b'--x\r\nContent-Disposition: form-data; name="input_reference"; filename="a"\r\n\r\n'
        if "multipart" in kind
        else b'{"prompt": "'
    )

    async def body() -> AsyncIterator[bytes]:
        yield head
        for _ in range(stack.settings.max_body_bytes // 2**20 + 1):
            yield b"a" * 2**20

    response = await stack.client.post("/v1/videos", content=body(), headers={"content-type": kind})
    await assert_refused(stack, response, 413, "payload_too_large", None)


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a\tb", "ключ".encode()])
async def test_a_bad_idempotency_key_is_refused(stack: Any, post: Any, key: Any) -> None:
    await assert_refused(
        stack, await post(headers={"Idempotency-Key": key}), 400, "invalid_request", "Idempotency-Key"
    )


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/videos?limit=0", "limit"),
        ("/v1/videos?limit=101", "limit"),
        ("/v1/videos?limit=ten", "limit"),
        ("/v1/videos?order=up", "order"),
        ("/v1/videos?status=done", "status"),
        ("/v1/videos?limt=3", "limt"),
    ],
)
async def test_a_bad_query_is_refused_by_name(stack: Any, path: str, param: str) -> None:
    await assert_refused(stack, await stack.client.get(path), 400, "invalid_request", param)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/videos/vid_none"),
        ("GET", "/v1/videos/a%00b"),
        ("GET", "/v1/videos/..%2f..%2fetc%2fpasswd"),
        ("GET", f"/v1/videos/{'x' * 3000}"),
        ("DELETE", "/v1/videos/vid_none"),
        ("POST", "/v1/videos/vid_none/cancel"),
        ("GET", "/v1/videos/vid_none/content"),
        ("GET", "/v1/videos/vid_none/events"),
        ("GET", "/v1/videos?after=vid_none"),
    ],
)
async def test_an_unknown_job_is_not_found(stack: Any, method: str, path: str) -> None:
    response = await stack.client.request(method, path)
    body = response.json()
    assert response.status_code == 404, body
    assert body["error"]["code"] in {"job_not_found", "not_found"}
    assert response.headers["x-should-retry"] == "false"


async def test_no_route_tells_what_would_fit(stack: Any, post: Any) -> None:
    response = await post(model="auto", size="7680x4320", fps="120", seconds="300", routing="")
    body = await assert_refused(stack, response, 422, "no_route", "seconds,size,fps")
    decision = body["decision"]
    assert decision["chosen"] is None
    assert decision["rejected"]
    assert all(row["reason"] for row in decision["rejected"])
    assert decision["counter_offers"]
    assert decision["counter_offers"][0]["change"] in body["detail"]
    assert [offer["change"] for offer in body["counter_offers"]] == [
        offer["change"] for offer in decision["counter_offers"]
    ]
    assert all(offer["patch"] and "chosen" not in offer for offer in body["counter_offers"])


async def test_words_and_pictures_never_reach_the_log(
    stack: Any, post: Any, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "the-duchess-of-nowhere"
    caplog.set_level("DEBUG", "router")
    await post(prompt=secret)
    await post(prompt=secret, seconds="-1")
    await post(prompt=secret * 600)
    assert secret not in caplog.text


async def test_unknown_paths_and_methods_are_problems(stack: Any) -> None:
    missing = await stack.client.get("/v1/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    wrong = await stack.client.put("/v1/videos", content=json.dumps({}))
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["allow"] or "GET" in wrong.headers["allow"]
