"""Bad days: a locked database, a media store that refuses writes, bombs and floods, on the live stack."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from struct import pack

import httpx
import psutil
import pytest
from PIL import Image

from tests.e2e.live import LiveStack, wait_for

pytestmark = pytest.mark.e2e
GATEWAY = "ServeReplica:gateway:Gateway"


def post(stack: LiveStack, content: bytes, name: str = "p.jpg", **fields: str) -> httpx.Response:
    return httpx.post(
        f"{stack.url}/v1/videos",
        data={"prompt": "a walk", **fields},
        files={"input_reference": (name, content, "image/jpeg")},
        timeout=120,
    )


def job_count(stack: LiveStack) -> int:
    counts = httpx.get(f"{stack.url}/v1/fleet", timeout=10).json()["jobs"]
    return int(sum(counts.values()))


def png_of_zeros(width: int, height: int) -> bytes:
    """A valid PNG header and data that unpack to width x height grey pixels, in a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))

    rows = zlib.compress(bytes((width + 1) * height), 9)
    header = pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_locked_database_is_a_503_and_running_clips_go_on(stack: LiveStack) -> None:
    running = stack.submit('a walk [[fake {"steps": 30, "step_seconds": 0.3}]]', model="fake-i2v")["id"]
    wait_for("it to run", lambda: stack.job(running)["status"] == "in_progress")
    before = job_count(stack)
    holder = sqlite3.connect(
        Path(stack.environment["I2V_HOME"]) / "jobs.db", isolation_level=None, timeout=10
    )
    try:
        holder.execute("BEGIN IMMEDIATE")
        refused = post(stack, portrait(), model="fake-i2v")
        assert refused.status_code == 503, refused.text
        assert refused.json()["error"]["code"] == "store_unavailable"
        holder.execute("ROLLBACK")
    finally:
        holder.close()
    assert stack.wait_final(running)["status"] == "completed"
    assert job_count(stack) == before


def portrait() -> bytes:
    root = Path(__file__).resolve().parents[2]
    return (root / "examples" / "photographs" / "portrait.jpg").read_bytes()


def test_a_finished_clip_waits_for_a_media_store_that_refuses_writes(stack: LiveStack) -> None:
    media = Path(stack.environment["I2V_HOME"]) / "media"
    job = stack.submit('a walk [[fake {"steps": 10, "step_seconds": 0.2}]]', model="fake-i2v")["id"]
    aside = media / "aside"
    clips = media / "clips"
    clips.mkdir(exist_ok=True)
    clips.rename(aside)
    clips.write_text("no directory any more")
    try:
        wait_for("it to be stored", lambda: stack.job(job)["progress_detail"]["stage"] == "storing")
        time.sleep(3)
        assert stack.job(job)["status"] == "in_progress"
    finally:
        clips.unlink()
        aside.rename(clips)
    done = stack.wait_final(job)
    assert done["status"] == "completed"
    assert len(done["attempts"]) == 1, "what was made is not made again"


def test_uploads_that_cannot_be_stored_are_refused_not_accepted(stack: LiveStack) -> None:
    media = Path(stack.environment["I2V_HOME"]) / "media"
    photographs, aside = media / "photographs", media / "photographs-aside"
    before = job_count(stack)
    photographs.mkdir(exist_ok=True)
    photographs.rename(aside)
    photographs.write_text("no directory any more")
    try:
        refused = post(stack, portrait(), model="fake-i2v")
    finally:
        photographs.unlink()
        aside.rename(photographs)
    assert refused.status_code == 503, refused.text
    assert refused.json()["error"]["code"] == "media_unavailable"
    assert job_count(stack) == before


def test_a_bomb_is_refused_within_bounded_memory(stack: LiveStack) -> None:
    (pid,) = wait_for("the Gateway", lambda: stack.pids(GATEWAY))
    gateway = psutil.Process(pid)
    bomb = png_of_zeros(13_000, 13_000)
    assert len(bomb) < 200_000
    start = gateway.memory_info().rss
    peak = start
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, gateway.memory_info().rss)
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        responses = [post(stack, bomb, "bomb.png") for _ in range(5)]
    finally:
        done.set()
        watcher.join()
    assert {response.status_code for response in responses} == {413}
    assert peak <= max(300 * 2**20, start + 100 * 2**20), f"{peak / 2**20:.0f} MiB (from {start / 2**20:.0f})"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)  # type: ignore[arg-type]
    return target.getvalue()


