"""A thousand hosted calls on one provider replica: `python -m benchmarks.hosted [--calls 1000]`.

A live local stack with one Replicate account at the shipped strict fake (a process of its own). The jobs are
put into the job store at once; when all are in flight, memory and processor time of the replica's process and
the looks that reach the fake are taken for a minute; then the fake ends all calls and every clip is fetched,
decoded and published. The peer of memory is the replica before it had a call, that of looks what the provider
allows. Submission is measured beside it in one process: what is added to the bare POST of the same body.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.report import ROOT, Report, Target, arguments
from benchmarks.router_memory import photograph_features
from benchmarks.stack import PORTRAIT, Stack, running_stack
from benchmarks.submission import added_by_submission
from models.catalog import load_catalog
from models.gpus import load_gpus
from policies.base import Features, Fleet
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles
from router.engine import ClipRequest, RouteEngine, StoredImage, new_job, route_request
from router.jobs.records import NewJob
from router.jobs.sql import SqlJobStore
from router.media import MediaStore, photograph_key
from router.settings import Settings

MODEL = "hailuo-2.3-fast"
KEY = "benchmark-key"
LONG_S = 3600.0
"""No call ends by itself while it is measured."""
WATCH_S = 60.0
LOOKS_PER_S = 20.0


def overlay(url: str) -> dict[str, Any]:
    """One account at the fake, and nothing else that works."""
    account = {
        "name": "replicate",
        "route_prefix": None,
        "import_path": "deployments.app:build_provider",
        "args": {"provider": "replicate", "url": url, "submits_per_s": 50, "looks_per_s": LOOKS_PER_S},
        "deployments": [
            {
                "name": "Provider",
                "num_replicas": 1,
                "max_ongoing_requests": 100,
                "graceful_shutdown_timeout_s": 10,
                "ray_actor_options": {"num_cpus": 0.1},
            }
        ],
    }
    return {"keep": ["gateway", "replicate"], "applications": [account]}


@contextmanager
def fake_replicate() -> Iterator[str]:
    """The shipped fake in a process of its own; yields its address."""
    command = [sys.executable, "-m", "models.providers.fake", "--provider", "replicate"]
    command += ["--key", KEY, "--latency", str(LONG_S)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        process.wait(20)


def idle_engine() -> tuple[RouteEngine, Fleet]:
    """The engine over the shipped cards, and a fleet in which everything is idle."""
    catalog, gpus = load_catalog(), load_gpus()
    return RouteEngine(Engine(catalog, gpus, load_profiles()), catalog, gpus), idle_fleet(catalog, gpus)


def jobs(count: int, features: Features) -> list[NewJob]:
    """So many submissions of one photograph, as the Gateway writes them."""
    engine, fleet = idle_engine()
    clip = ClipRequest(prompt="she turns her head, hair gently flowing", model=MODEL)
    clip = replace(clip, allow=(f"{MODEL}/replicate",))
    request = route_request(clip, features, has_last_image=False, tenant="default")
    decision = engine.policies.decide(request, fleet)
    image = StoredImage(photograph_key("bench"), "sha")
    return [
        new_job(
            replace(clip, seed=number), features, decision, image=image, last_image=None, tenant="default",
            settings=Settings(), idempotency_key=None, client_retry=0,
        )
        for number in range(count)
    ]  # fmt: skip


async def put(stack: Stack, new: list[NewJob]) -> None:
    """Commit all jobs at once; the Router finds them by itself."""
    MediaStore((stack.home / "media").as_uri()).put_bytes(
        photograph_key("bench"), PORTRAIT.read_bytes(), "image/jpeg"
    )
    store = SqlJobStore(stack.database_url)
    await store.open()
    try:
        for job in new:
            await store.create(job)
    finally:
        await store.close()


def counts(stack: Stack) -> dict[str, int]:
    """Jobs by status."""
    told: dict[str, int] = httpx.get(f"{stack.url}/v1/fleet", timeout=30).json()["jobs"]
    return told


def ledger(url: str) -> dict[str, Any]:
    """What the fake has seen."""
    seen: dict[str, Any] = httpx.get(f"{url}/_fake/ledger", timeout=60).json()
    return seen


class Watched:
    """Memory of one process, sampled."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.peak = 0

    def look(self) -> int:
        """Resident bytes now; the largest is kept."""
        now = int(self.process.memory_info().rss)
        self.peak = max(self.peak, now)
        return now

    def cpu_s(self) -> float:
        """Processor seconds used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def until(watched: Watched, done: Any, what: str, timeout_s: float) -> float:
    """Wait, watching memory; returns the seconds it took."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > timeout_s:
            raise RuntimeError(f"{what}: not within {timeout_s:.0f} s")
        watched.look()
        time.sleep(0.5)
    return time.monotonic() - began


