"""LTX-2 extended: the next segment goes on from the tail of the one before, with its sound."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from models.runners.base import RunRequest
from models.runners.crew import ALONE
from models.runners.encode import encode_clip
from models.runners.ltx2_extend import Ltx2ConditionFamily
from models.types import Geometry

NATIVE = Geometry(64, 64, 17, 8.0)
SHARED = 9
"""On the codec's 8k+1; the third segment adds fewer pictures than the next would take."""
RED = Image.new("RGB", (64, 64), (200, 30, 60))


@pytest.fixture(scope="module")
def runner(load_tiny):
    return load_tiny(
        "ltx-2",
        weights__pipeline="LTX2ConditionPipeline",
        controls__last_image="optional",
        controls__audio_out="always",
    )


@pytest.fixture
def asked(plan_of, photograph):
    def of(segments: int = 1, native: Geometry = NATIVE, **request) -> RunRequest:
        total = segments * (native.num_frames - SHARED) + SHARED
        plan = dataclasses.replace(
            plan_of("ltx-2"),
            native=native,
            effective=dataclasses.replace(native, num_frames=total),
            segments=segments,
            overlap=SHARED,
        )
        return RunRequest(photograph(64, 64), "a cat", plan, 3, **request)

    return of


@pytest.fixture
def make(runner, asked, recorder):
    def run(segments: int = 1, **request):
        result = runner.generate(asked(segments, **request), recorder())
        return np.stack(list(result.frames)), result

    return run


@pytest.fixture
def called(runner, monkeypatch):
    """The conditions of every call."""
    seen: list[list[object]] = []
    real = type(runner._pipe).__call__

    def call(self, *given, **named):
        seen.append(named["conditions"])
        return real(self, *given, **named)

    monkeypatch.setattr(type(runner._pipe), "__call__", call)
    return seen


@pytest.mark.parametrize(("segments", "total"), [(1, 17), (2, 25), (3, 33)])
def test_pictures_and_sound_are_exactly_as_long_as_planned(segments, total, make, asked, tmp_path):
    frames, result = make(segments)

    assert frames.shape == (total, 64, 64, 3)
    assert (np.abs(np.diff(frames.astype(int), axis=0)).sum(axis=(1, 2, 3)) > 0).all(), "no picture twice"
    assert result.audio is not None
    assert abs(result.audio.samples.shape[1] - total * 24_000 // 8) <= (0 if segments > 1 else 24_000 * 0.04)
    written = encode_clip(iter(frames), asked(segments).plan.effective, tmp_path, audio=result.audio)
    assert written.audio is not None
    assert written.audio.seconds == pytest.approx(written.seconds, abs=2e-3)


def test_later_segments_begin_with_the_tail_that_was_delivered(make, called):
    """All of it, as it is; the first segment begins with the photograph."""
    frames, _ = make(3)

    first, second, third = (conditions[0] for conditions in called)
    assert isinstance(first.frames, Image.Image)
    for index, condition in enumerate((second, third)):
        end = 17 + index * (17 - SHARED)
        assert (condition.index, condition.strength) == (0, 1.0)
        np.testing.assert_array_equal(np.stack(condition.frames), frames[end - SHARED : end])


def test_model_keeps_the_tail_as_it_is(runner, make):
    """Its final latents there are those of the codec."""
    frames, _ = make(1)
    pipe, family = runner._pipe, Ltx2ConditionFamily()
    pipe.set_progress_bar_config(disable=True)
    segment = _segment(before=tuple(frames[-SHARED:]))
    made = pipe(**family.arguments(pipe, segment), output_type="latent").frames
    pixels = torch.from_numpy(frames[-SHARED:]).float().permute(3, 0, 1, 2)[None] / 127.5 - 1.0
    with torch.no_grad():
        torch.testing.assert_close(made[:, :, :2], pipe.vae.encode(pixels).latent_dist.mode())
    assert made.shape[2] == 3


def test_sound_leads_over_within_the_shared_pictures(make):
    alone, chained = make(1)[1].audio, make(2)[1].audio
    lead = round(17 / 8 * 24_000) - round(0.1 * 24_000)
    np.testing.assert_array_equal(chained.samples[:, :lead], alone.samples[:, :lead])
    assert (chained.samples[:, 17 * 3000 :] != 0).any()


@pytest.mark.parametrize("segments", [1, 2])
def test_last_image_is_a_keyframe_of_the_last_segment(segments, make, called):
    free, _ = make(segments)
    called.clear()
    led, _ = make(segments, last_image=RED)

    assert led.shape == free.shape
    assert [len(conditions) for conditions in called] == [*[1] * (segments - 1), 2]
    end = called[-1][1]
    assert (end.index, end.strength) == (-1, 1.0)
    assert np.array_equal(np.asarray(end.frames), np.asarray(RED))
    assert (led[-8:] != free[-8:]).any()
    if segments == 2:
        np.testing.assert_array_equal(led[:17], free[:17])


def test_preview_shows_the_clip_and_not_the_keyframe(runner, asked, recorder):
    monitor = recorder(previews=True)
    list(runner.generate(asked(1, last_image=RED), monitor).frames)
    assert len(monitor.pictures) == 2
    assert monitor.pictures[0].shape == (64, 64, 3)


@pytest.mark.parametrize("at", [(0, 1), (0, 2), (1, 0), (1, 1)], ids=str)
def test_clip_goes_on_from_its_folder(at, runner, asked, make, recorder, tmp_path):
    whole, heard = make(2, last_image=RED)
    request, monitor = asked(2, last_image=RED), recorder()
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
    result = clip.finish(monitor)
    # Tensors read from a file may lie otherwise in memory than those made here: sums round otherwise.
    frames = np.stack(list(result.frames)).astype(int)
    assert np.abs(frames - whole).max() <= 1
    np.testing.assert_allclose(result.audio.samples, heard.audio.samples, atol=1e-4)


def _segment(**changes):
    from models.runners.families import Segment

    fields = {
        "image": RED, "last_image": None, "prompt": "a cat", "negative_prompt": "", "native": NATIVE,
        "steps": 2, "guidance": 3.0, "intensity": None, "seed": 3,
        "generator": torch.Generator("cpu").manual_seed(3),
    }  # fmt: skip
    return Segment(**(fields | changes))
