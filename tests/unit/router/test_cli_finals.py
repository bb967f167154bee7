"""`i2v jobs finalize` and `feedback`, and what drives a clip on its way to the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from router import cli_jobs
from router.cli import app
from tests.unit.router.cli_server import DECISION, Api, job, serving

RUNNER = CliRunner()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr("router.cli.POLL_S", 0.0)
    monkeypatch.setattr(cli_jobs, "POLL_S", 0.0)
    monkeypatch.setenv("COLUMNS", "160")
    with serving() as state:
        yield state


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(b"photo")
    return path


def i2v(*arguments: object) -> Result:
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


FINAL = {
    "model": "wan2.2-i2v-a14b",
    "geometry": {"width": 1280, "height": 720},
    "predicted": {"seconds": 200.0, "wait_seconds": 40.0, "usd": 0.26},
}


def test_a_completed_preview_tells_what_its_final_takes(api: Api) -> None:
    draft = job("completed", routing={**DECISION, "final_estimate": FINAL})
    api.on("GET", "/v1/videos/vid_1", draft)
    done = i2v("jobs", "wait", "vid_1", "--server", api.url)
    assert "`i2v jobs finalize vid_1` makes it in earnest: wan2.2-i2v-a14b, 1280x720" in done.stderr
    assert "in about 240 s for $0.26" in done.stderr.replace("\n", " ")


def test_jobs_finalize_names_the_new_job(api: Api) -> None:
    api.on("POST", "/v1/videos/vid_1/finalize", job("queued", id="vid_2", finalizes="vid_1"))
    done = i2v("jobs", "finalize", "vid_1", "--max-cost", "0.5", "--json", "--server", api.url)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["finalizes"] == "vid_1"
    (_, _, body, _) = api.requests[0]
    assert json.loads(body) == {"max_cost_usd": 0.5}


@pytest.mark.parametrize(
    ("arguments", "sent", "told"),
    [
        (["up"], {"rating": 1}, "vid_1: thumb up; counts for alpha, portrait"),
        (["down", "--comment", "blurry"], {"rating": -1, "comment": "blurry"}, "thumb down"),
        (["--better-than", "vid_2"], {"better_than": "vid_2"}, "better than vid_2"),
    ],
)
def test_jobs_feedback(api: Api, arguments: list[str], sent: dict[str, Any], told: str) -> None:
    api.on("POST", "/v1/videos/vid_1/feedback", {"id": "vid_1", "model": "alpha", "use_case": "portrait"})
    done = i2v("jobs", "feedback", "vid_1", *arguments, "--server", api.url)
    assert done.exit_code == 0
    assert told in done.stdout
    assert json.loads(api.requests[0][2]) == sent


def test_run_sends_what_drives_the_clip(api: Api, photo: Path, tmp_path: Path) -> None:
    for name in ("dance.mp4", "song.wav"):
        (tmp_path / name).write_bytes(name.encode())
    api.on("POST", "/v1/videos", job("completed"))
    api.on("GET", "/v1/videos/vid_1", job("completed"))
    api.on("GET", "/v1/videos/vid_1/content", b"clip")
    done = i2v(
        "run", photo, "--prompt", "x", "--out", tmp_path / "clip.mp4", "--server", api.url,
        "--driving-video", tmp_path / "dance.mp4", "--audio", tmp_path / "song.wav",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    body = api.requests[0][2]
    assert b'name="driving_video"; filename="dance.mp4"' in body
    assert b'name="audio"; filename="song.wav"' in body
