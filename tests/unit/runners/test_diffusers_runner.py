"""The diffusers runner on tiny checkpoints of the real classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from models.errors import Cancelled, InputRefused, OutOfMemory, RunnerError
from models.runners.base import RunRequest, Stage
from models.types import CameraMove, Fit, Framing, Geometry, Intensity

KINDS = (
    "wan2.1",
    "wan2.2-a14b",
    "wan2.2-ti2v-5b",
    "ltx-video",
    "svd",
    "cogvideox",
    "hunyuan-1.5",
    "i2vgen-xl",
    "pia",
    "wan2.2-animate",
    "ltx-2",
    "skyreels-v2-i2v",
)
DRIVEN = {"wan2.2-animate"}
# diffusers' EulerDiscreteScheduler (SVD) converts a torch tensor with numpy 2's np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
CROP = Framing(Fit.CROP, kept=0.5, filled=1.0)
PAD = Framing(Fit.PAD, kept=1.0, filled=0.5)


@pytest.fixture
def clip(plan_of, photograph, recorder, driving_video):
    """`clip(runner, kind, ...)` makes a clip and returns its frames as one array."""

    def make(runner, kind: str, monitor=None, *, plan=None, **request: Any) -> np.ndarray:
        if kind in DRIVEN:
            request.setdefault("driving_video", driving_video)
        wanted = RunRequest(
            image=request.pop("image", None) or photograph(),
            prompt=request.pop("prompt", "a cat dances"),
            plan=plan or plan_of(kind),
            seed=request.pop("seed", 7),
            **request,
        )
        return np.stack(list(runner.generate(wanted, monitor or recorder()).frames))

    return make


@pytest.fixture
def calls(monkeypatch):
    """`calls(runner)` returns the list that the runner's pipeline calls are written to."""

    def watch(runner) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []
        real = type(runner._pipe).__call__

        def spy(self, **arguments: Any) -> Any:
            seen.append(arguments)
            return real(self, **arguments)

        monkeypatch.setattr(type(runner._pipe), "__call__", spy)
        return seen

    return watch


def failing(monkeypatch, runner, error: BaseException) -> None:
    def fail(self, **_: Any) -> None:
        raise error

    monkeypatch.setattr(type(runner._pipe), "__call__", fail)


