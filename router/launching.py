"""The seam between the dispatcher and whatever runs models: how pools are seen and how a job is handed over.

`deployments.router` implements it over Ray Serve; `router.fakes` does without a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from router.jobs.records import PoolRecord


class WorkerLost(Exception):
    """The process that had taken (or would have taken) the job is known to be dead."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a call: whether a worker took the job, and why not."""

    taken: bool
    reason: str = ""
    elsewhere: bool = False
    """Not taken by a worker that never can; another one of the pool may."""


class Launcher(Protocol):
    """How the dispatcher reaches workers."""

    async def pools(self) -> Sequence[PoolRecord]:
        """The applications that run models now.

        Raises:
            ConnectionError: they cannot be seen at the moment; those seen last are used on.
        """
        ...

    async def launch(self, pool: str, job_id: str, fence: int) -> Taken:
        """Hand a claimed job to a pool; returns when the worker is done with it.

        The call waits as long as the pool needs to find a worker (a cold start). Cancelling it withdraws a
        call that still waits; a worker that has begun goes on.

        Raises:
            WorkerLost: the worker died.
        """
        ...
