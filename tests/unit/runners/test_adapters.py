"""Distilled offers: a LoRA over the weights of another offer, for one clip, without a trace."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.errors import Cancelled, CheckpointMissing, InputRefused
from models.runners import adapters
from models.runners.adapter_keys import Part, parsed, spellings
from models.runners.base import RunRequest

KIND = "wan2.2-a14b"
FILES = ("high.safetensors", "low.safetensors")
RANK, ALPHA = 4, 2.0
LAYERS = ("blocks.0.attn1.to_q", "blocks.1.attn2.to_out.0", "blocks.0.ffn.net.0.proj", "proj_out")
OWN = {
    "blocks.0.attn1.to_q": "blocks.0.self_attn.q",
    "blocks.1.attn2.to_out.0": "blocks.1.cross_attn.o",
    "blocks.0.ffn.net.0.proj": "blocks.0.ffn.0",
    "proj_out": "head.head",
}
SPELLINGS = {
    "diffusers": lambda layer: (f"transformer.{layer}", "lora_A", "lora_B"),
    "own": lambda layer: (f"diffusion_model.{OWN[layer]}", "lora_down", "lora_up"),
    "kohya": lambda layer: ("lora_unet_" + OWN[layer].replace(".", "_"), "lora_down", "lora_up"),
}


def matrices(expert: torch.nn.Module, seed: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Two narrow matrices for each of `LAYERS`, large enough to change the clip."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name in LAYERS:
        outputs, inputs = expert.get_submodule(name).weight.shape
        made[name] = (
            torch.randn(RANK, inputs, generator=generator),
            torch.randn(outputs, RANK, generator=generator),
        )
    return made


def tensors(expert: torch.nn.Module, seed: int, spelling: str = "own") -> dict[str, torch.Tensor]:
    found = {}
    for name, (down, up) in matrices(expert, seed).items():
        layer, first, second = SPELLINGS[spelling](name)
        found |= {f"{layer}.{first}.weight": down, f"{layer}.{second}.weight": up}
        found[f"{layer}.alpha"] = torch.tensor(ALPHA)
    return found


@pytest.fixture
def fast_card(card_of):
    """A card whose offer `fast` runs on the replicas of `local` with an adapter."""

    def build(scale: float = 1.0, **adapter: Any):
        base = card_of(KIND)
        sourced = {"source": "a test", "checked_at": "2026-01-01"}
        local = base.model_dump(mode="json")["offers"][0]
        local["sampling"]["flow_shift"] = 3.0
        fast = {
            **local,
            "id": "fast",
            "replica": "local",
            "adapter": {**sourced, "files": list(FILES), "scale": scale, **adapter},
            "sampling": {**sourced, "steps": 3, "guidance": 1.0, "passes_per_step": 1, "flow_shift": 5.0},
        }
        other = {**local, "id": "other"}
        return card_of(KIND, offers=[local, fast, other])

    return build


@pytest.fixture
def load(checkpoint, tmp_path):
    """`load(card, offer="local", files=...)`: a runner on a copy of the tiny checkpoint with adapters."""
    from models.runners.diffusers import load as load_runner

    def at(card, offer: str = "local", files: Any = None):
        directory = tmp_path / "checkpoint"
        if not directory.exists():
            shutil.copytree(checkpoint(KIND), directory)
        for name, content in (files or {}).items():
            path = directory / "adapters" / "fast" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(content, str(path))
        return load_runner(card, card.offer(offer), checkpoint=str(directory), device="cpu")

    return at


@pytest.fixture
def both(load, fast_card):
    """A runner with a file for each expert."""

    def build(spelling: str = "own", **how: Any):
        card = fast_card(**how)
        runner = load(card)
        pipe = runner._pipe
        experts = (pipe.transformer, pipe.transformer_2)
        files = {
            name: tensors(e, i, spelling) for i, (name, e) in enumerate(zip(FILES, experts, strict=True))
        }
        return load(card, files=files)

    return build


@pytest.fixture
def clip(plan_of, photograph, recorder):
    def make(runner, offer: str | None = None, monitor=None, **request: Any) -> np.ndarray:
        wanted = RunRequest(photograph(), "a cat", plan_of(KIND), seed=7, offer=offer, **request)
        return np.stack(list(runner.generate(wanted, monitor or recorder()).frames))

    return make


def forward(expert: torch.nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        made: torch.Tensor = expert(
            hidden_states=torch.randn(1, 36, 3, 4, 4, generator=generator),
            timestep=torch.tensor([500.0]),
            encoder_hidden_states=torch.randn(1, 8, 32, generator=generator),
        ).sample
    return made


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_adapter_equals_the_weights_it_stands_for(spelling, both):
    """Against the textbook way, W + scale * alpha / rank * B A, on both experts."""
    runner = both(spelling, scale=0.5)
    pipe, offer = runner._pipe, runner._card.offer("fast")
    for seed, expert in enumerate((pipe.transformer, pipe.transformer_2)):
        plain = forward(expert)
        with runner._variants.laid(offer):
            laid = forward(expert)
        assert torch.equal(forward(expert), plain)
        for name, (down, up) in matrices(expert, seed).items():
            expert.get_submodule(name).weight.data += 0.5 * ALPHA / RANK * (up @ down)
        expected = forward(expert)
        torch.testing.assert_close(laid, expected, rtol=1e-4, atol=1e-4)
        assert (expected - plain).abs().max() > 1


def test_offers_take_turns_on_the_same_weights(both, clip, plan_of, photograph, recorder, tmp_path):
    """Adapter and flow shift belong to a clip's own steps, also when it is paused between them."""
    from models.runners.crew import ALONE

    runner = both()
    alone = {offer: clip(runner, offer, steps=3) for offer in ("local", "fast")}
    underway = {}
    for offer in alone:
        (tmp_path / offer).mkdir()
        wanted = RunRequest(photograph(), "a cat", plan_of(KIND), seed=7, offer=offer, steps=3)
        underway[offer] = runner.begin(wanted, tmp_path / offer, recorder())
    for _ in range(3):
        for part in underway.values():
            part.advance(1, ALONE, recorder())

    for offer, part in underway.items():
        np.testing.assert_array_equal(np.stack(list(part.finish(recorder()).frames)), alone[offer])
    assert (alone["local"] != alone["fast"]).any()


