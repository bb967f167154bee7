from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.card import Card
from models.errors import Cancelled, ConfigError, I2VError, InputRefused, OutOfMemory, RunnerError
from models.runners.base import RunRequest, Stage
from models.runners.encode import encode_clip, probe
from models.runners.fake import FakeRunner, Script, load, read_script
from models.types import ClipPlan, Fit, Framing, Geometry

GEOMETRY = Geometry(160, 96, 9, 16)
SOURCED = {"source": "this test", "checked_at": date(2026, 1, 1)}
CARD = Card.model_validate(
    {
        **{"id": "fake", "title": "Fake", "family": "fake", "vendor": "i2v-router", "makes": "rendered"},
        **{"status": "live", "checked_at": date(2026, 1, 1), "tasks": ["ti2v"], "summary": "for tests"},
        "licence": {**SOURCED, "id": "Apache-2.0", "commercial": "yes"},
        "weights": {**SOURCED, "kind": "none"},
        "controls": {**SOURCED, "camera": {**SOURCED, "kind": "prompt"}},
        "input_image": SOURCED,
        "cost": {"rendering": {**SOURCED, "seconds_per_megapixel": 0.1, "fixed_seconds": 0.1}},
        "quality": {**SOURCED, "elo": 1000, "sd": 100, "board": "none"},
        "offers": [
            {
                **{"id": "local", "backend": "local", "runner": "fake"},
                "sampling": {**SOURCED, "steps": 5, "guidance": 1.0, "passes_per_step": 1},
                "modes": [
                    {
                        **SOURCED,
                        "name": "any",
                        "sizes": {"kind": "area", "pixels": 10**6, "min_pixels": 1, "multiple": 2},
                        "length": {"kind": "lattice", "step": 1, "offset": 0, "min": 1, "max": 500},
                        "fps": [16],
                    }
                ],
            }
        ],
    }
)


class Monitor:
    """Records all calls; cancels at a step when told so."""

    def __init__(self, cancel_at: int | None = None, previews: bool = False) -> None:
        self.calls: list[str] = []
        self.pictures: list[NDArray[np.uint8]] = []
        self.cancel_at = cancel_at
        self.previews = previews

    def stage(self, stage: Stage) -> None:
        self.calls.append(stage.value)

    def step(self, done: int, total: int, preview: NDArray[np.uint8] | None = None) -> None:
        if done == self.cancel_at:
            raise Cancelled("asked to stop")
        self.calls.append(f"{done}/{total}")
        if preview is not None:
            self.pictures.append(preview)

    def wants_preview(self) -> bool:
        return self.previews


def runner() -> FakeRunner:
    return load(CARD, CARD.offer("local"), checkpoint=None, device="cpu")


def request(script: dict[str, object] | None = None, steps: int | None = None) -> RunRequest:
    noise = np.random.default_rng(3).integers(0, 255, (12, 20, 3), np.uint8)
    image = Image.fromarray(noise).resize((400, 240))
    prompt = "waves" if script is None else f"waves [[fake {json.dumps(script)}]]"
    plan = ClipPlan(GEOMETRY, GEOMETRY, Framing(Fit.CROP, 1.0, 1.0))
    return RunRequest(image=image, prompt=prompt, plan=plan, seed=1, steps=steps)


def test_a_run_calls_the_monitor_as_a_real_runner_does() -> None:
    monitor = Monitor()
    runner().generate(request({"steps": 3}), monitor)
    assert monitor.calls == ["encoding_input", "denoising", "1/3", "2/3", "3/3", "decoding"]


def test_steps_come_from_script_then_request_then_offer() -> None:
    for asked, script, steps in ((None, None, 5), (7, None, 7), (7, {"steps": 2}, 2)):
        monitor = Monitor()
        runner().generate(request(script, asked), monitor)
        assert monitor.calls[-2] == f"{steps}/{steps}"


def test_frames_show_the_photograph_moving_and_encode(tmp_path: Path) -> None:
    result = runner().generate(request(), Monitor())
    frames = list(result.frames)
    assert len(frames) == GEOMETRY.num_frames
    assert all(frame.shape == (96, 160, 3) and frame.dtype == np.uint8 for frame in frames)
    # The window slides to the right: the last frame's lower left is the first frame's, shifted.
    shift = round(160 * 0.125)
    first, last = frames[0][40:, shift:].astype(int), frames[-1][40:, :-shift].astype(int)
    assert np.abs(first - last).mean() < 1
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 5
    assert "panned" in result.notes[0]
    encoded = encode_clip(iter(frames), GEOMETRY, tmp_path)
    assert probe(encoded.video).num_frames == 9


def test_previews_are_given_only_when_wanted() -> None:
    with_previews, without = Monitor(previews=True), Monitor()
    runner().generate(request(), with_previews)
    runner().generate(request(), without)
    assert [picture.shape for picture in with_previews.pictures] == [(96, 160, 3)] * 5
    assert without.pictures == []


