"""A rank that steps: a real tiny Wan, asked as its coordinator asks, here and in a second rank."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from deployments.rank import RankProcess
from deployments.ranks import ClipTask, Event, Quantum
from models.runners.base import Place
from models.runners.resume import STATE
from models.runners.tiny import write_tiny_checkpoint
from models.types import ClipPlan, Fit, Framing, Geometry
from policies.render import plan_json
from router.media import MediaStore, photograph_key

CARDS = Path(__file__).resolve().parents[3] / "models" / "overlays" / "local"
NATIVE = Geometry(32, 32, 9, 16.0)
ONCE = ClipPlan(effective=NATIVE, native=NATIVE, framing=Framing(Fit.CROP, 0.9, 1.0))
CHAINED = replace(ONCE, effective=Geometry(32, 32, 17, 16.0), segments=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("weights")
    write_tiny_checkpoint("wan2.1", root / "tiny-wan-i2v")
    return root


@pytest.fixture
def media(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> MediaStore:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("I2V_HOME", str(tmp_path))
    monkeypatch.setenv("I2V_MEDIA_URL", (tmp_path / "media").as_uri())
    monkeypatch.setenv("I2V_CARDS", str(CARDS))
    monkeypatch.setenv("I2V_MODELS", str(weights))
    store = MediaStore((tmp_path / "media").as_uri())
    buffer = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    store.put_bytes(photograph_key("up1"), buffer.getvalue(), "image/png")
    return store


def task(folder: Path, plan: ClipPlan, fence: int = 1) -> ClipTask:
    return ClipTask(
        job_id="vid_1", fence=fence, prompt="a walk", negative_prompt="", seed=7,
        image_key=photograph_key("up1"), last_image_key=None, plan=plan_json(plan),
        camera=(), intensity=None, faces=(), folder=str(folder),
    )  # fmt: skip


def rank() -> RankProcess:
    process = RankProcess("tiny-wan-i2v", "local", None)
    outcome = process.load()
    assert outcome["ok"], outcome
    assert outcome["stepped"]
    return process


def last(events: Iterator[Event]) -> dict[str, Any]:
    ending = list(events)[-1]
    assert ending["type"] == "done", ending
    return dict(ending)


def pictures(media: MediaStore, done: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The stored video, decoded again."""
    with av.open(io.BytesIO(media.read(done["media"]["video"]["key"]))) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    return np.stack(frames).astype(np.int16)


def clip(process: RankProcess, asked: ClipTask) -> dict[str, Any]:
    """Begin to end, two steps at a time."""
    report = process.begin(asked)
    assert report.error is None, report.error
    while not (report.place is not None and report.place.denoised and report.place.last):
        assert report.place is not None
        if report.place.denoised:
            report = process.turn(asked, resume=False)
        else:
            report = process.advance(asked, Quantum((0,), 2))
        assert report.error is None, report.error
    return last(process.finish(asked, resume=False))


@pytest.mark.parametrize("plan", [ONCE, CHAINED], ids=["one segment", "two"])
def test_a_clip_that_moves_to_another_rank_is_the_same_clip(
    media: MediaStore, tmp_path: Path, plan: ClipPlan
) -> None:
    first, second = rank(), rank()
    expected = pictures(media, clip(first, task(tmp_path / "a", plan)))
    asked = task(tmp_path / "b", plan, fence=2)
    report = first.begin(asked)
    assert (report.place, report.saved) == (Place(0, plan.segments, 0, 4), True)
    report = first.advance(asked, Quantum((0,), 1, save=True))
    assert (report.place, report.saved) == (Place(0, plan.segments, 1, 4), True)
    first.close(asked.name)
    report = second.advance(asked, Quantum((0,), 10, resume=frozenset({0})))
    assert report.place == Place(0, plan.segments, 4, 4), report.error
    assert second.save(asked).saved
    if plan.segments == 2:
        report = first.turn(asked, resume=True)
        assert report.place == Place(1, 2, 0, 4), report.error
        report = first.advance(asked, Quantum((0,), 4, save=True))
        assert report.place == Place(1, 2, 4, 4), report.error
    ending = last(second.finish(asked, resume=True))
    made = pictures(media, ending)
    assert made.shape == expected.shape
    # Sums in another order differ in the last bit, which the picture between the segments may round apart.
    assert np.abs(made - expected).mean() < 2.0
    assert ending["geometry"]["num_frames"] == plan.effective.num_frames


def test_what_is_not_held_or_cut_short_is_told(media: MediaStore, tmp_path: Path) -> None:
    process = rank()
    asked = task(tmp_path / "a", ONCE)
    report = process.advance(asked, Quantum((0,), 1))
    assert report.error is not None
    assert report.error["code"] == "rank_lost"
    process.begin(asked)
    process.close(asked.name)
    state = tmp_path / "a" / STATE
    state.write_bytes(state.read_bytes()[:50])
    report = process.advance(asked, Quantum((0,), 1, resume=frozenset({0})))
    assert report.error is not None
    assert report.error["code"] == "checkpoint_unusable"
    again = process.begin(asked)
    assert again.place == Place(0, 1, 0, 4), "the rank is well"


def test_a_photograph_that_is_gone_is_told_at_the_beginning(media: MediaStore, tmp_path: Path) -> None:
    media.delete([photograph_key("up1")])
    report = rank().begin(task(tmp_path / "a", ONCE))
    assert report.error is not None
    assert report.error["code"] == "media_unavailable"
