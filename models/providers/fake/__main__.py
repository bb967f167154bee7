"""`python -m models.providers.fake --provider replicate`: serve a fake until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys

from models.providers.fake.families import FAMILIES
from models.providers.fake.server import FakeSettings, running
from models.providers.fake.settings import DEFAULT_WEBHOOK_SECRET


def settings(arguments: list[str] | None = None) -> FakeSettings:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m models.providers.fake", description=__doc__)
    parser.add_argument("--provider", required=True, choices=sorted(FAMILIES))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--key", help="the one key that is accepted; without it any key is")
    parser.add_argument("--latency", type=float, default=2.0, help="seconds that a call takes")
    parser.add_argument("--webhook-secret", default=DEFAULT_WEBHOOK_SECRET, help="whsec_…")
    parser.add_argument("--submits-per-minute", type=int, help="answer 429 above this; no limit without it")
    parser.add_argument("--full-size", action="store_true", help="render clips at the size asked")
    told = parser.parse_args(arguments)
    return FakeSettings(
        provider=told.provider,
        key=told.key,
        latency_s=told.latency,
        webhook_secret=told.webhook_secret,
        submits_per_minute=told.submits_per_minute,
        full_size=told.full_size,
        host=told.host,
        port=told.port,
    )


async def serve(chosen: FakeSettings) -> None:
    """Say where it listens, in one line of JSON, and serve until a signal comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(chosen) as fake:
        sys.stdout.write(json.dumps({"provider": chosen.provider, "url": fake.url}) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(settings()))
