from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

import httpx
import pytest

from models.errors import InvalidRequest
from router.client import (
    ApiError,
    AsyncClient,
    Client,
    ClientError,
    ClipOptions,
    ServerUnreachable,
    Video,
    WaitTimeout,
)
from router.client import connection as connection_module
from router.client.calls import create_call
from router.client.streams import EventReader

Handler = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers from a list, in order, and remembers what was asked. An exception is a lost connection."""

    def __init__(self, *answers: httpx.Response | Exception | Handler) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)


class Blocking:
    """Calls a method of `Client`; an iterator becomes a list."""

    def __call__(self, server: Server, method: str, *args: Any, **kwargs: Any) -> Any:
        with Client("http://test", transport=httpx.MockTransport(server)) as client:
            answer = getattr(client, method)(*args, **kwargs)
            return list(answer) if isinstance(answer, Iterator) else answer


class Awaiting:
    """The same for `AsyncClient`."""

    def __call__(self, server: Server, method: str, *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient("http://test", transport=httpx.MockTransport(server)) as client:
                answer = getattr(client, method)(*args, **kwargs)
                if isinstance(answer, AsyncIterator):
                    return [element async for element in answer]
                return await answer

        return asyncio.run(run())


Ask = Blocking | Awaiting


@pytest.fixture(params=[Blocking, Awaiting], ids=["blocking", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    kind: type[Ask] = request.param
    return kind()


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "BACKOFF_S", 0.0)


def video(status: str = "queued", **more: Any) -> dict[str, Any]:
    return {"id": "vid_1", "object": "video", "status": status, "created_at": 1, "model": "auto", **more}


def ok(body: object, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers)


def refusal(status: int, code: str, **headers: str) -> httpx.Response:
    error = {"message": f"it is {code}", "type": "x", "param": "size", "code": code}
    body = {"type": "t", "title": "T", "status": status, "detail": "d", "request_id": "req_9", "error": error}
    return httpx.Response(status, json={**body, "allowed": ["832x480"]}, headers=headers)


LOST = httpx.ConnectError("refused")


# --- requests ----------------------------------------------------------------------------------


def form_fields(request: httpx.Request) -> tuple[list[tuple[str, str]], dict[str, bytes]]:
    """Fields and files of a multipart body, read by the standard library."""
    from email.parser import BytesParser

    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + request.content)
    texts, files = [], {}
    for part in message.get_payload():
        assert not isinstance(part, str)
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if part.get_filename() is None:
            texts.append((name, content.decode()))
        else:
            files[name] = content
    return texts, files


EVERYTHING: ClipOptions = {
    **{"model": "auto", "size": "832x480", "seconds": 5, "fps": 23.976, "prefer": "fps"},  # type: ignore[typeddict-item]
    **{"objective": "quality", "deadline_s": 60.0, "max_cost_usd": 0.5},
    "camera": ["push_in:required", "pan_left"],
    **{"motion": "gentle", "residency": "self-hosted"},
    **{"allow": ["a-1", "b-2"], "deny": ["c"], "seed": 7, "priority": "high"},
    **{"negative_prompt": "blur", "generate_audio": True, "tags": ["one, two", "three"]},
}


def test_what_create_sends_is_what_the_server_reads(ask: Ask) -> None:
    from router.multipart import expand
    from router.schemas import CreateVideo, parse

    server = Server(ok(video()))
    ask(server, "create", b"photo", "waves", last_image=b"end", **EVERYTHING)
    texts, files = form_fields(server.requests[0])
    wishes = parse(CreateVideo, expand(texts))
    assert files == {"input_reference": b"photo", "last_image": b"end"}
    assert (wishes.prompt, wishes.size, wishes.seconds, wishes.fps) == ("waves", "832x480", 5, 23.976)
    assert [(wish.move, wish.required) for wish in wishes.camera or ()] == [
        ("push_in", True),
        ("pan_left", False),
    ]
    assert (wishes.allow, wishes.deny, wishes.tags) == (("a-1", "b-2"), ("c",), ("one, two", "three"))
    assert (wishes.generate_audio, wishes.seed, wishes.priority, wishes.motion) == (True, 7, "high", "gentle")
    assert (wishes.objective, wishes.deadline_s, wishes.max_cost_usd) == ("quality", 60, 0.5)


def test_every_option_is_a_field_of_the_server() -> None:
    from router.schemas import Wishes

    assert set(get_type_hints(ClipOptions)) == set(Wishes.model_fields) - {"prompt", "duration", "routing"}


def test_image_may_be_path_bytes_or_file(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"photo")
    for image in (path, str(path), b"photo", io.BytesIO(b"photo")):
        server = Server(ok(video()))
        ask(server, "create", image)
        assert form_fields(server.requests[0])[1] == {"input_reference": b"photo"}


def test_idempotency_key_is_drawn_and_kept_through_retries(ask: Ask) -> None:
    server = Server(LOST, refusal(503, "store_unavailable"), ok(video()), ok(video()))
    assert ask(server, "create", b"photo").id == "vid_1"
    ask(server, "create", b"photo")
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]
    assert all(form_fields(request)[1] == {"input_reference": b"photo"} for request in server.requests)


def test_idempotency_key_of_the_caller_is_used(ask: Ask) -> None:
    server = Server(ok(video()), ok(video()))
    ask(server, "create", b"photo", idempotency_key="mine")
    ask(server, "remix", "vid_1", "rain", idempotency_key="mine too", seed=3)
    assert [request.headers["idempotency-key"] for request in server.requests] == ["mine", "mine too"]
    assert json.loads(server.requests[1].content) == {"prompt": "rain", "seed": 3}
    assert server.requests[1].url.path == "/v1/videos/vid_1/remix"


def test_drivers_are_sent_as_files(ask: Ask) -> None:
    server = Server(ok(video()), ok({"profile": "balanced"}))
    ask(server, "create", b"photo", driving_video=b"a dance", audio=b"a song")
    ask(server, "route", b"photo", driving_video=b"a dance")
    whole = {"input_reference": b"photo", "driving_video": b"a dance"}
    assert [form_fields(request)[1] for request in server.requests] == [whole | {"audio": b"a song"}, whole]


def test_a_final_is_asked_with_what_it_may_take(ask: Ask) -> None:
    server = Server(ok(video()), ok(video()))
    ask(server, "finalize", "vid_1", max_cost_usd=0.5, idempotency_key="mine")
    ask(server, "finalize", "vid_1")
    assert [request.url.path for request in server.requests] == ["/v1/videos/vid_1/finalize"] * 2
    assert [json.loads(request.content) for request in server.requests] == [{"max_cost_usd": 0.5}, {}]
    assert server.requests[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize(
    ("args", "named", "sent"),
    [
        (["vid_1", 1], {}, {"rating": 1}),
        (["vid_1", -1], {"comment": "too fast"}, {"rating": -1, "comment": "too fast"}),
        (["vid_1"], {"better_than": "vid_2"}, {"better_than": "vid_2"}),
    ],
)
def test_feedback_sends_one_word(
    ask: Ask, args: list[Any], named: dict[str, Any], sent: dict[str, Any]
) -> None:
    server = Server(ok({"id": "vid_1", "model": "alpha", "use_case": "portrait"}))
    taken = ask(server, "feedback", *args, **named)
    assert (taken.model, taken.use_case) == ("alpha", "portrait")
    assert json.loads(server.requests[0].content) == sent
    assert server.requests[0].url.path == "/v1/videos/vid_1/feedback"


def test_a_videos_final_estimate_is_its_decisions() -> None:
    assert Video.model_validate(video()).final_estimate is None
    told = Video.model_validate(video(routing={"final_estimate": {"model": "alpha"}}))
    assert told.final_estimate == {"model": "alpha"}


def test_route_sends_shape_and_fleet(ask: Ask) -> None:
    server = Server(ok({"profile": "balanced"}))
    assert ask(server, "route", prompt="waves", image_size="800x600", fleet="all") == {"profile": "balanced"}
    fields = dict(parse_qsl(server.requests[0].content.decode()))
    assert fields == {"prompt": "waves", "image_size": "800x600", "fleet": "all"}


@pytest.mark.parametrize(
    ("method", "args", "verb", "path"),
    [
        ("retrieve", ["vid_1"], "GET", "/v1/videos/vid_1"),
        ("cancel", ["vid_1"], "POST", "/v1/videos/vid_1/cancel"),
        ("delete", ["vid_1"], "DELETE", "/v1/videos/vid_1"),
        ("content", ["vid_1", "thumbnail"], "GET", "/v1/videos/vid_1/content"),
        ("retrieve", ["../admin"], "GET", "/v1/videos/..%2Fadmin"),
        ("model", ["ltx"], "GET", "/v1/models/ltx"),
    ],
)
def test_paths(ask: Ask, method: str, args: list[str], verb: str, path: str) -> None:
    server = Server(ok({**video(), "id": "vid_1"}))
    ask(server, method, *args)
    asked = server.requests[0]
    assert (asked.method, asked.url.raw_path.decode().partition("?")[0]) == (verb, path)


def test_list_reads_page_after_page(ask: Ask) -> None:
    pages = [[video(id="vid_1"), video(id="vid_2")], [video(id="vid_3")]]
    answers = [{"data": page, "has_more": more} for page, more in zip(pages, (True, False), strict=True)]
    server = Server(*map(ok, answers))
    assert [job.id for job in ask(server, "list", status="queued", page_size=2)] == [
        "vid_1",
        "vid_2",
        "vid_3",
    ]
    assert dict(server.requests[1].url.params) == {
        **{"after": "vid_2", "limit": "2"},
        **{"order": "desc", "status": "queued"},
    }


def test_models_and_health(ask: Ask) -> None:
    assert [card.id for card in ask(Server(ok({"data": [{"id": "ltx"}]})), "models")] == ["ltx"]
    unready = ok({"status": "not_ready", "checks": {"models": {"ok": False}}}, 503)
    health = ask(Server(unready), "health")
    assert not health.ready
    assert health.checks["models"] == {"ok": False}
    assert ask(Server(ok({"status": "ready", "checks": {}})), "health").ready


def test_api_key_and_server_come_from_arguments_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("I2V_SERVER", "https://fleet.example/")
    server = Server(ok(video()))
    with Client(api_key="secret", transport=httpx.MockTransport(server)) as client:
        client.retrieve("vid_1")
    assert server.requests[0].headers["authorization"] == "Bearer secret"
    assert str(server.requests[0].url) == "https://fleet.example/v1/videos/vid_1"
    with Client("http://other:9/v1") as client:
        assert client.server == "http://other:9"
    with pytest.raises(InvalidRequest, match="http:// or https://"):
        Client("fleet.example")


def test_unknown_fields_of_an_answer_are_kept(ask: Ask) -> None:
    answer = ask(Server(ok(video(brand_new={"a": 1}))), "retrieve", "vid_1")
    assert answer.model_extra["brand_new"] == {"a": 1}


# --- errors ------------------------------------------------------------------------------------


def test_api_error_carries_everything(ask: Ask) -> None:
    with pytest.raises(ApiError, match="it is bad_size") as caught:
        ask(Server(refusal(400, "bad_size")), "create", b"photo")
    error = caught.value
    assert (error.status, error.code, error.message) == (400, "bad_size", "it is bad_size")
    assert (error.param, error.request_id) == ("size", "req_9")
    assert error.body["allowed"] == ["832x480"]


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
def test_errors_that_would_come_again_are_not_retried(ask: Ask, status: int) -> None:
    server = Server(refusal(status, "no"))
    with pytest.raises(ApiError):
        ask(server, "create", b"photo")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_errors_are_retried_twice(ask: Ask, status: int) -> None:
    server = Server(*[refusal(status, "busy")] * 3)
    with pytest.raises(ApiError) as caught:
        ask(server, "retrieve", "vid_1")
    assert (len(server.requests), caught.value.status) == (3, status)


def test_retry_after_beyond_patience_is_told_at_once(ask: Ask) -> None:
    server = Server(refusal(429, "quota", **{"retry-after": "600"}))
    with pytest.raises(ApiError):
        ask(server, "retrieve", "vid_1")
    assert len(server.requests) == 1


def test_no_server_is_told_with_its_address(ask: Ask) -> None:
    with pytest.raises(ServerUnreachable, match="http://test cannot be reached: refused"):
        ask(Server(LOST, LOST, LOST), "retrieve", "vid_1")
    with pytest.raises(ServerUnreachable):
        ask(Server(LOST), "health")


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "", "[1]", '{"error": "text"}'])
def test_error_of_a_proxy_is_an_api_error_too(ask: Ask, body: str) -> None:
    with pytest.raises(ApiError, match="HTTP 418") as caught:
        ask(Server(httpx.Response(418, text=body)), "retrieve", "vid_1")
    assert caught.value.code == "http_418"


def test_another_kind_of_server_is_told(ask: Ask) -> None:
    for method in ("retrieve", "content"):
        server = Server(httpx.Response(200, text="<html>hello</html>"))
        if method == "content":
            assert ask(server, method, "vid_1") == b"<html>hello</html>"
            continue
        with pytest.raises(ClientError, match="did not answer like an i2v server"):
            ask(server, method, "vid_1")


# --- following a job ---------------------------------------------------------------------------


def test_wait_reports_progress_and_returns_at_any_end(ask: Ask) -> None:
    for status in ("completed", "failed", "cancelled", "expired"):
        states = [video(progress=0), video("in_progress", progress=40), video(status, progress=100)]
        seen: list[tuple[str, int]] = []
        end = ask(
            Server(*[ok(state, **{"openai-poll-after-ms": "0"}) for state in states]),
            "wait",
            "vid_1",
            on_progress=lambda job, seen=seen: seen.append((job.status, job.progress)),
            poll=0.0,
        )
        assert end.status == status
        assert seen == [("queued", 0), ("in_progress", 40), (status, 100)]


def test_wait_bears_lost_connections_once_the_server_has_answered(ask: Ask) -> None:
    lost = [LOST] * 9
    server = Server(
        ok(video()), *lost, refusal(503, "x"), refusal(503, "x"), refusal(503, "x"), ok(video("completed"))
    )
    assert ask(server, "wait", "vid_1", poll=0.0).status == "completed"
    with pytest.raises(ServerUnreachable):
        ask(Server(*[LOST] * 3), "wait", "vid_1", poll=0.0)
    with pytest.raises(ServerUnreachable):
        ask(Server(ok(video()), *[LOST] * 40), "wait", "vid_1", poll=0.0)
    with pytest.raises(ApiError):
        ask(Server(ok(video()), refusal(404, "job_not_found")), "wait", "vid_1", poll=0.0)


def test_wait_ends_at_its_timeout_and_the_job_goes_on(ask: Ask) -> None:
    with pytest.raises(WaitTimeout, match="vid_1 is still in_progress after 0 s") as caught:
        ask(Server(ok(video("in_progress"))), "wait", "vid_1", timeout=0.0)
    assert caught.value.video.status == "in_progress"


def event(seq: int, kind: str) -> str:
    data = {"id": "vid_1", "seq": seq, "type": kind, "at": 1.0, "data": {"step": seq}}
    return f"id: {seq}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"


def stream(*parts: str, broken: bool = False) -> httpx.Response:
    class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from (part.encode() for part in ("retry: 0\n\n", *parts))
            if broken:
                raise httpx.ReadError("peer closed")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self.__iter__():
                yield chunk

    return httpx.Response(200, stream=Body(), headers={"content-type": "text/event-stream"})


def test_events_resume_where_the_connection_broke(ask: Ask) -> None:
    server = Server(
        stream(event(1, "queued"), event(2, "started"), "id: 3\nevent: pro", broken=True),
        LOST,
        stream(": heartbeat\n\n", event(3, "progress")),
        refusal(503, "store_unavailable"),
        stream(event(4, "completed")),
    )
    events = ask(server, "events", "vid_1")
    assert [(entry.seq, entry.type) for entry in events] == [
        (1, "queued"),
        (2, "started"),
        (3, "progress"),
        (4, "completed"),
    ]
    assert [request.headers.get("last-event-id") for request in server.requests] == [None, "2", "2", "3", "3"]


def test_events_after_the_last_one_end_at_once(ask: Ask) -> None:
    server = Server(stream(), ok(video("completed")))
    assert ask(server, "events", "vid_1", after=9) == []
    assert server.requests[0].headers["last-event-id"] == "9"


def test_events_of_a_deleted_job_end(ask: Ask) -> None:
    gone = 'event: deleted\ndata: {"id": "vid_1", "type": "deleted"}\n\n'
    assert [entry.type for entry in ask(Server(stream(event(1, "queued"), gone)), "events", "vid_1")] == [
        "queued",
        "deleted",
    ]


def test_events_give_up_when_the_server_stays_away(ask: Ask) -> None:
    with pytest.raises(ServerUnreachable):
        ask(Server(stream(event(1, "queued")), *[LOST] * 40), "events", "vid_1")
    with pytest.raises(ApiError):
        ask(Server(refusal(404, "job_not_found")), "events", "vid_1")


def test_event_reader_joins_lines_and_keeps_its_place() -> None:
    reader = EventReader()
    lines = ['data: {"id": "a",', 'data: "type": "x", "seq": 4}', ":note", ""]
    events = [found for line in lines if (found := reader.feed(line)) is not None]
    assert [(found.type, found.seq) for found in events] == [("x", 4)]
    assert reader.last_event_id == 4


# --- downloads ---------------------------------------------------------------------------------

CLIP = bytes(range(256)) * 40


def clip_server(*, break_at: int | None, etag: str = '"one"', etag_after: str = '"one"') -> Server:
    """Serves ranges under a validator; the first answer breaks off at `break_at` bytes."""

    def first(request: httpx.Request) -> httpx.Response:
        class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                yield CLIP[:break_at]
                if break_at is not None:
                    raise httpx.ReadError("peer closed")

            async def __aiter__(self) -> AsyncIterator[bytes]:
                for chunk in self.__iter__():
                    yield chunk

        return httpx.Response(200, stream=Body(), headers={"etag": etag})

    def second(request: httpx.Request) -> httpx.Response:
        start = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if start is None or request.headers["if-range"] != etag_after:
            return httpx.Response(200, content=CLIP, headers={"etag": etag_after})
        return httpx.Response(206, content=CLIP[int(start[1]) :], headers={"etag": etag_after})

    return Server(first, second)


def test_download_streams_into_the_file(ask: Ask, tmp_path: Path) -> None:
    target = ask(clip_server(break_at=None), "download", "vid_1", tmp_path / "clip.mp4")
    assert target.read_bytes() == CLIP
    assert list(tmp_path.iterdir()) == [target]


def test_download_goes_on_where_it_broke(ask: Ask, tmp_path: Path) -> None:
    server = clip_server(break_at=1000)
    assert ask(server, "download", "vid_1", tmp_path / "clip.mp4").read_bytes() == CLIP
    assert server.requests[1].headers["range"] == "bytes=1000-"


def test_download_starts_anew_when_the_content_changed(ask: Ask, tmp_path: Path) -> None:
    server = clip_server(break_at=1000, etag_after='"two"')
    assert ask(server, "download", "vid_1", tmp_path / "clip.mp4").read_bytes() == CLIP


@pytest.mark.parametrize("failure", [lambda _: refusal(404, "not_ready"), LOST], ids=["refused", "lost"])
def test_failed_download_leaves_no_file_and_keeps_the_old_one(
    ask: Ask, tmp_path: Path, failure: Handler | Exception
) -> None:
    target = tmp_path / "clip.mp4"
    target.write_bytes(b"old")
    with pytest.raises(ClientError):
        ask(Server(failure, failure, failure), "download", "vid_1", target)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("clip.mp4", b"old")]


def test_a_call_can_be_sent_again_from_a_file_that_was_read(tmp_path: Path) -> None:
    with (tmp_path / "photo").open("w+b") as file:
        file.write(b"photo")
        file.seek(0)
        call = create_call(file, "", {}, last_image=None, idempotency_key=None)
    assert call.files is not None
    assert call.files["input_reference"][1] == b"photo"
