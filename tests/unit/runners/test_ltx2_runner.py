"""LTX-2: the sound it makes, how long it is, and which guidance runs."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.runners.base import RunRequest
from models.runners.encode import encode_clip
from models.runners.ltx2 import Ltx2Family
from models.types import Geometry


@pytest.fixture
def make(plan_of, photograph, recorder):
    def run(runner, *, plan=None, **request):
        asked = RunRequest(photograph(64, 64), "a cat", plan or plan_of("ltx-2"), 3, **request)
        return runner.generate(asked, recorder())

    return run


def shaped(plan, frames: int, fps: float):
    shape = Geometry(64, 64, frames, fps)
    return dataclasses.replace(plan, native=shape, effective=shape)


@pytest.mark.parametrize(("frames", "fps"), [(9, 8.0), (25, 24.0), (25, 25.0), (49, 24.0), (121, 24.0)])
def test_sound_lasts_as_long_as_the_clip(frames, fps, load_tiny, make, plan_of):
    """The codec's latents are 40 ms: the model itself is within one frame, the written file exact."""
    result = make(load_tiny("ltx-2"), plan=shaped(plan_of("ltx-2"), frames, fps), steps=1)
    pictures = list(result.frames)

    assert result.audio is not None
    assert len(pictures) == frames
    assert (result.audio.samples.shape[0], result.audio.samples.dtype) == (2, np.float32)
    assert result.audio.rate == 24_000
    assert abs(result.audio.seconds - frames / fps) <= max(1 / fps, 0.05)
    assert np.abs(result.audio.samples).max() <= 1.0


def test_written_clip_has_the_sound(load_tiny, make, plan_of, tmp_path):
    result = make(load_tiny("ltx-2"))
    written = encode_clip(result.frames, plan_of("ltx-2").effective, tmp_path, audio=result.audio)

    assert written.audio is not None
    assert (written.audio.codec, written.audio.rate, written.audio.channels) == ("aac", 24_000, 2)
    assert written.audio.seconds == pytest.approx(written.seconds, abs=2e-3)


def test_sound_equals_that_of_the_bare_pipeline(load_tiny, make, checkpoint, photograph):
    import diffusers

    ours = make(load_tiny("ltx-2")).audio

    pipe = diffusers.DiffusionPipeline.from_pretrained(str(checkpoint("ltx-2")), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(
        image=photograph(64, 64), prompt="a cat", negative_prompt="", width=64, height=64, num_frames=9,
        frame_rate=8.0, num_inference_steps=2, guidance_scale=3.0, spatio_temporal_guidance_blocks=[29],
        use_cross_timestep=False, generator=torch.Generator("cpu").manual_seed(3), output_type="np",
    ).audio[0]  # fmt: skip

    np.testing.assert_array_equal(ours.samples, theirs.numpy())


def test_chained_segments_have_one_sound(load_tiny, make, plan_of):
    result = make(load_tiny("ltx-2"), plan=plan_of("ltx-2", segments=2))
    frames = list(result.frames)
    assert len(frames) == 17
    assert abs(result.audio.seconds - 17 / 8) <= 2 / 8


@pytest.mark.parametrize(("guidance", "passes"), [(3.0, 3), (1.0, 1)])
def test_distilled_weights_take_one_pass_a_step(guidance, passes, load_tiny, make):
    """Guided: a batch of two, one with a perturbed block, one with the modalities apart."""
    runner = load_tiny("ltx-2")
    counted = []
    runner._pipe.transformer.register_forward_pre_hook(lambda *_: counted.append(1))

    list(make(runner, guidance=guidance, steps=1).frames)

    assert len(counted) == passes


@pytest.mark.parametrize(("modulated", "blocks"), [(False, [29]), (True, [28])])
def test_generation_of_the_checkpoint_decides_the_perturbed_block(modulated, blocks, plan_of):
    """2.3 modulates its prompts; 2.0 does not."""
    pipe = SimpleNamespace(
        vae=SimpleNamespace(use_tiling=True),
        transformer=SimpleNamespace(config=SimpleNamespace(cross_attn_mod=modulated)),
    )
    segment = SimpleNamespace(
        image=None, prompt="", negative_prompt="", native=plan_of("ltx-2").native, steps=2, guidance=3.0,
        generator=None, prepared=False,
    )  # fmt: skip
    given = Ltx2Family().arguments(pipe, segment)
    assert given["spatio_temporal_guidance_blocks"] == blocks
    assert given["use_cross_timestep"] is modulated
    assert not pipe.vae.use_tiling, "small frames are decoded in one piece"
