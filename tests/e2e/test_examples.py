"""What the documents and the examples show, run against a live stack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from models.runners.encode import probe
from tests.e2e.live import LiveStack

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
SHOWN_SERVER = "http://127.0.0.1:8000"


def run(script: Path, *arguments: str, cwd: Path, server: str) -> str:
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=cwd,
        env={**os.environ, "I2V_SERVER": server, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_quickstart_goes_through_all_its_steps(stack: LiveStack, tmp_path: Path) -> None:
    told = run(ROOT / "examples" / "quickstart.py", str(tmp_path / "out"), cwd=tmp_path, server=stack.url)
    assert re.findall(r"^(\d)\.", told, re.MULTILINE) == [str(step) for step in range(1, 9)]
    for name in ("clip.mp4", "remix.mp4"):
        clip = probe(tmp_path / "out" / name)
        assert (clip.width, clip.height) == (480, 320)
        assert clip.num_frames / float(clip.fps) == pytest.approx(2)
    for name in ("thumbnail.jpg", "spritesheet.jpg"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) >= 64
    assert (tmp_path / "out" / "clip.mp4").read_bytes() != (tmp_path / "out" / "remix.mp4").read_bytes()


def test_the_quickstart_says_where_it_looked_when_no_server_is_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "quickstart.py"), str(tmp_path)],
        env={**os.environ, "I2V_SERVER": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "http://127.0.0.1:9 cannot be reached" in done.stderr


@pytest.mark.parametrize("phrase", ["from openai import OpenAI", "from router.client import Client"])
def test_the_clients_of_the_api_document_make_a_clip(stack: LiveStack, tmp_path: Path, phrase: str) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    (code,) = [body for body in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if phrase in body]
    assert SHOWN_SERVER in code
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    script = tmp_path / "shown.py"
    script.write_text(code.replace(SHOWN_SERVER, stack.url), encoding="utf-8")
    run(script, cwd=tmp_path, server=stack.url)
    clip = probe(tmp_path / "clip.mp4")
    assert (clip.width, clip.height) == (768, 512)
    assert clip.num_frames / float(clip.fps) == pytest.approx(3)
