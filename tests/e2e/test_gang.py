"""A gang of four CPU ranks on the live stack: sharing, cancelling, and the ways to lose ranks and workers."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.live import LiveStack, fresh_home, wait_for

pytestmark = pytest.mark.e2e
POOL = "tiny-wan"
REPLICA = "ServeReplica:tiny-wan:Model"
MODEL = {"model": "tiny-wan-i2v", "size": "96x96", "seconds": "2"}
LONG = {**MODEL, "size": "128x128", "seconds": "3"}


@pytest.fixture(scope="module")
def gang(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    directory = tmp_path_factory.mktemp("gang")
    environment = {
        **fresh_home(directory),
        "I2V_CHECKPOINT_S": "0.5",
        "I2V_STALL_STEP_S": "12",
        "I2V_STALL_S": "25",
    }
    card = Path(environment["I2V_CARDS"]) / "tiny-wan.yaml"
    # Long enough to be hurt in the middle.
    card.write_text(card.read_text().replace("      steps: 4\n", "      steps: 24\n"))
    live = LiveStack(directory, environment, profile="gang")
    try:
        live.start()
        yield live
    finally:
        live.stop()


@pytest.fixture
def stack(gang: LiveStack) -> LiveStack:
    """The gang, with its worker ready."""
    wait_for("the gang", lambda: gang.workers(POOL), 240)
    return gang


def events(stack: LiveStack, job_id: str) -> list[dict[str, Any]]:
    answer = httpx.get(
        f"{stack.url}/v1/videos/{job_id}/events", headers={"Accept": "text/event-stream"}, timeout=60
    )
    return [json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:")]


def degrees(stack: LiveStack, job_id: str) -> list[int]:
    """GPUs of the clip, whenever they changed."""
    told = [event["data"].get("gpus") for event in events(stack, job_id) if event["type"] == "progress"]
    return [gpus for gpus, _ in groupby(gpus for gpus in told if gpus is not None)]


def under_way(stack: LiveStack, job_id: str, steps: int = 3) -> None:
    """Wait until so many steps of the clip are done."""

    def stepped() -> bool:
        detail = stack.job(job_id)["progress_detail"]
        return bool(detail["steps"]) and detail["step"] >= steps

    wait_for(f"{job_id} to step", stepped, 120)


def checkpointed(stack: LiveStack, job_id: str) -> dict[str, Any]:
    """Wait for a checkpoint of the clip; where it stands."""
    database = Path(stack.environment["I2V_HOME"]) / "jobs.db"

    def kept() -> dict[str, Any] | None:
        """Not the state before the first step."""
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10) as connection:
            row = connection.execute("SELECT checkpoint FROM jobs WHERE id = ?", (job_id,)).fetchone()
        checkpoint = dict(json.loads(row[0])) if row and row[0] else None
        return checkpoint if checkpoint and checkpoint["place"]["step"] else None

    return dict(wait_for("a checkpoint", kept, 60))


def completed_once(stack: LiveStack, job_id: str, *, attempts: int = 1) -> dict[str, Any]:
    job = stack.wait_final(job_id, 240)
    assert job["status"] == "completed", job
    assert len(job["attempts"]) == attempts, job["attempts"]
    done = [event for event in events(stack, job_id) if event["type"] == "completed"]
    assert len(done) == 1
    return job


def rank_pids(stack: LiveStack) -> list[int]:
    (worker,) = stack.workers(POOL)
    return [int(pid) for pid in worker["detail"]["rank_pids"]]


def test_three_clips_share_the_gang_and_change_their_degrees(stack: LiveStack) -> None:
    (worker,) = stack.workers(POOL)
    assert (worker["gang_size"], worker["slots"]) == (4, 8)
    first = stack.submit("a walk", **LONG)["id"]
    under_way(stack, first)
    others = [stack.submit("a walk", **MODEL, deadline_s=str(120 + n))["id"] for n in range(2)]
    for job_id in (first, *others):
        completed_once(stack, job_id)
    assert max(degrees(stack, first)) > 1, "alone, it grew"
    assert len(set(degrees(stack, first))) > 1, "it gave ranks to the others"


def test_a_cancel_of_one_clip_never_disturbs_another(stack: LiveStack) -> None:
    first, second = stack.submit("a walk", **LONG)["id"], stack.submit("a walk", **LONG)["id"]
    under_way(stack, first)
    under_way(stack, second)
    httpx.post(f"{stack.url}/v1/videos/{first}/cancel", timeout=10).raise_for_status()
    assert stack.wait_final(first, 30)["status"] == "cancelled"
    completed_once(stack, second)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_is_lost_costs_no_attempt(stack: LiveStack, how: signal.Signals) -> None:
    jobs = [stack.submit("a walk", **LONG)["id"] for _ in range(2)]
    for job_id in jobs:
        under_way(stack, job_id)
    pids = rank_pids(stack)
    os.kill(pids[1], how)
    ends = [stack.wait_final(job_id, 240) for job_id in jobs]
    assert [job["status"] for job in ends] == ["completed"] * 2
    if how is signal.SIGKILL:
        assert [len(job["attempts"]) for job in ends] == [1, 1]
    wait_for("new ranks", lambda: stack.workers(POOL) and not set(pids) & set(rank_pids(stack)), 60)
    gone = [pid for pid in pids if not psutil.pid_exists(pid)]
    assert gone == pids, "no rank of the lost gang is left"


def test_a_killed_coordinator_costs_what_was_done_since_the_checkpoint(stack: LiveStack) -> None:
    job_id = stack.submit("a walk", **LONG)["id"]
    under_way(stack, job_id, 8)
    place = checkpointed(stack, job_id)["place"]
    stack.kill(REPLICA)
    wait_for("another worker", lambda: stack.workers(POOL), 240)
    job = completed_once(stack, job_id, attempts=2)
    resumed = [event["data"] for event in events(stack, job_id) if event["type"] == "progress"]
    second = [event for event in resumed if event["fence"] == job["attempts"][1]["attempt"]]
    steps = [event["step"] for event in second if event["steps"]]
    assert min(steps) >= place["step"] > 0, "it went on from its checkpoint"


def test_a_checkpoint_cut_short_is_refused_and_the_clip_begins_anew(stack: LiveStack) -> None:
    job_id = stack.submit("a walk", **LONG)["id"]
    under_way(stack, job_id, 8)
    checkpointed(stack, job_id)
    stack.kill(REPLICA)
    media = Path(stack.environment["I2V_HOME"]) / "media"
    for key in checkpointed(stack, job_id)["files"].values():
        path = media / key
        path.write_bytes(path.read_bytes()[:100])
    wait_for("another worker", lambda: stack.workers(POOL), 240)
    completed_once(stack, job_id, attempts=2)


def test_a_store_that_is_away_stops_no_clip(stack: LiveStack) -> None:
    job_id = stack.submit("a walk", **LONG)["id"]
    under_way(stack, job_id)
    database = Path(stack.environment["I2V_HOME"]) / "jobs.db"
    holder = sqlite3.connect(database, isolation_level=None, timeout=10)
    try:
        holder.execute("BEGIN IMMEDIATE")
        time.sleep(4)
        holder.execute("ROLLBACK")
    finally:
        holder.close()
    completed_once(stack, job_id)


def test_a_gang_that_drains_hands_its_clip_back_with_its_state(stack: LiveStack) -> None:
    job_id = stack.submit("a walk", **LONG)["id"]
    under_way(stack, job_id, 4)
    overlay = stack.overlay.read_text()
    changed = overlay.replace("- name: tiny-wan\n", "- name: tiny-wan\n  args: {threads: 2}\n")
    stack.overlay.write_text(changed)
    stack.reload()
    job = stack.wait_final(job_id, 240)
    assert job["status"] == "completed"
    assert all(a["status"] in ("cancelled", "completed") for a in job["attempts"]), job["attempts"]
