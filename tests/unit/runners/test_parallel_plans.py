"""Which crews a pipeline can have, and how its transformer is split: no processes needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import ContextParallelConfig, ParallelConfig

from models.errors import ConfigError, RankLost, RunnerError
from models.runners.crew import ALONE, Crew
from models.runners.crew_hooks import Shard
from models.runners.lost_peers import is_lost_peer
from models.runners.parallel import Blocks, connect
from models.runners.passes import CalledTwice, CalledWithBatch, Halves, Passes, needed
from models.runners.registry import FAMILIES, family_of
from models.runners.sharding_plans import PLANS, plan_of
from models.runners.sharing import Sharing, crew_for, degrees_of
from tests.unit.runners.gang_world import KINDS, Named, free_port, shown

WAN = Named("WanImageToVideoPipeline")


def model(heads: int = 4, **config: Any) -> Any:
    """A pipeline of which only the figures are looked at."""
    inner = torch.nn.Module()
    inner.config = SimpleNamespace(num_attention_heads=heads, **config)
    return SimpleNamespace(transformer=inner, config={})


def test_guidance_takes_the_first_factor_of_two():
    assert crew_for(WAN, model(), range(4), 1.0) == Crew((0, 1, 2, 3))
    assert crew_for(WAN, model(), range(4), 5.0) == Crew((0, 1, 2, 3), 2)
    assert crew_for(WAN, model(), range(2, 4), 5.0) == Crew((2, 3), 2)
    assert crew_for(WAN, model(), [3], 5.0) == Crew((3,))


@pytest.mark.parametrize(
    ("heads", "guidance", "degrees"),
    [
        (40, 1.0, (1, 2, 4, 8)),  # Wan 14B
        (12, 1.0, (1, 2, 4)),  # Wan 1.3B
        (12, 5.0, (1, 2, 4, 8)),
        (3, 1.0, (1,)),
        (3, 5.0, (1, 2)),
    ],
)
def test_heads_must_divide(heads, guidance, degrees):
    assert degrees_of(WAN, model(heads), guidance) == degrees


def test_both_modalities_heads_must_divide():
    assert degrees_of(Named("LTX2ImageToVideoPipeline"), model(8, audio_num_attention_heads=2)) == (1, 2)


def test_what_cannot_be_split_says_so():
    with pytest.raises(ConfigError, match="12 attention heads cannot be split over 8 ranks") as refusal:
        crew_for(WAN, model(12), range(8), 1.0)
    assert refusal.value.allowed == [1, 2, 4]


@pytest.mark.parametrize("pipeline", sorted(set(FAMILIES) - set(PLANS)))
def test_families_without_a_plan_run_on_one_gpu(pipeline):
    family = family_of(pipeline)
    assert family is not None
    assert degrees_of(family, model()) == (1,)
    with pytest.raises(ConfigError, match="no sharding plan"):
        crew_for(family, model(), range(2), 1.0)


def test_every_plan_is_of_a_diffusers_pipeline():
    import diffusers

    assert all(hasattr(diffusers, name) for name in PLANS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_names_modules_that_are_there(kind):
    """Also splits that are named for attention: a name that matches nothing would silently share nothing."""
    clip = shown(kind)
    transformer, plan = clip.pipe.transformer, plan_of(clip.family.pipeline, clip.pipe)
    assert plan is not None
    modules = dict(transformer.named_modules())
    for name in (*plan.splits(transformer), *plan.gathers(transformer)):
        assert name.endswith("*") or name in modules
    for last in plan.attention:
        assert any(name.rpartition(".")[2] == last for name in modules)


def test_animate_gathers_before_each_face_adapter_and_splits_after_it():
    config = SimpleNamespace(inject_face_latents_blocks=5)
    plan = PLANS["WanAnimatePipeline"]
    released = SimpleNamespace(config=config, blocks=range(40))
    assert sorted(plan.splits(released)) == sorted(
        ["rope", "blocks.0", *(f"blocks.{i}" for i in range(1, 40, 5))]
    )
    assert sorted(plan.gathers(released)) == sorted(["proj_out", *(f"blocks.{i}" for i in range(0, 40, 5))])
    ends_whole = SimpleNamespace(config=config, blocks=range(41))
    assert "proj_out" not in plan.gathers(ends_whole)


@pytest.mark.parametrize("world", [0, 3, 6, 16])
def test_a_gang_without_aligned_blocks_is_refused(world):
    with pytest.raises(ConfigError, match="1, 2, 4 or 8") as refusal:
        Blocks.build(0, world, "cpu", 1.0)
    assert refusal.value.param == "gang_size"
    with pytest.raises(ConfigError, match="1, 2, 4 or 8"):
        connect(0, world, "127.0.0.1", 1, "cpu", 1.0)


def test_blocks_need_connected_ranks_unless_there_is_one():
    with pytest.raises(ConfigError, match="connected"):
        Blocks.build(0, 2, "cpu", 1.0)
    assert not Blocks.build(0, 1, "cpu", 1.0).groups


def test_halves_and_partners():
    named = {ranks: str(ranks) for ranks in ((4, 5), (6, 7), (4, 6), (5, 7), (4, 5, 6, 7))}
    blocks = Blocks(6, 8, "cpu", named)  # type: ignore[arg-type]
    crew = Crew((4, 5, 6, 7), 2)
    assert (blocks.half(crew), blocks.sharers(crew), blocks.partners(crew)) == (1, "(6, 7)", "(4, 6)")
    assert blocks.sharers(Crew((4, 5, 6, 7))) == "(4, 5, 6, 7)"
    assert blocks.partners(Crew((6, 7), 2)) == "(6, 7)"
    assert blocks.half(Crew((6, 7), 2)) == 0


def test_a_rank_cannot_lay_a_crew_that_it_is_not_of():
    with pytest.raises(ConfigError, match="rank 0 is not of the crew"):
        Sharing(Blocks(0, 4)).lay(model(), WAN, Crew((2, 3)))


def test_one_rank_by_itself_lifts_whatever_is_laid():
    Sharing(Blocks(2, 4)).lay(model(), WAN, ALONE)


def test_ranks_that_do_not_come_are_lost(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    with pytest.raises(RankLost, match="joining the gang"):
        connect(0, 2, "127.0.0.1", free_port(), "cpu", 1.0)


def test_tokens_are_dealt_out_as_torch_splits_them():
    shard = Shard(ParallelConfig(ContextParallelConfig(ulysses_degree=4)), None)  # type: ignore[arg-type]
    for tokens in (4, 27, 32, 33):
        shard.measure(tokens)
        assert shard.sizes == [part.numel() for part in torch.arange(tokens).tensor_split(4)]
        assert shard.config.ulysses_anything is (tokens % 4 != 0)
    with pytest.raises(ConfigError, match="3 tokens cannot be split over 4 ranks"):
        shard.measure(3)


def test_two_calls_need_both_prompts():
    with pytest.raises(ConfigError, match="both prompt embeddings"):
        needed(None, "WanImageToVideoPipeline")


class Mirror(Halves):
    """A partner that computes what this half computes, plus 100."""

    def exchanged(self, mine: Any) -> Any:
        other = tuple(tensor + 100 for tensor in mine)
        return (mine, other) if self.me == 0 else (other, mine)


def asked(passes: Passes, **arguments: Any) -> tuple[torch.Tensor, list[dict[str, Any]]]:
    """What a call is answered with, and what was computed for it."""
    computed: list[dict[str, Any]] = []

    def forward(**given: Any) -> tuple[torch.Tensor, ...]:
        computed.append(given)
        return (given["hidden_states"] + given["encoder_hidden_states"].sum(),)

    return passes(forward, arguments)[0], computed


def test_the_second_call_is_answered_from_the_first():
    noisy, positive, negative = torch.zeros(1, 2), torch.ones(1, 3), torch.zeros(1, 3)
    passes = CalledTwice(Mirror(None, 1), (positive, negative), lambda _: {"face": 0})  # type: ignore[arg-type]
    conditioned, computed = asked(passes, hidden_states=noisy, encoder_hidden_states=positive, face=1)
    assert computed[0]["encoder_hidden_states"] is negative
    assert computed[0]["face"] == 0
    assert conditioned.tolist() == [[100.0, 100.0]]
    answer, computed = asked(passes, hidden_states=noisy, encoder_hidden_states=negative.clone(), face=0)
    assert not computed
    assert answer.tolist() == [[0.0, 0.0]]


def test_prompts_that_are_neither_branch_are_an_error():
    passes = CalledTwice(
        Mirror(None, 0),  # type: ignore[arg-type]
        (torch.ones(1, 3), torch.zeros(1, 3)),
        lambda _: {},
    )
    with pytest.raises(RunnerError, match="neither"):
        asked(passes, hidden_states=torch.zeros(1, 2), encoder_hidden_states=torch.full((1, 3), 7.0))
    with pytest.raises(RunnerError, match="neither"):
        asked(passes, hidden_states=torch.zeros(1, 2), encoder_hidden_states=torch.zeros(1, 3))


@pytest.mark.parametrize(("me", "isolated"), [(0, None), (1, True)])
def test_a_perturbed_and_an_isolated_pass_are_made_at_the_same_time(me, isolated):
    passes = CalledWithBatch(Mirror(None, me), frozenset({"hidden_states"}), lambda: True)  # type: ignore[arg-type]
    both = {"hidden_states": torch.zeros(1, 2), "encoder_hidden_states": torch.zeros(1)}
    _, computed = asked(passes, **both, spatio_temporal_guidance_blocks=[1])
    assert computed[0].get("isolate_modalities") is isolated
    assert computed[0]["spatio_temporal_guidance_blocks"] == (None if isolated else [1])
    _, computed = asked(passes, **both, isolate_modalities=True)
    assert not computed
    _, computed = asked(passes, **both, isolate_modalities=True)
    assert computed, "an answer is given once"


@pytest.mark.parametrize(
    ("words", "lost"),
    [
        ("[/pytorch/gloo/pair.cc:534] Connection closed by peer [127.0.0.1]:1234", True),
        ("Timed out waiting 4000ms for recv operation to complete", True),
        ("NCCL communicator was aborted on rank 1", True),
        ("CUDA out of memory. Tried to allocate 2.00 GiB", False),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_lost_peers_are_told_from_other_errors(words, lost):
    assert is_lost_peer(RuntimeError(words)) is lost
    assert not is_lost_peer(ValueError(words))
