"""Four ranks: crews of four, two crews of two at once, crews that change between steps, shared tiles."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from PIL import Image

from models.runners.crew import ALONE, Crew
from models.runners.families import Segment
from models.runners.parallel import Blocks
from models.runners.sharing import Sharing, crew_for, degrees_of
from models.runners.wan import WanFamily
from models.types import Geometry
from tests.unit.runners.gang_world import KINDS, Run, compared, difference, in_world, shown

ALL = (0, 1, 2, 3)
CLOSE = 1e-4


@dataclass(frozen=True)
class Seen:
    """What one rank saw."""

    families: list[Run]
    both_at_once: float
    alternating: list[float]
    changed_midway: float
    between: float
    laid_s: list[float]
    tiles: list[tuple[bool, int]]
    degrees: dict[str, tuple[int, ...]]
    guided_crew: Crew


def _half(blocks: Blocks, cfg: int = 1) -> Crew:
    first = blocks.rank // 2 * 2
    return Crew((first, first + 1), cfg)


def _families(blocks: Blocks, sharing: Sharing) -> list[Run]:
    crews = ((Crew(ALL), 1.0), (Crew(ALL, 2), 4.0))
    runs = [run for kind in KINDS for run in compared(sharing, kind, True, crews)]
    return runs + [run for kind in KINDS for run in compared(sharing, kind, False, crews[:1])]


def _both_at_once(blocks: Blocks, sharing: Sharing) -> float:
    """Each half makes a clip of its own, of another number of steps."""
    clip, crew = shown("wan2.2-a14b"), _half(blocks, 2)
    mine = {"num_inference_steps": 3 + crew.leader, "guidance_scale": 4.0}
    alone = clip.latents(crew.leader, **mine)
    sharing.lay(clip.pipe, clip.family, crew, clip.branches())
    made = clip.latents(crew.leader, **mine)
    sharing.lift()
    return difference(made, alone)


def _alternating(blocks: Blocks, sharing: Sharing) -> tuple[list[float], list[float]]:
    """Three rounds of crews one after the other; how far apart, and how long laying them took."""
    clip = shown("wan2.2-a14b")
    clip.arguments["num_inference_steps"] = 2
    branches, alone = clip.branches(), clip.latents(5, guidance_scale=4.0)
    apart, laid = [], []
    for _ in range(3):
        for crew in (Crew(ALL, 2), _half(blocks), Crew(ALL), _half(blocks, 2), Crew((blocks.rank,))):
            since = time.perf_counter()
            sharing.lay(clip.pipe, clip.family, crew, branches)
            laid.append(time.perf_counter() - since)
            apart.append(difference(clip.latents(5, guidance_scale=4.0), alone))
    return apart, laid


def _changed_midway(blocks: Blocks, sharing: Sharing) -> tuple[float, float]:
    """Another crew after every step, and another clip, by yet another crew, after the second."""
    clip = shown("wan2.2-a14b")
    other = copy.copy(clip)
    other.pipe = copy.copy(clip.pipe)
    object.__setattr__(other.pipe, "scheduler", copy.deepcopy(clip.pipe.scheduler))
    other.arguments = {**clip.arguments, "prompt": "the beach"}
    branches = clip.branches()
    alone = clip.latents(7, guidance_scale=4.0)
    other_alone = other.latents(8, guidance_scale=2.0)
    crews = [_half(blocks), Crew(ALL, 2), Crew((blocks.rank,)), Crew(ALL)]
    between: list[float] = []

    def change(pipe: Any, step: int, at: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 1:
            sharing.lay(other.pipe, other.family, Crew(ALL, 2), other.branches())
            between.append(difference(other.latents(8, guidance_scale=2.0), other_alone))
        sharing.lay(clip.pipe, clip.family, crews[step], branches)
        return {}

    sharing.lay(clip.pipe, clip.family, Crew(ALL, 2), branches)
    made = clip.latents(7, guidance_scale=4.0, callback_on_step_end=change)
    sharing.lift()
    return difference(made, alone), between[0]


def _tiles(blocks: Blocks, sharing: Sharing) -> list[tuple[bool, int]]:
    """Per codec and size: whether the pictures are those of one process, and how many this rank got."""
    seen, large = (
        [],
        Segment(
            image=Image.new("RGB", (8, 8)),
            last_image=None,
            prompt="",
            negative_prompt="",
            native=Geometry(4096, 4096, 5, 16.0),
            steps=1,
            guidance=1.0,
            intensity=None,
            seed=0,
            generator=torch.Generator(),
        ),
    )
    for kind, channels in (("wan2.1", 16), ("wan2.2-ti2v-5b", 48)):
        pipe, family = shown(kind).pipe, WanFamily()
        cell = pipe.vae_scale_factor_spatial
        pipe.vae.enable_tiling(4 * cell, 4 * cell, 3 * cell, 3 * cell)
        for rows, columns in ((8, 10), (3, 5)):
            latents = torch.randn(
                1, channels, 2, rows, columns, generator=torch.Generator().manual_seed(rows)
            )
            alone = torch.cat(list(family.decode(pipe, latents, large)), dim=1)
            decoded = list(sharing.decode_over(pipe, family, latents, large, Crew(ALL)))
            same = not decoded or torch.equal(torch.cat(decoded, dim=1), alone)
            seen.append((same, sum(part.shape[1] for part in decoded)))
    return seen


def _all(blocks: Blocks) -> Seen:
    sharing = Sharing(blocks)
    alternating, laid = _alternating(blocks, sharing)
    midway, between = _changed_midway(blocks, sharing)
    pair = shown("ltx-2")
    return Seen(
        _families(blocks, sharing),
        _both_at_once(blocks, sharing),
        alternating,
        midway,
        between,
        laid,
        _tiles(blocks, sharing),
        {kind: degrees_of(shown(kind).family, shown(kind).pipe) for kind in ("wan2.1", "ltx-2")},
        crew_for(pair.family, pair.pipe, ALL, 4.0),
    )


@pytest.fixture(scope="module")
def ranks() -> list[Seen]:
    return in_world(4, _all)


@pytest.mark.parametrize("kind", KINDS)
def test_four_make_the_clip_of_one(kind, ranks):
    runs = [run for seen in ranks for run in seen.families if run.kind == kind]
    assert len(runs) == 12
    for run in runs:
        assert run.apart <= CLOSE, run


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_four_does_a_quarter_of_the_work(kind, ranks):
    for run in (run for seen in ranks for run in seen.families if run.kind == kind):
        whole = sum(batch * tokens for batch, tokens in run.alone)
        mine = sum(batch * tokens for batch, tokens in run.calls)
        spare = 0 if run.even else len(run.calls)
        assert whole / 4 - spare <= mine <= whole / 4 + spare, run


def test_two_clips_at_once_do_not_disturb_each_other(ranks):
    assert max(seen.both_at_once for seen in ranks) <= CLOSE


def test_crews_alternate_as_often_as_one_likes(ranks):
    for seen in ranks:
        assert len(seen.alternating) == 15
        assert max(seen.alternating) <= CLOSE
    took = sorted(1000 * second for seen in ranks for second in seen.laid_s)
    print(f"\nlaying a crew: median {took[len(took) // 2]:.2f} ms, longest {took[-1]:.2f} ms")


def test_the_crew_may_change_after_every_step_and_another_clip_come_between(ranks):
    assert max(seen.changed_midway for seen in ranks) <= CLOSE
    assert max(seen.between for seen in ranks) <= CLOSE


def test_shared_tiles_are_those_of_one_process(ranks):
    assert all(same for seen in ranks for same, _ in seen.tiles)
    assert [frames for _, frames in ranks[ALONE.leader].tiles] == [5, 5, 5, 5]
    assert {frames for seen in ranks[1:] for _, frames in seen.tiles} == {0}


def test_guidance_takes_the_first_factor_of_two(ranks):
    assert {seen.guided_crew for seen in ranks} == {Crew(ALL, 2)}
    assert ranks[0].degrees == {"wan2.1": (1, 2, 4), "ltx-2": (1, 2, 4)}
