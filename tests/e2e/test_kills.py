"""Killing any process at any moment loses nothing and publishes nothing twice; on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.live import LiveStack, fresh_home, wait_for

pytestmark = pytest.mark.e2e

ROUTER = "ServeReplica:gateway:Router"
GATEWAY = "ServeReplica:gateway:Gateway"
FAKE = "ServeReplica:fake:Model"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """A stack of its own for each engine: its processes die in these tests."""
    directory = tmp_path_factory.mktemp("kills")
    environment = fresh_home(directory)
    if request.param == "postgres":
        environment["I2V_DATABASE_URL"] = request.getfixturevalue("postgres").empty_database()
    live = LiveStack(directory, environment)
    try:
        live.start()
        yield live
    finally:
        live.stop()


def scripted(**script: Any) -> str:
    import json

    return f"a walk [[fake {json.dumps(script)}]]"


def submit(stack: LiveStack, **script: Any) -> str:
    return str(stack.submit(scripted(**script), model="fake-i2v")["id"])


def until_running(stack: LiveStack, job_id: str, step: int = 1) -> dict[str, Any]:
    def running() -> dict[str, Any] | None:
        job = stack.job(job_id)
        detail = job.get("progress_detail") or {}
        return job if job["status"] == "in_progress" and (detail.get("step") or 0) >= step else None

    return dict(wait_for(f"{job_id} to reach step {step}", running))


def assert_published_once(stack: LiveStack, job_id: str, *, attempts: int | None = None) -> dict[str, Any]:
    done = stack.wait_final(job_id, 180)
    assert done["status"] == "completed", done
    states = [attempt["status"] for attempt in done["attempts"]]
    assert states.count("completed") == 1, states
    if attempts is not None:
        assert len(states) == attempts, states
    clip = httpx.get(f"{stack.url}/v1/videos/{job_id}/content", timeout=60)
    assert clip.status_code == 200
    events = httpx.get(f"{stack.url}/v1/videos/{job_id}/events", timeout=30).text
    assert events.count("event: completed") == 1
    return done


def worker(stack: LiveStack) -> dict[str, Any]:
    """The one ready worker of the pool `fake` (a dead one is listed until its heartbeat is stale)."""

    def only() -> list[dict[str, Any]] | None:
        found = stack.workers("fake")
        return found if len(found) == 1 else None

    return dict(wait_for("one fake worker", only, 90)[0])


def test_a_replica_killed_mid_run_is_replaced_and_the_job_completes(stack: LiveStack) -> None:
    pid = worker(stack)["detail"]["pid"]
    job_id = submit(stack, steps=20, step_seconds=0.3)
    until_running(stack, job_id, 3)
    os.kill(pid, signal.SIGKILL)
    assert_published_once(stack, job_id, attempts=2)


def test_a_rank_killed_mid_run_is_rebuilt_in_place(stack: LiveStack) -> None:
    before = worker(stack)
    job_id = submit(stack, steps=20, step_seconds=0.3)
    until_running(stack, job_id, 3)
    os.kill(before["detail"]["rank_pids"][0], signal.SIGKILL)
    assert_published_once(stack, job_id, attempts=2)
    after = worker(stack)
    assert after["detail"]["pid"] == before["detail"]["pid"], "the coordinator must have stayed"
    assert after["detail"]["rank_pids"] != before["detail"]["rank_pids"]


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_a_process_that_dies_around_the_last_step(stack: LiveStack, moment: str, tmp_path: Any) -> None:
    worker(stack)
    job_id = submit(
        stack, steps=4, step_seconds=0.1, fail="exit", when=moment, once=True, marker_dir=str(tmp_path)
    )
    assert_published_once(stack, job_id, attempts=2)


def test_a_replica_killed_before_it_begins(stack: LiveStack) -> None:
    pid = worker(stack)["detail"]["pid"]
    os.kill(pid, signal.SIGKILL)
    job_id = submit(stack, steps=3, step_seconds=0.1)
    assert_published_once(stack, job_id)


def test_the_router_killed_while_clips_run_takes_nothing_with_it(stack: LiveStack) -> None:
    worker(stack)
    running = submit(stack, steps=30, step_seconds=0.3)
    until_running(stack, running, 2)
    waiting = submit(stack, steps=3, step_seconds=0.1)
    stack.kill(ROUTER)
    done = assert_published_once(stack, running, attempts=1)
    assert done["attempts"][0]["attempt"] == 1
    assert_published_once(stack, waiting)


def test_the_gateway_killed_around_its_reply_neither_loses_nor_doubles(stack: LiveStack) -> None:
    worker(stack)
    for delay in (0.0, 0.03, 0.08, 0.15):
        key = uuid.uuid4().hex
        timer = threading.Timer(delay, lambda: stack.kill(GATEWAY))
        timer.start()

        def accepted(key: str = key) -> str | None:
            try:
                job = stack.submit(
                    scripted(steps=2, step_seconds=0.05), model="fake-i2v", idempotency_key=key
                )
            except (httpx.TransportError, AssertionError):
                return None
            return str(job["id"])

        first = accepted()
        timer.join()
        again = wait_for("the Gateway to be back", accepted, 60, every_s=0.5)
        if first is not None:
            assert again == first, "one key, one job"
        assert_published_once(stack, str(again))
        listed = httpx.get(f"{stack.url}/v1/videos", params={"limit": 100}, timeout=30).json()["data"]
        assert [job["id"] for job in listed].count(str(again)) == 1


@pytest.mark.parametrize("stage", ["queued", "starting", "running", "late"])
def test_a_cancel_at_every_stage_ends_cancelled(stack: LiveStack, stage: str) -> None:
    worker(stack)
    blocker = submit(stack, steps=40, step_seconds=0.2) if stage == "queued" else None
    if blocker:
        until_running(stack, blocker)
    job_id = submit(stack, steps=30, step_seconds=0.2)
    if stage == "running":
        until_running(stack, job_id, 3)
    elif stage == "late":
        until_running(stack, job_id, 24)
    response = httpx.post(f"{stack.url}/v1/videos/{job_id}/cancel", timeout=30)
    assert response.status_code == 200
    done = stack.wait_final(job_id, 60)
    assert done["status"] == "cancelled" or (stage == "late" and done["status"] == "completed"), done
    if blocker:
        httpx.post(f"{stack.url}/v1/videos/{blocker}/cancel", timeout=30)
        assert stack.wait_final(blocker, 60)["status"] == "cancelled"
    follow = submit(stack, steps=2, step_seconds=0.05)
    assert_published_once(stack, follow, attempts=1)


def test_typed_faults_fall_back_retry_or_fail(stack: LiveStack, tmp_path: Any) -> None:
    worker(stack)
    refused = stack.wait_final(submit(stack, steps=3, step_seconds=0.05, fail="input_refused", at_step=2))
    assert refused["status"] == "failed"
    assert [a["error"]["code"] for a in refused["attempts"]] == ["input_refused"]
    memory = stack.wait_final(submit(stack, steps=3, step_seconds=0.05, fail="out_of_memory", at_step=2))
    assert memory["status"] == "failed"
    assert memory["attempts"][0]["error"]["code"] == "out_of_memory"
    worker(stack)
    again = submit(
        stack,
        steps=3,
        step_seconds=0.05,
        fail="encode_failed",
        at_step=2,
        once=True,
        marker_dir=str(tmp_path),
    )
    assert_published_once(stack, again, attempts=2)


def test_the_whole_stack_killed_and_started_again_completes_its_jobs(stack: LiveStack) -> None:
    worker(stack)
    running = submit(stack, steps=20, step_seconds=0.3)
    waiting = submit(stack, steps=3, step_seconds=0.1)
    until_running(stack, running, 2)
    stack.kill_all()
    stack.start()
    assert_published_once(stack, running)
    assert_published_once(stack, waiting)
