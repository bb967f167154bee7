"""The adapter of LightX2V: golden task, and its fake over loopback."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from pathlib import Path

import av
import httpx
import pytest

from models.errors import (
    Cancelled,
    ContentRefused,
    I2VError,
    InputRefused,
    OutcomeUnknown,
    ProviderAuth,
    ProviderError,
    ProviderFault,
    ProviderUnavailable,
    RateLimited,
    SchemaChanged,
)
from models.providers.base import Account, Attachment, Phase, Role, Ticket
from models.providers.fake.server import FakeSettings, running
from models.providers.lightx2v import task_body
from models.providers.registry import spec
from tests.unit.providers.engine_clips import SECRET, a_clip, a_photograph, a_plan, engine, over, submitted

NAME = "lightx2v"


def test_the_whole_task() -> None:
    wanted = a_clip(plan=a_plan(832, 480, 81), negative_prompt="blurry", seed=2**32 + 5)
    assert task_body(wanted, {"image"}) == {
        "task_id": "call_1",
        "prompt": SECRET,
        "negative_prompt": "blurry",
        "infer_steps": 40,
        "seed": 5,
        "target_video_length": 81,
        "target_fps": 16,
        "target_shape": [480, 832],
        "resize_mode": "fixed_shape",
    }


@pytest.mark.parametrize(
    ("more", "roles", "param"),
    [
        ({"plan": replace(a_plan(), segments=2)}, {"image"}, "seconds"),
        ({"plan": a_plan(fps=12.5)}, {"image"}, "fps"),
        ({"generate_audio": True}, {"image"}, "generate_audio"),
        ({}, {"image", "audio"}, "audio"),
        ({}, {"image", "last_image"}, "last_image"),
        ({}, set(), "image"),
    ],
)
def test_what_it_cannot_say_is_refused(more: dict[str, object], roles: set[Role], param: str) -> None:
    with pytest.raises(InputRefused) as caught:
        task_body(a_clip(**more), roles)
    assert caught.value.param == param


def test_a_mode_with_a_last_image_sends_both_pictures() -> None:
    wanted = a_clip()
    mode = wanted.mode.model_copy(update={"excludes": ()})
    provider = spec("lightx2v").connect(Account("lightx2v", url="http://127.0.0.1:1"))
    files: dict[Role, Attachment] = {
        "image": a_photograph(),
        "last_image": replace(a_photograph(), content=b"last"),
    }
    prepared = provider.prepare(replace(wanted, mode=mode), {}, files)
    assert base64.b64decode(prepared.body["image_path"]) == a_photograph().content
    assert base64.b64decode(prepared.body["last_frame_path"]) == b"last"
    assert prepared.marker == {"task_id": "call_1"}


async def test_a_clip_is_made_as_planned(tmp_path: Path) -> None:
    async with engine(NAME, latency_s=0.2, key="k") as (fake, provider):
        await provider.check()
        ticket = await submitted(provider, a_clip())
        assert ticket == Ticket("call_1")
        assert (await provider.look(ticket)).phase is Phase.QUEUED
        sighting = await over(provider, ticket)
        assert (sighting.phase, sighting.progress) == (Phase.SUCCEEDED, None)
        assert sighting.run_seconds == pytest.approx(0.15, abs=0.01)
        got = await provider.download(sighting, ticket, tmp_path / "clip.mp4", 10_000_000)
        assert len(fake.ledger) == 1
    with av.open(str(got.path)) as container:
        stream = container.streams.video[0]
        # The photograph is upright and the plan is not: the plan decides.
        assert (stream.width, stream.height, stream.average_rate) == (96, 64, 16)
        assert sum(1 for _ in container.decode(video=0)) == 9


async def test_a_full_queue_is_a_limit() -> None:
    async with engine(NAME, latency_s=30.0) as (fake, provider):
        for number in range(10):
            await submitted(provider, a_clip(f"call_{number}"))
        with pytest.raises(RateLimited):
            await submitted(provider, a_clip("call_10"))
        assert len(fake.ledger) == 10
        assert await provider.find("call_10", {}, time.time(), ()) is None


@pytest.mark.parametrize("fault", ["lost_answer", "error_after_accept"])
async def test_a_lost_answer_is_found_by_our_own_id(fault: str) -> None:
    async with engine(NAME, latency_s=30.0) as (fake, provider):
        fake.script(fault)
        prepared = provider.prepare(a_clip(), {}, {"image": a_photograph()})
        with pytest.raises(OutcomeUnknown):
            await provider.submit(prepared)
        assert await provider.find("call_1", prepared.marker, time.time(), ()) == Ticket("call_1")
        # Sent again all the same, it is still one task.
        assert await provider.submit(prepared) == Ticket("call_1")
        assert len(fake.ledger) == 1


async def test_what_never_arrived_is_not_found() -> None:
    async with engine(NAME) as (fake, provider):
        fake.script("unreachable")
        with pytest.raises(OutcomeUnknown):
            await submitted(provider, a_clip())
        assert await provider.find("call_1", {}, time.time(), ()) is None


async def test_cancel_stops_the_task() -> None:
    async with engine(NAME, latency_s=30.0) as (fake, provider):
        ticket = await submitted(provider, a_clip())
        second = await submitted(provider, a_clip("call_2"))
        await provider.cancel(ticket)
        sighting = await provider.look(ticket)
        assert (sighting.phase, sighting.billed) == (Phase.CANCELLED, False)
        assert isinstance(sighting.error, Cancelled)
        assert [row["cancelled"] for row in fake.ledger] == [True, False]
        await provider.cancel(ticket)
        await provider.cancel(Ticket("call_unknown"))
        fake.script("cancel_deaf")
        with pytest.raises(ProviderUnavailable):
            await provider.cancel(second)
        fake.script("cancel_race")
        await provider.cancel(second)
        assert (await provider.look(second)).phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("fault", "expected"), [("fails", ProviderFault), ("refuses_content", ContentRefused)]
)
async def test_a_failed_task_is_told(fault: str, expected: type[I2VError]) -> None:
    async with engine(NAME) as (fake, provider):
        fake.script(fault)
        sighting = await over(provider, await submitted(provider, a_clip()))
        assert sighting.phase is Phase.FAILED
        assert type(sighting.error) is expected


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("rate_limited", RateLimited),
        ("error_before_accept", ProviderUnavailable),
        ("wrong_key", ProviderAuth),
        ("schema_changed", SchemaChanged),
    ],
)
async def test_a_refused_submission_is_typed(fault: str, expected: type[ProviderError]) -> None:
    async with engine(NAME) as (fake, provider):
        fake.script(fault)
        with pytest.raises(ProviderError) as caught:
            await submitted(provider, a_clip())
        assert type(caught.value) is expected
        assert not fake.ledger
        assert SECRET not in f"{caught.value.message} {caught.value!r}"


async def test_a_restart_loses_the_tasks() -> None:
    settings = FakeSettings(provider="lightx2v", latency_s=30.0)
    async with running(settings) as fake:
        provider = spec("lightx2v").connect(Account("lightx2v", None, fake.url))
        ticket = await submitted(provider, a_clip())
        port = int(fake.url.rpartition(":")[2])
    async with running(replace(settings, port=port)):
        assert (await provider.look(ticket)).phase is Phase.LOST
        assert await provider.find("call_1", {}, time.time(), ()) is None
        await provider.close()


async def test_the_size_follows_the_photograph_unless_it_is_fixed() -> None:
    async with engine(NAME) as (fake, _), httpx.AsyncClient(base_url=fake.url) as client:
        image = base64.b64encode(a_photograph(64, 96).content).decode()
        await client.post(
            "/v1/tasks/video/", json={"task_id": "a", "image_path": image, "target_shape": [64, 96]}
        )
        call = fake.calls.get("a")
        assert call is not None
        assert call.shape.height > call.shape.width
        assert (call.shape.frames, call.shape.fps) == (81, 16.0)