def test_base_clips_are_the_same_bits_before_between_and_after(both, clip, load_tiny):
    runner = both()
    pointers = [parameter.data_ptr() for parameter in runner._pipe.transformer.parameters()]

    before, first = clip(runner), clip(runner, "fast")
    between, second = clip(runner, "local"), clip(runner, "fast")

    np.testing.assert_array_equal(before, between)
    np.testing.assert_array_equal(first, second)
    assert (before != first).any()
    np.testing.assert_array_equal(before, clip(load_tiny(KIND)))
    assert [p.data_ptr() for p in runner._pipe.transformer.parameters()] == pointers
    assert not any(module._forward_hooks for module in runner._pipe.transformer.modules())


@pytest.mark.parametrize("changed", [0, 1])
def test_each_expert_has_its_own_file(changed, both, load, fast_card, clip):
    """Without its file's change, an expert's share of the clip is another."""
    whole = clip(both(), "fast")
    runner = load(fast_card())
    expert = (runner._pipe.transformer, runner._pipe.transformer_2)[changed]
    still = {key: torch.zeros_like(value) for key, value in tensors(expert, changed).items()}

    assert (clip(load(fast_card(), files={FILES[changed]: still}), "fast") != whole).any()


def test_sampling_is_that_of_the_offer(both, clip, recorder, monkeypatch):
    runner, monitor = both(), recorder()
    seen: list[tuple[float, int, float]] = []
    real = type(runner._pipe).__call__

    def spy(self, **arguments: Any) -> Any:
        shift = self.scheduler.config.flow_shift
        seen.append((arguments["guidance_scale"], arguments["num_inference_steps"], shift))
        return real(self, **arguments)

    monkeypatch.setattr(type(runner._pipe), "__call__", spy)

    clip(runner, "fast", monitor)
    clip(runner)

    assert seen == [(1.0, 3, 5.0), (3.0, 2, 3.0)]
    assert monitor.steps[:3] == [(1, 3), (2, 3), (3, 3)]
    assert runner._pipe.scheduler.config.flow_shift == 3.0


