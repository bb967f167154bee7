"""What the Gateway adds to a request: `python -m benchmarks.http [--seconds 4] [--rounds 3]`.

One stack, one proxy, one client process; the peer is a one-route Serve FastAPI application beside the
Gateway, one replica each. Both are asked in turn, round by round, over 1, 8 and 32 kept-alive connections.
The job that is read is a completed one with its whole decision and its attempt. A second peer answers with
a prepared body of the same length, which parts the cost of moving bytes from that of making them.

`POST /v1/videos` (photograph, features, decision, commit) is held against what SQLite alone commits per
second on the same disk: one row of the same size a transaction, write-ahead log, synchronous=FULL.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.jobstore import bare_sqlite
from benchmarks.load import Load, load
from benchmarks.report import ROOT, Report, Target, arguments, median, percentiles
from benchmarks.stack import PORTRAIT, Stack, running_stack

CONNECTIONS = (1, 8, 32)
RATIO = 0.7
ADDED_P99_MS = 15.0
POST_LANES = 8
POOL = "bench-fake"
OVERLAY: dict[str, Any] = {
    "keep": ["gateway", "parallax", "tiny-wan", POOL, "echo"],
    "applications": [
        {
            "name": "echo",
            "route_prefix": "/echo",
            "import_path": "benchmarks.echo:build",
            "args": {},
            "deployments": [
                # As many requests at once and queued as the Gateway takes (serve_config.yaml).
                {
                    "name": "Echo",
                    "num_replicas": 1,
                    "max_ongoing_requests": 200,
                    "max_queued_requests": 400,
                    "ray_actor_options": {"num_cpus": 0.1},
                }
            ],
        },
        {
            "name": POOL,
            "route_prefix": None,
            "import_path": "deployments.app:build_model",
            "args": {"model": "bench-fake-i2v", "offer": "local", "gpu": "cpu", "threads": 1},
            "deployments": [
                {
                    "name": "Model",
                    "max_ongoing_requests": 1,
                    "graceful_shutdown_timeout_s": 5,
                    "placement_group_bundles": [{"CPU": 0.1}, {"CPU": 0.1}],
                    "placement_group_strategy": "STRICT_PACK",
                    "ray_actor_options": {"num_cpus": 0.1},
                    "autoscaling_config": {
                        "min_replicas": 1,
                        "max_replicas": 1,
                        "target_ongoing_requests": 1,
                    },
                }
            ],
        },
    ],
}


def compare(stack: Stack, job_id: str, *, rounds: int, seconds: float) -> dict[str, Any]:
    """The Gateway and both echoes in turn; by number of connections."""
    job = f"{stack.url}/v1/videos/{job_id}"
    body = httpx.get(job, timeout=30).raise_for_status().content
    urls = {
        "retrieve": job,
        "echo": f"{stack.url}/echo/{job_id}",
        "echo_same_bytes": f"{stack.url}/echo/bytes/{len(body)}",
    }
    for url in urls.values():
        load(url, connections=8, seconds=min(2.0, seconds))  # imports, statement caches, routes
    processes = {
        "proxy": stack.only("ProxyActor"),
        "Gateway": stack.only("ServeReplica:gateway:Gateway"),
        "Echo": stack.only("ServeReplica:echo:Echo"),
    }
    table: dict[str, Any] = {"body_bytes": len(body)}
    for connections in CONNECTIONS:
        seen: dict[str, list[Load]] = {name: [] for name in urls}
        spent: dict[str, Counter[str]] = {name: Counter() for name in urls}
        for _ in range(rounds):
            for name, url in urls.items():
                before = _cpu_seconds(processes)
                seen[name].append(load(url, connections=connections, seconds=seconds))
                spent[name].update(_cpu_seconds(processes))
                spent[name].subtract(before)
        table[str(connections)] = {name: _summary(seen[name], spent[name]) for name in urls} | {
            "ratio": _ratio(seen["retrieve"], seen["echo"]),
            "ratio_same_bytes": _ratio(seen["retrieve"], seen["echo_same_bytes"]),
            "p99_added_ms": round(_p99_ms(seen["retrieve"]) - _p99_ms(seen["echo"]), 3),
        }
    return table


def _cpu_seconds(processes: dict[str, psutil.Process]) -> Counter[str]:
    """User and system seconds that each process has used so far."""
    times = {name: process.cpu_times() for name, process in processes.items()}
    return Counter({name: spent.user + spent.system for name, spent in times.items()})


def _summary(runs: list[Load], spent: Counter[str]) -> dict[str, Any]:
    latencies = [one for run in runs for one in run.latencies]
    # One request warms each run.
    answers = sum(run.requests + 1 for run in runs)
    return {
        "per_second": round(median([run.rate for run in runs]), 1),
        "cpu_ms_per_request": {name: round(seconds / answers * 1e3, 3) for name, seconds in spent.items()}
        | {"client": round(sum(run.cpu_seconds for run in runs) / answers * 1e3, 3)},
        "latency_ms": percentiles(latencies, 1e3),
    }


def _ratio(ours: list[Load], theirs: list[Load]) -> float:
    """Median over rounds of the ratio inside a round, so that a busy moment weighs on both."""
    return round(median([a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]), 3)


def _p99_ms(runs: list[Load]) -> float:
    """Median over rounds of the p99 inside a round."""
    return median([percentiles(run.latencies, 1e3)["p99"] for run in runs])


async def accepted_rate(stack: Stack, seconds: float) -> dict[str, Any]:
    """Jobs accepted per second over `POST_LANES` connections; their pool is busy, so none runs meanwhile."""
    photograph = PORTRAIT.read_bytes()
    latencies: list[float] = []
    made: list[str] = []
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:
        end = time.perf_counter() + seconds

        async def lane(number: int) -> None:
            while (asked := time.perf_counter()) < end:
                response = await client.post(
                    "/v1/videos",
                    data={"prompt": f"waves, take {number}.{len(made)}", "model": "bench-fake-i2v"},
                    files={"input_reference": ("portrait.jpg", photograph, "image/jpeg")},
                )
                response.raise_for_status()
                latencies.append(time.perf_counter() - asked)
                made.append(response.json()["id"])

        begin = time.perf_counter()
        await asyncio.gather(*(lane(number) for number in range(POST_LANES)))
        spent = time.perf_counter() - begin
        for job_id in made:
            await client.delete(f"/v1/videos/{job_id}")
    return {
        "accepted_per_second": round(len(made) / spent, 1),
        "jobs": len(made),
        "connections": POST_LANES,
        "photograph_bytes": len(photograph),
        "latency_ms": percentiles(latencies, 1e3),
    }


def measure(stack: Stack, *, rounds: int, seconds: float) -> tuple[dict[str, Any], dict[str, Any], float]:
    """GET table, POST figures, and the database's own commits per second."""
    done = stack.submit(
        "slow push in, gentle drift", model="parallax", seconds="1", fps="12", size="256x256", seed="1"
    )
    stack.wait_final(done)
    table = compare(stack, done, rounds=rounds, seconds=seconds)
    # One clip that lasts longer than the measurement keeps the only replica of the pool.
    blocker = stack.submit('hold [[fake {"steps": 600, "step_seconds": 1}]]', model="bench-fake-i2v")
    while httpx.get(f"{stack.url}/v1/videos/{blocker}", timeout=30).json()["status"] == "queued":
        time.sleep(0.1)
    commits = bare_sqlite(stack.home / "bare.db", 500, 0)
    posted = asyncio.run(accepted_rate(stack, seconds * 2))
    commits = median([commits, bare_sqlite(stack.home / "bare.db", 500, 500)])
    httpx.delete(f"{stack.url}/v1/videos/{blocker}", timeout=30)
    return table, posted, commits


