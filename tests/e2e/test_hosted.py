"""Rented models on a live stack: money, fallbacks, kills, webhooks, cancels, and photographs that stay."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.runners.encode import probe
from tests.e2e.hosted import KEY, HostedStack, hosted_stack, quiet
from tests.e2e.live import wait_for

pytestmark = pytest.mark.e2e
PROMPT = "She turns her head and smiles"
AT_REPLICATE = {"allow": "hailuo-2.3-fast/replicate", "seconds": "6"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedStack]:
    directory = tmp_path_factory.mktemp("hosted")
    with hosted_stack(
        directory, "replicate", "fal", drop=("wan-on-vllm-omni", "wan-on-sglang", "fake")
    ) as made:
        yield made


def sent(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of a job, as its attempts tell them."""
    return [call for attempt in job["attempts"] for call in attempt["calls"]]


def test_a_rented_clip_comes_with_its_price_and_the_reasons(stack: HostedStack, tmp_path: Path) -> None:
    replicate, live = stack.fakes["replicate"], stack.live
    job = live.submit(PROMPT, **AT_REPLICATE)
    assert (job["routing"]["chosen"]["model"], job["routing"]["chosen"]["offer"]) == (
        "hailuo-2.3-fast",
        "replicate",
    )
    promised = job["routing"]["chosen"]["predicted"]["usd"]
    done = live.wait_final(job["id"])
    assert done["status"] == "completed", done
    assert done["served_model"] == "hailuo-2.3-fast"
    content = httpx.get(f"{live.url}/v1/videos/{job['id']}/content", timeout=60)
    (tmp_path / "clip.mp4").write_bytes(content.content)
    clip, made = probe(tmp_path / "clip.mp4"), done["geometry"]["effective"]
    assert (clip.width, clip.height, clip.num_frames) == (made["width"], made["height"], made["num_frames"])
    assert made["seconds"] == pytest.approx(6, abs=0.1)
    (call,) = sent(done)
    (seen,) = [row for row in replicate.calls() if row["id"] == call["ticket"]]
    assert seen["billed"]
    assert (call["provider"], call["state"], call["outcome"]) == ("replicate", "closed", "succeeded")
    assert promised > 0
    assert done["usage"]["usd"] == done["usage"]["spent_usd"] == call["usd"] == pytest.approx(promised)
    rejected = {row["model"]: row["reason"] for row in done["routing"]["rejected"]}
    assert "not among the allowed" in rejected["parallax"]


def test_what_providers_refuse_is_made_here_and_told(stack: HostedStack) -> None:
    before = {name: len(fake.calls()) for name, fake in stack.fakes.items()}
    for fake in stack.fakes.values():
        fake.script("refuses_input")
    job = stack.live.submit(
        "She smiles, slow push in",
        camera="push_in",
        allow="hailuo-2.3-fast/replicate,hailuo-2.3-fast/fal,parallax",
        resolution="768p",
        seconds="6",
    )
    assert job["routing"]["chosen"]["model"] == "hailuo-2.3-fast"
    done = stack.live.wait_final(job["id"], 180)
    assert done["status"] == "completed", done
    assert done["served_model"] == "parallax"
    *refused, made = done["attempts"]
    assert sorted((each["model"], each["offer"]) for each in refused) == [
        ("hailuo-2.3-fast", "fal"),
        ("hailuo-2.3-fast", "replicate"),
    ]
    for attempt in refused:
        assert (attempt["status"], attempt["error"]["code"]) == ("failed", "input_refused")
        (call,) = attempt["calls"]
        assert (call["outcome"], call["usd"]) == ("failed", 0)
    assert (made["status"], made["model"], made["calls"]) == ("completed", "parallax", [])
    assert "spent_usd" not in done["usage"], "refusals cost nothing"
    assert {name: len(fake.calls()) - before[name] for name, fake in stack.fakes.items()} == {
        "replicate": 1,
        "fal": 1,
    }


def test_a_killed_worker_finds_its_paid_call_again(stack: HostedStack) -> None:
    replicate, live = stack.fakes["replicate"], stack.live
    before = len(replicate.calls())
    (worker,) = live.workers("replicate")
    with replicate.taking(10):
        job_id = live.submit(PROMPT, **AT_REPLICATE)["id"]
        stack.under_way(job_id, "replicate", before)
        os.kill(worker["detail"]["pid"], signal.SIGKILL)
        done = live.wait_final(job_id, 120)
    assert done["status"] == "completed", done
    assert [attempt["status"] for attempt in done["attempts"]] == ["lost", "completed"]
    assert done["attempts"][0]["worker"] != done["attempts"][1]["worker"]
    assert len(replicate.calls()) == before + 1
    (call,) = sent(done)
    assert call["outcome"] == "succeeded"
    assert done["usage"]["spent_usd"] == call["usd"]


def forged(body: bytes) -> dict[str, str]:
    """Headers of a webhook of a stranger, whose signature fits nothing."""
    signature = base64.b64encode(bytes(32)).decode()
    return {
        "content-type": "application/json",
        "webhook-id": "msg_of_a_stranger",
        "webhook-timestamp": str(int(time.time())),
        "webhook-signature": f"v1,{signature}",
    }