def test_cancelled_clip_leaves_no_adapter_behind(both, clip, recorder):
    runner = both()
    before = clip(runner)

    with pytest.raises(Cancelled):
        clip(runner, "fast", recorder(cancel_at=1))

    np.testing.assert_array_equal(clip(runner), before)
    assert runner._pipe.scheduler.config.flow_shift == 3.0


def test_adapter_is_read_once(both, clip, monkeypatch):
    runner, reads = both(), []
    real = adapters.load_file
    monkeypatch.setattr(adapters, "load_file", lambda path: reads.append(path) or real(path))

    clip(runner, "fast")
    clip(runner)
    clip(runner, "fast")

    assert [Path(path).name for path in reads] == list(FILES)


def test_runner_loaded_for_the_distilled_offer_makes_its_clips(both, load, fast_card, clip):
    expected = clip(both(), "fast")

    runner = load(fast_card(), "fast")

    np.testing.assert_array_equal(clip(runner), expected)
    np.testing.assert_array_equal(clip(runner, "fast"), expected)


def test_whole_weights_and_biases_are_exchanged_and_put_back(load, fast_card, clip):
    runner = load(fast_card())
    norm = runner._pipe.transformer.get_submodule("blocks.0.norm2")
    base = norm.weight.data
    table = runner._pipe.transformer.get_submodule("blocks.0").scale_shift_table
    change = {
        "diffusion_model.blocks.0.norm3.diff": torch.full_like(base, 3.0),
        "diffusion_model.blocks.0.diff_m": torch.ones_like(table),
    }
    bias = {"diffusion_model.time_projection.1.diff_b": torch.ones(6 * 24)}
    runner = load(fast_card(scale=0.5), files=dict(zip(FILES, (change, bias), strict=True)))
    before = clip(runner)
    norm = runner._pipe.transformer.get_submodule("blocks.0.norm2")

    overlay = adapters.load_overlay(
        runner._card, runner._card.offer("fast"), runner._pipe, runner._variants._checkpoint
    )
    with overlay.laid():
        assert torch.equal(norm.weight.data, base + 1.5)
    assert torch.equal(norm.weight.data, base)
    assert (clip(runner, "fast", steps=2, guidance=3.0) != before).any()
    np.testing.assert_array_equal(clip(runner), before)


# --- what goes wrong ---------------------------------------------------------------------------


def test_missing_file_names_it_and_fails_that_offer_only(load, fast_card, clip, load_tiny):
    runner = load(fast_card())

    with pytest.raises(CheckpointMissing, match=r"adapters/fast/high\.safetensors") as missing:
        clip(runner, "fast")

    assert missing.value.param == "offers.adapter"
    np.testing.assert_array_equal(clip(runner), clip(load_tiny(KIND)))


def test_file_that_arrives_later_is_found(both, load, fast_card, clip):
    runner = load(fast_card())
    with pytest.raises(CheckpointMissing):
        clip(runner, "fast")
    expected = clip(both(), "fast")  # writes into the same directory

    np.testing.assert_array_equal(clip(runner, "fast"), expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"diffusion_model.blocks.9.self_attn.q.lora_down.weight": torch.ones(4, 24)},
            "no layer of this model",
        ),
        ({"blocks.0.attn1.to_q.lora_A.mystery": torch.ones(4, 24)}, "no layer of this model"),
        ({"blocks.0.attn1.to_q.lora_A.weight": torch.ones(4, 24)}, "needs both narrow matrices"),
        (
            {
                "blocks.0.attn1.to_q.lora_A.weight": torch.ones(4, 23),
                "blocks.0.attn1.to_q.lora_B.weight": torch.ones(24, 4),
            },
            "do not fit a layer of 24 inputs",
        ),
        (
            {
                "patch_embedding.lora_A.weight": torch.ones(4, 4),
                "patch_embedding.lora_B.weight": torch.ones(4, 4),
            },
            "is a Conv3d",
        ),
        ({"blocks.0.attn1.to_q.diff_b": torch.ones(3)}, r"is \(24,\); the file changes \(3,\)"),
        ({"blocks.0.diff": torch.ones(3)}, "has none"),
        ({}, "is empty"),
    ],
)
def test_file_for_another_model_is_refused(content, message, load, fast_card, clip):
    runner = load(fast_card(), files=dict.fromkeys(FILES, content))

    with pytest.raises(CheckpointMissing, match=message):
        clip(runner, "fast")


