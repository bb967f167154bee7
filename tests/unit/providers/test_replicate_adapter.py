"""Replicate: every status and error as ours, and the whole way of a call against a strict fake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
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
from models.providers.http import Api
from models.providers.registry import spec
from models.providers.replicate import SPEC, Replicate, connect
from models.providers.replicate_errors import run_failure
from models.providers.waits import Jitter
from tests.unit.providers.hosted_calls import photograph, wanted

KEY = "r8_secret"
MODEL = "hailuo-2.3"


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


def adapter(handler: Callable[[httpx.Request], httpx.Response]) -> Replicate:
    auth = {"Authorization": f"Bearer {KEY}"}
    base = "https://api.replicate.com/v1"
    quick = Jitter(uniform=lambda low, high: 0.0)
    transport = httpx.MockTransport(handler)
    return Replicate(Api("replicate", base, auth=auth, jitter=quick, sleep=no_sleep, transport=transport))


def answering(status: int, **answer: Any) -> Replicate:
    return adapter(lambda request: httpx.Response(status, **answer))


PREPARED = Prepared(
    "call_1", "models/a/b/predictions", {"input": {"prompt": "a wish"}}, {"input": "u", "model": "a/b"}
)


def problem(detail: str, title: str = "Input validation failed") -> dict[str, Any]:
    return {"json": {"title": title, "detail": detail}}


@pytest.mark.parametrize(
    ("status", "answer", "error", "param"),
    [
        (401, {}, ProviderAuth, None),
        (403, {}, ModelRetired, None),
        (403, problem("You do not have permission to run this model", "Forbidden"), ModelRetired, None),
        (403, problem("You did not pass a valid authentication token", "Forbidden"), ProviderAuth, None),
        (403, problem("You have insufficient credit", "Insufficient credit"), QuotaExhausted, None),
        (402, problem("You have insufficient credit", "Insufficient credit"), QuotaExhausted, None),
        (404, {}, ModelRetired, None),
        (409, {}, ProviderUnavailable, None),
        (413, {}, InputRefused, "image"),
        (429, problem("Request was throttled. Your rate limit resets in ~30s."), RateLimited, None),
        (503, problem("Something went wrong", "Service unavailable"), ProviderUnavailable, None),
        (503, {"headers": {"Retry-After": "9"}}, ProviderUnavailable, None),
        (503, {"content": b"<html>"}, OutcomeUnknown, None),
        (425, {}, OutcomeUnknown, None),
        (400, problem("bad"), InputRefused, None),
        (422, problem("- input: Additional property sharpness is not allowed\n"), SchemaChanged, "sharpness"),
        (422, problem("- input: prompt is required\n"), SchemaChanged, "prompt"),
        (422, problem('- input.duration: input.duration must be one of: 6, 10\n'), InputRefused, "duration"),
        (422, problem("- input.duration: Invalid type. Expected: integer\n"), SchemaChanged, "duration"),
        (422, problem("- input.seed: Must be less than or equal to 10\n"), InputRefused, "seed"),
        (422, {"json": {"detail": "x", "invalid_fields": [
            {"field": "input", "type": "required", "description": "image is required"}
        ]}}, SchemaChanged, "image"),
        (422, problem("…", "Invalid version or not permitted"), ModelRetired, None),
        (422, problem("The prompt was flagged as sensitive"), ContentRefused, None),
        (422, problem("something new"), InputRefused, None),
        (422, {"content": b"<html>"}, InputRefused, None),
        (500, {}, OutcomeUnknown, None),
        (502, {}, OutcomeUnknown, None),
        (504, {}, OutcomeUnknown, None),
        (201, {"json": {"status": "starting"}}, OutcomeUnknown, None),
        (201, {"content": b"<html>"}, OutcomeUnknown, None),
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
    assert KEY not in repr(caught.value) + repr(caught.value.__dict__)


async def test_the_words_of_a_limit_say_when_to_come_back() -> None:
    with pytest.raises(RateLimited) as caught:
        await answering(429, **problem("Request was throttled. Your rate limit resets in ~30s.")).submit(
            PREPARED
        )
    assert caught.value.retry_after_s == 30.0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("E006 invalid input: no body found", InputRefused),
        ("Prediction failed: invalid image", InputRefused),
        ("The input or output was flagged as sensitive. Please try again. (E005) (uIJ6l)", ContentRefused),
        ("NSFW content detected", ContentRefused),
        ("CUDA out of memory. Tried to allocate 2 GiB", ProviderFault),
        ("(E1001)", ProviderFault),
        ("Service is currently unavailable due to high demand. (E003)", ProviderFault),
        ("An error (E001)", ProviderFault),
        ("Prediction interrupted; please retry (code: PA)", ProviderFault),
        ("This model is no longer available", ModelRetired),
        ("", ProviderFault),
    ],
)  # fmt: skip
def test_failed_runs_are_typed(text: str, error: type[I2VError]) -> None:
    assert type(run_failure(text)) is error


def test_a_failed_run_does_not_repeat_what_the_model_wrote() -> None:
    assert (
        run_failure("cannot draw: a private wish (E1000)").message
        == "replicate: the run failed with E1000 (unknown error)"
    )


def prediction(**fields: Any) -> dict[str, Any]:
    return {"id": "p1", "model": "a/b", "version": "hidden", "status": "processing", **fields}


@pytest.mark.parametrize(
    ("fields", "phase", "billed", "error"),
    [
        ({"status": "starting"}, Phase.QUEUED, None, None),
        ({"status": "processing"}, Phase.RUNNING, None, None),
        ({"status": "succeeded", "output": "https://x/y.mp4"}, Phase.SUCCEEDED, None, None),
        ({"status": "failed", "error": "E006"}, Phase.FAILED, None, InputRefused),
        ({"status": "failed", "error": None}, Phase.FAILED, None, ProviderFault),
        ({"status": "canceled", "started_at": None}, Phase.CANCELLED, False, ProviderFault),
        ({"status": "canceled", "started_at": "2026-01-01T00:00:00Z"}, Phase.CANCELLED, True, ProviderFault),
        ({"status": "aborted"}, Phase.CANCELLED, False, ProviderFault),
        ({"status": "melted"}, Phase.FAILED, None, ProviderFault),
    ],
)
async def test_statuses_are_phases(
    fields: dict[str, Any], phase: Phase, billed: bool | None, error: type[I2VError] | None
) -> None:
    seen = await answering(200, json=prediction(**fields)).look(Ticket("p1"))
    assert (seen.phase, seen.billed) == (phase, billed)
    assert seen.phase.over is (phase not in (Phase.QUEUED, Phase.RUNNING))
    assert (None if seen.error is None else type(seen.error)) is error


@pytest.mark.parametrize(
    ("output", "result"),
    [
        ("https://x/y.mp4", "https://x/y.mp4"),
        (["https://x/y.mp4", "https://x/z.mp4"], "https://x/y.mp4"),
        ({"video": "https://x/y.mp4"}, "https://x/y.mp4"),
        ([{"url": "https://x/y.mp4"}], "https://x/y.mp4"),
        (None, None),
        ([], None),
        (7, None),
    ],
)
async def test_outputs_come_in_several_shapes(output: Any, result: str | None, tmp_path: Path) -> None:
    told = prediction(status="succeeded", output=output, metrics={"predict_time": 41.5})
    replicate = answering(200, json=told)
    seen = await replicate.look(Ticket("p1"))
    assert (seen.result, seen.run_seconds, seen.served) == (result, 41.5, "a/b")
    if result is None:
        with pytest.raises(ResultUnusable):
            await replicate.download(seen, Ticket("p1"), tmp_path / "clip", 100)


async def test_the_version_that_was_served_is_told() -> None:
    seen = await answering(200, json=prediction(version="5c78")).look(Ticket("p1"))
    assert seen.served == "a/b:5c78"


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ProviderAuth), (429, RateLimited), (500, ProviderUnavailable), (503, ProviderUnavailable)],
)
async def test_a_look_that_fails_says_nothing_of_the_call(status: int, error: type[I2VError]) -> None:
    with pytest.raises(error):
        await answering(status).look(Ticket("p1"))


async def test_what_is_not_known_any_more_is_lost() -> None:
    assert (await answering(404).look(Ticket("p1"))).phase is Phase.LOST
    with pytest.raises(ProviderUnavailable):
        await answering(200, content=b"<html>").look(Ticket("p1"))


@pytest.mark.parametrize("status", [200, 404, 409, 422])
async def test_a_cancel_of_what_is_over_is_no_error(status: int) -> None:
    await answering(status, json={}).cancel(Ticket("p1"))


@pytest.mark.parametrize(
    ("status", "error"), [(500, ProviderUnavailable), (429, RateLimited), (401, ProviderAuth)]
)
async def test_a_cancel_that_is_not_heard_is_one(status: int, error: type[I2VError]) -> None:
    with pytest.raises(error):
        await answering(status).cancel(Ticket("p1"))


# --- the listing -----------------------------------------------------------------------------------

UPLOADED = "https://api.replicate.com/v1/files/0f4d6a3c-0001-4000-8000-00000000abcd"
MARKER = {"input": UPLOADED, "model": "a/b"}
SINCE = 1_790_000_000.0


def row(name: str, at: float, **fields: Any) -> dict[str, Any]:
    created = datetime.fromtimestamp(SINCE + at, UTC).isoformat().replace("+00:00", "Z")
    return {
        "id": name,
        "model": "a/b",
        "created_at": created,
        "input": {"prompt": "x", "image": f"https://else/{name}"},
        **fields,
    }


def listing(*pages: list[dict[str, Any]]) -> tuple[Replicate, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        page = int(request.url.params.get("cursor", "0"))
        further = page + 1 < len(pages)
        following = f"https://elsewhere.example.com/v1/predictions?cursor={page + 1}" if further else None
        return httpx.Response(200, json={"results": pages[page], "next": following})

    return adapter(handler), seen


@pytest.mark.parametrize(
    "image",
    [
        UPLOADED,
        [UPLOADED],
        {"file": UPLOADED},
        "https://replicate.delivery/x/0f4d6a3c-0001-4000-8000-00000000abcd.jpg",
    ],
)
async def test_a_call_is_found_by_what_was_uploaded_for_it(image: Any) -> None:
    replicate, seen = listing(
        [row("new", 9)], [row("ours", 1, input={"first_frame": image}), row("old", -9999)]
    )
    assert await replicate.find("call_1", MARKER, SINCE, frozenset()) == Ticket("ours")
    assert [request.url.host for request in seen] == ["api.replicate.com"] * 2, "the key stays at home"


async def test_a_call_that_is_not_there_was_not_accepted() -> None:
    replicate, seen = listing([row("a", 9), row("b", -400)], [row("c", -500)])
    assert await replicate.find("call_1", MARKER, SINCE, frozenset()) is None
    assert len(seen) == 1, "nothing older than the intent is read"
    replicate, _ = listing([])
    assert await replicate.find("call_1", MARKER, SINCE, frozenset()) is None


async def test_a_ticket_that_another_call_holds_is_not_taken() -> None:
    replicate, _ = listing([row("theirs", 1, input={"image": UPLOADED})])
    assert await replicate.find("call_1", MARKER, SINCE, frozenset({"theirs"})) is None


@pytest.mark.parametrize(
    ("fields", "tells"),
    [
        ({"input": {}, "data_removed": True}, False),
        ({"input": None}, False),
        ({"input": {}, "data_removed": True, "model": "other/model"}, True),
    ],
)
async def test_deleted_inputs_leave_it_unknown(fields: dict[str, Any], tells: bool) -> None:
    replicate, _ = listing([row("gone", 1, **fields)])
    if tells:
        assert await replicate.find("call_1", MARKER, SINCE, frozenset()) is None
        return
    with pytest.raises(OutcomeUnknown, match="deleted"):
        await replicate.find("call_1", MARKER, SINCE, frozenset())
    assert await replicate.find("call_1", MARKER, SINCE, frozenset({"gone"})) is None


async def test_a_listing_without_end_is_given_up() -> None:
    replicate, seen = listing(*[[row(f"p{page}", 9)] for page in range(300)])
    with pytest.raises(OutcomeUnknown, match="newest"):
        await replicate.find("call_1", MARKER, SINCE, frozenset())
    assert len(seen) == 100


async def test_a_listing_that_cannot_be_had_says_nothing() -> None:
    for status, answer in (
        (500, {}),
        (200, {"json": {}}),
        (200, {"json": {"results": [], "next": "https://x/?a=b"}}),
    ):
        with pytest.raises(ProviderUnavailable):
            await answering(status, **answer).find("call_1", MARKER, SINCE, frozenset())
    with pytest.raises(OutcomeUnknown):
        await answering(200).find("call_1", {}, SINCE, frozenset())


def test_a_pinned_version_has_a_route_of_its_own() -> None:
    replicate = answering(200)
    plain = replicate.prepare(
        wanted(MODEL, "replicate", webhook="https://hooks/call_1"), {"image": "https://i"}, {}
    )
    assert plain.route == "models/minimax/hailuo-2.3/predictions"
    assert plain.body["webhook"] == "https://hooks/call_1"
    assert plain.body["webhook_events_filter"] == ["completed"]
    assert plain.marker == {"input": "https://i", "model": "minimax/hailuo-2.3"}
    pinned = replicate.prepare(wanted("svd-xt", "replicate"), {"image": "https://i"}, {})
    assert pinned.route == "predictions"
    assert len(str(pinned.body["version"])) == 64
    assert "webhook" not in pinned.body


# --- against the fake ------------------------------------------------------------------------------


@pytest.fixture
async def fake() -> AsyncIterator[Any]:
    async with running(FakeSettings(provider="replicate", latency_s=0.1, key=KEY)) as server:
        yield server


@pytest.fixture
async def replicate(fake: Any) -> AsyncIterator[Replicate]:
    made = connect(Account("replicate", KEY, f"{fake.url}/v1"))
    yield made
    await made.close()


async def prepared(replicate: Replicate, reference: str = "call_1", model: str = MODEL) -> Prepared:
    url = await replicate.upload(photograph(reference))
    return replicate.prepare(wanted(model, "replicate", reference=reference), {"image": url}, {})


async def ended(replicate: Replicate, ticket: Ticket) -> Sighting:
    for _ in range(500):
        seen = await replicate.look(ticket)
        if seen.phase.over:
            return seen
        await asyncio.sleep(0.01)
    raise AssertionError("the call does not end")


@pytest.mark.parametrize("model", [MODEL, "svd-xt"])
async def test_a_call_goes_all_the_way(fake: Any, replicate: Replicate, tmp_path: Path, model: str) -> None:
    await replicate.check()
    ticket = await replicate.submit(await prepared(replicate, model=model))
    seen = await ended(replicate, ticket)
    assert seen.phase is Phase.SUCCEEDED
    assert seen.run_seconds is not None
    got = await replicate.download(seen, ticket, tmp_path / "clip.mp4", 50_000_000)
    assert got.content_type == "video/mp4"
    assert got.path.read_bytes()[4:8] == b"ftyp"
    assert [call["id"] for call in fake.ledger] == [ticket.id]


async def test_a_lost_answer_is_found_again_and_nothing_is_sent_twice(
    fake: Any, replicate: Replicate
) -> None:
    since = time.time()
    others = [await replicate.submit(await prepared(replicate, f"call_{n}")) for n in (2, 3)]
    for fault in ("lost_answer", "error_after_accept"):
        fake.script(fault)
        mine = await prepared(replicate, f"call_{fault}")
        with pytest.raises(OutcomeUnknown):
            await replicate.submit(mine)
        accepted = fake.ledger[-1]["id"]
        known = frozenset(ticket.id for ticket in others)
        assert await replicate.find(mine.reference, mine.marker, since, known) == Ticket(accepted)
        assert await replicate.find(mine.reference, mine.marker, since, frozenset()) == Ticket(accepted)
    assert len(fake.ledger) == 4
    assert fake.requests["submit"] == 4


async def test_what_never_arrived_is_not_found(fake: Any, replicate: Replicate) -> None:
    since = time.time()
    await replicate.submit(await prepared(replicate, "call_2"))
    fake.script("unreachable")
    mine = await prepared(replicate)
    with pytest.raises(OutcomeUnknown):
        await replicate.submit(mine)
    assert await replicate.find(mine.reference, mine.marker, since, frozenset()) is None
    assert len(fake.ledger) == 1


async def test_a_listing_of_several_pages_is_searched(fake: Any, replicate: Replicate) -> None:
    since = time.time()
    mine = await prepared(replicate)
    ticket = await replicate.submit(mine)
    other = await prepared(replicate, "call_2")
    for _ in range(105):
        await replicate.submit(other)
    assert await replicate.find(mine.reference, mine.marker, since, frozenset()) == ticket
    assert fake.requests["list"] == 2


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
async def test_the_fakes_refusals_are_typed(
    fake: Any, replicate: Replicate, fault: str, error: type[I2VError]
) -> None:
    mine = await prepared(replicate)
    fake.script(fault)
    with pytest.raises(error) as caught:
        await replicate.submit(mine)
    assert fake.ledger == []
    assert KEY not in repr(caught.value)
    if error is SchemaChanged:
        assert caught.value.param in mine.body["input"]
    await replicate.submit(mine)
    assert len(fake.ledger) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [("fails", ProviderFault), ("refuses_input", InputRefused), ("refuses_content", ContentRefused)],
)
async def test_the_fakes_failures_are_typed(
    fake: Any, replicate: Replicate, fault: str, error: type[I2VError]
) -> None:
    fake.script(fault)
    seen = await ended(replicate, await replicate.submit(await prepared(replicate)))
    assert seen.phase is Phase.FAILED
    assert type(seen.error) is error


async def test_a_wrong_key_is_told_at_once(fake: Any) -> None:
    stranger = connect(Account("replicate", "r8_wrong", fake.url))
    with pytest.raises(ProviderAuth) as caught:
        await stranger.check()
    assert "r8_wrong" not in repr(caught.value)
    await stranger.close()


async def test_a_cancel_stops_the_run_and_a_late_one_does_no_harm(fake: Any, replicate: Replicate) -> None:
    fake.set_latency(60.0)
    ticket = await replicate.submit(await prepared(replicate))
    await replicate.cancel(ticket)
    assert (await replicate.look(ticket)).phase is Phase.CANCELLED
    await replicate.cancel(ticket)
    await replicate.cancel(Ticket("nobody"))
    fake.script("cancel_deaf")
    with pytest.raises(ProviderUnavailable):
        await replicate.cancel(ticket)
    second = await replicate.submit(await prepared(replicate, "call_2"))
    fake.script("cancel_race")
    await replicate.cancel(second)
    assert (await ended(replicate, second)).phase is Phase.SUCCEEDED


async def test_looks_ride_out_errors_and_tell_a_lost_call(fake: Any, replicate: Replicate) -> None:
    ticket = await replicate.submit(await prepared(replicate))
    fake.script("look_errors", times=2)
    assert (await replicate.look(ticket)).phase in (Phase.QUEUED, Phase.RUNNING, Phase.SUCCEEDED)
    fake.script("forgets")
    assert (await replicate.look(ticket)).phase is Phase.LOST


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("broken_download", None),
        ("slow_download", None),
        ("expired_url", ResultUnusable),
        ("wrong_content_type", ResultUnusable),
        ("huge_result", ResultUnusable),
    ],
)
async def test_the_fakes_downloads_are_judged(
    fake: Any, replicate: Replicate, tmp_path: Path, fault: str, error: type[I2VError] | None
) -> None:
    ticket = await replicate.submit(await prepared(replicate))
    seen = await ended(replicate, ticket)
    whole = (await replicate.download(seen, ticket, tmp_path / "whole", 50_000_000)).path.read_bytes()
    fake.script(fault, seconds=0.2)
    if error is not None:
        with pytest.raises(error):
            await replicate.download(seen, ticket, tmp_path / "clip", 2 * len(whole))
    else:
        got = await replicate.download(seen, ticket, tmp_path / "clip", 2 * len(whole))
        assert got.path.read_bytes() == whole


async def test_the_registry_names_it() -> None:
    assert spec("replicate") is SPEC
    assert (SPEC.backend, SPEC.key_env) == ("replicate", "REPLICATE_API_TOKEN")
    account = replace(Account("replicate"), key=KEY)
    assert KEY not in repr(account)