def test_client_faults_are_client_errors(stack: LiveStack) -> None:
    before = job_count(stack)
    frames = [Image.new("RGB", (64, 64), shade) for shade in ("red", "blue")]
    bad = {
        "text": b"this is not an image",
        "empty": b"",
        "truncated": portrait()[:20_000],
        "one pixel": encoded(Image.new("RGB", (1, 1)), "PNG"),
        "animated": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "gif": encoded(frames[0], "GIF"),
    }
    for name, content in bad.items():
        response = post(stack, content)
        assert 400 <= response.status_code < 500, (name, response.status_code, response.text)
        body = response.json()
        assert body["error"]["code"], name
        assert body["error"]["message"], name
        assert body["status"] == response.status_code
    fields = {
        "seconds": "-1", "fps": "0", "size": "12", "seed": "-5", "deadline_s": "nan", "max_cost_usd": "-1",
        "camera": "sideways", "routing[objective]": "beauty", "motion": "wild", "priority": "urgent",
        "nonsense": "1",
    }  # fmt: skip
    for name, value in fields.items():
        response = post(stack, portrait(), **{name: value})
        assert response.status_code == 400, (name, response.status_code, response.text)
        assert name.split("[")[0] in json.dumps(response.json()), name
    assert post(stack, portrait(), model="no-such-model").status_code == 404
    assert job_count(stack) == before


def test_odd_but_good_photographs_are_accepted(stack: LiveStack) -> None:
    upright = Image.new("RGB", (320, 200), "green")
    rotated = Image.Exif()
    rotated[0x0112] = 6
    good = {
        "cmyk": encoded(upright.convert("CMYK"), "JPEG"),
        "alpha": encoded(upright.convert("RGBA"), "PNG"),
        "palette": encoded(upright.convert("P"), "PNG"),
        "exif": encoded(upright, "JPEG", exif=rotated.tobytes()),
    }
    for name, content in good.items():
        response = post(stack, content, **{"model": "fake-i2v", "seconds": "1"})
        assert response.status_code == 202, (name, response.text)
        job = stack.wait_final(response.json()["id"])
        assert job["status"] == "completed", (name, job)
        if name == "exif":
            effective = job["geometry"]["effective"]
            assert effective["height"] > effective["width"], "the photograph must have been turned upright"


def test_a_flood_upload_is_cut_off(stack: LiveStack) -> None:
    def flood():  # type: ignore[no-untyped-def]
        yield b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nwalk\r\n'
        yield b'--b\r\nContent-Disposition: form-data; name="input_reference"; filename="x"\r\n\r\n'
        for _ in range(200):
            yield b"\xff" * 2**20

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        response = httpx.post(f"{stack.url}/v1/videos", content=flood(), headers=headers, timeout=120)
    except httpx.TransportError:
        return  # cut off while sending
    assert response.status_code == 413, response.text


def test_ray_takes_no_code_from_strangers(stack: LiveStack) -> None:
    assert stack.process is not None
    members = psutil.Process(stack.process.pid).children(recursive=True)
    (store,) = [member for member in members if "gcs_server" in member.name()]
    ports = [one.laddr.port for one in store.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN]
    code = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False); print('connected')"
    cases = {
        "no token": {"RAY_AUTH_MODE": "disabled"},
        "wrong token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
        "its own token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": store.environ()["RAY_AUTH_TOKEN"]},
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    connected = {}
    for case, extra in cases.items():
        visitor = subprocess.run(
            [sys.executable, "-c", code, f"127.0.0.1:{ports[0]}"],
            capture_output=True, text=True, check=False, timeout=120, env=clean | extra,
        )  # fmt: skip
        connected[case] = "connected" in visitor.stdout
    assert connected == {"no token": False, "wrong token": False, "its own token": True}
