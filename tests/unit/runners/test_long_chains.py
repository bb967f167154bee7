"""Long clips of the other families: one longer call, last frame to next photograph, and a given end."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from models.catalog import load_catalog
from models.errors import InputRefused
from models.runners.base import RunRequest
from models.runners.crew import ALONE
from models.runners.families import Continues
from models.runners.joins import JUMP_FACTOR
from models.types import Geometry


@pytest.fixture
def make(load_tiny, plan_of, photograph, recorder):
    def run(kind: str, frames: int, *, segments: int = 1, changes=None, **request):
        plan = plan_of(kind, frames, segments=segments)
        side = plan.native.width
        asked = RunRequest(photograph(side, side), "a cat", plan, 3, **{"steps": 1, **request})
        result = load_tiny(kind, **(changes or {})).generate(asked, recorder())
        return list(result.frames), result

    return run


@pytest.mark.parametrize(
    ("kind", "frames"),
    [
        ("wan2.1", 121),
        ("wan2.2-a14b", 97),
        ("wan2.2-ti2v-5b", 161),
        ("skyreels-v2-i2v", 129),
        ("ltx-video", 265),
    ],
)
def test_one_shot_beyond_the_trained_length_has_exactly_its_frames(kind, frames, make):
    """A longer shot is a longer native length; whether it looks as good is the card's to say."""
    made, result = make(kind, frames)
    assert len(made) == frames
    assert result.notes == ()


@pytest.mark.parametrize("segments", [1, 2, 3])
@pytest.mark.parametrize("kind", ["wan2.1", "ltx-video", "ltx-2"])
def test_chained_segments_share_their_joint_picture_only(kind, segments, make):
    made, _ = make(kind, 9, segments=segments)
    assert len(made) == segments * 8 + 1
    changes = [np.abs(one.astype(int) - two).mean() for one, two in pairwise(made)]
    assert min(changes) > 0, "no picture twice"


def test_chain_ends_at_the_last_image(make):
    """The first segments are free; the last one is led to the given end."""
    last = Image.new("RGB", (32, 32), (200, 30, 60))
    free, _ = make("wan2.2-a14b", 9, segments=3)
    led, _ = make("wan2.2-a14b", 9, segments=3, last_image=last)

    assert len(led) == len(free) == 25
    np.testing.assert_array_equal(np.stack(led[:17]), np.stack(free[:17]))
    assert (np.stack(led[17:]) != np.stack(free[17:])).any()


def test_family_that_goes_on_from_one_picture_refuses_more(load_tiny, plan_of, photograph, recorder):
    plan = dataclasses.replace(plan_of("wan2.1", 9, segments=2, effective=13), overlap=5)
    with pytest.raises(InputRefused, match="goes on from one frame; planned were segments that share 5"):
        load_tiny("wan2.1").generate(RunRequest(photograph(32, 32), "a cat", plan, 3), recorder())


def test_cards_share_what_the_makers_say():
    """Where a shipped row chains with an overlap, its class can, and by as much."""
    from models.runners.registry import family_of

    rows = [
        (card, mode)
        for card in load_catalog()
        for offer in card.offers
        for mode in offer.modes
        if offer.runner == "diffusers" and mode.max_segments > 1
    ]
    assert rows
    for card, mode in rows:
        family = family_of(card.weights.pipeline)
        if mode.overlap > 1:
            assert isinstance(family, Continues), card.id
            assert mode.overlap == family.shared_frames, card.id


def blinking(family, segment_index: list[int]):
    """A codec that makes a still, slowly lighter clip, and jumps between its segments."""

    def decode(pipe, latents, segment):
        import torch

        start = 100.0 * segment_index[0]
        segment_index[0] += 1
        light = start + 4.0 * torch.arange(segment.native.num_frames)
        yield (light / 127.5 - 1.0).view(1, -1, 1, 1).expand(3, -1, 32, 32)

    return decode


def test_jump_at_a_join_is_told_also_of_a_clip_that_was_resumed(
    load_tiny, plan_of, photograph, recorder, tmp_path, monkeypatch
):
    runner = load_tiny("wan2.1")
    native = Geometry(32, 32, 9, 8.0)
    plan = dataclasses.replace(
        plan_of("wan2.1"), native=native, effective=dataclasses.replace(native, num_frames=17), segments=2
    )
    asked, monitor = RunRequest(photograph(32, 32), "a cat", plan, 3, steps=1), recorder()

    monkeypatch.setattr(runner._family, "decode", blinking(runner._family, [0]))
    (note,) = runner.generate(asked, monitor).notes
    assert note.startswith("segment 2 does not follow smoothly")
    assert f"from {JUMP_FACTOR:g} times" in note

    monkeypatch.setattr(runner._family, "decode", blinking(runner._family, [0]))
    clip = runner.begin(asked, tmp_path, monitor)
    clip.advance(1, ALONE, monitor)
    clip.turn(monitor)
    clip.close()
    clip = runner.resume(asked, tmp_path)
    clip.advance(1, ALONE, monitor)
    assert clip.finish(monitor).notes == (note,)


@pytest.mark.parametrize("overlap", [1, 5])
def test_reels_give_the_newest_pictures_across_short_segments(overlap, tmp_path):
    from models.runners.reel import FolderReel, MemoryReel

    pictures = [np.full((4, 4, 3), value, np.uint8) for value in range(9)]
    for reel in (MemoryReel(), FolderReel(tmp_path)):
        for segment, part in enumerate((pictures[:5], pictures[5:8], pictures[8:])):
            reel.add(segment, part, None)
        assert [int(frame[0, 0, 0]) for frame in reel.last(3, overlap)] == list(range(9))[-overlap:]
        assert [int(frame[0, 0, 0]) for frame in reel.last(1, 20)] == [0, 1, 2, 3, 4]
        assert [int(frame[0, 0, 0]) for frame in reel.first(1, 2)] == [5, 6]
        assert [int(frame[0, 0, 0]) for frame in reel.first(2, 9)] == [8]
