"""The ranks of one replica: placed in its placement group, loaded, rebuilt when one is lost."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from deployments.args import ModelArgs
from deployments.rank import ADDRESS, Post, Rank
from deployments.ranks import ClipTask, Event, Quantum, RankFailedAlone, Report
from models.errors import ConfigError, RankLost

log = logging.getLogger("i2v.gang")

LOAD_TIMEOUT_S = 1800.0
"""Weights of 70 GB at 1 GB/s take about 70 s; half an hour is a fault, not a slow disk."""

PING_S = 5.0
"""A rank answers from a thread of its own; a machine that swaps may take seconds."""

GRACE_S = 5.0
"""When one rank of a crew has failed, the others get so long to fail likewise before the gang counts as lost:
what is wrong with the clip is wrong on every rank, at the same place."""


class Gang:
    """N rank processes, one GPU each, that live and die together.

    Bundle 0 of the replica's placement group belongs to the coordinator, bundle i+1 to rank i.
    """

    def __init__(self, args: ModelArgs) -> None:
        self._args = args
        self._group = self._placement_group(args)
        self._ranks: list[Any] = []
        self.size: int = args.gang_size
        self.stepped = False
        """Clips can be paused; known once the ranks have started."""
        self.failure: dict[str, Any] | None = None
        """Why the weights could not be loaded, when they could not."""
        self.facts: dict[str, Any] = {}

    @staticmethod
    def _placement_group(args: ModelArgs) -> PlacementGroup:
        group = get_current_placement_group()
        needed = args.gang_size + 1
        if group is None or len(group.bundle_specs) != needed:
            found = "none" if group is None else str(len(group.bundle_specs))
            raise ConfigError(
                f"{args.model}: placement_group_bundles must hold {needed} bundles "
                f"(the coordinator and {args.gang_size} ranks); found {found}",
                param="placement_group_bundles",
            )
        return group

    async def spawn(self) -> None:
        """Start the ranks and load their weights; `failure` tells when the weights are not to be had.

        Raises:
            RankLost: a rank died while it loaded.
        """
        args = self._args
        threads = args.threads or os.cpu_count() or 1
        # Anew for every start: ranks that died may still hold the last one.
        port = _free_port() if args.gang_size > 1 else 0
        self._ranks = []
        for index in range(args.gang_size):
            bundle = self._group.bundle_specs[index + 1]
            options = Rank.options(
                num_cpus=bundle.get("CPU", 0),
                num_gpus=bundle.get("GPU", 0),
                runtime_env={
                    "env_vars": {
                        "OMP_NUM_THREADS": str(threads),
                        # Each clip has a thread of its own, and glibc would give each an arena that keeps
                        # what tensors leave behind: measured 90 MB more resident after every clip.
                        "MALLOC_ARENA_MAX": "1",
                    }
                },
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    placement_group=self._group, placement_group_bundle_index=index + 1
                ),
            )
            post = Post(index, args.gang_size, port)
            self._ranks.append(options.remote(args.model, args.offer, args.checkpoint, post))
        try:
            loaded = await asyncio.wait_for(
                asyncio.gather(*[rank.load.remote() for rank in self._ranks]), LOAD_TIMEOUT_S
            )
            pids = await asyncio.gather(*[rank.pid.remote() for rank in self._ranks])
        except (RayError, TimeoutError) as error:
            self.kill()
            raise RankLost(f"{args.model}: a rank died while it loaded: {error}") from error
        failures = [outcome["error"] for outcome in loaded if not outcome["ok"]]
        self.failure = failures[0] if failures else None
        self.stepped = all(outcome.get("stepped", False) for outcome in loaded)
        self.facts = {
            "rank_pids": list(pids),
            "load_seconds": max((o.get("seconds", 0.0) for o in loaded), default=0.0),
            "rss_bytes": sum(o.get("rss_bytes", 0) for o in loaded),
        }

    def kill(self) -> None:
        """End every rank at once."""
        for rank in self._ranks:
            ray.kill(rank, no_restart=True)
        self._ranks = []

    async def alive(self) -> bool:
        """False when a rank is known to be dead; one that is slow to answer is not."""
        if not self._ranks:
            return False
        try:
            await asyncio.wait_for(asyncio.gather(*[rank.ping.remote() for rank in self._ranks]), PING_S)
        except TimeoutError:
            return True
        except RayError:
            return False
        return True

    async def begin(self, task: ClipTask, rank: int) -> Report:
        """Encode photograph and words on one rank."""
        return await self._answer(rank, self._rank(rank).begin.remote(task))

    async def advance(self, task: ClipTask, quantum: Quantum) -> Report:
        """Denoise on a crew; the leader's report.

        Raises:
            RankLost: a rank died.
            RankFailedAlone: one failed, and the others wait for it.
        """
        asked = {
            asyncio.ensure_future(self._answer(rank, self._rank(rank).advance.remote(task, quantum))): rank
            for rank in quantum.ranks
        }
        reports: dict[int, Report] = {}
        pending = set(asked)
        try:
            while pending:
                failed = next((report for report in reports.values() if report.error is not None), None)
                done, pending = await asyncio.wait(
                    pending,
                    timeout=GRACE_S if failed is not None else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if failed is not None and not done:
                    raise RankFailedAlone(failed.error or {})
                reports |= {asked[answer]: answer.result() for answer in done}
        finally:
            for answer in pending:
                answer.cancel()
        errors = [report.error for report in reports.values() if report.error is not None]
        if any(error["code"] == RankLost.code for error in errors):
            raise RankLost(f"{self._args.model}: {errors[0]['message']}")
        if errors and len(errors) < len(reports):
            raise RankFailedAlone(errors[0])
        return next((r for r in reports.values() if r.error is not None), reports[quantum.ranks[0]])

    async def save(self, task: ClipTask, rank: int) -> Report:
        """Write the state that a rank holds."""
        return await self._answer(rank, self._rank(rank).save.remote(task))

    async def turn(self, task: ClipTask, rank: int, *, resume: bool) -> Report:
        """Decode a segment and begin the next one."""
        return await self._answer(rank, self._rank(rank).turn.remote(task, resume))

    async def finish(self, task: ClipTask, rank: int, *, resume: bool) -> AsyncGenerator[Event, None]:
        """Decode the last segment, encode and store the clip."""
        call = self._rank(rank).finish.options(num_returns="streaming")
        async for event in self._events(rank, call.remote(task, resume)):
            yield event

    async def whole(self, task: ClipTask, rank: int) -> AsyncGenerator[Event, None]:
        """Make a clip from beginning to end."""
        call = self._rank(rank).whole.options(num_returns="streaming")
        async for event in self._events(rank, call.remote(task)):
            yield event

    async def close(self, task: ClipTask, ranks: frozenset[int]) -> None:
        """These ranks let go of the clip."""
        await asyncio.gather(*[self._asked(rank, self._rank(rank).close.remote(task.name)) for rank in ranks])

    async def cancel(self, task: ClipTask, rank: int) -> None:
        """Ask a rank to stop what it finishes, or makes as a whole."""
        if self._ranks:
            self._ranks[rank].cancel.remote(task.name)

    # --- asking -----------------------------------------------------------------------------------

    def _rank(self, index: int) -> Any:
        if not self._ranks:
            raise RankLost(f"{self._args.model}: the gang has no ranks")
        return self._ranks[index]

    async def _answer(self, rank: int, asked: Awaitable[Any]) -> Report:
        report: Report = await self._asked(rank, asked)
        return report

    async def _asked(self, rank: int, asked: Awaitable[Any]) -> Any:
        try:
            return await asked
        except RayError as error:
            raise RankLost(f"{self._args.model}: rank {rank} died: {type(error).__name__}") from error

    async def _events(self, rank: int, stream: Any) -> AsyncGenerator[Event, None]:
        try:
            async for reference in stream:
                yield await reference
        except RayError as error:
            raise RankLost(f"{self._args.model}: rank {rank} died: {type(error).__name__}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])
