"""Two ranks share every family's clips: the same pictures as one rank alone, for half of the work each."""

from __future__ import annotations

import pytest

from models.errors import ConfigError
from models.runners.crew import Crew
from models.runners.parallel import Blocks
from models.runners.sharing import Sharing
from tests.unit.runners.gang_world import KINDS, Run, compared, difference, in_world, shown

BOTH = (0, 1)
CLOSE = 1e-4
"""float32; observed: at most 1e-5."""


def _families(blocks: Blocks) -> list[Run]:
    sharing = Sharing(blocks)
    tokens, halves = Crew(BOTH), Crew(BOTH, 2)
    return [
        run
        for kind in KINDS
        for even, crews in ((True, ((tokens, 4.0), (halves, 4.0))), (False, ((tokens, 1.0), (halves, 4.0))))
        for run in compared(sharing, kind, even, crews)
    ]


def _caches(blocks: Blocks) -> tuple[float, list[int], str]:
    """A cache that the step drives, alone and shared; then one that looks at the picture."""
    from diffusers import FirstBlockCacheConfig, MagCacheConfig

    clip, sharing = shown("wan2.1"), Sharing(blocks)
    steps = {"num_inference_steps": 6, "guidance_scale": 1.0}
    transformer = clip.pipe.transformer
    config = MagCacheConfig(threshold=0.3, num_inference_steps=6, mag_ratios=[1.0] * 6, retention_ratio=0.2)
    transformer.enable_cache(config)
    alone, calls = clip.work(3, **steps)
    computed: list[int] = []
    deepest = transformer.blocks[-1].attn1.register_forward_pre_hook(lambda *_: computed.append(1))
    sharing.lay(clip.pipe, clip.family, Crew(BOTH))
    made, shared_calls = clip.work(3, **steps)
    deepest.remove()
    sharing.lift()
    transformer.disable_cache()
    transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    try:
        sharing.lay(clip.pipe, clip.family, Crew(BOTH))
    except ConfigError as error:
        return difference(made, alone), [len(calls), len(shared_calls), len(computed)], str(error)
    return difference(made, alone), [], ""


def _all(blocks: Blocks) -> tuple[list[Run], tuple[float, list[int], str]]:
    return _families(blocks), _caches(blocks)


@pytest.fixture(scope="module")
def ranks() -> list[tuple[list[Run], tuple[float, list[int], str]]]:
    return in_world(2, _all)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_makes_the_clip_of_one(kind, ranks):
    runs = [run for rank in ranks for run in rank[0] if run.kind == kind]
    assert len(runs) == 8
    for run in runs:
        assert run.apart <= CLOSE, run


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_a_pair_does_half_the_work(kind, ranks):
    for run in (run for rank in ranks for run in rank[0] if run.kind == kind):
        whole = sum(batch * tokens for batch, tokens in run.alone)
        mine = sum(batch * tokens for batch, tokens in run.calls)
        # A token more where they do not divide by two.
        spare = len(run.calls) * 2 if run.crew.cfg == 1 else 0
        assert whole / 2 - spare <= mine <= whole / 2 + spare, run
        if run.crew.cfg == 2:
            assert {tokens for _, tokens in run.calls} == {tokens for _, tokens in run.alone}


def test_a_cache_driven_by_the_step_is_shared(ranks):
    for _, (apart, (calls, shared_calls, deepest), _) in ranks:
        assert apart <= CLOSE
        assert calls == shared_calls
        assert 0 < deepest < 6, "the cache skipped nothing, or everything"


def test_a_cache_that_looks_at_the_picture_is_refused(ranks):
    for _, (_, _, refusal) in ranks:
        assert "FirstBlockCache" in refusal
