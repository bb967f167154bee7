"""A load generator in a process of its own: `python -m benchmarks.load` reads a JSON plan, prints JSON.

The plan is `{"url", "connections", "seconds"}`: every connection asks again as soon as it was answered, for
that long. The answer is `{"requests", "seconds", "latencies": [...], "bytes", "faults",
"cpu_seconds"}`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.report import ROOT


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of the generator saw; latencies in seconds."""

    requests: int
    seconds: float
    latencies: list[float]
    bytes: int
    faults: int
    cpu_seconds: float
    """Of the generator itself."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


def load(url: str, *, connections: int, seconds: float) -> Load:
    """Ask `url` over `connections` kept-alive connections for `seconds`, from another process.

    Raises:
        RuntimeError: an answer was not 200.
    """
    plan = json.dumps({"url": url, "connections": connections, "seconds": seconds})
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=plan,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=seconds + 60,
    )
    seen = Load(**json.loads(done.stdout))
    if seen.faults or not seen.requests:
        raise RuntimeError(f"{url}: {seen.faults} of {seen.requests} answers were not 200")
    return seen


async def _ask(url: str, connections: int, seconds: float) -> dict[str, Any]:
    import aiohttp

    latencies: list[float] = []
    received = faults = 0
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(url) as first:  # a warm connection and a route that exists
            await first.read()
        begin, cpu = time.perf_counter(), time.process_time()
        end = begin + seconds

        async def lane() -> None:
            nonlocal received, faults
            while (asked := time.perf_counter()) < end:
                async with session.get(url) as answer:
                    received += len(await answer.read())
                    faults += answer.status != 200
                latencies.append(time.perf_counter() - asked)

        await asyncio.gather(*(lane() for _ in range(connections)))
        spent = time.perf_counter() - begin
    return {
        "requests": len(latencies),
        "seconds": spent,
        "latencies": [round(one, 6) for one in latencies],
        "bytes": received,
        "faults": faults,
        "cpu_seconds": time.process_time() - cpu,
    }


def main() -> None:
    import uvloop

    plan = json.load(sys.stdin)
    print(json.dumps(uvloop.run(_ask(plan["url"], plan["connections"], plan["seconds"]))))


if __name__ == "__main__":
    main()
