"""The HTTP seam: what is repeated, what is sent once, what a failure says, and where we are not led."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.errors import OutcomeUnknown, ProviderUnavailable, ResultUnusable
from models.providers.answers import Answer
from models.providers.base import Attachment
from models.providers.http import Api
from models.providers.waits import Jitter, retry_after_s

KEY = "r8_very_secret"
BASE = "https://api.example.com/v1"
AUTH = {"Authorization": f"Bearer {KEY}"}
Handler = Callable[[httpx.Request], httpx.Response]


class Naps:
    """Counts instead of sleeping."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


async def no_names(host: str) -> list[str]:
    return []


def api(handler: Handler, *, base: str = BASE, naps: Naps | None = None, **settings: Any) -> Api:
    settings.setdefault("resolve", no_names)
    return Api(
        "example",
        base,
        auth=AUTH,
        jitter=Jitter(uniform=lambda low, high: high),
        sleep=naps or Naps(),
        transport=httpx.MockTransport(handler),
        **settings,
    )


def in_turn(*answers: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    seen: list[httpx.Request] = []
    left = list(answers)

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler, seen


def no_secret(error: BaseException) -> None:
    told = [repr(error), str(error), repr(error.__dict__), repr(error.__cause__)]
    assert not any(KEY in text for text in told)
    assert error.__cause__ is None


# --- ask -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("no"), httpx.ReadTimeout("late"), httpx.RemoteProtocolError("cut"),
        httpx.ReadError("cut"), httpx.Response(502), httpx.Response(503), httpx.Response(504),
    ],
)  # fmt: skip
async def test_what_may_be_repeated_is_asked_again(trouble: httpx.Response | Exception) -> None:
    handler, seen = in_turn(trouble, trouble, httpx.Response(200, json={"a": 1}))
    naps = Naps()
    answer = await api(handler, naps=naps).ask("GET", "thing")
    assert answer.fields() == {"a": 1}
    assert len(seen) == 3
    assert naps.taken == [0.5, 1.0]


@pytest.mark.parametrize("status", [200, 404, 422, 429, 500])
async def test_other_answers_are_returned_at_once(status: int) -> None:
    handler, seen = in_turn(httpx.Response(status))
    assert (await api(handler).ask("GET", "thing")).status == status
    assert len(seen) == 1


async def test_asking_ends() -> None:
    handler, seen = in_turn(*[httpx.ConnectError("no")] * 9)
    with pytest.raises(ProviderUnavailable, match="ConnectError") as caught:
        await api(handler).ask("GET", "thing")
    no_secret(caught.value)
    assert len(seen) == 4
    handler, seen = in_turn(*[httpx.Response(503)] * 9)
    assert (await api(handler).ask("GET", "thing")).status == 503
    assert len(seen) == 4


async def test_a_short_retry_after_is_waited_out_and_a_long_one_is_not() -> None:
    naps = Naps()
    handler, _ = in_turn(httpx.Response(503, headers={"Retry-After": "3"}), httpx.Response(200))
    await api(handler, naps=naps).ask("GET", "thing")
    assert naps.taken == [3.0]
    handler, seen = in_turn(httpx.Response(503, headers={"Retry-After": "60"}))
    answer = await api(handler).ask("GET", "thing")
    assert (answer.status, answer.retry_after_s, len(seen)) == (503, 60.0, 1)


async def test_a_status_body_without_end_is_an_error() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"x" * (1 << 20) + b"y")

    with pytest.raises(ProviderUnavailable, match="TooLarge"):
        await api(handler).ask("GET", "thing")
    assert (await api(handler).ask("GET", "thing", limit=1 << 21)).ok


async def test_the_key_goes_to_the_accounts_own_origins_only() -> None:
    seen: dict[str, str | None] = {}

    def handler(request: httpx.Request) -> httpx.Response:
        seen[str(request.url)] = request.headers.get("authorization")
        return httpx.Response(200)

    client = api(handler, origins=("https://rest.example.com",))
    for url in (
        "thing",
        "https://rest.example.com/token",
        "https://storage.example.net/put",
        "https://api.example.com:8443/x",
    ):
        await client.ask("PUT", url, content=b"bytes")
    assert seen == {
        "https://api.example.com/v1/thing": f"Bearer {KEY}",
        "https://rest.example.com/token": f"Bearer {KEY}",
        "https://storage.example.net/put": None,
        "https://api.example.com:8443/x": None,
    }
    assert KEY not in repr(client)


