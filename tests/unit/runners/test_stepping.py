"""Clips in steps: paused, interleaved, resumed and cancelled in one process, on tiny checkpoints."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import Cancelled, RunnerError
from models.runners import animate
from models.runners.base import Place, Stage
from models.runners.crew import ALONE, Crew
from tests.unit.runners.clips import STEPPED, STEPS, Made, latents, request, to, to_the_end

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
WHOLE = ("svd", "cogvideox", "hunyuan-1.5", "i2vgen-xl", "pia")
"""Kinds that are paused in mid-segment but not taken up there."""


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    monkeypatch.setattr(animate, "RUN_FRAMES", 9)


@pytest.fixture
def ask(driving_video):
    return lambda kind, **changes: request(kind, driving_video, **changes)


def encoders(runner: Any) -> list[torch.nn.Module]:
    """Everything but denoisers and decoders that a pipeline calls before its loop."""
    pipe = runner._pipe
    names = ("text_encoder", "image_encoder", "connectors")
    found = [getattr(pipe, name, None) for name in names]
    return [part for part in (*found, getattr(pipe.vae, "encoder", None)) if part is not None]


@pytest.mark.parametrize("kind", STEPPED)
def test_clips_that_take_turns_are_those_made_alone(kind, load_tiny, ask, recorder, tmp_path):
    runner = load_tiny(kind)
    first, second = ask(kind), ask(kind, seed=8, prompt="a dog jumps")
    alone = [Made(runner.generate(clip, recorder())) for clip in (first, second)]
    monitor = recorder(previews=True)
    clips = []
    for name, clip in (("one", first), ("two", second)):
        (tmp_path / name).mkdir()
        clips.append(runner.begin(clip, tmp_path / name, monitor))

    while True:
        for clip in clips:
            clip.advance(1, ALONE, monitor)
        if clips[0].place.denoised:
            if clips[0].place.last:
                break
            for clip in clips:
                clip.turn(monitor)
    results = [clip.finish(monitor) for clip in clips]
    mixed = [list(frames) for frames in zip(*(r.frames for r in results), strict=True)]

    for index, made in enumerate(alone):
        np.testing.assert_array_equal(np.stack([pair[index] for pair in mixed]), made.frames)
        if made.sound is not None:
            np.testing.assert_array_equal(results[index].audio.samples, made.sound)
    assert alone[0] != alone[1]


@pytest.mark.parametrize("kind", STEPPED)
def test_resumed_clip_is_the_uninterrupted_one_at_every_step(kind, load_tiny, ask, recorder, tmp_path):
    """At steps of both segments, the latest at its end; nothing is encoded again."""
    runner, clip = load_tiny(kind), ask(kind)
    expected = Made(runner.generate(clip, recorder()))
    calls: list[str] = []
    watches = [
        part.register_forward_pre_hook(lambda module, _: calls.append(type(module).__name__))
        for part in encoders(runner)
    ]
    took: list[tuple[float, float]] = []
    for segment, step in ((0, 0), (0, 1), (0, 2), (0, 3), (0, STEPS), (1, 0), (1, 2), (1, STEPS)):
        folder = tmp_path / f"{segment}-{step}"
        folder.mkdir()
        paused = to(runner.begin(clip, folder, recorder()), segment, step)
        since = time.perf_counter()
        paused.save()
        saved = time.perf_counter() - since
        state = latents(paused)
        if step < STEPS:
            paused.advance(1, ALONE, recorder())
        paused.close()
        assert calls, "begun with an encoder"
        calls.clear()

        since = time.perf_counter()
        resumed = runner.resume(clip, folder)
        took.append((saved, time.perf_counter() - since))

        assert resumed.place == Place(segment, 2, step, STEPS)
        assert calls == [], "nothing is encoded again"
        assert latents(resumed).keys() == state.keys()
        for name, tensor in latents(resumed).items():
            assert torch.equal(tensor, state[name])
        assert Made(to_the_end(resumed)) == expected
        calls.clear()
    for watch in watches:
        watch.remove()
    save, resume = (1000 * max(seconds) for seconds in zip(*took, strict=True))
    print(f"\n{kind}: longest save {save:.1f} ms, longest resume {resume:.1f} ms")


@pytest.mark.parametrize("kind", WHOLE)
def test_other_families_pause_anywhere_and_resume_at_their_segments_beginning(
    kind, load_tiny, ask, recorder, tmp_path
):
    runner, clip = load_tiny(kind), ask(kind, steps=2)
    expected = Made(runner.generate(clip, recorder()))
    assert not runner.stepped

    paused = to(runner.begin(clip, tmp_path, recorder()), 1, 1)
    paused.save()
    resumed = runner.resume(clip, tmp_path)

    assert resumed.place == Place(1, 2, 0, 2)
    assert Made(to_the_end(paused)) == expected
    assert Made(to_the_end(resumed)) == expected


def test_noise_of_the_second_run_of_a_driving_video_follows_the_first(load_tiny, ask, recorder, monkeypatch):
    """As the pipeline draws it when it chains the runs itself, from one generator."""
    runner, clip = load_tiny("wan2.2-animate"), ask("wan2.2-animate")
    drawn: list[torch.Tensor] = []
    real = type(runner._pipe).prepare_latents
    monkeypatch.setattr(
        type(runner._pipe), "prepare_latents", lambda *a, **k: drawn.append(real(*a, **k)) or drawn[-1]
    )

    list(runner.generate(clip, recorder()).frames)

    generator = torch.Generator().manual_seed(clip.seed)
    assert len(drawn) == 2
    for noise in drawn:
        assert torch.equal(noise, torch.randn(noise.shape, generator=generator))


def test_runs_are_chained_as_the_pipeline_chains_them(load_tiny, ask, recorder, driving_video):
    """Against one call of the bare pipeline; the joint picture goes through bytes here, so nearly."""
    from models.runners import driving
    from models.runners.framing import fit_photograph

    runner, clip = load_tiny("wan2.2-animate"), ask("wan2.2-animate")
    pipe = runner._pipe
    made = Made(runner.generate(clip, recorder()))
    native = clip.plan.native
    shown = driving.pictures(driving_video, native)
    pipe.set_progress_bar_config(disable=True)
    video = pipe(
        image=fit_photograph(clip.image, native.size, clip.plan.framing),
        pose_video=driving.fitted(shown, native.size), face_video=driving.faces(shown, 64), prompt="a cat",
        negative_prompt="", width=32, height=32, segment_frame_length=9, guidance_scale=3.0,
        num_inference_steps=STEPS, prev_segment_conditioning_frames=1, output_type="np",
        generator=torch.Generator().manual_seed(clip.seed),
    ).frames[0]  # fmt: skip

    bare = (np.stack(list(video)) * 255).round().astype(int)
    assert bare.shape == made.frames.shape
    np.testing.assert_array_equal(made.frames[:9], bare[:9])
    assert np.abs(made.frames[9:] - bare[9:]).max() <= 2


# --- one process's state --------------------------------------------------------------------------


def test_clips_leave_pipeline_and_random_state_as_they_were(load_tiny, ask, recorder, tmp_path):
    runner = load_tiny("ltx-2")
    scheduler, config = runner._pipe.scheduler, dict(runner._pipe.config)
    names = set(vars(runner._pipe))
    torch.manual_seed(3)
    before = torch.random.get_rng_state()

    with torch.enable_grad():
        clip = runner.begin(ask("ltx-2"), tmp_path, recorder(previews=True))
        clip.advance(2, ALONE, recorder(previews=True))
        clip.close()
        assert torch.is_grad_enabled()

    assert torch.equal(torch.random.get_rng_state(), before)
    assert runner._pipe.scheduler is scheduler
    assert scheduler._step_index is None
    assert dict(runner._pipe.config) == config
    assert set(vars(runner._pipe)) == names


def test_cancel_of_one_clip_does_not_touch_the_other(load_tiny, ask, recorder, tmp_path):
    runner, one, two = load_tiny("wan2.1"), ask("wan2.1"), ask("wan2.1", seed=8)
    expected = Made(runner.generate(one, recorder()))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    kept = runner.begin(one, tmp_path / "one", recorder())
    gone = runner.begin(two, tmp_path / "two", recorder())
    kept.advance(2, ALONE, recorder())

    with pytest.raises(Cancelled):
        gone.advance(STEPS, ALONE, recorder(cancel_at=2))
    gone.close()

    assert Made(to_the_end(kept)) == expected
    with pytest.raises(RunnerError, match="closed"):
        gone.advance(1, ALONE, recorder())


def test_cancelled_step_is_a_whole_one(load_tiny, ask, recorder, tmp_path):
    """The cancel flag is looked at between steps: the clip could go on."""
    runner, clip = load_tiny("ltx-video"), ask("ltx-video")
    expected = Made(runner.generate(clip, recorder()))
    paused = runner.begin(clip, tmp_path, recorder())
    with pytest.raises(Cancelled):
        paused.advance(STEPS, ALONE, recorder(cancel_at=3))

    assert paused.place.step == 3
    assert Made(to_the_end(paused)) == expected


def test_closed_clip_unwinds_its_pipeline(load_tiny, ask, recorder, tmp_path):
    runner = load_tiny("wan2.1")
    clip = runner.begin(ask("wan2.1"), tmp_path, recorder())
    clip.advance(1, ALONE, recorder())
    call = clip._running.call
    clip.close()
    clip.close()

    assert call.ended
    with pytest.raises(RunnerError, match="no step left"):
        call.step()


def test_unloading_closes_the_clips(load_tiny, ask, recorder, tmp_path):
    runner = load_tiny("wan2.1")
    clip = runner.begin(ask("wan2.1"), tmp_path, recorder())
    runner.unload()

    with pytest.raises(RunnerError, match="closed"):
        clip.advance(1, ALONE, recorder())


def test_error_in_a_step_reaches_the_caller_and_ends_the_clip(
    load_tiny, ask, recorder, tmp_path, monkeypatch
):
    runner = load_tiny("wan2.1")
    clip = runner.begin(ask("wan2.1"), tmp_path, recorder())
    clip.advance(1, ALONE, recorder())

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with monkeypatch.context() as broken:
        broken.setattr(runner._pipe.transformer, "forward", fail)
        with pytest.raises(RuntimeError, match="mat1"):
            clip.advance(1, ALONE, recorder())
    with pytest.raises(RunnerError):
        clip.advance(1, ALONE, recorder())
    assert Made(runner.generate(ask("wan2.1"), recorder())).frames.shape[0] == 17


# --- places and words -----------------------------------------------------------------------------


def test_places_stages_and_steps_are_told_in_order(load_tiny, ask, recorder, tmp_path):
    runner, monitor = load_tiny("wan2.1"), recorder()
    clip = runner.begin(ask("wan2.1"), tmp_path, monitor)
    assert (clip.place, monitor.stages) == (Place(0, 2, 0, STEPS), [Stage.ENCODING_INPUT])

    assert clip.advance(3, ALONE, monitor) == Place(0, 2, 3, STEPS)
    assert clip.advance(3, ALONE, monitor) == Place(0, 2, STEPS, STEPS), "never beyond the segment's end"
    assert clip.advance(3, ALONE, monitor) == Place(0, 2, STEPS, STEPS)
    assert clip.turn(monitor) == Place(1, 2, 0, STEPS)
    clip.advance(STEPS, ALONE, monitor)
    frames = list(clip.finish(monitor).frames)

    assert len(frames) == 17
    assert monitor.stages == [Stage.ENCODING_INPUT, Stage.DENOISING, Stage.DECODING]
    done = [step for step, total in monitor.steps if total == 2 * STEPS]
    assert done == sorted(done)
    assert set(done) == set(range(1, 2 * STEPS + 1))


def test_work_out_of_order_is_refused(load_tiny, ask, recorder, tmp_path):
    runner = load_tiny("wan2.1")
    clip = runner.begin(ask("wan2.1"), tmp_path, recorder())
    clip.advance(1, ALONE, recorder())
    with pytest.raises(RunnerError, match=f"1 of {STEPS} steps"):
        clip.turn(recorder())
    with pytest.raises(RunnerError, match=f"1 of {STEPS} steps"):
        clip.finish(recorder())
    clip.advance(STEPS, ALONE, recorder())
    with pytest.raises(RunnerError, match="not the last"):
        clip.finish(recorder())
    with pytest.raises(RunnerError, match="in no gang"):
        clip.advance(1, Crew((0, 1)), recorder())
