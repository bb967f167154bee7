"""One photograph in, one routed clip out, through the whole real path."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from models.runners.encode import probe
from tests.e2e.live import LiveStack

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = ROOT / "examples" / "photographs" / "portrait.jpg"
LANDSCAPE = ROOT / "examples" / "photographs" / "landscape.jpg"


def download(stack: LiveStack, job_id: str, target: Path, variant: str = "video") -> Path:
    response = httpx.get(f"{stack.url}/v1/videos/{job_id}/content", params={"variant": variant}, timeout=60)
    assert response.status_code == 200, response.text
    target.write_bytes(response.content)
    return target


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_camera_move_on_a_photograph_becomes_the_promised_clip(stack: LiveStack, tmp_path: Path) -> None:
    job = stack.submit(
        "Slow push in",
        camera="push_in",
        size="768x512",
        seconds="3",
        fps="24",
        **{"routing[objective]": "preview"},
    )
    assert job["status"] == "queued"
    assert job["routing"]["chosen"]["model"] == "parallax"
    done = stack.wait_final(job["id"])
    assert done["status"] == "completed", done
    assert done["served_model"] == "parallax"
    assert done["progress"] == 100
    assert done["usage"]["gpu_seconds"] > 0
    clip = probe(download(stack, job["id"], tmp_path / "clip.mp4"))
    assert (clip.width, clip.height, clip.num_frames) == (768, 512, 72)
    assert float(clip.fps) == 24.0
    assert done["geometry"]["effective"]["num_frames"] == 72
    pictures = frames(tmp_path / "clip.mp4")
    moved = float(np.abs(pictures[0].astype(int) - pictures[-1].astype(int)).mean())
    assert moved > 3, "the picture stands still"
    for variant in ("thumbnail", "spritesheet"):
        with Image.open(download(stack, job["id"], tmp_path / f"{variant}.jpg", variant)) as picture:
            assert min(picture.size) >= 64


def test_a_real_diffusers_wan_pipeline_scales_from_zero_and_makes_the_clip(
    stack: LiveStack, tmp_path: Path
) -> None:
    job = stack.submit("She turns her head slightly", model="tiny-wan-i2v", seconds="1", seed="7")
    done = stack.wait_final(job["id"], 180)
    assert done["status"] == "completed", done
    assert done["served_model"] == "tiny-wan-i2v"
    effective = done["geometry"]["effective"]
    clip = probe(download(stack, job["id"], tmp_path / "clip.mp4"))
    assert (clip.width, clip.height, clip.num_frames) == (
        effective["width"], effective["height"], effective["num_frames"],
    )  # fmt: skip


def test_events_tell_the_whole_story_and_resume(stack: LiveStack) -> None:
    job = stack.submit('a walk [[fake {"steps": 6, "step_seconds": 0.2}]]', model="fake-i2v")
    stack.wait_final(job["id"])
    text = httpx.get(f"{stack.url}/v1/videos/{job['id']}/events", timeout=30).text
    events = [block for block in text.split("\n\n") if "id:" in block]
    kinds = [
        line.split(":", 1)[1].strip()
        for block in events
        for line in block.splitlines()
        if line.startswith("event:")
    ]
    assert kinds[0] == "queued"
    assert kinds[-1] == "completed"
    assert "progress" in kinds
    resumed = httpx.get(
        f"{stack.url}/v1/videos/{job['id']}/events",
        headers={"Last-Event-ID": str(len(events) - 1)},
        timeout=30,
    ).text
    assert resumed.count("id:") == 1


def test_the_command_line_runs_routes_and_lists(stack: LiveStack, tmp_path: Path) -> None:
    def i2v(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "router.cli", *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={"PATH": "/usr/bin:/bin", "I2V_SERVER": stack.url, "HOME": str(tmp_path)},
        )  # fmt: skip

    out = tmp_path / "clip.mp4"
    run = i2v(
        "run", str(LANDSCAPE), "--prompt", "Pan left over the landscape", "--camera", "pan_left",
        "--seconds", "2", "--objective", "preview", "--out", str(out), "--json",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["video"]["status"] == "completed"
    assert probe(out).num_frames > 0
    live = i2v("route", "--image", str(PORTRAIT), "--prompt", "blink", "--fleet", "live", "--json")
    assert live.returncode == 0, live.stderr
    assert {"chosen", "rejected", "candidates"} <= set(json.loads(live.stdout))
    listed = i2v("jobs", "ls", "--json")
    assert listed.returncode == 0
    refused = i2v("run", str(ROOT / "README.md"), "--prompt", "x", "--out", str(out))
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr


def test_an_impossible_request_is_a_4xx_that_says_what_is_possible(stack: LiveStack) -> None:
    response = httpx.post(
        f"{stack.url}/v1/videos",
        data={"prompt": "walk", "model": "tiny-wan-i2v", "size": "3840x2160", "seconds": "60"},
        files={"input_reference": ("p.jpg", PORTRAIT.read_bytes(), "image/jpeg")},
        timeout=60,
    )
    assert response.status_code == 422, response.text
    body = response.json()
    assert body["error"]["code"] == "no_route"
    assert body["decision"]["rejected"]
    assert body["decision"]["counter_offers"]


def test_missing_weights_fall_back_or_fail_with_the_reason(stack: LiveStack) -> None:
    job = stack.submit("a walk", model="no-weights-i2v")
    done = stack.wait_final(job["id"])
    assert done["status"] == "failed"
    assert "checkpoint" in json.dumps(done["attempts"]).lower()


def test_a_full_range_request_serves_parts_of_the_clip(stack: LiveStack) -> None:
    job = stack.submit("hold", camera="static", seconds="1", **{"routing[objective]": "preview"})
    stack.wait_final(job["id"])
    url = f"{stack.url}/v1/videos/{job['id']}/content"
    whole = httpx.get(url, timeout=30).content
    part = httpx.get(url, headers={"Range": "bytes=10-99"}, timeout=30)
    assert part.status_code == 206
    assert part.content == whole[10:100]
    assert io.BytesIO(whole).read(12)[4:8] == b"ftyp"


def test_a_request_id_is_given_once_and_the_clients_is_kept(stack: LiveStack) -> None:
    given = httpx.get(f"{stack.url}/healthz", headers={"X-Request-Id": "req-of-a-client"}, timeout=10)
    assert given.headers.get_list("x-request-id") == ["req-of-a-client"]
    drawn = httpx.get(f"{stack.url}/v1/videos/vid_unknown", timeout=10)
    assert drawn.headers.get_list("x-request-id") == [drawn.json()["request_id"]]
