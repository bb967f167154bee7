"""Free GPUs of a gang's nodes, handed out as aligned blocks so that large ones stay whole."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from policies.gang import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class FreeGpus:
    """Which GPUs are free now. Blocks are aligned: a block of k GPUs starts at a multiple of k."""

    __slots__ = ("_masks", "_sizes")

    def __init__(self, nodes: Sequence[int], taken: Iterable[Block] = ()) -> None:
        """All GPUs of `nodes` (GPUs of each node) but those of `taken`."""
        self._sizes = tuple(nodes)
        self._masks = [(1 << gpus) - 1 for gpus in nodes]
        for block in taken:
            self._masks[block.node] &= ~_bits(block.first, block.size)

    @property
    def count(self) -> int:
        """Free GPUs on all nodes."""
        return sum(mask.bit_count() for mask in self._masks)

    def has(self, block: Block) -> bool:
        """Whether all of the block is there and free."""
        if block.node >= len(self._masks) or block.first % block.size:
            return False
        bits = _bits(block.first, block.size)
        return self._masks[block.node] & bits == bits

    def largest(self, node: int) -> int:
        """Size of the largest free aligned block of a node; 0 when nothing of it is free."""
        return _largest(self._masks[node], self._sizes[node])

    def find(self, node: int, size: int, prefer: Block | None = None) -> Block | None:
        """A free block of a node without taking it: `prefer` if it will do, else as `take` chooses."""
        if prefer is not None and prefer.node == node and prefer.size == size and self.has(prefer):
            return prefer
        first = _place(self._masks[node], self._sizes[node], size)
        return None if first < 0 else Block(node, first, size)

    def take(self, size: int, prefer: Block | None = None) -> Block | None:
        """A free block of that size, taken from now on; None when there is none.

        Taken where it leaves most whole: `prefer` if that is free and of this size (no reconfiguration), else
        the node with the fewest free GPUs, there the block whose buddy is fullest.
        """
        if prefer is not None and prefer.size == size and self.has(prefer):
            return self.occupy(prefer)
        found: tuple[int, int, int] | None = None
        for node, (mask, gpus) in enumerate(zip(self._masks, self._sizes, strict=True)):
            first = _place(mask, gpus, size)
            if first >= 0 and (found is None or mask.bit_count() < found[0]):
                found = (mask.bit_count(), node, first)
        return None if found is None else self.occupy(Block(found[1], found[2], size))

    def occupy(self, block: Block) -> Block:
        """That block, no longer free."""
        self._masks[block.node] &= ~_bits(block.first, block.size)
        return block


def _bits(first: int, size: int) -> int:
    return ((1 << size) - 1) << first


@cache
def _place(mask: int, gpus: int, size: int) -> int:
    """First GPU of the best free aligned block of a node, -1 without one."""
    best: tuple[int, int, int] | None = None
    for first in range(0, gpus - size + 1, size):
        bits = _bits(first, size)
        if mask & bits == bits:
            buddy = _bits(first ^ size, size) & mask
            found = (buddy.bit_count(), _breaks(mask, gpus, first, size), first)
            best = found if best is None or found < best else best
    return -1 if best is None else best[2]


def _breaks(mask: int, gpus: int, first: int, size: int) -> int:
    """Size of the largest free aligned block that is broken by taking this one."""
    while size * 2 <= gpus:
        bits = _bits(first - first % (size * 2), size * 2)
        if mask & bits != bits:
            break
        size *= 2
    return size


@cache
def _largest(mask: int, gpus: int) -> int:
    return next((size for size in (8, 4, 2, 1) if _place(mask, gpus, size) >= 0), 0)
