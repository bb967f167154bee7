"""fal: every status and error as ours, and the whole way of a call against a strict fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.errors import (
    ContentRefused,
    I2VError,
    InputRefused,
    ModelRetired,
    OutcomeUnknown,
    ProviderAuth,
    ProviderFault,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    ResultUnusable,
    SchemaChanged,
)
from models.providers.base import Account, Phase, Prepared, Sighting, Ticket
from models.providers.fake.server import FakeSettings, running
from models.providers.fal import SPEC, Fal, application, connect
from models.providers.fal_errors import FAULTS, INPUT
from models.providers.http import Api
from models.providers.registry import spec
from models.providers.waits import Jitter
from tests.unit.providers.hosted_calls import photograph, wanted

KEY = "fal-id:fal-secret"
MODEL = "hailuo-2.3"
APP = "fal-ai/minimax"
QUEUE = "https://queue.fal.run"


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


async def no_names(host: str) -> list[str]:
    return []


def adapter(handler: Callable[[httpx.Request], httpx.Response]) -> Fal:
    api = Api(
        "fal",
        QUEUE,
        auth={"Authorization": f"Key {KEY}"},
        origins=("https://rest.fal.ai",),
        jitter=Jitter(uniform=lambda low, high: 0.0),
        sleep=no_sleep,
        resolve=no_names,
        transport=httpx.MockTransport(handler),
    )
    return Fal(api, "https://rest.fal.ai")


def answering(status: int, **answer: Any) -> Fal:
    return adapter(lambda request: httpx.Response(status, **answer))


PREPARED = Prepared("call_1", "fal-ai/minimax/x/image-to-video", {"prompt": "a wish"}, {"app": APP})
TICKET = Ticket("r1", {"app": APP})


def detail(kind: str, *loc: str, retryable: bool = False) -> dict[str, Any]:
    entry = {"loc": ["body", *loc], "msg": "quotes a wish", "type": kind}
    return {"json": {"detail": [entry]}, "headers": {"X-Fal-Retryable": str(retryable).lower()}}


LOCKED = {"json": {"detail": "User is locked. Reason: Exhausted balance. Top up your balance."}}


@pytest.mark.parametrize(
    ("status", "answer", "error", "param"),
    [
        (401, {}, ProviderAuth, None),
        (401, {"json": {"detail": "Forbidden"}}, ProviderAuth, None),
        (403, {"json": {"detail": "Forbidden"}}, ModelRetired, None),
        (403, {"content": b"<html>"}, ModelRetired, None),
        (403, {"json": {"detail": "Authentication is required to access this application."}},
         ProviderAuth, None),
        (403, {"json": {"detail": "Invalid API key"}}, ProviderAuth, None),
        (403, {"json": {"detail": "User is locked. Reason: abuse."}}, ProviderAuth, None),
        (403, LOCKED, QuotaExhausted, None),
        (402, {}, QuotaExhausted, None),
        (404, {"json": {"detail": "Application not found"}}, ModelRetired, None),
        (409, {}, ProviderUnavailable, None),
        (413, {}, InputRefused, "image"),
        (429, {}, RateLimited, None),
        (503, {"json": {"detail": "Service Unavailable"}}, ProviderUnavailable, None),
        (503, {}, OutcomeUnknown, None),
        (408, {}, OutcomeUnknown, None),
        (422, detail("missing", "prompt"), SchemaChanged, "prompt"),
        (422, detail("extra_forbidden", "sharpness"), SchemaChanged, "sharpness"),
        (422, detail("int_parsing", "duration"), SchemaChanged, "duration"),
        (422, detail("one_of", "duration"), InputRefused, "duration"),
        (422, detail("something_new", "duration"), InputRefused, "duration"),
        (422, detail("content_policy_violation", "prompt"), ContentRefused, "prompt"),
        (400, {"json": {"detail": "x", "error_type": "bad_request"}}, InputRefused, None),
        (422, {"content": b"<html>"}, InputRefused, None),
        (500, {}, OutcomeUnknown, None),
        (502, {}, OutcomeUnknown, None),
        (504, {}, OutcomeUnknown, None),
        (200, {"json": {"status": "IN_QUEUE"}}, OutcomeUnknown, None),
        (200, {"content": b"<html>"}, OutcomeUnknown, None),
    ],
)  # fmt: skip
async def test_refused_submissions_are_typed(
    status: int, answer: dict[str, Any], error: type[I2VError], param: str | None
) -> None:
    with pytest.raises(I2VError) as caught:
        await answering(status, **answer).submit(PREPARED)
    assert type(caught.value) is error
    assert caught.value.param == param
    assert "a wish" not in str(caught.value)
    assert "fal-secret" not in repr(caught.value) + repr(caught.value.__dict__)


async def test_a_model_that_the_account_may_not_use_is_named() -> None:
    with pytest.raises(
        ModelRetired, match=r"the account may not use fal-ai/minimax/x/image-to-video \(403\)"
    ):
        await answering(403).submit(PREPARED)


@pytest.mark.parametrize(
    ("place", "status", "text", "error"),
    [
        ("https://v3.fal.media", 403, "<Code>AccessDenied</Code>", ProviderUnavailable),
        ("https://v3.fal.media", 401, "", ProviderUnavailable),
        ("https://v3.fal.media", 400, "<Code>ExpiredToken</Code>", ProviderUnavailable),
        ("https://v3.fal.media", 400, "<Code>InvalidDigest</Code>", InputRefused),
        ("https://v3.fal.media", 413, "", InputRefused),
        ("https://rest.fal.ai", 403, "", ProviderAuth),
    ],
)
async def test_storage_that_was_sent_no_key_cannot_refuse_it(
    place: str, status: int, text: str, error: type[I2VError]
) -> None:
    keys: dict[str, str | None] = {}

    def handler(request: httpx.Request) -> httpx.Response:
        keys[request.method] = request.headers.get("authorization")
        if request.method == "POST":
            told = {"upload_url": f"{place}/put?sig=1", "file_url": "https://v3.fal.media/f"}
            return httpx.Response(200, json=told)
        return httpx.Response(status, text=text)

    with pytest.raises(I2VError) as caught:
        await adapter(handler).upload(photograph())
    assert type(caught.value) is error
    assert keys["POST"] == f"Key {KEY}"
    assert (keys["PUT"] is None) is ("fal.media" in place)


def over(result: httpx.Response, **status: Any) -> Fal:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/status"):
            return httpx.Response(
                200, json={"status": "COMPLETED", "metrics": {"inference_time": 9.5}, **status}
            )
        return httpx.Response(result.status_code, headers=result.headers, content=result.content)

    return adapter(handler)


RUNS: list[tuple[int, str, bool, type[I2VError]]] = [
    *((422, kind, False, InputRefused) for kind in sorted(INPUT)),
    *((500, kind, True, ProviderFault) for kind in sorted(FAULTS)),
    (400, "downstream_service_error", True, ProviderFault),
    (400, "downstream_service_error", False, InputRefused),
    (504, "generation_timeout", False, InputRefused),
    (422, "content_policy_violation", False, ContentRefused),
    (422, "missing", False, SchemaChanged),
    (422, "nobody_knows", False, InputRefused),
    (500, "nobody_knows", False, ProviderFault),
]


@pytest.mark.parametrize(("status", "kind", "retryable", "error"), RUNS)
async def test_failed_runs_are_typed(status: int, kind: str, retryable: bool, error: type[I2VError]) -> None:
    fal = over(httpx.Response(status, **detail(kind, "image_url", retryable=retryable)))
    seen = await fal.look(TICKET)
    assert seen.phase is Phase.FAILED
    assert type(seen.error) is error
    assert seen.billed is (False if status >= 500 else None)
    assert "a wish" not in str(seen.error)


@pytest.mark.parametrize("kind", sorted(FAULTS))
async def test_platform_errors_are_told_three_ways(kind: str) -> None:
    flat = {"detail": "words", "error_type": kind}
    for fal in (
        over(httpx.Response(503, json=flat)),
        over(httpx.Response(503, headers={"X-Fal-Error-Type": kind}, json={"detail": "words"})),
        over(httpx.Response(503, json={"detail": "words"}), error="words", error_type=kind),
    ):
        seen = await fal.look(TICKET)
        assert (seen.phase, type(seen.error)) == (Phase.FAILED, ProviderFault)


async def test_a_result_that_fails_without_a_type_is_no_verdict_unless_it_is_one() -> None:
    with pytest.raises(ProviderUnavailable):
        await over(httpx.Response(502, content=b"<html>")).look(TICKET)
    with pytest.raises(RateLimited):
        await over(httpx.Response(429)).look(TICKET)
    seen = await over(httpx.Response(500, json={"detail": "Internal Server Error"})).look(TICKET)
    assert (seen.phase, type(seen.error)) == (Phase.FAILED, ProviderFault)
    seen = await over(httpx.Response(404, json={"detail": "Request not found"})).look(TICKET)
    assert (seen.phase, type(seen.error)) == (Phase.FAILED, ProviderFault)


async def test_a_failed_result_is_asked_for_once() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith("/status"):
            return httpx.Response(200, json={"status": "COMPLETED"})
        return httpx.Response(504, **detail("generation_timeout", retryable=True))

    await adapter(handler).look(TICKET)
    assert asked == [f"/{APP}/requests/r1/status", f"/{APP}/requests/r1"]


@pytest.mark.parametrize(
    "fal",
    [
        over(httpx.Response(499, json={"detail": "x"})),
        over(httpx.Response(499, json={"detail": "x", "error_type": "client_cancelled"})),
        over(httpx.Response(200, json={}), error_type="client_cancelled"),
        answering(200, json={"status": "CANCELLED"}),
    ],
)
async def test_a_cancelled_run_is_cancelled(fal: Fal) -> None:
    assert (await fal.look(TICKET)).phase is Phase.CANCELLED


@pytest.mark.parametrize(
    ("status", "told", "phase", "position"),
    [
        (202, {"status": "IN_QUEUE", "queue_position": 3}, Phase.QUEUED, 3),
        (202, {"status": "IN_QUEUE"}, Phase.QUEUED, None),
        (202, {"status": "IN_PROGRESS", "logs": None}, Phase.RUNNING, None),
        (200, {"status": "MELTED"}, Phase.FAILED, None),
        (404, {"detail": "Request not found"}, Phase.LOST, None),
    ],
)
async def test_statuses_are_phases(
    status: int, told: dict[str, Any], phase: Phase, position: int | None
) -> None:
    seen = await answering(status, json=told).look(TICKET)
    assert (seen.phase, seen.queue_position) == (phase, position)


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ({"video": {"url": "https://v3.fal.media/a.mp4"}}, "https://v3.fal.media/a.mp4"),
        ({"video": "https://v3.fal.media/a.mp4"}, "https://v3.fal.media/a.mp4"),
        ({"videos": [{"url": "https://v3.fal.media/a.mp4"}]}, "https://v3.fal.media/a.mp4"),
        ({"video": {"url": "data:video/mp4;base64,AAAA"}}, "data:video/mp4;base64,AAAA"),
        ({"image": {"url": "https://v3.fal.media/a.png"}}, None),
        ([], None),
    ],
)
async def test_results_come_in_several_shapes(body: Any, result: str | None, tmp_path: Path) -> None:
    fal = over(httpx.Response(200, json=body))
    seen = await fal.look(TICKET)
    assert (seen.phase, seen.result, seen.run_seconds) == (Phase.SUCCEEDED, result, 9.5)
    if result is None:
        with pytest.raises(ResultUnusable):
            await fal.download(seen, TICKET, tmp_path / "clip", 100)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ProviderAuth), (429, RateLimited), (500, ProviderUnavailable), (503, ProviderUnavailable)],
)
async def test_a_look_that_fails_says_nothing_of_the_call(status: int, error: type[I2VError]) -> None:
    with pytest.raises(error):
        await answering(status).look(TICKET)


async def test_the_providers_urls_are_asked_only_at_home() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(202, json={"status": "IN_PROGRESS"})

    fal = adapter(handler)
    await fal.look(Ticket("r1", {"app": APP, "status": f"{QUEUE}/somewhere/r1/status"}))
    await fal.look(Ticket("r1", {"app": APP, "status": "https://elsewhere.example.com/r1/status"}))
    assert asked == [f"{QUEUE}/somewhere/r1/status", f"{QUEUE}/{APP}/requests/r1/status"]
    with pytest.raises(ProviderUnavailable):
        await fal.look(Ticket("r1"))


@pytest.mark.parametrize(
    ("endpoint", "app"),
    [
        ("fal-ai/kling-video/v3/pro/image-to-video", "fal-ai/kling-video"),
        ("fal-ai/wan-i2v", "fal-ai/wan-i2v"),
        ("wan/v2.6/image-to-video", "wan/v2.6"),
        ("workflows/somebody/thing/more", "workflows/somebody/thing"),
        ("comfy/somebody/thing", "comfy/somebody/thing"),
    ],
)
def test_requests_are_asked_for_under_the_application(endpoint: str, app: str) -> None:
    assert application(endpoint) == app


async def test_the_marker_says_whether_a_webhook_can_tell() -> None:
    fal = answering(200)
    hooked = fal.prepare(wanted(MODEL, "fal", webhook="https://hooks/call_1"), {"image": "https://i"}, {})
    assert hooked.query == {"fal_webhook": "https://hooks/call_1"}
    assert "webhook" not in str(hooked.body)
    plain = fal.prepare(wanted(MODEL, "fal"), {"image": "https://i"}, {})
    assert plain.query == {}
    assert (hooked.marker["webhook"], plain.marker["webhook"]) == ("yes", "no")
    for prepared, hope in ((hooked, "may still tell"), (plain, "no webhook")):
        with pytest.raises(OutcomeUnknown, match=hope):
            await fal.find(prepared.reference, prepared.marker, 0.0, frozenset())


@pytest.mark.parametrize("status", [202, 400, 404])
async def test_a_cancel_of_what_is_over_is_no_error(status: int) -> None:
    await answering(status, json={}).cancel(TICKET)


# --- against the fake ------------------------------------------------------------------------------


@pytest.fixture
async def fake() -> AsyncIterator[Any]:
    async with running(FakeSettings(provider="fal", latency_s=0.1, key=KEY)) as server:
        yield server


@pytest.fixture
async def fal(fake: Any) -> AsyncIterator[Fal]:
    made = connect(Account("fal", KEY, fake.url))
    yield made
    await made.close()


async def prepared(fal: Fal, reference: str = "call_1", webhook: str | None = None) -> Prepared:
    url = await fal.upload(photograph(reference))
    return fal.prepare(wanted(MODEL, "fal", reference=reference, webhook=webhook), {"image": url}, {})


async def ended(fal: Fal, ticket: Ticket) -> Sighting:
    for _ in range(500):
        seen = await fal.look(ticket)
        if seen.phase.over:
            return seen
        await asyncio.sleep(0.01)
    raise AssertionError("the call does not end")


async def test_a_call_goes_all_the_way(fake: Any, fal: Fal, tmp_path: Path) -> None:
    await fal.check()
    mine = await prepared(fal)
    ticket = await fal.submit(mine)
    seen = await ended(fal, ticket)
    assert seen.phase is Phase.SUCCEEDED
    got = await fal.download(seen, ticket, tmp_path / "clip.mp4", 50_000_000)
    assert got.content_type == "video/mp4"
    assert got.path.read_bytes()[4:8] == b"ftyp"
    assert [call["id"] for call in fake.ledger] == [ticket.id]
    # A ticket that only a webhook told is asked for by the marker.
    assert (await fal.look(Ticket(ticket.id, mine.marker))).phase is Phase.SUCCEEDED


@pytest.mark.parametrize("fault", ["lost_answer", "error_after_accept", "unreachable"])
async def test_a_lost_answer_is_unknown_and_sent_once(fake: Any, fal: Fal, fault: str) -> None:
    mine = await prepared(fal)
    fake.script(fault)
    with pytest.raises(OutcomeUnknown):
        await fal.submit(mine)
    with pytest.raises(OutcomeUnknown):
        await fal.find(mine.reference, mine.marker, 0.0, frozenset())
    assert fake.requests["submit"] == 1
    assert len(fake.ledger) == (0 if fault == "unreachable" else 1)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate_limited", RateLimited),
        ("error_before_accept", ProviderUnavailable),
        ("wrong_key", ProviderAuth),
        ("no_quota", QuotaExhausted),
        ("retired", ModelRetired),
        ("schema_changed", SchemaChanged),
    ],
)
async def test_the_fakes_refusals_are_typed(fake: Any, fal: Fal, fault: str, error: type[I2VError]) -> None:
    mine = await prepared(fal)
    fake.script(fault)
    with pytest.raises(error) as caught:
        await fal.submit(mine)
    assert fake.ledger == []
    assert "fal-secret" not in repr(caught.value)
    if error is RateLimited:
        assert isinstance(caught.value, RateLimited)
        assert caught.value.retry_after_s == 1.0


@pytest.mark.parametrize(
    ("fault", "error"),
    [("fails", ProviderFault), ("refuses_input", InputRefused), ("refuses_content", ContentRefused)],
)
async def test_the_fakes_failures_are_typed(fake: Any, fal: Fal, fault: str, error: type[I2VError]) -> None:
    fake.script(fault)
    seen = await ended(fal, await fal.submit(await prepared(fal)))
    assert seen.phase is Phase.FAILED
    assert type(seen.error) is error


async def test_a_wrong_key_is_told_at_once(fake: Any) -> None:
    stranger = connect(Account("fal", "wrong:key", fake.url))
    with pytest.raises(ProviderAuth):
        await stranger.check()
    with pytest.raises(ProviderAuth):
        await stranger.upload(photograph())
    await stranger.close()


async def test_a_cancel_stops_the_run_and_a_late_one_does_no_harm(fake: Any, fal: Fal) -> None:
    fake.set_latency(60.0)
    ticket = await fal.submit(await prepared(fal))
    assert (await fal.look(ticket)).phase is Phase.QUEUED
    await fal.cancel(ticket)
    assert (await fal.look(ticket)).phase is Phase.CANCELLED
    await fal.cancel(ticket)
    await fal.cancel(Ticket("nobody", {**ticket.urls, "cancel": ""}))
    fake.script("cancel_deaf")
    with pytest.raises(ProviderUnavailable):
        await fal.cancel(ticket)
    second = await fal.submit(await prepared(fal, "call_2"))
    fake.script("cancel_race")
    await fal.cancel(second)
    assert (await ended(fal, second)).phase is Phase.SUCCEEDED


async def test_looks_ride_out_errors_and_tell_a_lost_call(fake: Any, fal: Fal) -> None:
    ticket = await fal.submit(await prepared(fal))
    fake.script("look_errors", times=2)
    assert (await fal.look(ticket)).phase in (Phase.QUEUED, Phase.RUNNING, Phase.SUCCEEDED)
    fake.script("forgets")
    assert (await fal.look(ticket)).phase is Phase.LOST


async def test_the_registry_names_it() -> None:
    assert spec("fal") is SPEC
    assert (SPEC.backend, SPEC.key_env) == ("fal", "FAL_KEY")
