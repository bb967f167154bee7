"""The adapter of `/v1/videos` engines against every engine's fake over loopback: one clip, and its ends."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import av
import pytest

from models.errors import (
    ContentRefused,
    I2VError,
    InputRefused,
    ProviderAuth,
    ProviderFault,
    ProviderUnavailable,
    ResultUnusable,
)
from models.providers.base import Account, Attachment, Phase
from models.providers.engine_quirks import ENGINES
from models.providers.fake.server import FakeSettings, running
from models.providers.registry import spec
from tests.unit.providers.engine_clips import (
    a_clip,
    a_photograph,
    engine,
    looked,
    over,
    submitted,
)

NAMES = sorted(ENGINES)
each_engine = pytest.mark.parametrize("name", NAMES)


@each_engine
async def test_a_clip_is_made_as_planned(name: str, tmp_path: Path) -> None:
    async with engine(name, key="k") as (fake, provider):
        await provider.check()
        ticket = await submitted(provider, a_clip())
        sighting = await over(provider, ticket)
        assert sighting.phase is Phase.SUCCEEDED
        assert sighting.error is None
        assert sighting.served == "Wan-AI/Wan2.2-I2V-A14B-Diffusers"
        assert (sighting.run_seconds is not None) == (name in {"sglang", "fastvideo"})
        got = await provider.download(sighting, ticket, tmp_path / "clip.mp4", 10_000_000)
    with av.open(str(got.path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (96, 64, 16)
        assert sum(1 for _ in container.decode(video=0)) == 9
    (row,) = fake.ledger
    assert row["status"] == "succeeded"
    assert row["body"]["input_reference"] is not None


@each_engine
async def test_a_running_clip_is_told_as_the_engine_tells_it(name: str) -> None:
    async with engine(name, latency_s=30.0) as (_, provider):
        first = await submitted(provider, a_clip())
        queued = await provider.look(first)
        assert queued.phase is (Phase.RUNNING if name == "fastvideo" else Phase.QUEUED)
        assert queued.progress == (0.0 if name == "sglang" else None)
        second = await submitted(provider, a_clip("call_2"))
        assert (await provider.look(second)).phase is queued.phase


async def test_progress_moves_on_sglang() -> None:
    async with engine("sglang", latency_s=0.4) as (_, provider):
        ticket = await submitted(provider, a_clip())
        seen = await looked(
            provider, ticket, lambda s: s.phase is Phase.RUNNING and (s.progress or 0.0) > 0.0
        )
        assert 0.0 < (seen.progress or 0.0) < 1.0


async def test_a_stored_result_of_sglang_is_fetched_where_it_is(tmp_path: Path) -> None:
    async with engine("sglang") as (fake, provider):
        ticket = await submitted(provider, a_clip())
        fake.calls.get(ticket.id).tags["cloud"] = True  # type: ignore[union-attr]
        sighting = await over(provider, ticket)
        assert sighting.result is not None
        assert "/_delivery/" in sighting.result
        got = await provider.download(sighting, ticket, tmp_path / "clip.mp4", 10_000_000)
        assert got.bytes > 500


@each_engine
async def test_cancel_reaches_the_engine(name: str) -> None:
    async with engine(name, latency_s=30.0) as (fake, provider):
        ticket = await submitted(provider, a_clip())
        await provider.cancel(ticket)
        assert fake.requests["cancel"] == 1
        sighting = await provider.look(ticket)
        assert (sighting.phase, sighting.billed) == (Phase.CANCELLED, False)
        # Only vLLM-Omni stops the work; the others forget the job and go on.
        assert fake.ledger[0]["cancelled"] == (name == "vllm-omni")
        await provider.cancel(ticket)
        assert fake.requests["cancel"] == 1


@each_engine
async def test_cancelling_a_finished_clip_does_not_delete_it(name: str, tmp_path: Path) -> None:
    async with engine(name) as (fake, provider):
        ticket = await submitted(provider, a_clip())
        sighting = await over(provider, ticket)
        await provider.cancel(ticket)
        assert fake.requests["cancel"] == 0
        await provider.download(sighting, ticket, tmp_path / "clip.mp4", 10_000_000)


async def test_a_cancel_that_loses_the_race_is_asked_again() -> None:
    async with engine("vllm-omni", latency_s=30.0) as (fake, provider):
        ticket = await submitted(provider, a_clip())
        fake.script("cancel_race")
        with pytest.raises(ProviderUnavailable):
            await provider.cancel(ticket)
        await provider.cancel(ticket)
        assert (await provider.look(ticket)).phase is Phase.SUCCEEDED


@each_engine
async def test_a_deaf_cancel_is_told(name: str) -> None:
    async with engine(name, latency_s=30.0) as (fake, provider):
        ticket = await submitted(provider, a_clip())
        fake.script("cancel_deaf")
        with pytest.raises(ProviderUnavailable):
            await provider.cancel(ticket)


@each_engine
@pytest.mark.parametrize(
    ("fault", "expected"), [("fails", ProviderFault), ("refuses_content", ContentRefused)]
)
async def test_a_failed_job_is_an_error_whatever_its_shape(
    name: str, fault: str, expected: type[I2VError]
) -> None:
    async with engine(name) as (fake, provider):
        fake.script(fault)
        sighting = await over(provider, await submitted(provider, a_clip()))
        assert sighting.phase is Phase.FAILED
        assert type(sighting.error) is expected
        assert sighting.billed is False


@each_engine
async def test_a_picture_that_cannot_be_read_is_refused(name: str) -> None:
    async with engine(name) as (_, provider):
        prepared = provider.prepare(a_clip(), {}, {"image": Attachment("x.jpg", "image/jpeg", b"no picture")})
        if name == "vllm-omni":
            sighting = await over(provider, await provider.submit(prepared))
            assert sighting.phase is Phase.FAILED
            error: I2VError | None = sighting.error
        else:
            with pytest.raises(InputRefused) as caught:
                await provider.submit(prepared)
            error = caught.value
        assert isinstance(error, InputRefused)
        assert error.param == "image"


@each_engine
async def test_a_restart_loses_the_jobs(name: str) -> None:
    settings = FakeSettings(provider=name, latency_s=30.0)
    async with running(settings) as fake:
        provider = spec(name).connect(Account(name, None, fake.url))
        ticket = await submitted(provider, a_clip())
        port = int(fake.url.rpartition(":")[2])
    async with running(replace(settings, port=port)):
        sighting = await provider.look(ticket)
        assert sighting.phase is Phase.LOST
        assert isinstance(sighting.error, ProviderFault)
        prepared = provider.prepare(a_clip("call_9"), {}, {"image": a_photograph()})
        assert await provider.find("call_9", prepared.marker, time.time() - 60, ()) is None
        await provider.close()


@each_engine
async def test_a_job_that_the_engine_forgets_is_lost(name: str) -> None:
    async with engine(name, latency_s=30.0) as (fake, provider):
        ticket = await submitted(provider, a_clip())
        fake.script("forgets")
        assert (await provider.look(ticket)).phase is Phase.LOST
        fake.script("wrong_key")
        with pytest.raises(ProviderAuth):
            await provider.look(ticket)
        assert (await provider.look(ticket)).phase is not Phase.LOST


@each_engine
@pytest.mark.parametrize("fault", ["expired_url", "wrong_content_type", "huge_result"])
async def test_an_unusable_result_is_told(name: str, fault: str, tmp_path: Path) -> None:
    async with engine(name) as (fake, provider):
        ticket = await submitted(provider, a_clip())
        sighting = await over(provider, ticket)
        fake.script(fault)
        with pytest.raises(ResultUnusable):
            await provider.download(sighting, ticket, tmp_path / "clip.mp4", 20_000)
