"""A rank driven in this process: real runners, real media; the Ray actor only adds a process."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deployments import deliver as deliver_module
from deployments import monitor as monitor_module
from deployments.rank import RankProcess, runner_factory
from deployments.ranks import ClipTask, Event
from models.errors import CheckpointMissing, MediaUnavailable
from models.runners.base import RunRequest, RunResult, Sound
from models.runners.encode import probe
from models.types import ClipPlan, Fit, Framing, Geometry
from policies.render import plan_json
from router.media import MediaStore, photograph_key, preview_key

CARDS = Path(__file__).resolve().parents[2] / "e2e" / "cards"
SHAPE = Geometry(64, 48, 8, 8.0)
PLAN = ClipPlan(effective=SHAPE, native=SHAPE, framing=Framing(Fit.CROP, 0.9, 1.0))


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MediaStore:
    """The media store that ranks of this test find in their environment, with a photograph in it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("I2V_HOME", str(tmp_path))
    monkeypatch.setenv("I2V_MEDIA_URL", (tmp_path / "media").as_uri())
    monkeypatch.setenv("I2V_CARDS", str(CARDS))
    store = MediaStore((tmp_path / "media").as_uri())
    buffer = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).resize((160, 120)).save(buffer, "JPEG")
    store.put_bytes(photograph_key("up1"), buffer.getvalue(), "image/jpeg")
    return store


def task(fence: int = 1, camera: tuple[str, ...] = (), **script: Any) -> ClipTask:
    words = f"a walk [[fake {json.dumps(script)}]]" if script else "a walk"
    return ClipTask(
        job_id="vid_1", fence=fence, prompt=words, negative_prompt="", seed=7,
        image_key=photograph_key("up1"), last_image_key=None, plan=plan_json(PLAN),
        camera=camera, intensity=None, faces=(),
    )  # fmt: skip


def loaded(model: str = "fake-i2v") -> RankProcess:
    process = RankProcess(model, "local", None)
    outcome = process.load()
    assert outcome["ok"], outcome
    return process


@pytest.fixture
def rank(media: MediaStore) -> RankProcess:
    return loaded()


def last(events: Iterator[Event]) -> Event:
    """The last word."""
    heard = list(events)
    assert [event["type"] for event in heard[:-1]] == ["progress"] * (len(heard) - 1)
    return heard[-1]


def scratch_of(media: MediaStore) -> list[Path]:
    return list(Path(tempfile.gettempdir()).iterdir())


def objects(tmp_path: Path) -> set[str]:
    root = tmp_path / "media"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


# --- a clip that succeeds --------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "camera"), [("fake-i2v", ()), ("parallax", ("push_in",))])
def test_what_is_said_to_be_done_is_in_the_media_store_and_decodes(
    media: MediaStore, tmp_path: Path, model: str, camera: tuple[str, ...]
) -> None:
    done = last(loaded(model).whole(task(camera=camera)))
    assert done["type"] == "done", done
    assert set(done["media"]) == {"video", "thumbnail", "spritesheet"}
    for stored in done["media"].values():
        content = media.read(stored["key"])
        assert len(content) == stored["bytes"]
        assert hashlib.sha256(content).hexdigest() == stored["sha256"]
    video = tmp_path / "out.mp4"
    video.write_bytes(media.read(done["media"]["video"]["key"]))
    found = probe(video)
    assert (found.width, found.height, found.num_frames) == (64, 48, 8)
    assert done["geometry"] == {"width": 64, "height": 48, "num_frames": 8, "fps": 8.0, "seconds": 1.0}
    for variant in ("thumbnail", "spritesheet"):
        with Image.open(io.BytesIO(media.read(done["media"][variant]["key"]))) as picture:
            picture.load()
    assert done["stages"]["storing"] >= 0
    assert scratch_of(media) == [], "the scratch directory goes before the last word"


def test_progress_names_stage_and_step_and_is_throttled(rank: RankProcess) -> None:
    heard = list(rank.whole(task(steps=400)))
    progress = [event for event in heard if event.get("stage") == "denoising"]
    steps = [event["step"] for event in progress]
    assert steps == sorted(steps)
    assert steps[-1] == 400
    assert {event["steps"] for event in progress} <= {0, 400}
    # 400 steps without a pause: the stage, the first, the last, and hardly any between.
    assert len(progress) < 40


def test_previews_are_published_under_one_key_of_the_attempt(
    rank: RankProcess, media: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "PREVIEW_EVERY_S", 0.0)
    monkeypatch.setattr(monitor_module, "PROGRESS_EVERY_S", 0.0)
    heard = list(rank.whole(task(steps=3)))
    keys = {event["preview_key"] for event in heard if event["type"] == "progress"}
    assert keys - {None} == {preview_key("vid_1", 1)}
    with Image.open(io.BytesIO(media.read(preview_key("vid_1", 1)))) as picture:
        assert picture.size == (64, 48)


