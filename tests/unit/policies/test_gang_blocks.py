"""Aligned blocks: never twice, never across a boundary, large ones kept whole."""

from __future__ import annotations

from random import Random

import pytest

from policies.gang import Block
from policies.gang_blocks import FreeGpus


@pytest.mark.parametrize("nodes", [(8,), (4, 4), (8, 8), (2,), (1,)])
def test_random_taking_never_overlaps_and_never_misaligns(nodes):
    rng = Random(sum(nodes))
    for _ in range(50):
        free, taken = FreeGpus(nodes), set()
        while free.count:
            block = free.take(rng.choice((1, 2, 4, 8)))
            if block is None:
                continue
            assert block.first % block.size == 0
            assert block.first + block.size <= nodes[block.node]
            cells = {(block.node, gpu) for gpu in block.gpus}
            assert not cells & taken
            taken |= cells
        assert len(taken) == sum(nodes)


def test_it_takes_where_the_buddy_is_fullest():
    free = FreeGpus((8,), [Block(0, 4, 1)])
    assert free.take(1) == Block(0, 5, 1)
    assert free.take(1) == Block(0, 6, 1)
    assert free.largest(0) == 4


def test_it_takes_on_the_node_with_the_fewest_free():
    free = FreeGpus((8, 8), [Block(1, 0, 4)])
    assert free.take(4) == Block(1, 4, 4)
    assert free.take(8) == Block(0, 0, 8)
    assert free.take(1) is None


def test_the_last_place_is_kept_when_it_is_free():
    free = FreeGpus((8,))
    assert free.take(2, Block(0, 6, 2)) == Block(0, 6, 2)
    assert free.take(2, Block(0, 6, 2)) != Block(0, 6, 2)
    assert free.take(4, Block(0, 4, 2)) == Block(0, 0, 4)
    assert not free.has(Block(3, 0, 1)), "a node that is gone"


def test_finding_takes_nothing():
    free = FreeGpus((4,))
    assert free.find(0, 4) == Block(0, 0, 4)
    assert free.find(0, 8) is None
    assert free.count == 4
