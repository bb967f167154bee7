"""Replicas come and go; clips stay."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.e2e.live import LiveStack, wait_for

pytestmark = pytest.mark.e2e


def test_a_pool_grows_from_zero_under_load_and_drains_without_losing_a_clip(stack: LiveStack) -> None:
    script = 'a walk [[fake {"steps": 25, "step_seconds": 0.3}]]'
    jobs = [stack.submit(script, model="fake-second-i2v")["id"] for _ in range(5)]
    most = 0
    deadline = time.monotonic() + 240
    statuses: set[str] = set()
    while time.monotonic() < deadline:
        most = max(most, len(stack.workers("fake-second")))
        statuses = {stack.job(job)["status"] for job in jobs}
        if statuses <= {"completed", "failed"}:
            break
        time.sleep(0.5)
    assert statuses == {"completed"}
    assert most == 2, "the pool never grew to its second replica"
    for job in jobs:
        assert [attempt["status"] for attempt in stack.job(job)["attempts"]] == ["completed"]
    wait_for("the pool to be empty again", lambda: not stack.workers("fake-second"), 120, every_s=1)


def test_order_is_priority_then_deadline(stack: LiveStack) -> None:
    blocker = stack.submit('a walk [[fake {"steps": 20, "step_seconds": 0.2}]]', model="fake-i2v")["id"]
    wait_for("it to run", lambda: stack.job(blocker)["status"] == "in_progress")
    quick = 'a walk [[fake {"steps": 2, "step_seconds": 0.05}]]'
    low = stack.submit(quick, model="fake-i2v", priority="low")["id"]
    late = stack.submit(quick, model="fake-i2v", deadline_s="3000")["id"]
    soon = stack.submit(quick, model="fake-i2v", deadline_s="600")["id"]
    high = stack.submit(quick, model="fake-i2v", priority="high")["id"]
    done = {job: stack.wait_final(job) for job in (low, late, soon, high)}
    assert {job["status"] for job in done.values()} == {"completed"}
    finished = sorted(done, key=lambda job: events_at(stack, job, "started"))
    assert finished == [high, soon, late, low]


def events_at(stack: LiveStack, job: str, kind: str) -> float:
    import json

    text = httpx.get(f"{stack.url}/v1/videos/{job}/events", timeout=30).text
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if lines.get("event") == kind:
            return float(json.loads(lines["data"])["at"])
    raise AssertionError(f"{job} has no event {kind}")


def test_an_application_added_or_changed_leaves_the_others_running(stack: LiveStack) -> None:
    before = wait_for("the fake worker", lambda: stack.workers("fake"))
    running = stack.submit('a walk [[fake {"steps": 40, "step_seconds": 0.3}]]', model="fake-i2v")["id"]
    wait_for("it to run", lambda: stack.job(running)["status"] == "in_progress")
    text = stack.overlay.read_text()
    text = text.replace("no-weights]", "no-weights, fake-added]")
    text += """
- name: fake-added
  route_prefix: null
  import_path: deployments.app:build_model
  args: {model: fake-i2v, offer: local, gpu: cpu, threads: 1}
  deployments:
  - name: Model
    max_ongoing_requests: 1
    placement_group_bundles: [{CPU: 0.1}, {CPU: 0.1}]
    placement_group_strategy: STRICT_PACK
    ray_actor_options: {num_cpus: 0.1}
    autoscaling_config: {min_replicas: 1, max_replicas: 1}
"""
    stack.overlay.write_text(text)
    stack.reload()
    wait_for("the added pool", lambda: stack.workers("fake-added"), 90)
    after = stack.workers("fake")
    assert [worker["detail"]["pid"] for worker in after] == [worker["detail"]["pid"] for worker in before]
    done = stack.wait_final(running)
    assert [attempt["status"] for attempt in done["attempts"]] == ["completed"]