def test_a_preview_that_cannot_be_stored_does_not_spoil_the_clip(
    rank: RankProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MediaUnavailable("the disk is full")

    monkeypatch.setattr(monitor_module, "PREVIEW_EVERY_S", 0.0)
    monkeypatch.setattr(MediaStore, "put_bytes", full)
    assert last(rank.whole(task(steps=3)))["type"] == "done"


def test_slow_frames_are_a_sign_of_life(rank: RankProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "SIGN_OF_LIFE_S", 0.0)
    heard = list(rank.whole(task(steps=1, frame_seconds=0.001)))
    assert len([event for event in heard if event.get("stage") == "decoding"]) > SHAPE.num_frames / 2


# --- cancelling ------------------------------------------------------------------------------------------


def test_the_cancel_flag_stops_the_clip_within_one_step(
    rank: RankProcess, media: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "PROGRESS_EVERY_S", 0.0)
    before = objects(tmp_path)
    steps: list[int] = []
    ending: Event = {}
    for event in rank.whole(task(steps=500, step_seconds=0.02)):
        ending = event
        if event["type"] == "progress" and event["stage"] == "denoising":
            steps.append(event["step"])
            if event["step"] == 3:
                rank.cancel("vid_1-1")
    assert ending["error"]["code"] == "cancelled"
    assert max(steps) <= 5, "one step was under way, one more may have been queued"
    assert scratch_of(media) == []
    assert objects(tmp_path) == before


def test_the_cancel_flag_stops_a_clip_whose_frames_are_written(rank: RankProcess) -> None:
    ending: Event = {}
    for event in rank.whole(task(steps=1, frame_seconds=0.05)):
        ending = event
        if event["type"] == "progress" and event["stage"] == "decoding":
            rank.cancel("vid_1-1")
    assert ending["error"]["code"] == "cancelled"


def test_a_cancel_for_another_attempt_is_not_heard(rank: RankProcess) -> None:
    ending: Event = {}
    for event in rank.whole(task(fence=2, steps=3, step_seconds=0.01)):
        rank.cancel("vid_1-1")
        ending = event
    assert ending["type"] == "done"


# --- failing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "disposition"),
    [
        ("out_of_memory", "fallback"),
        ("input_refused", "fallback"),
        ("encode_failed", "retry"),
        ("runner_error", "retry"),
    ],
)
def test_typed_errors_become_error_events_with_their_disposition(
    rank: RankProcess, media: MediaStore, code: str, disposition: str
) -> None:
    error = last(rank.whole(task(steps=3, fail=code, at_step=2)))["error"]
    assert (error["code"], error["disposition"]) == (code, disposition)
    assert scratch_of(media) == []
    assert last(rank.whole(task(fence=2)))["type"] == "done", "the rank is free again"


