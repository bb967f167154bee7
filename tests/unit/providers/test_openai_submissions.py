"""Submissions to `/v1/videos` engines: refused, lost and found again, over loopback."""

from __future__ import annotations

import time
from dataclasses import replace

import httpx
import pytest

from models.errors import (
    InputRefused,
    ModelRetired,
    OutcomeUnknown,
    ProviderAuth,
    ProviderError,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SchemaChanged,
)
from models.providers.base import Account, Ticket
from models.providers.engine_bodies import prompt_mark
from models.providers.engine_quirks import ENGINES
from models.providers.fake.server import FakeSettings, running
from models.providers.registry import spec
from tests.unit.providers.engine_clips import (
    SECRET,
    a_clip,
    a_photograph,
    engine,
    submitted,
)

NAMES = sorted(ENGINES)
each_engine = pytest.mark.parametrize("name", NAMES)


@each_engine
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("rate_limited", RateLimited),
        ("error_before_accept", ProviderUnavailable),
        ("unreachable", OutcomeUnknown),
        ("lost_answer", OutcomeUnknown),
        ("error_after_accept", OutcomeUnknown),
        ("wrong_key", ProviderAuth),
        ("no_quota", QuotaExhausted),
        ("retired", ModelRetired),
        ("schema_changed", SchemaChanged),
    ],
)
async def test_a_submission_that_goes_wrong_is_typed(
    name: str, fault: str, expected: type[ProviderError]
) -> None:
    async with engine(name, key="k") as (fake, provider):
        fake.script(fault)
        with pytest.raises(ProviderError) as caught:
            await submitted(provider, a_clip())
        assert type(caught.value) is expected
        assert len(fake.ledger) == (fault in {"lost_answer", "error_after_accept"})
        for secret in (SECRET, "Bearer", "JFIF"):
            assert secret not in f"{caught.value.message} {caught.value!r}"


async def test_a_body_that_repeats_the_prompt_does_not_reach_the_message() -> None:
    async with engine("vllm-omni") as (_, provider):
        prepared = provider.prepare(a_clip(), {}, {"image": a_photograph()})
        prepared = replace(prepared, body={**prepared.body, "num_frames": SECRET})
        with pytest.raises(InputRefused) as caught:
            await provider.submit(prepared)
        assert caught.value.param == "num_frames"
        assert SECRET not in f"{caught.value.message} {caught.value!r}"


@each_engine
async def test_a_key_is_asked_for(name: str) -> None:
    async with running(FakeSettings(provider=name, key="right")) as fake:
        provider = spec(name).connect(Account(name, "wrong", fake.url))
        with pytest.raises(ProviderAuth):
            await provider.check()
        await provider.close()


@each_engine
@pytest.mark.parametrize("fault", ["lost_answer", "error_after_accept"])
async def test_a_lost_answer_is_found_again(name: str, fault: str) -> None:
    since = time.time() - 60
    async with engine(name, latency_s=30.0) as (fake, provider):
        other = await submitted(provider, a_clip("call_0"))
        fake.script(fault)
        prepared = provider.prepare(a_clip(), {}, {"image": a_photograph()})
        assert SECRET not in str(prepared.marker)
        with pytest.raises(OutcomeUnknown):
            await provider.submit(prepared)
        found = await provider.find("call_1", prepared.marker, since, {other.id})
        assert found is not None
        assert found.id == fake.ledger[1]["id"]
        # A third call, as if by a new process that knows what the first two hold.
        fresh = spec(name).connect(Account(name, None, fake.url))
        again = fresh.prepare(a_clip("call_3"), {}, {"image": a_photograph()})
        assert await fresh.find("call_3", again.marker, since, {other.id, found.id}) is None
        await fresh.close()


@each_engine
async def test_what_never_arrived_is_not_found(name: str) -> None:
    async with engine(name, latency_s=30.0) as (fake, provider):
        fake.script("unreachable")
        prepared = provider.prepare(a_clip(), {}, {"image": a_photograph()})
        with pytest.raises(OutcomeUnknown):
            await provider.submit(prepared)
        assert await provider.find("call_1", prepared.marker, time.time() - 60, ()) is None


async def test_of_several_alike_the_oldest_is_taken_and_nothing_older_than_the_intent() -> None:
    # vLLM-Omni shows the prompt, and two calls may have the same.
    async with engine("vllm-omni", latency_s=30.0) as (fake, provider):
        prepared = provider.prepare(a_clip(), {}, {"image": a_photograph()})
        assert prepared.marker == {"prompt": prompt_mark("call_1", SECRET), "size": "96x64"}
        for _ in range(2):
            fake.script("lost_answer")
            with pytest.raises(OutcomeUnknown):
                await provider.submit(prepared)
        ids = [row["id"] for row in fake.ledger]
        fake.calls.get(ids[0]).accepted_at -= 1000  # type: ignore[union-attr]
        assert await provider.find("call_1", prepared.marker, time.time() - 2000, ()) == Ticket(ids[0])
        fresh = spec("vllm-omni").connect(Account("vllm-omni", None, fake.url))
        assert await fresh.find("call_1", prepared.marker, time.time() - 60, ()) == Ticket(ids[1])
        await fresh.close()


async def test_another_call_of_this_process_is_never_taken_for_a_lost_one() -> None:
    async with engine("vllm-omni", latency_s=30.0) as (_, provider):
        mine = provider.prepare(a_clip("call_1"), {}, {"image": a_photograph()})
        # Same words, other photograph; its ticket is not stored yet, so `known` does not name it.
        await submitted(provider, a_clip("call_2"))
        assert await provider.find("call_1", mine.marker, time.time() - 60, ()) is None


@each_engine
async def test_a_long_listing_is_read_to_its_end(name: str) -> None:
    since = time.time() - 60
    async with engine(name, latency_s=3000.0) as (fake, provider):
        fake.script("lost_answer")
        prepared = provider.prepare(a_clip(), {}, {"image": a_photograph()})
        with pytest.raises(OutcomeUnknown):
            await provider.submit(prepared)
        first = fake.calls.get(fake.ledger[0]["id"])
        assert first is not None
        async with httpx.AsyncClient(base_url=fake.url) as client:
            image = {"input_reference": ("x.jpg", a_photograph().content, "image/jpeg")}
            for _ in range(105):
                await client.post("/v1/videos", data={"prompt": "another"}, files=image)
        first.accepted_at -= 10
        assert await provider.find("call_1", prepared.marker, since, ()) == Ticket(first.id)
