"""A Gateway's create loop, to be killed: commits jobs under keys and replies with a line for each."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from router.jobs.records import NewJob
from router.jobs.sql import SqlJobStore


def keyed(number: int) -> NewJob:
    return NewJob(
        tenant="acme",
        model="auto",
        prompt="p",
        request={"media": {"image": f"in/{number}"}},
        features={},
        routing={},
        priority=1,
        due_in_s=60.0,
        expires_in_s=600.0,
        fingerprint=f"content {number}",
        idempotency_key=f"key {number}",
    )


async def accept(url: str, dies_before_reply: int | None) -> None:
    store = SqlJobStore(url)
    await store.open()
    number = 0
    while True:
        created = await store.create(keyed(number))
        if number == dies_before_reply:
            os.kill(os.getpid(), signal.SIGKILL)
        print(number, created.job.id, flush=True)
        number += 1


if __name__ == "__main__":
    asyncio.run(accept(sys.argv[1], int(sys.argv[2]) if sys.argv[2] != "never" else None))