def main() -> None:
    given = arguments(
        __doc__, seconds=(4.0, "seconds of each measurement"), rounds=(3, "rounds of each comparison")
    )
    with (
        tempfile.TemporaryDirectory(prefix="i2v-bench-") as folder,
        running_stack(
            Path(folder), OVERLAY, {}, [ROOT / "benchmarks" / "cards" / "bench-fake.yaml"]
        ) as stack,
    ):
        table, posted, commits = measure(stack, rounds=given.rounds, seconds=given.seconds)
    posted["share_of_commits"] = round(posted["accepted_per_second"] / commits, 4)
    by_connections = {key: row for key, row in table.items() if key != "body_bytes"}
    targets = []
    for count, row in by_connections.items():
        plural = "s" if count != "1" else ""
        targets.append(
            Target(f"GET of a job over an echo, {count} connection{plural}", row["ratio"], ">=", RATIO)
        )
        targets.append(
            Target(f"p99 added, {count} connection{plural}", row["p99_added_ms"], "<=", ADDED_P99_MS, "ms")
        )
    targets.append(Target("POST of a photograph, jobs accepted", posted["accepted_per_second"], unit="/s"))
    targets.append(Target("POST over bare commits of SQLite", posted["share_of_commits"]))
    Report(
        name="http",
        summary="GET /v1/videos/{id} beside a one-route Serve FastAPI echo; POST beside SQLite's own commits",
        figures={
            "body_bytes": table["body_bytes"],
            "retrieve": {key: row["retrieve"] for key, row in by_connections.items()},
            "ratio": {key: row["ratio"] for key, row in by_connections.items()},
            "ratio_same_bytes": {key: row["ratio_same_bytes"] for key, row in by_connections.items()},
            "p99_added_ms": {key: row["p99_added_ms"] for key, row in by_connections.items()},
            "post": posted,
        },
        peer={
            "what": "Ray Serve FastAPI echo, one replica, same proxy; bare sqlite3 commits",
            "echo": {key: row["echo"] for key, row in by_connections.items()},
            "echo_same_bytes": {key: row["echo_same_bytes"] for key, row in by_connections.items()},
            "sqlite_commits_per_second": round(commits, 1),
        },
        targets=targets,
        settings={"seconds": given.seconds, "rounds": given.rounds},
    ).write()


if __name__ == "__main__":
    main()