# --- what comes out ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_family_makes_the_planned_frames(kind, load_tiny, plan_of, clip, recorder):
    monitor, plan = recorder(), plan_of(kind)

    frames = clip(load_tiny(kind), kind, monitor)

    assert frames.shape == (9, plan.native.height, plan.native.width, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 1  # untrained, but not a blank
    assert monitor.stages == [Stage.ENCODING_INPUT, Stage.DENOISING, Stage.DECODING]
    assert monitor.steps[:2] == [(1, 2), (2, 2)]
    assert set(monitor.steps[2:]) == {(2, 2)}, "decoding shows signs of life"


SPOKEN = {"prompt": "a cat", "negative_prompt": "", "guidance_scale": 3.0}
BARE: dict[str, dict[str, Any]] = {
    "svd": {"max_guidance_scale": 3.0, "fps": 8, "decode_chunk_size": 8},
    "ltx-video": {**SPOKEN, "frame_rate": 8.0},
    "cogvideox": {**SPOKEN, "use_dynamic_cfg": True, "max_sequence_length": 16},
    "hunyuan-1.5": {"prompt": "a cat", "negative_prompt": ""},
    "i2vgen-xl": {**SPOKEN, "target_fps": 8},
    "ltx-2": {
        **SPOKEN, "frame_rate": 8.0, "spatio_temporal_guidance_blocks": [29], "use_cross_timestep": False
    },
}  # fmt: skip
"""What diffusers' own call is given beside photograph, shape, steps and generator."""


@pytest.mark.parametrize("kind", KINDS)
def test_frames_equal_those_of_the_bare_pipeline(
    kind, load_tiny, plan_of, clip, checkpoint, photograph, driving_video
):
    """Our streamed decoding changes no pixel against diffusers' own."""
    import diffusers

    from models.runners import driving

    plan, square = plan_of(kind), photograph(64, 64)
    ours = clip(load_tiny(kind), kind, image=square, prompt="a cat", seed=3)

    pipe = diffusers.DiffusionPipeline.from_pretrained(str(checkpoint(kind)), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    side = plan.native.width
    image = square if side == 64 else square.resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    shape: dict[str, Any] = {"width": side, "height": side}
    if kind == "hunyuan-1.5":  # takes both from its checkpoint's parts
        shape, pipe.guider.guidance_scale = {}, 3.0
    if kind in DRIVEN:
        shown = driving.pictures(driving_video, plan.native)
        shape["pose_video"] = driving.fitted(shown, plan.native.size)
        shape["face_video"] = driving.faces(shown, 64)
    else:
        shape["num_frames"] = 9
    if kind == "i2vgen-xl":  # draws from the global generator, and names what transformers 5 no longer has
        object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        video = pipe(
            image=image, num_inference_steps=2, generator=torch.Generator("cpu").manual_seed(3),
            output_type="np", **shape, **BARE.get(kind, SPOKEN),
        ).frames[0]  # fmt: skip

    np.testing.assert_array_equal(ours, (np.stack(list(video)) * 255).round().astype(np.uint8))


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_seed_decides(kind, load_tiny, clip):
    runner = load_tiny(kind)

    torch.manual_seed(1)
    first = clip(runner, kind, seed=11)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    second = clip(runner, kind, seed=11)

    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), before), "the process's random state is left alone"
    assert (clip(runner, kind, seed=12) != first).any()


def test_noise_inside_the_ltx_decoder_follows_the_seed(load_tiny, clip):
    """`inject_noise` draws from torch's global generator, which the runner pins."""
    runner = load_tiny("ltx-video")
    block = runner._pipe.vae.decoder.mid_block.resnets[0]
    block.per_channel_scale1 = torch.nn.Parameter(torch.full((8, 1, 1), 5.0))
    block.per_channel_scale2 = torch.nn.Parameter(torch.full((8, 1, 1), 5.0))

    torch.manual_seed(1)
    first = clip(runner, "ltx-video")
    torch.manual_seed(2)

    np.testing.assert_array_equal(clip(runner, "ltx-video"), first)


