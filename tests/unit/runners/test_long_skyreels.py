"""SkyReels-V2 diffusion forcing: window by window, exact, and as the pipeline's own long run."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from models.errors import InputRefused
from models.runners import skyreels_df
from models.runners.base import RunRequest
from models.runners.crew import ALONE
from models.runners.families import Segment
from models.runners.skyreels_df import CONDITION_NOISE, SkyReelsForcingFamily
from models.types import Geometry

KIND = "skyreels-v2-df"
NATIVE = Geometry(32, 32, 17, 24.0)
OVERLAP = 9
"""Of windows of 17: their later ones add fewer than they share."""


@pytest.fixture(scope="module")
def runner(load_tiny):
    return load_tiny(KIND, controls__last_image="optional")


@pytest.fixture
def asked(plan_of, photograph):
    def of(
        segments: int = 1, *, total: int | None = None, overlap: int = OVERLAP, **request: object
    ) -> RunRequest:
        total = segments * (17 - overlap) + overlap if total is None else total
        plan = dataclasses.replace(
            plan_of(KIND),
            native=NATIVE,
            effective=dataclasses.replace(NATIVE, num_frames=total),
            segments=segments,
            overlap=overlap,
        )
        return RunRequest(photograph(32, 32), "a cat", plan, 3, **request)

    return of


@pytest.fixture
def make(runner, asked, recorder):
    def run(segments: int = 1, **request):
        result = runner.generate(asked(segments, **request), recorder())
        return np.stack(list(result.frames)), result

    return run


@pytest.fixture
def window(photograph):
    """A segment as the runner gives it to the family."""

    def of(**changes) -> Segment:
        fields = {
            "image": photograph(32, 32), "last_image": None, "prompt": "a cat", "negative_prompt": "",
            "native": NATIVE, "steps": 2, "guidance": 3.0, "intensity": None, "seed": 3,
            "generator": torch.Generator("cpu").manual_seed(3),
        }  # fmt: skip
        return Segment(**(fields | changes))

    return of


def latents_of(pipe, segment: Segment) -> torch.Tensor:
    """One window through the pipeline, as the runner calls it, with torch's global state as it is."""
    family, own = SkyReelsForcingFamily(), copy.copy(pipe)
    vars(own).update(family.replaced(own, segment))
    own.set_progress_bar_config(disable=True)
    return own(**family.arguments(own, segment), output_type="latent").frames


def long_run(pipe, photograph, frames: int, **changes) -> torch.Tensor:
    """The pipeline's own loop over windows."""
    pipe.set_progress_bar_config(disable=True)
    torch.manual_seed(3)
    return pipe(
        image=photograph(32, 32), prompt="a cat", negative_prompt="", height=32, width=32, num_frames=frames,
        base_num_frames=17, overlap_history=OVERLAP, addnoise_condition=CONDITION_NOISE, fps=24,
        num_inference_steps=2, guidance_scale=3.0, max_sequence_length=512, output_type="latent",
        generator=torch.Generator("cpu").manual_seed(3), **changes,
    ).frames  # fmt: skip


@pytest.mark.parametrize(
    ("segments", "overlap", "total"),
    [(1, 9, 17), (2, 9, 25), (3, 9, 33), (3, 5, 41), (2, 1, 33)],
)
def test_lengths_are_exact_and_no_picture_comes_twice(segments, overlap, total, make):
    """17 and 41 are lengths of the pipeline's own loop over windows of 17 that share 5."""
    frames, result = make(segments, overlap=overlap)

    assert frames.shape == (total, 32, 32, 3)
    moved = np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert (moved > 0).all()
    assert not [note for note in result.notes if "once more" in note]


def test_same_seed_makes_the_same_clip_and_windows_differ(make):
    frames, _ = make(2)
    again, _ = make(2)
    np.testing.assert_array_equal(frames, again)
    first, _ = make(1)
    np.testing.assert_array_equal(frames[:17], first)


def test_noise_on_the_condition_comes_from_the_clips_own_random_state(make):
    """The pipeline draws it from torch's global state, which is another one in every process."""
    torch.manual_seed(1)
    one, _ = make()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other, _ = make()
    np.testing.assert_array_equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_shared_transformer_is_left_as_it_was(runner, make):
    before = dict(runner._pipe.transformer.config)
    make(2)
    assert dict(runner._pipe.transformer.config) == before


def test_first_window_is_the_pipelines_own(runner, window, photograph):
    own = long_run(runner._pipe, photograph, 17)
    torch.manual_seed(3)
    assert torch.equal(latents_of(runner._pipe, window()), own)


