"""When one rank of a crew fails, the others do not wait for ever, and say what happened."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import torch.distributed as dist

from models.errors import RankLost
from models.runners.crew import Crew
from models.runners.parallel import Blocks
from models.runners.sharing import Sharing
from tests.unit.runners.gang_world import in_world, shown

WITHIN_S = 6.0
"""Time-out of the crews' collectives: much longer than a tiny step takes, much shorter than the test may."""
CREWS = (Crew((0, 1)), Crew((2, 3), 2))
RAISES, DIES = 1, 3


class Broken(Exception):
    """What the test's own rank fails with."""


def _fails(built: Blocks) -> str:
    """In each crew the second rank fails in the middle of a forward.

    Returns:
        What this rank raised, and whether a clip that it makes alone afterwards is sound.
    """
    blocks = Blocks.build(built.rank, built.world, "cpu", WITHIN_S)
    clip, sharing = shown("wan2.1"), Sharing(blocks)
    crew = CREWS[blocks.rank // 2]
    branches, alone = clip.branches(), clip.latents(3, guidance_scale=4.0)

    def fail(*_: Any) -> None:
        if blocks.rank == DIES:
            os._exit(3)
        raise Broken

    sharing.lay(clip.pipe, clip.family, crew, branches)
    broken = None
    if blocks.rank in (RAISES, DIES):
        broken = clip.pipe.transformer.blocks[1].register_forward_pre_hook(fail)
    dist.barrier()
    try:
        clip.latents(3, guidance_scale=4.0)
    except (RankLost, Broken) as error:
        raised = type(error).__name__
    else:
        raised = "nothing"
    if broken is not None:
        broken.remove()
        # Alive, but not taking part: the other rank must not depend on this process' end.
        time.sleep(WITHIN_S + 2)
    sharing.lift()
    same = all((a == b).all() for a, b in zip(alone, clip.latents(3, guidance_scale=4.0), strict=True))
    return f"{raised}, then {'sound' if same else 'spoilt'}"


@pytest.fixture(scope="module")
def told() -> list[str | None]:
    return in_world(4, _fails, silent=frozenset({DIES}))


def test_a_rank_that_raises_is_lost_to_the_others_within_the_time_out(told):
    """Both may go on alone: nothing of the crew stays on their transformers."""
    assert told[:2] == ["RankLost, then sound", "Broken, then sound"]


def test_a_rank_that_dies_is_lost_to_the_others(told):
    assert told[2:] == ["RankLost, then sound", None]
