"""Limits of hosted models are combinations: what is planned never takes the best of two rows at once."""

from __future__ import annotations

from typing import Any

import pytest

from models.catalog import load_catalog
from models.gpus import load_gpus
from models.types import CameraMove, CameraWish, ClipWish, Prefer, Size, TaskType
from policies.base import Candidate
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles

CATALOG, GPUS = load_catalog(), load_gpus()
ENGINE = Engine(CATALOG, GPUS, load_profiles())
FLEET = idle_fleet(CATALOG, GPUS)
FULL_HD, QHD, UHD = Size(1920, 1080), Size(2560, 1440), Size(3840, 2160)


def planned(build: Any, model: str, wish: ClipWish, **asked: Any) -> list[Candidate]:
    decision = ENGINE.decide(build.request(3840, 2160, model=model, wish=wish, **asked), FLEET)
    return [scored.candidate for scored in decision.candidates]


@pytest.mark.parametrize("model", ["hailuo-2.3", "hailuo-2.3-fast"])
@pytest.mark.parametrize("prefer", list(Prefer))
def test_hailuo_makes_1080p_for_six_seconds_only(build: Any, model: str, prefer: Prefer) -> None:
    made = planned(build, model, ClipWish(FULL_HD, 10, prefer=prefer))
    shapes = {(c.plan.effective.height, round(c.plan.effective.seconds)) for c in made}
    assert shapes == {(768, 10), (768, 6), (1080, 6)}


@pytest.mark.parametrize(
    ("size", "seconds", "fps", "fits"),
    [
        (FULL_HD, 10, 50, True),
        (FULL_HD, 14, 25, True),
        (FULL_HD, 20, 24, True),
        (FULL_HD, 14, 50, False),
        (QHD, 10, 50, True),
        (QHD, 14, 25, False),
        (UHD, 8, 25, True),
        (UHD, 20, 25, False),
    ],
)
def test_ltx_fast_makes_more_than_ten_seconds_at_1080p_and_25_fps_only(
    build: Any, size: Size, seconds: float, fps: float, fits: bool
) -> None:
    made = planned(build, "ltx-2.3-fast", ClipWish(size, seconds, fps))
    exact = [
        clip
        for clip in (c.plan.effective for c in made)
        if clip.size == size and clip.fps == fps and round(clip.seconds, 3) == seconds
    ]
    assert bool(exact) == fits


def test_ltx_pro_makes_no_more_than_ten_seconds(build: Any) -> None:
    assert {round(c.plan.effective.seconds) for c in planned(build, "ltx-2.3-pro", ClipWish(UHD, 14))} == {10}


def test_luma_makes_no_ten_seconds_from_a_photograph(build: Any) -> None:
    made = [c for seconds in (5, 10) for c in planned(build, "luma-ray-3.2", ClipWish(seconds=seconds))]
    assert {(c.plan.native.seconds, "loop" in c.mode.excludes) for c in made} == {(5.0, False)}


def test_director_takes_three_moves_at_once_and_ltx_one(build: Any) -> None:
    moves = (CameraMove.PUSH_IN, CameraMove.TRUCK_LEFT, CameraMove.PEDESTAL_UP)
    for number, models in (
        (1, {"ltx-2.3-pro", "ltx-2.3-fast", "video-01-director"}),
        (3, {"video-01-director"}),
    ):
        camera = tuple(CameraWish(move, required=True) for move in moves[:number])
        decision = ENGINE.decide(build.request(3840, 2160, camera=camera, deny=("parallax",)), FLEET)
        assert {s.candidate.card.id for s in decision.candidates} == models


def test_ltx_at_fal_has_no_camera_parameter(build: Any) -> None:
    for required, offers in ((False, {"replicate", "fal", "vendor"}), (True, {"replicate", "vendor"})):
        wish = CameraWish(CameraMove.PUSH_IN, required=required)
        made = planned(build, "ltx-2.3-pro", ClipWish(FULL_HD, 6), camera=(wish,))
        assert {c.offer.id for c in made} == offers