def test_windows_with_latents_kept_are_the_pipelines_long_run(runner, window, photograph, monkeypatch):
    """All but the start is the same: with the pipeline's own latents in its place, every bit of 33 frames."""
    whole = long_run(runner._pipe, photograph, 33)
    given = (np.zeros((32, 32, 3), np.uint8),) * OVERLAP
    generator = torch.Generator("cpu").manual_seed(3)
    torch.manual_seed(3)
    made = latents_of(runner._pipe, window(generator=generator))
    shared = (OVERLAP - 1) // 4 + 1
    for _ in range(2):
        kept = made[:, :, -shared:]
        monkeypatch.setattr(skyreels_df, "_encoded", lambda *_, kept=kept: kept)
        part = latents_of(runner._pipe, window(generator=generator, before=given))
        made = torch.cat([made, part[:, :, shared:]], dim=2)

    assert made.shape[2] == (33 - 1) // 4 + 1
    assert torch.equal(made, whole)


def test_window_begins_with_what_is_given(runner, window, make):
    """The pictures before, encoded: the latents there are those of the codec, not the denoiser's."""
    frames, _ = make(1)
    before = tuple(frames[-OVERLAP:])
    vae = runner._pipe.vae
    video = torch.from_numpy(np.stack(before)).permute(3, 0, 1, 2)[None] / 255.0 * 2.0 - 1.0
    with torch.no_grad():
        raw = vae.encode(video).latent_dist.mode()
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)

    latents = latents_of(runner._pipe, window(image=Image.fromarray(before[-1]), before=before))

    assert latents.shape[2] == 5
    torch.testing.assert_close(latents[:, :, :3], (raw - mean) / std)


def test_last_image_is_taken_as_the_pipeline_takes_it(runner, window, photograph):
    last = Image.new("RGB", (32, 32), (200, 30, 60))
    own = long_run(runner._pipe, photograph, 17, last_image=last)
    torch.manual_seed(3)
    made = latents_of(runner._pipe, window(last_image=last))
    torch.testing.assert_close(made, own, atol=1e-5, rtol=0)


@pytest.mark.parametrize("segments", [1, 2])
def test_chain_ends_at_a_last_image(segments, make):
    """The pipeline's own long run fails there: it counts as many last frames as given ones."""
    free, _ = make(segments)
    led, _ = make(segments, last_image=Image.new("RGB", (32, 32), (200, 30, 60)))

    assert led.shape == free.shape
    begun = 17 if segments == 2 else 0
    np.testing.assert_array_equal(led[:begun], free[:begun])
    assert (led[begun:] != free[begun:]).any()


@pytest.mark.parametrize(
    ("overlap", "total", "told"),
    [
        (OVERLAP, 33, "the plan promises 33 frames of 32x32, but makes 25"),
        (8, 26, r"goes on from 4k\+1 frames, fewer than its segments have \(17\); planned were 8"),
        (17, 17, r"goes on from 4k\+1 frames, fewer than its segments have \(17\); planned were 17"),
    ],
)
def test_plan_that_does_not_add_up_is_refused(overlap, total, told, make):
    with pytest.raises(InputRefused, match=told) as refused:
        make(2, total=total, overlap=overlap)
    assert refused.value.param == "plan"


@pytest.mark.parametrize("at", [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 1)], ids=str)
def test_clip_goes_on_from_its_folder(at, runner, asked, make, recorder, tmp_path):
    """At a window's start, in its middle (each latent frame has its own solver), and before it is decoded."""
    whole, _ = make(3)
    request, monitor = asked(3), recorder()
    clip = runner.begin(request, tmp_path, monitor)
    segment, step = at
    while clip.place.segment < segment:
        clip.advance(2, ALONE, monitor)
        clip.turn(monitor)
    clip.advance(step, ALONE, monitor)
    clip.save()
    clip.close()

    clip = runner.resume(request, tmp_path)
    assert (clip.place.segment, clip.place.step) == at
    while True:
        clip.advance(2, ALONE, monitor)
        if clip.place.last:
            break
        clip.turn(monitor)
    np.testing.assert_array_equal(np.stack(list(clip.finish(monitor).frames)), whole)


def test_resumed_clip_ends_at_its_last_image_and_encodes_nothing(
    runner, asked, make, recorder, tmp_path, monkeypatch
):
    last = Image.new("RGB", (32, 32), (200, 30, 60))
    whole, _ = make(2, last_image=last)
    request, monitor = asked(2, last_image=last), recorder()
    clip = runner.begin(request, tmp_path, monitor)
    clip.advance(2, ALONE, monitor)
    clip.turn(monitor)
    clip.advance(1, ALONE, monitor)
    clip.save()
    clip.close()
    for part, method in ((runner._pipe.vae, "encode"), (runner._pipe.text_encoder, "forward")):
        monkeypatch.setattr(part, method, lambda *_, **__: pytest.fail("encoded again"))

    clip = runner.resume(request, tmp_path)
    clip.advance(1, ALONE, monitor)
    np.testing.assert_array_equal(np.stack(list(clip.finish(monitor).frames)), whole)
