"""One clip over several GPUs: the process groups of a gang, built once.

`connect` joins the gang's ranks, `Blocks.build` makes the groups of every crew that can ever be formed.
`models.runners.sharing` then lays crews over pipelines, and makes no group again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from models.errors import ConfigError
from models.runners.lost_peers import typed_peers

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from models.runners.crew import Crew

DEGREES = (1, 2, 4, 8)
"""Sizes of crews; a gang is one of them, too."""


def connect(rank: int, world: int, address: str, port: int, device: str, timeout_s: float) -> None:
    """Join the gang's default process group; returns when all ranks are there.

    Gloo on a CPU; on CUDA, NCCL for tensors on the GPU and gloo for the few small ones on the CPU.

    Args:
        rank: This process, from 0.
        world: Ranks of the gang.
        address: Where rank 0 listens.
        port: Its port, free until then.
        device: A torch device string, with the index on CUDA.
        timeout_s: Seconds that any collective may take before it raises.

    Raises:
        ConfigError: a gang of that size has no aligned blocks.
        RankLost: the others did not come within the time-out.
    """
    _check_world(rank, world)
    if address in ("127.0.0.1", "localhost", "::1"):
        # Gloo otherwise takes the interface that the host's name resolves to, which may not be reachable.
        loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    with typed_peers("joining the gang"):
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            init_method=f"tcp://{address}:{port}",
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=timeout_s),
            device_id=torch.device(device) if on_gpu else None,
        )


def disconnect() -> None:
    """Leave the gang; nothing happens when there is none."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """The process groups of every aligned block of 1, 2, 4 and 8 ranks of a gang, as one rank sees them.

    A crew with two halves (cfg 2) needs no further blocks: each half is an aligned block of its own, and the
    pairs that exchange the two passes are groups, too.
    """

    rank: int
    world: int
    device: str = "cpu"
    groups: Mapping[tuple[int, ...], ProcessGroup] = field(default_factory=lambda: MappingProxyType({}))
    """By the ranks in it; only those that this rank is in."""

    @classmethod
    def build(cls, rank: int, world: int, device: str, timeout_s: float) -> Blocks:
        """Build them all; every rank of the gang calls this at the same time, once, after `connect`.

        Every group does one small collective, so that NCCL sets up its connections now and not in a clip.

        Raises:
            ConfigError: a gang of that size has no aligned blocks, or the ranks are not connected.
            RankLost: another rank did not come within the time-out.
        """
        _check_world(rank, world)
        if world > 1 and not dist.is_initialized():
            raise ConfigError("the ranks of a gang must be connected before its blocks are built")
        mine: dict[tuple[int, ...], ProcessGroup] = {}
        with typed_peers("building the gang's blocks"):
            for ranks in _all_groups(world):
                group = dist.new_group(list(ranks), timeout=timedelta(seconds=timeout_s))
                if rank in ranks:
                    dist.all_reduce(torch.zeros(1, device=device), group=group)
                    mine[ranks] = group
        return cls(rank, world, device, MappingProxyType(mine))

    def half(self, crew: Crew) -> int:
        """Which half of the crew this rank is in: 0 makes the conditioned pass, 1 the other."""
        return crew.ranks.index(self.rank) // crew.ulysses

    def whole(self, crew: Crew) -> ProcessGroup:
        """All of a crew of two or more."""
        return self.groups[crew.ranks]

    def sharers(self, crew: Crew) -> ProcessGroup:
        """Those that share this rank's forward; only where `crew.ulysses` is 2 or more."""
        first = crew.leader + self.half(crew) * crew.ulysses
        return self.groups[tuple(range(first, first + crew.ulysses))]

    def partners(self, crew: Crew) -> ProcessGroup:
        """This rank and the one that makes the same share of the other pass; only where `crew.cfg` is 2."""
        low = crew.leader + (self.rank - crew.leader) % crew.ulysses
        return self.groups[low, low + crew.ulysses]


def _check_world(rank: int, world: int) -> None:
    if world not in DEGREES:
        raise ConfigError(
            f"a gang has 1, 2, 4 or 8 ranks, so that its blocks are aligned; got {world}",
            param="gang_size",
            allowed=list(DEGREES),
        )
    if not 0 <= rank < world:
        raise ConfigError(f"rank {rank} is not of a gang of {world}", param="rank")


def _all_groups(world: int) -> list[tuple[int, ...]]:
    """Aligned blocks, then the pairs that lie half a block apart; in the same order on every rank."""
    groups: dict[tuple[int, ...], None] = {}
    for size in (n for n in DEGREES if 1 < n <= world):
        for first in range(0, world, size):
            groups[tuple(range(first, first + size))] = None
    for size in (n for n in DEGREES if 1 < n <= world):
        for first in range(0, world, size):
            for low in range(first, first + size // 2):
                groups[low, low + size // 2] = None
    return list(groups)