def test_wan_animate_of_hosts_reads_no_words(build: Any) -> None:
    """A prompt goes to who reads it, unless this very model was asked for; then advice tells."""
    given: dict[str, Any] = {"task": TaskType.ANIMATE, "has_driving_video": True, "driving_seconds": 5.0}
    offers = {
        words: {
            scored.candidate.offer.id
            for scored in ENGINE.decide(build.request(words=words, **given), FLEET).candidates
            if scored.candidate.card.id == "wan2.2-animate"
        }
        for words in (0, 8)
    }
    assert offers == {0: {"local", "replicate", "fal"}, 8: {"local"}}
    named = ENGINE.decide(build.request(words=8, model="wan2.2-animate", **given), FLEET)
    assert {s.candidate.offer.id for s in named.candidates} == {"local", "replicate", "fal"}


def test_pika_joins_frames_on_another_endpoint(build: Any) -> None:
    plain = planned(build, "pika-2.2", ClipWish())
    joined = planned(build, "pika-2.2", ClipWish(), task=TaskType.FLF2V, has_last_image=True)
    assert {c.offer.id for c in plain} == {"fal"}
    assert {c.offer.id for c in joined} == {"fal-frames"}


@pytest.mark.parametrize(("seconds", "fits"), [(1.5, False), (2, True), (20, True), (21, False)])
def test_audio_to_video_lasts_as_long_as_its_audio(build: Any, seconds: float, fits: bool) -> None:
    given: dict[str, Any] = {"task": TaskType.A2V, "has_audio": True, "audio_seconds": seconds}
    made = planned(build, "lightricks-audio-to-video", ClipWish(), **given)
    lengths = {round(c.plan.effective.seconds, 2) for c in made}
    assert lengths == {float(seconds)} if fits else all(abs(length - seconds) > 0.2 for length in lengths)


def test_dreamactor_follows_its_driving_video(build: Any) -> None:
    given: dict[str, Any] = {"task": TaskType.ANIMATE, "has_driving_video": True, "driving_seconds": 12.0}
    made = planned(build, "dreamactor-m2.0", ClipWish(seconds=4), **given)
    assert {round(c.plan.effective.seconds, 2) for c in made} == {12.0}


@pytest.mark.parametrize(
    ("model", "wish", "audio", "usd"),
    [
        ("hailuo-2.3", ClipWish(FULL_HD, 6), False, {("replicate", 0.49), ("fal-pro", None)}),
        ("hailuo-2.3-fast", ClipWish(Size(1366, 768), 10), False, {("replicate", 0.32), ("fal", 0.32)}),
        ("ltx-2.3-pro", ClipWish(UHD, 10), False, {("replicate", 2.4), ("fal", None), ("vendor", None)}),
        ("luma-ray-3.2", ClipWish(FULL_HD, 5), False, {("replicate", 1.2), ("fal", 1.2)}),
        ("runway-gen4-turbo", ClipWish(Size(1280, 720), 5), False, {("replicate", None), ("vendor", 0.25)}),
    ],
)
def test_prices_are_those_of_the_mode(
    build: Any, model: str, wish: ClipWish, audio: bool, usd: set[tuple[str, float | None]]
) -> None:
    made = planned(build, model, wish, generate_audio=audio)
    exact = [
        c
        for c in made
        if (c.plan.effective.size, c.plan.native.seconds, c.plan.effective.seconds)
        == (wish.size, wish.seconds, wish.seconds)
    ]
    prices = {(c.offer.id, None if c.prediction.usd is None else round(c.prediction.usd, 2)) for c in exact}
    assert prices == usd


def test_a_clip_that_is_cut_is_billed_whole(build: Any) -> None:
    made = planned(build, "hailuo-2.3", ClipWish(Size(1366, 768), 5))
    whole = [c for c in made if c.offer.id == "replicate" and c.plan.effective.height == 768]
    assert [(c.plan.effective.seconds, c.plan.native.seconds) for c in whole] == [(5, 6)]
    assert whole[0].prediction.usd == pytest.approx(6 * 0.0466)