def test_cancel_is_let_through() -> None:
    with pytest.raises(Cancelled):
        runner().generate(request(), Monitor(cancel_at=2))


RUNNER_ERRORS = [RunnerError, *RunnerError.__subclasses__()]


@pytest.mark.parametrize("error", RUNNER_ERRORS, ids=lambda error: error.code)
def test_every_runner_error_can_be_scripted(error: type[RunnerError]) -> None:
    with pytest.raises(error) as caught:
        runner().generate(request({"fail": error.code}), Monitor())
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("when", "at_step", "reported"),
    [("before", 2, 1), ("during", 2, 1), ("after", 2, 2), ("before", None, 4), ("after", None, 5)],
)
def test_the_fault_comes_at_its_step(when: str, at_step: int | None, reported: int) -> None:
    monitor = Monitor()
    with pytest.raises(OutOfMemory):
        runner().generate(request({"fail": "out_of_memory", "when": when, "at_step": at_step}), monitor)
    assert len([call for call in monitor.calls if "/" in call]) == reported


def test_a_fault_in_decoding_comes_half_way_through_the_frames() -> None:
    result = runner().generate(request({"fail": "rank_lost", "when": "decoding"}), Monitor())
    assert len(list(itertools.islice(result.frames, 4))) == 4
    with pytest.raises(RunnerError, match="at frame 4 of 9"):
        next(result.frames)


def test_once_fails_only_the_first_attempt(tmp_path: Path) -> None:
    script: dict[str, object] = {"fail": "runner_error", "once": True, "marker_dir": str(tmp_path / "m")}
    with pytest.raises(RunnerError):
        runner().generate(request(script), Monitor())
    for _ in range(2):
        assert len(list(runner().generate(request(script), Monitor()).frames)) == 9


def test_on_attempts_names_the_attempts(tmp_path: Path) -> None:
    script: dict[str, object] = {"fail": "stalled", "on_attempts": [2, 3], "marker_dir": str(tmp_path)}
    failed = []
    for attempt in range(1, 5):
        try:
            runner().generate(request(script), Monitor())
        except RunnerError:
            failed.append(attempt)
    assert failed == [2, 3]


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from test_fake_runner import Monitor, request, runner
script = {script!r}
print("started", flush=True)
runner().generate(request(script), Monitor())
print("finished", flush=True)
"""


def child(script: dict[str, object]) -> subprocess.Popen[str]:
    code = CHILD.format(tests=str(Path(__file__).parent), script=script)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_exit_ends_the_process_and_the_next_attempt_succeeds(tmp_path: Path) -> None:
    script: dict[str, object] = {"fail": "exit", "once": True, "marker_dir": str(tmp_path)}
    outcomes = []
    for _ in range(2):
        with child(script) as process:
            printed, _ = process.communicate(timeout=60)
            outcomes.append((process.returncode, printed.split()))
    assert outcomes == [(137, ["started"]), (0, ["started", "finished"])]


def test_hang_lasts_until_killed() -> None:
    with child({"fail": "hang", "at_step": 1}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)
        process.kill()
        assert process.wait(timeout=30) == -9
        assert process.stdout.read() == ""


def test_steps_take_their_time() -> None:
    begin = time.perf_counter()
    runner().generate(request({"steps": 4, "step_seconds": 0.02}), Monitor())
    assert time.perf_counter() - begin >= 0.08


def test_script_of_a_file_is_used_when_the_prompt_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"steps": 9}')
    monkeypatch.setenv("I2V_FAKE_SCRIPT", str(path))
    assert read_script("a prompt").steps == 9
    assert read_script('a prompt [[fake {"steps": 2}]]').steps == 2
    monkeypatch.delenv("I2V_FAKE_SCRIPT")
    assert read_script("a prompt") == Script()


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ('{"stepz": 1}', "stepz"),
        ('{"steps": 0}', "steps"),
        ('{"fail": "no_such_error"}', "out_of_memory"),
        ('{"once": true, "fail": "exit"}', "marker_dir"),
        ('{"once": true, "on_attempts": [1], "marker_dir": "x"}', "not both"),
        ("{not json}", "script"),
    ],
)
def test_a_wrong_script_says_what_is_wrong(
    script: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputRefused, match=named) as caught:
        read_script(f"waves [[fake {script}]]")
    assert caught.value.param == "prompt"
    path = tmp_path / "script.json"
    path.write_text(script)
    monkeypatch.setenv("I2V_FAKE_SCRIPT", str(path))
    with pytest.raises(ConfigError, match=named) as in_file:
        read_script("waves")
    assert in_file.value.param == "I2V_FAKE_SCRIPT"


def test_a_missing_script_file_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("I2V_FAKE_SCRIPT", "/nonexistent/script.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_script("waves")


def test_an_unloaded_runner_refuses() -> None:
    used = runner()
    used.unload()
    with pytest.raises(I2VError, match="unloaded"):
        used.generate(request(), Monitor())