async def test_an_answers_address_inside_is_not_asked() -> None:
    handler, seen = in_turn()
    with pytest.raises(ProviderUnavailable, match="not followed"):
        await api(handler).ask("PUT", "http://169.254.169.254/latest", content=b"x")
    assert seen == []


@pytest.mark.parametrize(
    ("base", "leads_to", "asked"),
    [
        (BASE, ["93.184.216.34"], True),
        (BASE, [], True),
        (BASE, ["93.184.216.34", "10.0.0.8"], False),
        (BASE, ["64:ff9b::a9fe:a9fe"], False),
        ("http://127.0.0.1:8", ["10.0.0.8"], True),
    ],
)
async def test_an_answers_name_that_leads_inside_is_not_asked(
    base: str, leads_to: list[str], asked: bool
) -> None:
    names: list[str] = []

    async def resolve(host: str) -> list[str]:
        names.append(host)
        return leads_to

    handler, seen = in_turn(httpx.Response(200), httpx.Response(200))
    client = api(handler, base=base, resolve=resolve)
    await client.ask("GET", "thing")
    assert names == [], "the account's own address is the operator's word"
    if asked:
        await client.ask("PUT", "https://storage.example.net/put", content=b"x")
    else:
        with pytest.raises(ProviderUnavailable, match="private"):
            await client.ask("PUT", "https://storage.example.net/put", content=b"x")
    assert len(seen) == 1 + asked


# --- send_once -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "certain"),
    [
        (httpx.ConnectError("no"), True),
        (httpx.ConnectTimeout("no"), True),
        (httpx.PoolTimeout("full"), True),
        (httpx.ProxyError("no"), True),
        (httpx.Response(307, headers={"Location": "https://elsewhere.example.com"}), True),
        (httpx.ReadTimeout("late"), False),
        (httpx.WriteTimeout("late"), False),
        (httpx.WriteError("cut"), False),
        (httpx.ReadError("cut"), False),
        (httpx.RemoteProtocolError("cut"), False),
        (httpx.Response(500), False),
        (httpx.Response(502), False),
        (httpx.Response(504), False),
        (httpx.Response(599), False),
        (httpx.Response(408), False),
        (httpx.Response(425, json={"detail": "too early"}), False),
        (httpx.Response(503), False),
        (httpx.Response(503, html="<h1>503 Service Temporarily Unavailable</h1>"), False),
        (httpx.Response(503, text="upstream connect error"), False),
        (httpx.Response(503, json={"message": "no healthy upstream"}), False),
        (httpx.Response(503, json=["detail"]), False),
        (httpx.Response(503, json={"detail": ""}), False),
        (httpx.Response(503, headers={"Retry-After": "soon"}), False),
        (httpx.Response(503, text="try again in 5 s"), False),
    ],
)
async def test_a_lost_submission_is_told_apart(trouble: httpx.Response | Exception, certain: bool) -> None:
    handler, seen = in_turn(trouble)
    with pytest.raises(ProviderUnavailable if certain else OutcomeUnknown) as caught:
        await api(handler).send_once("things", json={"prompt": "a secret wish"})
    assert len(seen) == 1, "a paid request is sent once"
    no_secret(caught.value)
    assert "secret wish" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503, json={"detail": "Service Unavailable"}),
        httpx.Response(503, json={"title": "Service unavailable", "status": 503}),
        httpx.Response(503, headers={"Retry-After": "7"}),
        httpx.Response(503, headers={"Retry-After": "7"}, html="<h1>back soon</h1>"),
        httpx.Response(503, headers={"Retry-After": formatdate(usegmt=True)}),
    ],
)
async def test_a_503_of_the_providers_own_is_a_refusal(answer: httpx.Response) -> None:
    handler, seen = in_turn(answer)
    assert (await api(handler).send_once("things", json={})).status == 503
    assert len(seen) == 1


