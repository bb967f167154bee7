"""The core of the fakes: clocks, scripts, clips, downloads, directing by HTTP, and the program itself."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import httpx
import pytest

from models.providers.fake.calls import Call, Calls, Ending, Status
from models.providers.fake.core import Fake
from models.providers.fake.faults import FITS, Fault, Script
from models.providers.fake.render import LONG_SIDE, Clips, Shape, render, shaped
from models.providers.fake.server import FakeSettings, running
from models.providers.fake.uploads import inspected

SHAPE = Shape(64, 36, 8, 8)
BODY = {"input": {"prompt": "waves", "first_frame_image": "https://pictures.example.com/sea.jpg"}}
HAILUO = "/v1/models/minimax/hailuo-2.3/predictions"
KEY = {"Authorization": "Bearer k"}


def settings(latency_s: float = 0.05) -> FakeSettings:
    return FakeSettings(provider="replicate", key="k", latency_s=latency_s)


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def a_call(clock: Clock, call_id: str = "a", latency_s: float = 8.0, **changes: object) -> Call:
    call = Call(call_id, "e", {}, SHAPE, accepted_at=1e9, begun=clock(), latency_s=latency_s)
    for name, value in changes.items():
        setattr(call, name, value)
    return call


# --- calls -----------------------------------------------------------------------------------


def test_a_call_waits_runs_and_succeeds() -> None:
    clock = Clock()
    call = a_call(clock)
    told = {
        0.0: "queued",
        1.9: "queued",
        2.0: "running",
        7.9: "running",
        8.0: "succeeded",
        999.0: "succeeded",
    }
    assert {after: call.status(100 + after).value for after in told} == told
    assert call.progress(101) == 0
    assert call.progress(105) == pytest.approx(0.5)
    assert call.progress(109) == 1.0
    assert [call.billed(100 + after) for after in (0, 5, 8)] == [False, False, True]


def test_a_failing_call_costs_nothing() -> None:
    call = a_call(Clock(), why=Ending("fails"))
    assert call.status(108) is Status.FAILED
    assert not call.billed(108)


@pytest.mark.parametrize(("stopped", "billed"), [(101.0, False), (105.0, True)])
def test_a_stopped_call_costs_only_when_it_had_begun(stopped: float, billed: bool) -> None:
    call = a_call(Clock(), stopped=stopped)
    assert call.status(stopped) is Status.CANCELLED
    assert call.status(500) is Status.CANCELLED
    assert call.billed(500) is billed
    assert not call.timed_out


def test_a_stop_after_the_end_changes_nothing() -> None:
    call = a_call(Clock(), stopped=120.0)
    assert call.status(121) is Status.SUCCEEDED


def test_a_deadline_ends_a_call_by_itself() -> None:
    late = a_call(Clock(), deadline=104.0)
    assert late.status(103.9) is Status.RUNNING
    assert late.status(104) is Status.CANCELLED
    assert late.timed_out
    assert a_call(Clock(), deadline=109.0).status(110) is Status.SUCCEEDED


def test_another_latency_moves_open_calls_only() -> None:
    clock = Clock()
    calls = Calls(clock)
    done, still = a_call(clock, "done", latency_s=1.0), a_call(clock, "still", latency_s=1e9)
    calls.add(done)
    calls.add(still)
    clock.time = 102.0
    calls.retime(0.5)
    assert done.latency_s == 1.0
    assert still.status(102.0) is Status.SUCCEEDED
    assert still.moved.is_set()
    with pytest.raises(ValueError, match="exists"):
        calls.add(done)


def test_the_queue_is_counted_in_order() -> None:
    clock = Clock()
    calls = Calls(clock)
    for name in "abc":
        calls.add(a_call(clock, name))
        clock.time += 0.1
    third = calls.get("c")
    assert third is not None
    assert calls.waiting_before(third) == 2
    assert [call.id for call in calls.newest_first()] == ["c", "b", "a"]


def test_the_most_open_calls_are_told() -> None:
    clock = Clock()
    calls = Calls(clock)
    for name, latency_s in {"a": 8.0, "b": 1.0, "c": 8.0}.items():
        calls.add(a_call(clock, name, latency_s=latency_s))
        clock.time += 1.5
    assert calls.peak_open() == 2
    calls.add(a_call(clock, "d"))
    assert calls.peak_open() == 3


# --- scripts ---------------------------------------------------------------------------------


def test_faults_are_used_in_order_by_what_they_fit() -> None:
    script = Script()
    script.add(Fault("rate_limited", 2))
    script.add(Fault("look_errors"))
    script.add(Fault("lost_answer"))
    taken = [script.take("submit", "/x"), script.take("look", "/x"), script.take("submit", "/x")]
    assert [fault.name for fault in taken if fault] == ["rate_limited", "look_errors", "rate_limited"]
    assert script.pending == {"lost_answer": 1}
    assert script.take("look", "/x") is None
    last = script.take("submit", "/x")
    assert last is not None
    script.give_back(last)
    assert script.pending == {"lost_answer": 1}


def test_a_fault_can_be_for_one_operation_or_path() -> None:
    script = Script()
    script.add(Fault("unreachable", operation="look", endpoint="/two"))
    assert script.take("submit", "/two") is None
    assert script.take("look", "/one") is None
    assert script.take("look", "/two") is not None


def test_unknown_faults_are_refused() -> None:
    with pytest.raises(ValueError, match="no fault 'meteor'"):
        Script().add(Fault("meteor"))
    with pytest.raises(ValueError, match="at least 1"):
        Script().add(Fault("fails", 0))


def test_the_fault_wrong_key_stays_away_from_keyless_routes() -> None:
    assert not Fault("wrong_key").fits("download", "/")
    assert Fault("wrong_key").fits("look", "/")
    assert all(not Fault(name, 0).fits("submit", "/") for name in FITS)


# --- clips -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [8.0, 24.0, 30000 / 1001])
@pytest.mark.parametrize("sound", [False, True])
def test_a_clip_decodes_to_its_shape(fps: float, sound: bool) -> None:
    shape = Shape(96, 54, fps, 25, sound)
    with av.open(io.BytesIO(render(shape))) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(stream)]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, len(frames)) == (96, 54, 25)
        assert stream.average_rate == Fraction(fps).limit_denominator(1001)
        assert bool(container.streams.audio) is sound
    assert (frames[0].astype(int) - frames[12]).std() > 5, "the picture moves"
    if sound:
        facts = inspected(render(shape), "clip.mp4", "video/mp4")
        assert facts.seconds == pytest.approx(shape.seconds, abs=0.1)


def test_shapes_keep_area_aspect_and_length() -> None:
    shape = shaped(921_600, 16 / 9, 24, seconds=5)
    assert (shape.width, shape.height, shape.frames) == (1280, 720, 120)
    small = shape.reduced()
    assert (small.width, small.height) == (LONG_SIDE, 144)
    assert small.seconds == shape.seconds
    assert SHAPE.reduced() == SHAPE
    with pytest.raises(ValueError, match="seconds or frames"):
        shaped(100, 1, 24)


async def test_a_shape_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Shape] = []

    def counted(shape: Shape) -> bytes:
        made.append(shape)
        return b"clip"

    monkeypatch.setattr("models.providers.fake.render.render", counted)
    small, full = Clips(), Clips(full_size=True)
    large = Shape(1280, 720, 24, 10)
    await asyncio.gather(*(small.get(large) for _ in range(20)))
    await full.get(large)
    assert made == [large.reduced(), large]


# --- the server ------------------------------------------------------------------------------


async def a_result(fake: Fake, client: httpx.AsyncClient) -> str:
    told = (await client.post(HAILUO, json=BODY, headers=KEY)).raise_for_status().json()
    call = fake.calls.get(told["id"])
    assert call is not None
    await fake.over(call)
    return fake.result_url(call)


async def test_downloads_go_wrong_as_scripted() -> None:
    async with running(settings()) as fake, httpx.AsyncClient(base_url=fake.url) as client:
        url = await a_result(fake, client)
        good = await client.get(url)
        assert good.headers["content-type"] == "video/mp4"
        assert inspected(good.content, "", "").seconds == pytest.approx(6, abs=0.1)

        for fault in ("expired_url", "wrong_content_type", "not_a_video", "slow_download"):
            fake.script(fault, seconds=0.05)
        expired, page, noise, slow = [await client.get(url) for _ in range(4)]
        assert expired.status_code == 404
        assert page.headers["content-type"].startswith("text/html")
        assert noise.headers["content-type"] == "video/mp4"
        assert inspected(noise.content, "", "").seconds is None
        assert slow.content == good.content

        fake.script("broken_download")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(url)
        assert (await client.get(url)).content == good.content
        assert fake.requests["download"] == 7


@pytest.mark.parametrize("declared", [True, False])
async def test_a_huge_result_is_streamed(declared: bool) -> None:
    async with running(settings()) as fake, httpx.AsyncClient(base_url=fake.url) as client:
        url = await a_result(fake, client)
        fake.script("huge_result", bytes=10**11, declared=declared)
        seen = 0
        async with client.stream("GET", url) as answer:
            assert answer.headers.get("content-length") == (str(10**11) if declared else None)
            async for piece in answer.aiter_bytes():
                seen += len(piece)
                if seen > 2_000_000:
                    break
        fake.script("huge_result")
        size = len((await client.get(url)).content)
        assert size == 100 * len((await client.get(url)).content)


async def test_submissions_go_wrong_as_scripted() -> None:
    async with running(settings()) as fake, httpx.AsyncClient(base_url=fake.url, headers=KEY) as client:

        async def submit() -> httpx.Response:
            return await client.post(HAILUO, json=BODY)

        fake.script("unreachable")
        with pytest.raises(httpx.TransportError):
            await submit()
        assert fake.ledger == []
        fake.script("lost_answer")
        with pytest.raises(httpx.TransportError):
            await submit()
        assert len(fake.ledger) == 1
        fake.script("error_after_accept")
        assert (await submit()).status_code == 500
        assert len(fake.ledger) == 2
        answers = {"rate_limited": 429, "error_before_accept": 503, "wrong_key": 401, "no_quota": 402}
        for fault, status in (answers | {"retired": 404, "schema_changed": 422}).items():
            fake.script(fault, retry_after_s=7)
            answer = await submit()
            assert answer.status_code == status
            assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
        assert len(fake.ledger) == 2
        assert (await submit()).status_code == 201


async def test_a_fault_waits_for_a_request_that_it_can_be_played_on() -> None:
    async with running(settings()) as fake, httpx.AsyncClient(base_url=fake.url, headers=KEY) as client:
        for fault in ("lost_answer", "fails"):
            fake.script(fault)
            assert (await client.post(HAILUO, json={"input": {}})).status_code == 422
            assert fake.faults.pending == {fault: 1}
            fake.faults.clear()


async def test_a_limit_of_submissions_says_how_long_to_wait() -> None:
    limited = FakeSettings(provider="replicate", key="k", submits_per_minute=2)
    async with running(limited) as fake, httpx.AsyncClient(base_url=fake.url, headers=KEY) as client:
        answers = [await client.post(HAILUO, json=BODY) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert 0 < int(answers[2].headers["retry-after"]) <= 60
        assert (await client.get("/v1/predictions")).status_code == 200
        fake.now = lambda: time.monotonic() + 61
        assert (await client.post(HAILUO, json=BODY)).status_code == 201


async def test_the_fake_is_directed_by_http() -> None:
    async with running(settings(1000.0)) as fake, httpx.AsyncClient(base_url=fake.url) as client:
        script = await client.post("/_fake/script", json={"fault": "rate_limited", "times": 2})
        assert script.json() == {"pending_faults": {"rate_limited": 2}}
        assert (await client.post("/_fake/script", json={"fault": "meteor"})).status_code == 422
        assert (await client.post("/_fake/script", json={"fault": "fails", "what": 1})).status_code == 422
        for _ in range(3):
            await client.post(HAILUO, json=BODY, headers=KEY)
        assert fake.ledger[0]["status"] == "queued"
        assert (await client.post("/_fake/settings", json={"latency_s": 0})).json() == {"latency_s": 0}
        told = (await client.get("/_fake/ledger")).json()
        (row,) = told["calls"]
        assert row["endpoint"] == "minimax/hailuo-2.3"
        assert row["body"] == BODY
        assert (row["status"], row["billed"], row["cancelled"]) == ("succeeded", True, False)
        assert told["requests"] == {"submit": 3}
        assert told["peak_per_second"] == 3
        assert told["peak_open"] == 1
        assert told["pending_faults"] == {}


async def test_a_thousand_calls_are_borne() -> None:
    async with running(settings(0.0)) as fake:
        async with httpx.AsyncClient(base_url=fake.url, headers=KEY, timeout=30) as client:

            async def submit_all(count: int) -> set[int]:
                return {(await client.post(HAILUO, json=BODY)).status_code for _ in range(count)}

            assert await asyncio.gather(*(submit_all(100) for _ in range(10))) == [{201}] * 10
            clips = await asyncio.gather(
                *(client.get(fake.result_url(call)) for call in fake.calls.oldest_first()[:100])
            )
            assert len({clip.content for clip in clips}) == 1
        assert len({row["id"] for row in fake.ledger}) == 1000


async def test_there_is_no_fake_of_an_unknown_provider() -> None:
    with pytest.raises(ValueError, match="no fake of 'pixar'"):
        async with running(FakeSettings(provider="pixar")):
            pass


def test_settings_hide_their_secrets() -> None:
    text = repr(FakeSettings(provider="fal", key="sk-secret", webhook_secret="whsec_secret"))
    assert "secret" not in text.replace("webhook_secret", "")


def test_the_program_says_where_it_listens_and_ends_on_a_signal() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "models.providers.fake", "--provider", "replicate", "--latency", "0"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, env={**os.environ}) as program:
        assert program.stdout is not None
        told = json.loads(program.stdout.readline())
        assert told["provider"] == "replicate"
        answer = httpx.get(f"{told['url']}/v1/account", headers={"Authorization": "Bearer any"})
        assert answer.status_code == 200
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