def test_damaged_file_is_refused(both, clip, tmp_path):
    runner = both()
    (tmp_path / "checkpoint" / "adapters" / "fast" / FILES[1]).write_bytes(b"not at all")

    with pytest.raises(CheckpointMissing, match=r"low\.safetensors is damaged"):
        clip(runner, "fast")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["one.safetensors"], "names 1 files; the model has 2 experts"),
        (["a.bin", "b.bin"], "no safetensors file"),
    ],
)
def test_adapter_block_that_cannot_work_is_refused(files, message, load, fast_card, clip):
    with pytest.raises(CheckpointMissing, match=message):
        clip(load(fast_card(files=files)), "fast")


@pytest.mark.parametrize("offer", ["other", "nothing"])
def test_offers_on_other_weights_are_refused(offer, both, clip):
    with pytest.raises(InputRefused, match="serve no offer") as refused:
        clip(both(), offer)
    assert refused.value.allowed == ["fast", "local"]


def test_hub_is_asked_at_the_pinned_revision_only(both, load, fast_card, clip, tmp_path, monkeypatch):
    expected = clip(both(), "fast")
    shutil.move(tmp_path / "checkpoint" / "adapters" / "fast", tmp_path / "hub")
    unpinned = load(fast_card(hub_id="someone/fast"))
    with pytest.raises(CheckpointMissing, match="pins no revision of someone/fast"):
        clip(unpinned, "fast")
    asked: list[tuple[str, str, str]] = []

    def download(repository: str, file: str, *, revision: str) -> str:
        asked.append((repository, file, revision))
        return str(tmp_path / "hub" / file)

    monkeypatch.setattr(adapters, "hf_hub_download", download)

    runner = load(fast_card(hub_id="someone/fast", revision="a" * 40))

    np.testing.assert_array_equal(clip(runner, "fast"), expected)
    assert asked == [("someone/fast", file, "a" * 40) for file in FILES]


def test_hub_that_cannot_be_reached_is_a_missing_checkpoint(load, fast_card, clip, monkeypatch):
    def download(*_: object, **__: object) -> str:
        raise OSError("offline")

    monkeypatch.setattr(adapters, "hf_hub_download", download)

    with pytest.raises(CheckpointMissing, match=r"could not be fetched from someone/fast@b.*offline"):
        clip(load(fast_card(hub_id="someone/fast", revision="b" * 40)), "fast")


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "layer", "part"),
    [
        ("diffusion_model.blocks.3.self_attn.q.lora_down.weight", "blocks.3.attn1.to_q", Part.DOWN),
        ("diffusion_model.blocks.3.cross_attn.k_img.lora_B.weight", "blocks.3.attn2.add_k_proj", Part.UP),
        ("lora_unet_blocks_3_ffn_2.alpha", "blocks.3.ffn.net.2", Part.ALPHA),
        ("transformer.blocks.3.attn2.to_v.lora_A.weight", "blocks.3.attn2.to_v", Part.DOWN),
        ("blocks.3.self_attn.norm_k.diff", "blocks.3.attn1.norm_k", Part.WEIGHT),
        ("diffusion_model.blocks.2.diff_m", "blocks.2", Part.MODULATION),
        ("diffusion_model.head.modulation.diff", "", Part.MODULATION),
        (
            "diffusion_model.img_emb.proj.1.diff_b",
            "condition_embedder.image_embedder.ff.net.0.proj",
            Part.BIAS,
        ),
        (
            "diffusion_model.time_embedding.2.lora_up.weight",
            "condition_embedder.time_embedder.linear_2",
            Part.UP,
        ),
    ],
)
def test_keys_of_published_files_find_their_layers(key, layer, part):
    """On the real Wan 2.1 layer names, from the class itself."""
    import diffusers

    with torch.device("meta"):
        model = diffusers.WanTransformer3DModel(
            num_layers=4, num_attention_heads=2, attention_head_dim=12, image_dim=8, added_kv_proj_dim=24
        )
    read = parsed(key)

    assert read is not None
    assert (spellings(name for name, _ in model.named_modules())[read[0]], read[1]) == (
        layer,
        part,
    )


def test_keys_of_no_known_form_are_told():
    assert parsed("blocks.0.attn1.to_q.weight") is None