async def test_an_engine_names_the_words_of_its_own_refusals() -> None:
    handler, _ = in_turn(
        httpx.Response(503, json={"error": "full"}), httpx.Response(503, json={"detail": "x"})
    )
    words = frozenset({"error"})
    assert (await api(handler).send_once("things", json={}, words=words)).status == 503
    with pytest.raises(OutcomeUnknown):
        await api(handler).send_once("things", json={}, words=words)


@pytest.mark.parametrize("status", [200, 201, 400, 401, 402, 404, 422, 429])
async def test_a_definite_answer_to_a_submission_is_returned(status: int) -> None:
    handler, seen = in_turn(httpx.Response(status, json={"id": "p"}))
    answer = await api(handler).send_once("things", json={})
    assert (answer.status, answer.fields(), len(seen)) == (status, {"id": "p"}, 1)


class Cut(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"id": '
        raise httpx.ReadError("cut")


@pytest.mark.parametrize(
    ("status", "headers", "known"),
    [(201, {}, False), (422, {}, True), (503, {"Retry-After": "3"}, True), (503, {}, False)],
)
async def test_an_answer_cut_short_is_unknown_unless_it_refused(
    status: int, headers: dict[str, str], known: bool
) -> None:
    handler, _ = in_turn(httpx.Response(status, headers=headers, stream=Cut()))
    if known:
        assert (await api(handler).send_once("things", json={})).status == status
    else:
        with pytest.raises(OutcomeUnknown, match="broke off"):
            await api(handler).send_once("things", json={})


async def test_a_submission_goes_nowhere_else() -> None:
    handler, seen = in_turn()
    with pytest.raises(ProviderUnavailable):
        await api(handler).send_once("https://elsewhere.example.com/things", json={})
    assert seen == []


async def test_a_form_carries_fields_and_files() -> None:
    handler, seen = in_turn(httpx.Response(200))
    file = Attachment("call_1-image.jpg", "image/jpeg", b"\xff\xd8bytes")
    await api(handler).send_once(
        "videos", form={"seconds": "4"}, files={"input_reference": file}, params={"a": "b"}
    )
    request = seen[0]
    assert request.headers["content-type"].startswith("multipart/form-data")
    assert request.url.query == b"a=b"
    body = request.content
    assert b'name="seconds"' in body
    assert b'name="input_reference"; filename="call_1-image.jpg"' in body
    assert b"Content-Type: image/jpeg" in body


Server = tuple[str, list[bytes]]


@asynccontextmanager
async def serving(
    each: Callable[[int, bytes, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[tuple[str, list[int]]]:
    """A raw server: `each(connection number, request head, writer)` is called per request."""
    connections: list[int] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(connections)
        connections.append(number)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                told = re.search(rb"content-length: (\d+)", head.lower())
                await reader.readexactly(int(told[1]) if told else 0)
                await each(number, head, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections


async def test_every_submission_opens_a_connection_of_its_own_and_looks_share_one() -> None:
    async def answer(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()

    async with serving(answer) as (url, connections):
        client = Api("example", url, auth=AUTH)
        for _ in range(3):
            await client.ask("GET", "look")
        assert len(connections) == 1
        for _ in range(3):
            await client.send_once("submit", json={})
        assert len(connections) == 4
        await client.close()


async def test_a_connection_cut_after_the_request_is_unknown_and_a_closed_port_is_not() -> None:
    async def cut(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with serving(cut) as (url, connections):
        client = Api("example", url, auth=AUTH)
        with pytest.raises(OutcomeUnknown):
            await client.send_once("submit", json={})
        assert len(connections) == 1
        await client.close()
    client = Api("example", url, auth=AUTH, tries=2, sleep=Naps())
    with pytest.raises(ProviderUnavailable, match="nothing was sent"):
        await client.send_once("submit", json={})
    with pytest.raises(ProviderUnavailable):
        await client.ask("GET", "look")
    await client.close()


async def test_no_log_holds_an_address(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    async def answer(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: video/mp4\r\n\r\n{}")
        await writer.drain()

    caplog.set_level(logging.DEBUG)
    logging.getLogger("a.test").debug("heard")
    async with serving(answer) as (url, _):
        client = Api("example", url, auth=AUTH)
        await client.ask("GET", "look", params={"signature": "s3cret"})
        await client.send_once("submit", json={}, params={"fal_webhook": "https://us/hooks/s3cret"})
        await client.download(f"{url}/clip?signature=s3cret", tmp_path / "clip", 10)
        await client.close()
    assert "heard" in caplog.text
    assert "s3cret" not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith(("httpx", "httpcore"))]


# --- download --------------------------------------------------------------------------------------

CDN = "https://cdn.example.net/clip.mp4"
MP4 = {"Content-Type": "video/mp4"}


async def test_a_result_is_streamed_into_a_file(tmp_path: Path) -> None:
    handler, seen = in_turn(httpx.Response(200, headers=MP4, content=b"m" * 1000))
    got = await api(handler).download(CDN, tmp_path / "clip", 1000)
    assert (got.bytes, got.content_type, got.path.read_bytes()) == (1000, "video/mp4", b"m" * 1000)
    assert "authorization" not in seen[0].headers


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.Response(404), "gone"),
        (httpx.Response(403), "gone"),
        (httpx.Response(410), "gone"),
        (httpx.Response(418), "answers 418"),
        (
            httpx.Response(200, headers={"Content-Type": "text/html; charset=utf-8"}, content=b"<p>"),
            "text/html",
        ),
        (
            httpx.Response(200, headers={"Content-Type": "application/json"}, content=b"{}"),
            "application/json",
        ),
        (httpx.Response(200, headers=MP4, content=b"m" * 1001), "larger"),
        (httpx.Response(200, headers=MP4, content=b""), "empty"),
        (httpx.Response(302, headers={"Location": "http://cdn.example.net/plain"}), "not https"),
        (httpx.Response(302, headers={"Location": "https://10.0.0.8/inside"}), "private"),
        (httpx.Response(302, headers={"Location": "https://localhost/inside"}), "private"),
        (httpx.Response(302, headers={"Location": "file:///etc/passwd"}), "no http"),
    ],
)
async def test_a_result_that_is_none_is_refused(answer: httpx.Response, why: str, tmp_path: Path) -> None:
    handler, seen = in_turn(answer)
    with pytest.raises(ResultUnusable, match=why):
        await api(handler).download(CDN, tmp_path / "clip", 1000)
    assert len(seen) == 1


async def test_a_stream_that_hides_its_size_is_cut_at_the_limit(tmp_path: Path) -> None:
    sent = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1 << 16
                yield b"z" * (1 << 16)

    handler, _ = in_turn(httpx.Response(200, headers=MP4, stream=Endless()))
    with pytest.raises(ResultUnusable, match="larger"):
        await api(handler).download(CDN, tmp_path / "clip", 1 << 20)
    assert sent <= 1 << 21
    assert (tmp_path / "clip").stat().st_size <= 1 << 20


async def test_redirects_are_followed_a_few_times(tmp_path: Path) -> None:
    hop = httpx.Response(302, headers={"Location": "/again"})
    handler, seen = in_turn(hop, hop, httpx.Response(200, headers=MP4, content=b"m"))
    await api(handler).download(CDN, tmp_path / "clip", 10)
    assert [request.url.path for request in seen] == ["/clip.mp4", "/again", "/again"]
    handler, seen = in_turn(*[hop] * 20)
    with pytest.raises(ResultUnusable, match="redirects"):
        await api(handler).download(CDN, tmp_path / "clip", 10)
    assert len(seen) == 6


async def test_a_name_that_leads_inside_is_not_followed(tmp_path: Path) -> None:
    async def inside(host: str) -> list[str]:
        assert host == "cdn.example.net"
        return ["93.184.216.34", "::ffff:127.0.0.1"]

    handler, seen = in_turn()
    with pytest.raises(ResultUnusable, match="private"):
        await api(handler, resolve=inside).download(CDN, tmp_path / "clip", 10)
    assert seen == []


class Partly(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content
        raise httpx.ReadError("cut")


async def test_a_transfer_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    tagged = MP4 | {"ETag": '"one"'}
    handler, seen = in_turn(
        httpx.Response(200, headers=tagged, stream=Partly(b"abc")),
        httpx.ConnectError("no"),
        httpx.Response(206, headers=tagged | {"Content-Range": "bytes 3-5/6"}, content=b"def"),
    )
    got = await api(handler).download(CDN, tmp_path / "clip", 6)
    assert (got.bytes, got.path.read_bytes()) == (6, b"abcdef")
    assert seen[2].headers["range"] == "bytes=3-"
    assert seen[2].headers["if-range"] == '"one"'


async def test_a_transfer_starts_anew_where_the_server_cannot_go_on(tmp_path: Path) -> None:
    tagged = MP4 | {"ETag": '"one"'}
    handler, seen = in_turn(
        httpx.Response(200, headers=MP4, stream=Partly(b"abc")),
        httpx.Response(200, headers=tagged, stream=Partly(b"ab")),
        httpx.Response(206, headers=tagged | {"Content-Range": "bytes 0-5/6"}, content=b"abcdef"),
        httpx.Response(200, headers=tagged, content=b"abcdef"),
    )
    got = await api(handler).download(CDN, tmp_path / "clip", 6)
    assert (got.bytes, got.path.read_bytes()) == (6, b"abcdef")
    assert ["range" in request.headers for request in seen] == [False, False, True, False]


async def test_a_transfer_that_always_breaks_is_given_up_for_now(tmp_path: Path) -> None:
    handler, seen = in_turn(*[httpx.Response(503)] * 9)
    with pytest.raises(ProviderUnavailable, match="status 503"):
        await api(handler).download(CDN, tmp_path / "clip", 6)
    assert len(seen) == 5


async def test_a_result_inside_the_answer_is_unpacked(tmp_path: Path) -> None:
    handler, _ = in_turn()
    client = api(handler)
    uri = "data:video/mp4;base64," + base64.b64encode(b"movie").decode()
    got = await client.download(uri, tmp_path / "clip", 5)
    assert (got.bytes, got.path.read_bytes()) == (5, b"movie")
    for bad, limit in ((uri, 1), ("data:text/html;base64,PHA+", 99), ("data:video/mp4;base64,%%%", 99)):
        with pytest.raises(ResultUnusable):
            await client.download(bad, tmp_path / "clip", limit)


# --- pure rules ------------------------------------------------------------------------------------


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"retry-after": "7"}, "", 7.0),
        ({"retry-after": " 1.5 "}, "", 1.5),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, "", 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, "", 0.0),
        ({"retry-after": "999999"}, "", 3600.0),
        ({"retry-after": "soon"}, "", None),
        ({}, '{"detail": "Request was throttled. Your rate limit resets in ~30s."}', 30.0),
        ({}, "Expected available in 12 seconds.", 12.0),
        ({"retry-after": "2"}, "resets in ~30s", 2.0),
        ({}, "no idea", None),
        ({}, "", None),
    ],
)  # fmt: skip
def test_when_to_come_back(headers: dict[str, str], text: str, seconds: float | None) -> None:
    assert retry_after_s(headers, text, NOW) == seconds


def test_an_answers_body_shows_nowhere() -> None:
    answer = Answer(200, {"x-secret": KEY}, b'{"prompt": "a wish"}')
    assert "wish" not in repr(answer)
    assert KEY not in repr(answer)
    assert answer.fields() == {"prompt": "a wish"}
    assert Answer(200, {}, b"<html>").fields() == {}
    assert Answer(200, {}, b"[1]").fields() == {}
    assert Answer(
        429, {"retry-after": formatdate(time.time() + 100, usegmt=True)}
    ).retry_after_s == pytest.approx(100, abs=5)


def test_jitter_grows_to_its_cap() -> None:
    jitter = Jitter(base_s=1.0, cap_s=5.0, uniform=lambda low, high: high)
    assert [jitter.delay(n) for n in (1, 2, 3, 4, 500)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert all(0.0 <= Jitter(base_s=1.0).delay(3) <= 4.0 for _ in range(100))