class Runner:
    """A runner whose `generate` does what it is told."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act

    def generate(self, request: Any, monitor: Any) -> Any:
        del request, monitor
        return self._act()


@pytest.mark.parametrize(
    ("raised", "code", "disposition"),
    [
        (ZeroDivisionError("a bug"), "runner_error", "retry"),
        (MemoryError("no more"), "out_of_memory", "fallback"),
    ],
)
def test_undeclared_exceptions_are_typed_too(
    rank: RankProcess, raised: Exception, code: str, disposition: str
) -> None:
    def act() -> None:
        raise raised

    rank._runner = Runner(act)  # type: ignore[assignment]
    error = last(rank.whole(task()))["error"]
    assert (error["code"], error["disposition"]) == (code, disposition)
    assert str(raised) in error["message"]


def test_a_photograph_that_is_gone_is_told(rank: RankProcess, media: MediaStore) -> None:
    media.delete([photograph_key("up1")])
    error = last(rank.whole(task()))["error"]
    assert (error["code"], error["disposition"]) == ("media_unavailable", "retry")


def test_a_full_media_store_leaves_no_half_of_a_clip(
    rank: RankProcess, media: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, put = objects(tmp_path), MediaStore.put_file

    def fills_up(self: MediaStore, key: str, source: Path, kind: str) -> Any:
        if key.endswith("spritesheet"):
            raise MediaUnavailable("the disk is full")
        return put(self, key, source, kind)

    monkeypatch.setattr(MediaStore, "put_file", fills_up)
    monkeypatch.setattr(deliver_module, "STORE_PATIENCE_S", 0.0)
    error = last(rank.whole(task()))["error"]
    assert (error["code"], error["disposition"]) == ("media_unavailable", "retry")
    assert objects(tmp_path) == before


def test_a_finished_clip_waits_for_a_media_store_that_is_away(
    rank: RankProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    put = MediaStore.put_file

    def away(self: MediaStore, key: str, source: Path, kind: str) -> Any:
        if len(refused) < 3:
            refused.append(key)
            raise MediaUnavailable("away, as scripted")
        return put(self, key, source, kind)

    monkeypatch.setattr(MediaStore, "put_file", away)
    monkeypatch.setattr(deliver_module, "STORE_RETRY_S", 0.01)
    assert last(rank.whole(task()))["type"] == "done"
    assert len(refused) == 3


def test_weights_that_are_not_there_are_an_answer_not_a_crash(media: MediaStore, tmp_path: Path) -> None:
    process = RankProcess("no-weights-i2v", "local", str(tmp_path / "nowhere"))
    outcome = process.load()
    assert not outcome["ok"]
    assert (outcome["error"]["code"], outcome["error"]["disposition"]) == ("checkpoint_missing", "fallback")
    assert last(process.whole(task()))["error"]["code"] == "checkpoint_missing"


def test_an_unknown_runner_is_named_and_a_missing_import_of_a_known_one_is_not_mistaken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointMissing, match="'nobody'"):
        runner_factory("nobody")
    import models.runners

    (tmp_path / "lacking.py").write_text("import a_package_that_is_not_installed\n")
    monkeypatch.setattr(models.runners, "__path__", [*models.runners.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_installed"):
        runner_factory("lacking")


def test_two_clips_never_run_at_once_on_one_runner(rank: RankProcess) -> None:
    at_work: list[int] = []
    most: list[int] = []

    def act() -> None:
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.05)
        at_work.pop()
        raise ZeroDivisionError

    rank._runner = Runner(act)  # type: ignore[assignment]
    first, second = rank.whole(task(fence=1)), rank.whole(task(fence=2))
    next(first)
    next(second)
    list(first)
    list(second)
    assert most == [1, 1]


# --- what drives a clip ----------------------------------------------------------------------------------


class Listener:
    """A runner that remembers what it was asked, and what was in the files it was given."""

    def __init__(self, audio: Sound | None = None) -> None:
        self.requests: list[RunRequest] = []
        self.heard: list[bytes] = []
        self._audio = audio

    def generate(self, request: RunRequest, monitor: Any) -> RunResult:
        del monitor
        self.requests.append(request)
        self.heard += [path.read_bytes() for path in (request.driving_video, request.audio) if path]
        frames = (np.full((48, 64, 3), 30 * n, np.uint8) for n in range(8))
        return RunResult(frames, audio=self._audio)

    def unload(self) -> None:
        pass


def test_drivers_reach_the_runner_as_files_that_go_with_the_clip(
    rank: RankProcess, media: MediaStore
) -> None:
    runner = rank._runner = Listener()
    media.put_bytes("drivers/v", b"a dance", "video/mp4")
    media.put_bytes("drivers/s", b"a song", "audio/wav")
    asked = replace(
        task(), offer="turbo", driving_video_key="drivers/v", audio_key="drivers/s", generate_audio=True
    )
    assert last(rank.whole(asked))["type"] == "done"
    assert last(rank.whole(task(fence=2)))["type"] == "done"
    driven, plain = runner.requests
    assert runner.heard == [b"a dance", b"a song"]
    assert (driven.offer, driven.generate_audio) == ("turbo", True)
    assert (plain.offer, plain.driving_video, plain.audio, plain.generate_audio) == (None, None, None, False)
    assert scratch_of(media) == []


def test_a_driver_that_is_gone_is_the_media_stores_fault(rank: RankProcess) -> None:
    rank._runner = Listener()
    done = last(rank.whole(replace(task(), driving_video_key="drivers/gone")))
    assert done["error"]["code"] == MediaUnavailable.code


@pytest.mark.parametrize(
    ("changes", "sounds"), [({}, False), ({"generate_audio": True}, True), ({"audio_key": "drivers/s"}, True)]
)
def test_a_clip_sounds_where_sound_was_asked_for_or_given(
    rank: RankProcess, media: MediaStore, tmp_path: Path, changes: dict[str, Any], sounds: bool
) -> None:
    tone = np.sin(np.arange(48_000) / 20.0).astype(np.float32)[None, :] * 0.3
    rank._runner = Listener(Sound(tone, 48_000))
    media.put_bytes("drivers/s", b"a song", "audio/wav")
    done = last(rank.whole(replace(task(), **changes)))
    video = tmp_path / "out.mp4"
    video.write_bytes(media.read(done["media"]["video"]["key"]))
    assert (probe(video).audio is not None) is sounds
