"""What the cards of CogVideoX, HunyuanVideo 1.5, I2VGen-XL and PIA promise, against what the classes make."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.card import Card, LatticeFrames, ListedSizes
from models.catalog import load_catalog
from models.runners.base import RunRequest
from models.runners.families import Lattice
from models.runners.hunyuan import kept_sizes
from models.runners.registry import family_of
from models.types import ClipPlan, Fit, Framing, Geometry, Intensity


def real_pipe(card: Card) -> Any:
    """A stand-in that carries the released configuration, without weights."""
    import diffusers
    from diffusers.models.unets import I2VGenXLUNet

    with torch.device("meta"):
        match card.weights.pipeline:
            case "CogVideoXImageToVideoPipeline":
                transformer = diffusers.CogVideoXTransformer3DModel(
                    num_layers=1,
                    use_rotary_positional_embeddings=True,
                    use_learned_positional_embeddings=True,
                )
                return SimpleNamespace(
                    transformer=transformer,
                    vae=diffusers.AutoencoderKLCogVideoX(),
                    vae_scale_factor_spatial=8,
                    vae_scale_factor_temporal=4,
                )
            case "HunyuanVideo15ImageToVideoPipeline":
                transformer = diffusers.HunyuanVideo15Transformer3DModel(num_layers=1, num_refiner_layers=1)
                return SimpleNamespace(
                    transformer=transformer,
                    vae_scale_factor_spatial=16,
                    vae_scale_factor_temporal=4,
                    target_size=transformer.config.target_size,
                )
            case "I2VGenXLPipeline":
                return SimpleNamespace(unet=I2VGenXLUNet(sample_size=32), vae_scale_factor=8)
            case _:
                unet = diffusers.UNetMotionModel(cross_attention_dim=768, num_attention_heads=8)
                return SimpleNamespace(unet=unet, vae_scale_factor=8)


@pytest.mark.parametrize("card_id", ["cogvideox-5b-i2v", "hunyuanvideo-1.5-i2v", "i2vgen-xl", "pia"])
def test_cards_promise_what_the_released_configuration_makes(card_id):
    card = load_catalog().get(card_id)
    family = family_of(str(card.weights.pipeline))
    assert family is not None
    lattice: Lattice = family.lattice(real_pipe(card))
    for mode in card.offer("local").modes:
        assert isinstance(mode.length, LatticeFrames)
        lengths = range(mode.length.min, mode.length.max + 1, mode.length.step)
        assert all((frames - 1) % lattice.frame_step == 0 for frames in lengths)
        assert lattice.frames is None or set(lengths) <= set(lattice.frames)
        if isinstance(mode.sizes, ListedSizes):
            assert lattice.sizes is not None
            assert set(mode.sizes.sizes) <= set(lattice.sizes)
        else:
            assert lattice.sizes is None
            assert mode.sizes.multiple == lattice.multiple


def test_hunyuan_keeps_fewer_sizes_than_it_lists():
    """Its own rule maps some of its own sizes to neighbours; those cannot be promised."""
    kept = kept_sizes(640, 16)

    assert (848, 480) in kept
    assert (832, 480) not in kept
    assert all(width % 16 == height % 16 == 0 for width, height in kept)
    assert (1280, 720) in kept_sizes(960, 16)


def shaped(width: int, height: int, frames: int) -> ClipPlan:
    shape = Geometry(width, height, frames, 8.0)
    return ClipPlan(effective=shape, native=shape, framing=Framing(Fit.CROP, 1.0, 1.0))


@pytest.fixture
def clip(photograph, recorder):
    def make(runner, plan: ClipPlan, **request: Any) -> np.ndarray:
        image = request.pop("image", None) or photograph()
        wanted = RunRequest(image, "a cat", plan, seed=7, steps=1, **request)
        return np.stack(list(runner.generate(wanted, recorder()).frames))

    return make


def test_hunyuan_returns_every_size_that_it_is_said_to_keep(load_tiny, clip):
    runner = load_tiny("hunyuan-1.5")
    sizes = runner._family.lattice(runner._pipe).sizes

    assert len(sizes) > 3
    for width, height in sizes:
        assert clip(runner, shaped(width, height, 1)).shape == (1, height, width, 3)


@pytest.mark.parametrize(
    ("kind", "side", "lengths"),
    [("hunyuan-1.5", 64, (1, 5, 13)), ("i2vgen-xl", 32, (1, 4, 9)), ("pia", 32, (1, 4, 32))],
)
def test_every_length_on_the_lattice_is_made(kind, side, lengths, load_tiny, clip):
    runner = load_tiny(kind)
    for frames in lengths:
        assert len(clip(runner, shaped(side, side, frames))) == frames


@pytest.mark.parametrize(
    ("kind", "sizes"), [("i2vgen-xl", [(48, 32), (32, 64)]), ("pia", [(48, 32), (32, 64)])]
)
def test_shapes_need_not_be_square(kind, sizes, load_tiny, clip):
    runner = load_tiny(kind)
    for width, height in sizes:
        assert clip(runner, shaped(width, height, 2)).shape == (2, height, width, 3)


# --- how each is called --------------------------------------------------------------------------


@pytest.fixture
def called(load_tiny, clip, monkeypatch, plan_of):
    """`called(runner, kind, ...)`: the arguments of the pipeline call of one clip."""

    def watch(runner, kind: str, **request: Any) -> dict[str, Any]:
        seen: list[dict[str, Any]] = []
        real = type(runner._pipe).__call__

        def spy(self, **arguments: Any) -> Any:
            seen.append(arguments)
            return real(self, **arguments)

        with monkeypatch.context() as patch:
            patch.setattr(type(runner._pipe), "__call__", spy)
            clip(runner, plan_of(kind), **request)
        return seen[0]

    return watch


@pytest.mark.parametrize(
    ("intensity", "scale"),
    [(None, 0), (Intensity.SUBTLE, 0), (Intensity.MODERATE, 1), (Intensity.EXTREME, 2)],
)
def test_pia_takes_intensity_as_a_number(intensity, scale, load_tiny, called):
    assert called(load_tiny("pia"), "pia", intensity=intensity)["motion_scale"] == scale


def test_cogvideox_guidance_grows_with_the_dpm_solver_only(load_tiny, called):
    import diffusers

    runner = load_tiny("cogvideox")
    assert called(runner, "cogvideox")["use_dynamic_cfg"] is True

    other = diffusers.CogVideoXDDIMScheduler.from_config(runner._pipe.scheduler.config)
    runner._variants._base_scheduler = other
    runner._variants._schedulers.clear()
    assert called(runner, "cogvideox")["use_dynamic_cfg"] is False


@pytest.mark.parametrize(("guidance", "passes"), [(6.0, 2), (1.0, 1)])
def test_hunyuan_guidance_is_the_guiders(guidance, passes, load_tiny, clip, plan_of, monkeypatch):
    runner, calls = load_tiny("hunyuan-1.5"), []
    real = runner._pipe.transformer.forward
    monkeypatch.setattr(runner._pipe.transformer, "forward", lambda *a, **k: calls.append(1) or real(*a, **k))

    clip(runner, plan_of("hunyuan-1.5"), guidance=guidance)

    assert len(calls) == passes


def test_i2vgen_reads_words_from_the_last_layer_but_one(load_tiny, called, clip, plan_of):
    """As the pipeline does by default; transformers 5 alone would end in an AttributeError."""
    runner = load_tiny("i2vgen-xl")
    call = called(runner, "i2vgen-xl")
    assert (call["clip_skip"], call["target_fps"]) == (1, 8)
    names = [name for name, _ in runner._pipe.text_encoder.named_modules()]
    assert not any("text_model" in name for name in names), "the alias is no second registration"


def test_cogvideox_1_5_drops_the_latents_that_fill_its_temporal_patch(load_tiny, clip, photograph):
    """Three latent frames are no multiple of its patch of two; its decoding drops what it added."""
    import diffusers

    runner = load_tiny("cogvideox")
    config = {
        **runner._pipe.transformer.config,
        "patch_size_t": 2,
        "patch_bias": False,
        "use_learned_positional_embeddings": False,
        "sample_width": 30,
        "sample_height": 30,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        runner._pipe.transformer = diffusers.CogVideoXTransformer3DModel.from_config(config).eval()

    for frames in (9, 17):
        made = clip(runner, shaped(32, 48, frames), image=(picture := photograph(32, 48)))
        video = runner._pipe(
            image=picture, prompt="a cat", negative_prompt="", width=32, height=48, num_frames=frames,
            num_inference_steps=1, guidance_scale=3.0, use_dynamic_cfg=True, max_sequence_length=16,
            generator=torch.Generator("cpu").manual_seed(7), output_type="np",
        ).frames[0]  # fmt: skip
        np.testing.assert_array_equal(made, (np.stack(list(video)) * 255).round().astype(np.uint8))


@pytest.mark.parametrize("kind", ["hunyuan-1.5", "i2vgen-xl"])
def test_overheard_scheduler_is_left_as_it_was(kind, load_tiny, clip, plan_of, recorder, photograph):
    runner, monitor = load_tiny(kind), recorder(previews=True)

    list(runner.generate(RunRequest(photograph(), "a cat", plan_of(kind), 7), monitor).frames)

    assert len(monitor.pictures) == 2
    assert "step" not in vars(runner._pipe.scheduler)


def test_photograph_is_cropped_to_the_hunyuan_size_not_by_the_pipeline(load_tiny, called):
    """The pipeline's own crop then has nothing left to do."""
    image: Image.Image = called(load_tiny("hunyuan-1.5"), "hunyuan-1.5")["image"]
    assert image.size == (64, 64)


def test_plans_are_compared_with_the_checkpoint_not_the_card(load_tiny, clip, plan_of):
    from models.errors import InputRefused

    plan = plan_of("hunyuan-1.5")
    wide = dataclasses.replace(plan, native=Geometry(64, 80, 9, 8.0), effective=Geometry(64, 80, 9, 8.0))

    with pytest.raises(InputRefused) as refused:
        clip(load_tiny("hunyuan-1.5"), wide)
    assert "64x64" in refused.value.allowed