def measure(count: int) -> dict[str, Any]:
    """The whole run."""
    new = jobs(count, photograph_features())
    with tempfile.TemporaryDirectory() as folder, fake_replicate() as url:
        environment = {"REPLICATE_API_TOKEN": KEY}
        with running_stack(Path(folder), overlay(url), environment) as stack:
            watched = Watched(int(stack.worker("replicate")["detail"]["pid"]))
            empty = watched.look()
            asyncio.run(put(stack, new))
            accepted = until(watched, lambda: len(ledger(url)["calls"]) >= count, "submissions", 600)
            time.sleep(5)
            before, cpu, at = ledger(url)["requests"], watched.cpu_s(), time.monotonic()
            samples = []
            while time.monotonic() - at < WATCH_S:
                samples.append(watched.look())
                time.sleep(1)
            seconds = time.monotonic() - at
            used = watched.cpu_s() - cpu
            after = ledger(url)
            httpx.post(f"{url}/_fake/settings", json={"latency_s": 0.0}, timeout=30).raise_for_status()
            done = until(watched, lambda: counts(stack)["completed"] >= count, "clips", 900)
            last = ledger(url)
            return {
                "calls": count,
                "rss_empty_mib": round(empty / 2**20, 1),
                "rss_in_flight_mib": round(max(samples) / 2**20, 1),
                "rss_peak_mib": round(watched.peak / 2**20, 1),
                "cores_while_looking": round(used / seconds, 3),
                "looks_per_s": round((after["requests"]["look"] - before["look"]) / seconds, 2),
                "peak_requests_per_s": after["peak_per_second"],
                "submitted_in_s": round(accepted, 1),
                "published_in_s": round(done, 1),
                "accepted": len(last["calls"]),
            }


def main() -> int:
    """Run, and write the result."""
    given = arguments(__doc__, calls=(1000, "calls in flight at once"))
    added = asyncio.run(added_by_submission(50))
    figures = measure(given.calls)
    overhead = statistics.median(added)
    figures["submission_added_ms"] = round(1000 * overhead, 2)
    report = Report(
        name="hosted",
        summary="A thousand hosted calls on one provider replica",
        figures=figures,
        peer={
            "an empty replica, MiB": figures["rss_empty_mib"],
            "requests a second that Replicate allows": 50,
        },
        targets=[
            Target("memory of the replica, at most", figures["rss_peak_mib"], "<=", 250, "MiB"),
            Target("cores while looking", figures["cores_while_looking"], "<=", 0.4, "cores"),
            Target("looks a second", figures["looks_per_s"], "<=", 1.05 * LOOKS_PER_S, "1/s"),
            Target("submission beside a bare POST", figures["submission_added_ms"], "<=", 10.0, "ms"),
            Target("calls accepted for each job", figures["accepted"] / given.calls, "<=", 1.0),
        ],
        settings={"calls": given.calls, "watched_s": WATCH_S, "looks_per_s": LOOKS_PER_S},
    )
    report.write()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
