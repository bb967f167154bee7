"""Four ranks: a clip that changes its degree in mid-segment, and two clips of which one is cancelled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from models.runners import animate
from models.runners.crew import Crew
from models.runners.parallel import Blocks
from models.runners.sharing import transformers_of
from tests.unit.runners.clips import STEPPED, Made, loaded, request, to_the_end
from tests.unit.runners.conftest import Recorder
from tests.unit.runners.gang_world import in_world

RANKS = ((0,), (0, 1), (0, 1, 2, 3), (2, 3), (2,))
"""Who is at work on the clip, a step each: it grows, shrinks, and moves to another leader."""
STEPS = len(RANKS)
LEVEL = 1
"""Of 255: float sums in another order may fall on the other side of a half."""
CLOSE = 1e-4


@dataclass
class Seen:
    """What the clip's first leader saw of one kind."""

    apart: int
    latents: float
    resumed_s: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    """That the first self-attention saw, in each call."""


def _grown_and_shrunk(blocks: Blocks, runner: Any, clip: Any, folder: Path) -> tuple[Any, list[float]]:
    """The crew changes after every step of the first segment; who joins reads the leader's state."""
    mine = runner.begin(clip, folder, Recorder()) if blocks.rank == 0 else None
    took = []
    crews = [Crew(ranks) for ranks in RANKS]
    for before, ranks in zip((None, *crews), RANKS, strict=False):
        if before is not None:
            if blocks.rank == before.leader:
                mine.save()
            dist.barrier()
        if blocks.rank in ranks:
            since = time.perf_counter()
            if before is None or blocks.rank not in before.ranks:
                mine = runner.resume(clip, folder) if before is not None else mine
                took.append(time.perf_counter() - since)
            mine.advance(1, mine.crew(ranks), Recorder())
        elif mine is not None:
            mine.close()
            mine = None
        dist.barrier()
    return mine, took


def _rest(clip: Any, rank: int) -> Made:
    return Made(to_the_end(clip, crew=Crew((rank,))))


def _one_kind(blocks: Blocks, kind: str, checkpoint: Path, states: Path, driving_video: Path) -> Seen | None:
    runner = loaded(kind, checkpoint)
    runner.join(blocks)
    clip = request(kind, driving_video, steps=STEPS)
    with _watched(runner) as tokens:
        mine, took = _grown_and_shrunk(blocks, runner, clip, _new(states, kind))
    if mine is None:
        return Seen(0, 0.0, took, tokens)
    alone = runner.begin(clip, _new(states, f"{kind}-alone"), Recorder())
    alone.advance(STEPS, Crew((blocks.rank,)), Recorder())
    expected = alone._running.call.latest
    made = mine._running.call.latest
    assert made.keys() == expected.keys()
    apart = max(float((made[name] - expected[name]).abs().max()) for name in expected)
    return Seen(_rest(mine, blocks.rank).apart(_rest(alone, blocks.rank)), apart, took, tokens)


@contextmanager
def _watched(runner: Any) -> Iterator[list[int]]:
    """The tokens that this rank's first self-attention sees."""
    seen: list[int] = []

    def look(_: Any, args: Any, named: Any) -> None:
        seen.append((named["hidden_states"] if "hidden_states" in named else args[0]).shape[1])

    with ExitStack() as watches:
        for transformer in transformers_of(runner._pipe):
            blocks = getattr(transformer, "blocks", None) or transformer.transformer_blocks
            handle = blocks[0].attn1.register_forward_pre_hook(look, with_kwargs=True)
            watches.callback(handle.remove)
        yield seen


def _one_cancelled(blocks: Blocks, checkpoint: Path, states: Path, driving_video: Path) -> int:
    """The upper half's clip is cancelled between steps; the lower half's goes on to its end."""
    runner = loaded("wan2.1", checkpoint)
    runner.join(blocks)
    half = blocks.rank // 2
    clip = request("wan2.1", driving_video, seed=half)
    expected = Made(runner.generate(clip, Recorder()))
    folder = _new(states, f"half-{half}")
    if blocks.rank == 2 * half:
        runner.begin(clip, folder, Recorder()).close()
    dist.barrier()
    mine = runner.resume(clip, folder)
    crew = mine.crew((2 * half, 2 * half + 1))
    mine.advance(1, crew, Recorder())
    if half == 1:
        mine.close()
        # The ranks of a cancelled clip are free for the next one at once.
        return Made(runner.generate(clip, Recorder())).apart(expected)
    mine.advance(3, crew, Recorder())
    if blocks.rank == 0:
        return _rest(mine, 0).apart(expected)
    mine.close()
    return 0


def _new(states: Path, name: str) -> Path:
    (states / name).mkdir(exist_ok=True)
    return states / name


def _all(
    blocks: Blocks, kinds: tuple[str, ...], checkpoints: Path, states: Path, driving_video: Path
) -> dict[str, Any]:
    animate.RUN_FRAMES = 9
    seen: dict[str, Any] = {
        kind: _one_kind(blocks, kind, checkpoints / kind, states, driving_video) for kind in kinds
    }
    return {**seen, "cancelled": _one_cancelled(blocks, checkpoints / "wan2.1", states, driving_video)}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, driving_video) -> list[dict[str, Any]]:
    from models.runners.tiny import write_tiny_checkpoint

    checkpoints, states = tmp_path_factory.mktemp("gang"), tmp_path_factory.mktemp("states")
    for kind in STEPPED:
        write_tiny_checkpoint(kind, checkpoints / kind, scale="gang")
    return in_world(4, _all, STEPPED, checkpoints, states, driving_video)


@pytest.mark.parametrize("kind", STEPPED)
def test_clip_that_changes_its_degree_is_the_one_made_alone(kind, ranks):
    last = ranks[RANKS[-1][0]][kind]
    assert last.latents <= CLOSE
    assert last.apart <= LEVEL
    whole = max(ranks[0][kind].tokens)
    for rank in ranks:
        # Guidance's two passes are shared first: of four ranks, two make half of one pass each.
        assert set(rank[kind].tokens) == {whole, whole // 2}
    took = [second for rank in ranks for second in rank[kind].resumed_s]
    print(f"\n{kind}: latents {last.latents:.1e} apart; ranks joined in at most {1000 * max(took):.0f} ms")


def test_cancelled_clip_does_not_disturb_the_other(ranks):
    assert [rank["cancelled"] for rank in ranks] == [0, 0, 0, 0]