def test_ltx_codec_with_timestep_conditioning_decodes_as_the_pipeline_does(load_tiny, clip, photograph):
    """Released codecs (0.9.1 and later) add noise from the request's generator and take a timestep."""
    import diffusers

    runner = load_tiny("ltx-video")
    config = {**runner._pipe.vae.config, "timestep_conditioning": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        runner._pipe.vae = diffusers.AutoencoderKLLTXVideo.from_config(config).eval()
    image = photograph(64, 64)

    ours = clip(runner, "ltx-video", image=image, prompt="a cat", seed=3)

    video = runner._pipe(
        image=image, prompt="a cat", negative_prompt="", width=64, height=64, num_frames=9, frame_rate=8.0,
        num_inference_steps=2, guidance_scale=3.0, generator=torch.Generator("cpu").manual_seed(3),
        decode_timestep=0.05, decode_noise_scale=0.025, output_type="np",
    ).frames[0]  # fmt: skip
    np.testing.assert_array_equal(ours, (np.stack(list(video)) * 255).round().astype(np.uint8))


def test_large_clips_are_decoded_in_tiles(load_tiny, clip, plan_of, monkeypatch):
    from models.runners import families

    runner = load_tiny("wan2.1")
    assert not runner._pipe.vae.use_tiling
    monkeypatch.setattr(families, "TILING_PIXELS", 32 * 32 - 1)

    assert clip(runner, "wan2.1").shape[0] == 9
    assert runner._pipe.vae.use_tiling

    monkeypatch.setattr(families, "TILING_PIXELS", 32 * 32)
    clip(runner, "wan2.1")
    assert not runner._pipe.vae.use_tiling, "chosen anew for each clip"


# --- cancel -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_cancel_stops_at_the_step_and_leaves_the_runner_as_new(kind, load_tiny, clip, recorder):
    runner, monitor = load_tiny(kind), recorder(cancel_at=2)

    with pytest.raises(Cancelled):
        clip(runner, kind, monitor, steps=4)

    assert monitor.steps == [(1, 4), (2, 4)]
    np.testing.assert_array_equal(clip(runner, kind, steps=4), clip(load_tiny(kind), kind, steps=4))


def test_cancel_while_decoding(load_tiny, plan_of, photograph, recorder, clip):
    runner, monitor = load_tiny("wan2.1"), recorder()
    result = runner.generate(RunRequest(photograph(), "a cat", plan_of("wan2.1"), 7), monitor)
    frames = result.frames
    next(frames)
    monitor.cancel_at = 0

    with pytest.raises(Cancelled):
        list(frames)

    np.testing.assert_array_equal(clip(runner, "wan2.1"), clip(load_tiny("wan2.1"), "wan2.1"))


def test_clip_that_nobody_finished_does_not_touch_the_next(load_tiny, plan_of, photograph, recorder, clip):
    runner = load_tiny("wan2.1")
    abandoned = runner.generate(RunRequest(photograph(), "x", plan_of("wan2.1"), 1), recorder()).frames
    next(abandoned)

    np.testing.assert_array_equal(clip(runner, "wan2.1"), clip(load_tiny("wan2.1"), "wan2.1"))
    assert list(abandoned) == []


# --- the photograph -----------------------------------------------------------------------------


def _circle() -> Image.Image:
    image = Image.new("RGB", (400, 200), (90, 90, 90))
    ImageDraw.Draw(image).ellipse((150, 50, 249, 149), fill=(255, 255, 255))
    return image


@pytest.mark.parametrize(("framing", "diameter"), [(CROP, 32), (PAD, 16)])
def test_circle_stays_a_circle(framing, diameter, load_tiny, clip, plan_of, calls):
    """400x200 with a circle of 100 into 64x64: cropped it fills half the side, padded a quarter."""
    runner = load_tiny("svd")
    seen = calls(runner)

    clip(runner, "svd", image=_circle(), plan=plan_of("svd", 1, framing=framing), steps=1)

    given = seen[0]["image"]
    assert given.size == (64, 64), "exactly native size: the pipeline has nothing to stretch"
    rows, columns = np.nonzero(np.asarray(given.convert("L")) > 172)
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert abs(int(width) - int(height)) <= 1
    assert abs(int(width) - diameter) <= 1


def test_crop_keeps_the_faces(load_tiny, clip, plan_of, calls):
    image = Image.new("RGB", (400, 200))
    ImageDraw.Draw(image).rectangle((300, 0, 399, 199), fill=(255, 0, 0))
    runner = load_tiny("svd")
    seen = calls(runner)

    clip(
        runner, "svd", image=image, plan=plan_of("svd", 1, framing=CROP), steps=1,
        faces=((0.85, 0.4, 0.1, 0.2),),
    )  # fmt: skip

    assert np.asarray(seen[0]["image"])[32, -1, 0] == 255, "the right edge, where the face is"


# --- words and numbers -------------------------------------------------------------------------


def test_camera_and_intensity_become_words(load_tiny, clip, calls):
    runner = load_tiny("wan2.1")
    seen = calls(runner)

    clip(runner, "wan2.1", prompt="a cat.", camera=(CameraMove.PAN_LEFT,), intensity=Intensity.SUBTLE)

    assert seen[0]["prompt"] == "a cat, the camera pans left, subtle, barely noticeable motion"


def test_words_are_left_alone_when_the_camera_is_not_steered_by_them(
    load_tiny, clip, calls, plan_of, recorder
):
    runner = load_tiny("wan2.1", controls__camera__kind="none")
    seen = calls(runner)

    result = runner.generate(
        RunRequest(_circle(), "a cat.", plan_of("wan2.1"), 1, camera=(CameraMove.ROLL,)), recorder()
    )

    assert seen[0]["prompt"] == "a cat."
    assert any("roll" in note for note in result.notes)


@pytest.mark.parametrize(
    ("intensity", "bucket", "augmentation"),
    [(None, 127, 0.02), (Intensity.SUBTLE, 32, 0.02), (Intensity.DYNAMIC, 180, 0.1)],
)
def test_svd_takes_intensity_as_numbers(intensity, bucket, augmentation, load_tiny, clip, calls, plan_of):
    runner = load_tiny("svd")
    seen = calls(runner)

    clip(runner, "svd", plan=plan_of("svd", 2), steps=1, intensity=intensity)

    call = seen[0]
    assert (call["motion_bucket_id"], call["noise_aug_strength"], call["fps"]) == (bucket, augmentation, 8)
    assert "prompt" not in call


def test_request_overrides_steps_and_guidance(load_tiny, clip, calls, recorder):
    runner, monitor = load_tiny("ltx-video"), recorder()
    seen = calls(runner)

    clip(runner, "ltx-video", monitor, steps=3, guidance=1.0, negative_prompt="blur")

    assert (seen[0]["guidance_scale"], seen[0]["negative_prompt"]) == (1.0, "blur")
    assert monitor.steps[:3] == [(1, 3), (2, 3), (3, 3)]


def test_flow_shift_of_the_offer_reaches_the_scheduler(load_tiny, card_of, checkpoint):
    from models.runners.diffusers import load

    card = card_of("wan2.1")
    sampling = card.offers[0].sampling.model_copy(update={"flow_shift": 8.0})
    offer = card.offers[0].model_copy(update={"sampling": sampling})

    runner = load(card, offer, checkpoint=str(checkpoint("wan2.1")), device="cpu")

    assert runner._pipe.scheduler.config.flow_shift == 8.0
    assert load_tiny("wan2.1")._pipe.scheduler.config.flow_shift == 3.0


# --- longer and smoother -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["wan2.2-a14b", "svd", "cogvideox", "hunyuan-1.5", "i2vgen-xl"])
def test_segments_are_chained_by_the_last_frame(kind, load_tiny, clip, plan_of, calls, recorder):
    runner, monitor = load_tiny(kind), recorder()
    seen = calls(runner)

    frames = clip(runner, kind, monitor, plan=plan_of(kind, segments=2))

    assert len(frames) == 17, "9 + 9 less the joint frame"
    np.testing.assert_array_equal(np.asarray(seen[1]["image"]), frames[8])
    assert monitor.stages == [Stage.ENCODING_INPUT, Stage.DENOISING, Stage.DECODING]
    done = [step for step, _ in monitor.steps]
    assert done == sorted(done)
    assert monitor.steps[-1] == (4, 4)
    np.testing.assert_array_equal(frames[:9], clip(runner, kind, plan=plan_of(kind)))


def test_segments_have_seeds_of_their_own(load_tiny, clip, plan_of, calls):
    runner = load_tiny("svd")
    seen = calls(runner)

    clip(runner, "svd", plan=plan_of("svd", 2, segments=3), steps=1)

    seeds = [call["generator"].initial_seed() for call in seen]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3


def test_interpolation_fills_the_gaps_and_the_end_is_cut(load_tiny, clip, plan_of):
    runner = load_tiny("wan2.1")
    plain = clip(runner, "wan2.1")

    smooth = clip(runner, "wan2.1", plan=plan_of("wan2.1", interpolation=2, effective=14))

    assert len(smooth) == 14
    np.testing.assert_array_equal(smooth[::2], plain[:7])


def test_smaller_effective_size_is_cut_from_the_middle(load_tiny, clip, plan_of):
    runner, plan = load_tiny("wan2.1"), plan_of("wan2.1")
    small = dataclasses.replace(plan, effective=Geometry(20, 30, 9, 8.0))

    np.testing.assert_array_equal(clip(runner, "wan2.1", plan=small), clip(runner, "wan2.1")[:, 1:31, 6:26])


# --- last image --------------------------------------------------------------------------------


def test_last_image_steers_the_last_segment_only(load_tiny, clip, plan_of, calls):
    runner, last = load_tiny("wan2.2-a14b"), Image.new("RGB", (80, 80), (255, 0, 0))
    seen = calls(runner)

    with_last = clip(runner, "wan2.2-a14b", plan=plan_of("wan2.2-a14b", segments=2), last_image=last)
    without = clip(runner, "wan2.2-a14b", plan=plan_of("wan2.2-a14b", segments=2))

    assert seen[0]["last_image"] is None
    assert seen[1]["last_image"].size == (32, 32)
    np.testing.assert_array_equal(with_last[:9], without[:9])
    assert (with_last[9:] != without[9:]).any()


@pytest.mark.parametrize(
    "kind",
    ["wan2.1", "wan2.2-ti2v-5b", "ltx-video", "svd", "cogvideox", "hunyuan-1.5", "i2vgen-xl", "pia"],
)
def test_last_image_is_refused_where_the_pipeline_would_ignore_it(kind, load_tiny, clip):
    """Even when the card claims it: CLIP tokens for one picture, per-token timesteps, other classes."""
    runner = load_tiny(kind, controls__last_image="optional")

    with pytest.raises(InputRefused) as refused:
        clip(runner, kind, last_image=Image.new("RGB", (32, 32)))
    assert refused.value.param == "last_image"


def test_missing_last_image_is_refused_where_it_is_required(load_tiny, clip):
    with pytest.raises(InputRefused, match="needs a last image"):
        clip(load_tiny("wan2.2-a14b", controls__last_image="required"), "wan2.2-a14b")


# --- previews ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_previews_show_the_clip_and_do_not_change_it(kind, load_tiny, clip, recorder):
    runner, monitor = load_tiny(kind), recorder(previews=True)

    watched = clip(runner, kind, monitor)

    assert len(monitor.pictures) == 2
    for picture in monitor.pictures:
        assert (picture.dtype, picture.shape) == (np.uint8, (watched.shape[1], watched.shape[2], 3))
    assert (monitor.pictures[0] != monitor.pictures[1]).any()
    np.testing.assert_array_equal(watched, clip(runner, kind))


def test_preview_of_a_large_clip_is_small(load_tiny, clip, plan_of, recorder):
    from models.runners.preview import PREVIEW_SIDE

    monitor, plan = recorder(previews=True), plan_of("wan2.1", 1)
    wide = Geometry(2 * PREVIEW_SIDE, PREVIEW_SIDE // 2, 1, 8.0)

    frames = clip(
        load_tiny("wan2.1"), "wan2.1", monitor,
        plan=dataclasses.replace(plan, native=wide, effective=wide), steps=1,
    )  # fmt: skip

    assert frames.shape == (1, PREVIEW_SIDE // 2, 2 * PREVIEW_SIDE, 3)
    assert monitor.pictures[0].shape == (PREVIEW_SIDE // 4, PREVIEW_SIDE, 3)


# --- refusals and failures ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "native", "param"),
    [
        ("wan2.1", Geometry(40, 32, 9, 8.0), "size"),
        ("wan2.2-ti2v-5b", Geometry(48, 64, 9, 8.0), "size"),
        ("ltx-video", Geometry(64, 48, 9, 8.0), "size"),
        ("svd", Geometry(64, 56, 9, 8.0), "size"),
        ("wan2.1", Geometry(32, 32, 8, 8.0), "num_frames"),
        ("ltx-video", Geometry(64, 64, 13, 8.0), "num_frames"),
        ("cogvideox", Geometry(40, 32, 9, 8.0), "size"),
        ("cogvideox", Geometry(64, 32, 9, 8.0), "size"),  # learned positions: 32x32 alone
        ("cogvideox", Geometry(32, 32, 17, 8.0), "num_frames"),  # ... and 9 frames alone
        ("hunyuan-1.5", Geometry(64, 80, 9, 8.0), "size"),  # the pipeline would make another size of it
        ("hunyuan-1.5", Geometry(64, 64, 10, 8.0), "num_frames"),
        ("i2vgen-xl", Geometry(40, 32, 9, 8.0), "size"),
        ("pia", Geometry(40, 32, 9, 8.0), "size"),
        ("pia", Geometry(32, 32, 33, 8.0), "num_frames"),  # the motion modules know 32 positions
    ],
)
def test_shapes_off_the_lattice_are_refused_before_any_work(
    kind, native, param, load_tiny, clip, plan_of, calls
):
    """The pipelines would floor most of these without a word."""
    runner = load_tiny(kind)
    seen = calls(runner)
    plan = dataclasses.replace(plan_of(kind), native=native, effective=native)

    with pytest.raises(InputRefused) as refused:
        clip(runner, kind, plan=plan)

    assert refused.value.param == param
    assert refused.value.allowed
    assert seen == []


def test_promise_beyond_what_is_made_is_refused(load_tiny, clip, plan_of):
    with pytest.raises(InputRefused, match="promises 10 frames"):
        clip(load_tiny("wan2.1"), "wan2.1", plan=plan_of("wan2.1", effective=10))


def test_zero_steps_are_refused(load_tiny, clip):
    with pytest.raises(InputRefused) as refused:
        clip(load_tiny("wan2.1"), "wan2.1", steps=0)
    assert refused.value.param == "steps"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("cuDNN error: out of memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: 80 bytes"
        ),
        MemoryError(),
    ],
)
def test_out_of_memory_is_typed_and_tells_the_geometry(error, load_tiny, clip, monkeypatch):
    runner = load_tiny("wan2.1")
    failing(monkeypatch, runner, error)

    with pytest.raises(OutOfMemory, match="32x32, 9 frames") as raised:
        clip(runner, "wan2.1")

    assert raised.value.__cause__ is error


def test_out_of_memory_while_decoding_is_typed(load_tiny, clip, monkeypatch):
    runner = load_tiny("wan2.1")

    def fail(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(runner._pipe.vae.decoder, "forward", fail)

    with pytest.raises(OutOfMemory, match="decoding 32x32"):
        clip(runner, "wan2.1")


def test_value_error_of_the_pipeline_is_a_refusal(load_tiny, clip, monkeypatch):
    runner = load_tiny("wan2.1")
    error = ValueError("`image` has to be of type ...")
    failing(monkeypatch, runner, error)

    with pytest.raises(InputRefused, match="has to be of type") as raised:
        clip(runner, "wan2.1")
    assert raised.value.__cause__ is error


def test_bugs_keep_their_own_name(load_tiny, clip, monkeypatch):
    runner = load_tiny("wan2.1")
    failing(monkeypatch, runner, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))

    with pytest.raises(RuntimeError, match="mat1"):
        clip(runner, "wan2.1")


def test_unloaded_runner_says_so(load_tiny, clip):
    runner = load_tiny("wan2.1")
    runner.unload()

    with pytest.raises(RunnerError, match="unloaded"):
        clip(runner, "wan2.1")


def test_every_shipped_card_of_this_runner_has_a_family_and_sampling():
    from models.catalog import load_catalog
    from models.runners.diffusers import FAMILIES

    offers = [
        (card, offer) for card in load_catalog() for offer in card.offers if offer.runner == "diffusers"
    ]

    assert offers
    for card, offer in offers:
        assert card.weights.pipeline in FAMILIES, card.id
        assert offer.sampling is not None, card.id
