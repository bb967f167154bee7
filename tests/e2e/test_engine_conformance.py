"""One list of promises, kept by a runner on this machine and by running engines with all their quirks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from models.runners.encode import probe
from tests.e2e.hosted import HostedStack, hosted_stack
from tests.e2e.live import wait_for

pytestmark = pytest.mark.e2e
FINAL = {"completed", "failed", "cancelled", "expired"}


@dataclass(frozen=True, slots=True)
class Maker:
    """Something that makes clips."""

    model: str
    size: str
    num_frames: int
    fps: int
    provider: str | None = None
    """None: the fake runner, in a worker of the stack's own."""
    stops: bool = True
    """A cancel ends the work itself; else only the wait for it."""

    @property
    def seconds(self) -> float:
        return self.num_frames / self.fps

    def __str__(self) -> str:
        return self.provider or "local"


MAKERS = (
    Maker("fake-i2v", "192x128", 24, 16),
    Maker("wan2.2-i2v-a14b", "480x320", 33, 16, "vllm-omni"),
    Maker("wan2.2-ti2v-5b", "640x448", 49, 24, "sglang", stops=False),
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedStack]:
    directory = tmp_path_factory.mktemp("engines")
    drop = ("replicate", "fal", "parallax")
    with hosted_stack(directory, "vllm-omni", "sglang", drop=drop) as made:
        yield made


@pytest.fixture(params=MAKERS, ids=str)
def maker(request: pytest.FixtureRequest, stack: HostedStack) -> Maker:
    """Each maker in turn, with nothing under way at it."""
    each: Maker = request.param
    pool = {None: "fake"}.get(each.provider, f"wan-on-{each.provider}")
    wait_for(f"pool {pool}", lambda: stack.live.workers(pool), 90)
    return each


def submit(stack: HostedStack, maker: Maker, **script: Any) -> dict[str, Any]:
    """Ask for the maker's clip; `script` is for the fake runner alone."""
    prompt = "The waves roll gently"
    if maker.provider is None:
        prompt += f" [[fake {json.dumps(script)}]]"
    return stack.live.submit(
        prompt,
        model=maker.model,
        size=maker.size,
        seconds=f"{maker.seconds:.4f}",
        fps=str(maker.fps),
        seed="4711",
        residency="self-hosted",
    )


def content(stack: HostedStack, job_id: str, variant: str) -> httpx.Response:
    url = f"{stack.live.url}/v1/videos/{job_id}/content"
    return httpx.get(url, params={"variant": variant}, timeout=60)


def test_the_clip_is_what_was_asked_and_all_of_it_is_there(
    stack: HostedStack, maker: Maker, tmp_path: Path
) -> None:
    before = 0 if maker.provider is None else len(stack.fakes[maker.provider].calls())
    job = submit(stack, maker, steps=5, step_seconds=0.2)
    seen: list[int] = []

    def ended() -> bool:
        now = stack.live.job(job["id"])
        seen.append(now["progress"])
        return now["status"] in FINAL

    wait_for(f"{job['id']} to end", ended, 120)
    done = stack.live.job(job["id"])
    assert done["status"] == "completed", done
    assert done["served_model"] == maker.model

    video = content(stack, job["id"], "video")
    (tmp_path / "clip.mp4").write_bytes(video.content)
    clip = probe(tmp_path / "clip.mp4")
    assert (f"{clip.width}x{clip.height}", clip.num_frames, float(clip.fps)) == (
        maker.size,
        maker.num_frames,
        maker.fps,
    )
    told = done["geometry"]["effective"]
    assert (f"{told['width']}x{told['height']}", told["num_frames"], told["fps"]) == (
        maker.size,
        maker.num_frames,
        maker.fps,
    )
    assert told["seconds"] == pytest.approx(maker.seconds, abs=1e-3)
    for variant in ("thumbnail", "spritesheet"):
        with Image.open(BytesIO(content(stack, job["id"], variant).content)) as picture:
            assert min(picture.size) >= 64

    assert seen == sorted(seen), "progress fell"
    assert seen[-1] == 100
    assert any(0 < percent < 100 for percent in seen), "nothing was told on the way"

    assert done["seed"] == 4711
    usage = done["usage"]
    assert usage["gpu_seconds"] > 0
    assert usage["usd"] > 0
    assert usage["actual_seconds"] > 0
    if maker.provider is not None:
        (call,) = stack.fakes[maker.provider].calls()[before:]
        assert int(call["body"]["seed"]) == 4711
        assert call["body"]["size"] == maker.size
        assert int(call["body"]["num_frames"]) == maker.num_frames
        (booked,) = [each for attempt in done["attempts"] for each in attempt["calls"]]
        assert (booked["ticket"], booked["outcome"]) == (call["id"], "succeeded")
        assert booked["usd"] == 0, "its GPU time is ours"


def test_a_cancel_ends_the_job(stack: HostedStack, maker: Maker) -> None:
    if maker.provider is None:
        job_id = submit(stack, maker, steps=200, step_seconds=0.2)["id"]
        wait_for("the run", lambda: stack.live.job(job_id)["status"] == "in_progress")
        assert cancelled(stack, job_id)["status"] == "cancelled"
        return
    engine = stack.fakes[maker.provider]
    before = len(engine.calls())
    with engine.taking(60):
        job_id = submit(stack, maker)["id"]
        stack.under_way(job_id, maker.provider, before)
        done = cancelled(stack, job_id)
        (call,) = engine.calls()[before:]
    assert done["status"] == "cancelled", done
    assert (call["status"] == "cancelled") is maker.stops
    assert engine.asked("cancel") >= 1, "nobody told the engine"


def cancelled(stack: HostedStack, job_id: str) -> dict[str, Any]:
    answer = httpx.post(f"{stack.live.url}/v1/videos/{job_id}/cancel", timeout=30)
    assert answer.status_code == 200, answer.text
    return stack.live.wait_final(job_id, 60)


def test_a_refused_run_ends_in_a_typed_error(stack: HostedStack, maker: Maker) -> None:
    if maker.provider is not None:
        stack.fakes[maker.provider].script("refuses_input")
    job = submit(stack, maker, steps=3, fail="input_refused", at_step=2)
    done = stack.live.wait_final(job["id"], 120)
    assert done["status"] == "failed", done
    assert [attempt["error"]["code"] for attempt in done["attempts"]] == ["input_refused"]
    assert done["error"]["code"] == "no_route", "nobody else may make it"
    assert content(stack, job["id"], "video").status_code != 200


def test_after_all_that_it_still_makes_clips(stack: HostedStack, maker: Maker) -> None:
    job = submit(stack, maker, steps=2)
    assert stack.live.wait_final(job["id"], 120)["status"] == "completed"