def test_a_webhook_ends_a_call_early_and_a_forged_one_does_nothing(stack: HostedStack) -> None:
    replicate, live = stack.fakes["replicate"], stack.live
    before, told, looks = len(replicate.calls()), replicate.asked("webhook"), replicate.asked("look")
    wait_for("the account", lambda: live.workers("replicate"))
    with replicate.taking(8):
        job_id = live.submit(PROMPT, **AT_REPLICATE)["id"]
        (call,) = sent(stack.under_way(job_id, "replicate", before))
        wait_for("the first look", lambda: replicate.asked("look") == looks + 1)
        body = json.dumps({"id": call["ticket"], "status": "succeeded"}).encode()
        hook = f"{live.url}/v1/hooks/replicate/default/{call['id']}"
        answer = httpx.post(hook, content=body, headers=forged(body), timeout=30)
        assert answer.status_code == 401, answer.text
        assert answer.json()["error"]["code"] == "hook_refused"
        quiet(3.0)
        assert replicate.asked("look") == looks + 1, "a stranger made the worker look"
        assert live.job(job_id)["status"] == "in_progress"
        done = live.wait_final(job_id)
    assert done["status"] == "completed", done
    assert replicate.asked("webhook") > told
    # Without its webhook the call would have been looked at again 30 s after its first look.
    assert done["usage"]["actual_seconds"] < 25


def test_a_call_whose_answer_was_lost_is_found_by_its_webhook(stack: HostedStack) -> None:
    """fal has no listing: the webhook, which carries our own id, is the only way back to a paid call."""
    fal, live = stack.fakes["fal"], stack.live
    before = len(fal.calls())
    fal.script("lost_answer")
    job_id = live.submit(PROMPT, allow="hailuo-2.3-fast/fal", seconds="6")["id"]
    done = live.wait_final(job_id, 60)
    assert done["status"] == "completed", done
    assert [attempt["status"] for attempt in done["attempts"]] == ["completed"]
    (seen,) = fal.calls()[before:]
    (call,) = sent(done)
    assert (call["ticket"], call["outcome"]) == (seen["id"], "succeeded")


def test_a_cancel_reaches_the_provider(stack: HostedStack) -> None:
    replicate, live = stack.fakes["replicate"], stack.live
    before = len(replicate.calls())
    with replicate.taking(120):
        job_id = live.submit(PROMPT, **AT_REPLICATE)["id"]
        stack.under_way(job_id, "replicate", before)
        assert httpx.post(f"{live.url}/v1/videos/{job_id}/cancel", timeout=30).status_code == 200
        done = live.wait_final(job_id, 60)
    assert done["status"] == "cancelled", done
    (call,) = replicate.calls()[before:]
    assert call["status"] == "cancelled"
    (booked,) = sent(done)
    assert (booked["state"], booked["outcome"]) == ("closed", "cancelled")


def test_a_photograph_that_must_stay_here_is_sent_to_nobody(stack: HostedStack) -> None:
    before = stack.all_calls()
    uploads = [fake.asked("upload") for fake in stack.fakes.values()]
    photograph = (Path(__file__).parents[2] / "examples" / "photographs" / "portrait.jpg").read_bytes()
    answer = httpx.post(
        f"{stack.live.url}/v1/videos",
        data={"prompt": PROMPT, "model": "hailuo-2.3-fast", "residency": "self-hosted"},
        files={"input_reference": ("portrait.jpg", photograph, "image/jpeg")},
        timeout=60,
    )
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert body["error"]["code"] == "no_route"
    reasons = {
        (row["offer"], row["filter"])
        for row in body["decision"]["rejected"]
        if row["model"] == "hailuo-2.3-fast"
    }
    assert {("replicate", "residency"), ("fal", "residency")} <= reasons
    assert stack.all_calls() == before
    assert [fake.asked("upload") for fake in stack.fakes.values()] == uploads


def test_an_account_with_many_calls_gets_another_replica(stack: HostedStack) -> None:
    """Serve's own count of requests is near 0 all the while: a request ends once its call has begun."""
    fal, live = stack.fakes["fal"], stack.live
    assert len(live.workers("fal")) == 1
    with fal.taking(120):
        jobs = [live.submit(PROMPT, allow="hailuo-2.3-fast/fal", seconds="6")["id"] for _ in range(3)]
        wait_for("another replica", lambda: len(live.workers("fal")) == 2, 90)
    for job_id in jobs:
        assert live.wait_final(job_id)["status"] == "completed"


def test_no_key_is_told_and_no_prompt_is_logged(stack: HostedStack) -> None:
    """Comes last: it reads what all the tests above have made the stack write."""
    fleet = httpx.get(f"{stack.live.url}/v1/fleet", timeout=10)
    jobs = httpx.get(f"{stack.live.url}/v1/videos", params={"limit": 100}, timeout=10)
    logged = stack.logged()
    assert "i2v.provider" in logged or "i2v.call" in logged or "replicate" in logged, "these are not the logs"
    for text in (fleet.text, jobs.text, logged):
        assert KEY not in text
    assert PROMPT not in logged
