"""The ranks of one replica: placed in its placement group, loaded, rebuilt when one is lost."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from deployments.args import ModelArgs
from deployments.rank import Rank
from deployments.ranks import ClipTask, Event
from models.errors import ConfigError, RankLost

log = logging.getLogger("i2v.gang")

LOAD_TIMEOUT_S = 1800.0
"""Weights of 70 GB at 1 GB/s take about 70 s; half an hour is a fault, not a slow disk."""

PING_S = 5.0
"""A rank answers from a thread of its own; a machine that swaps may take seconds."""


class Gang:
    """N rank processes, one GPU each, that live and die together.

    Bundle 0 of the replica's placement group belongs to the coordinator, bundle i+1 to rank i.
    """

    def __init__(self, args: ModelArgs) -> None:
        self._args = args
        self._group = self._placement_group(args)
        self._ranks: list[Any] = []
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
            self._ranks.append(options.remote(args.model, args.offer, args.checkpoint))
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

    async def generate(self, task: ClipTask) -> AsyncGenerator[Event, None]:
        """Events of one clip made by the first rank (the only one in a gang of one).

        Raises:
            RankLost: the process died or its stream ended without a last word.
        """
        if not self._ranks:
            raise RankLost(f"{self._args.model}: the gang has no ranks")
        stream = self._ranks[0].generate.options(num_returns="streaming").remote(task)
        try:
            async for reference in stream:
                yield await reference
        except RayError as error:
            raise RankLost(f"{self._args.model}: rank 0 died: {type(error).__name__}") from error

    async def cancel(self, task: ClipTask) -> None:
        """Ask the ranks to stop that clip at the next step."""
        for rank in self._ranks:
            rank.cancel.remote(task.job_id, task.fence)

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
