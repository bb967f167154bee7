from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from router import cli_jobs
from router.cli import app
from router.cli_options import Motion
from router.client import connection
from router.multipart import expand
from router.schemas import CreateVideo, parse
from tests.unit.router.cli_server import DECISION, NOTHING, Api, job, serving

RUNNER = CliRunner()


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as state:
        yield state


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACKOFF_S", 0.0)
    monkeypatch.setattr("router.cli.POLL_S", 0.0)
    monkeypatch.setattr(cli_jobs, "POLL_S", 0.0)
    monkeypatch.delenv("I2V_SERVER", raising=False)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.linear_gradient("L").convert("RGB").resize((640, 448)).save(path)
    return path


def i2v(*arguments: object) -> Result:
    return RUNNER.invoke(app, [str(argument) for argument in arguments])


def refusal(code: str, status: int, **more: Any) -> dict[str, Any]:
    error = {"message": f"refused: {code}", "type": "x", "param": "size", "code": code}
    return {
        "type": "t",
        "title": "T",
        "status": status,
        "detail": "d",
        "request_id": "r",
        "error": error,
        **more,
    }


def sent_wishes(api: Api) -> CreateVideo:
    """What the server would understand of the last form."""
    _, _, body, kind = next(entry for entry in reversed(api.requests) if entry[0] == "POST")
    message = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    fields = []
    for part in message.get_payload():
        assert not isinstance(part, str)
        if part.get_filename() is None:
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            fields.append((str(part.get_param("name", header="content-disposition")), content.decode()))
    return parse(CreateVideo, {name: value for name, value in expand(fields).items() if name != "fleet"})


# --- run ---------------------------------------------------------------------------------------


def test_run_sends_waits_downloads_and_explains(api: Api, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    api.on("POST", "/v1/videos", job(), status=202)
    api.on("GET", "/v1/videos/vid_1", job(), job("in_progress"), job("completed"))
    api.on("GET", "/v1/videos/vid_1/content", b"a clip")
    done = i2v("run", photo, "--prompt", "slow push in", "--out", out, "--server", api.url)
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == b"a clip"
    for shown in ("parallax/local", "768x512, 3 s at 24 fps", "costs nothing [really]", "it is not running"):
        assert shown in done.stdout
    assert "made by parallax in 4.0 s (4.2 s predicted) for free with seed 7" in done.stdout
    assert "vid_1 accepted" in done.stderr
    assert "in progress: rendering, step 2/5, 3.0 s left" in done.stderr


def test_run_json_is_one_document(api: Api, photo: Path, tmp_path: Path) -> None:
    api.on("POST", "/v1/videos", job(), status=202)
    api.on("GET", "/v1/videos/vid_1", job("completed"))
    api.on("GET", "/v1/videos/vid_1/content", b"a clip")
    out = tmp_path / "c.mp4"
    done = i2v("run", photo, "--prompt", "x", "--out", out, "--server", api.url, "--json")
    assert json.loads(done.stdout) == {"video": job("completed"), "out": str(out)}
    assert done.stderr == ""


def test_every_shared_option_reaches_the_server(api: Api, photo: Path) -> None:
    api.on("POST", "/v1/videos", refusal("stop_here", 400), status=400)
    options = [
        *("--model", "auto", "--size", "832x480", "--seconds", "5", "--fps", "24", "--objective", "speed"),
        *(
            "--deadline",
            "60",
            "--max-cost",
            "0.5",
            "--camera",
            "push_in:required",
            "--camera",
            "pan_left,roll",
        ),
        *("--generate-audio", "--motion", "dynamic", "--residency", "self-hosted", "--allow", "a, b"),
        *("--deny", "c", "--seed", "9", "--priority", "high", "--last-image", photo),
    ]
    i2v("run", photo, "--prompt", "waves", *options, "--server", api.url)
    wishes = sent_wishes(api)
    assert (wishes.prompt, wishes.model, wishes.size, wishes.seconds, wishes.fps) == (
        *("waves", "auto", "832x480", 5.0, 24.0),
    )
    assert [(wish.move.value, wish.required) for wish in wishes.camera or ()] == [
        *(("push_in", True), ("pan_left", False), ("roll", False)),
    ]
    assert (wishes.objective, wishes.deadline_s, wishes.max_cost_usd) == ("speed", 60.0, 0.5)
    assert (wishes.motion, wishes.residency, wishes.priority) == ("dynamic", "self-hosted", "high")
    assert (wishes.allow, wishes.deny, wishes.seed, wishes.generate_audio) == (("a", "b"), ("c",), 9, True)
    assert b'name="last_image"' in api.requests[-1][2]


def test_options_not_given_are_not_sent(api: Api, photo: Path) -> None:
    api.on("POST", "/v1/videos", refusal("stop_here", 400), status=400)
    i2v("run", photo, "--prompt", "waves", "--server", api.url)
    assert sent_wishes(api).model_fields_set == {"prompt"}


def test_motion_words_are_those_of_the_api() -> None:
    assert [word.value for word in Motion] == ["subtle", "gentle", "moderate", "dynamic", "extreme"]


def test_failed_job_is_exit_1_with_the_reason(api: Api, photo: Path, tmp_path: Path) -> None:
    api.on("POST", "/v1/videos", job(), status=202)
    error = {"code": "out_of_memory", "message": "needs 40 GB"}
    api.on("GET", "/v1/videos/vid_1", job("failed", error=error))
    done = i2v("run", photo, "--prompt", "x", "--out", tmp_path / "c.mp4", "--server", api.url)
    assert done.exit_code == 1
    assert "vid_1 failed: out_of_memory: needs 40 GB" in done.stderr
    assert "i2v jobs show vid_1" in done.stderr
    assert not (tmp_path / "c.mp4").exists()


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "step"),
    [
        ("invalid_request", 400, 2, None),
        ("unknown_model", 404, 2, "i2v models"),
        ("payload_too_large", 413, 2, None),
        ("no_route", 422, 1, "What would fit"),
        ("internal_error", 500, 1, None),
        ("store_unavailable", 503, 1, "try again"),
    ],
)
def test_refusals_have_a_reason_a_next_step_and_a_code(
    api: Api, photo: Path, code: str, status: int, exit_code: int, step: str | None
) -> None:
    api.on("POST", "/v1/videos", refusal(code, status), status=status)
    done = i2v("run", photo, "--prompt", "x", "--server", api.url)
    assert done.exit_code == exit_code
    assert f"error: refused: {code}" in done.stderr
    assert (step in done.stderr) if step else ("next:" not in done.stderr)


def test_no_route_shows_who_could_not_and_what_would_fit(api: Api, photo: Path) -> None:
    api.on("POST", "/v1/videos", refusal("no_route", 422, decision=NOTHING), status=422)
    done = i2v("run", photo, "--prompt", "x", "--server", api.url)
    assert "it is not running" in done.stderr
    assert "allow 5 s" in done.stderr
    as_json = i2v("run", photo, "--prompt", "x", "--server", api.url, "--json")
    assert json.loads(as_json.stdout)["error"]["decision"] == NOTHING
    assert as_json.exit_code == 1


def test_allowed_values_are_the_next_step(api: Api, photo: Path) -> None:
    api.on("POST", "/v1/videos", refusal("invalid_request", 400, allowed=["a", "b"]), status=400)
    assert "allowed: a, b" in i2v("run", photo, "--prompt", "x", "--server", api.url).stderr


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "command",
    [["models"], ["jobs", "ls"], ["jobs", "show", "vid_1"], ["jobs", "wait", "vid_1"], ["jobs", "rm", "v"]],
)
def test_no_server_is_exit_3_with_the_way_out(command: list[str]) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    done = i2v(*command, "--server", url)
    assert done.exit_code == 3
    assert f"{url} cannot be reached" in done.stderr
    assert "i2v serve" in done.stderr
    as_json = i2v(*command, "--server", url, "--json")
    assert json.loads(as_json.stdout)["error"]["code"] == "server_unreachable"


def test_server_comes_from_the_environment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("I2V_SERVER", api.url)
    api.on("GET", "/v1/videos", {"data": [], "has_more": False})
    assert i2v("jobs", "ls").stdout.strip() == "no jobs"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "nothing.jpg", "--prompt", "x"], "nothing.jpg"),
        (["run", "PHOTO"], "--prompt"),
        (["run", "PHOTO", "--prompt", "x", "--objective", "beauty"], "balanced"),
        (["run", "PHOTO", "--prompt", "x", "--seconds", "long"], "--seconds"),
        (["run", "PHOTO", "--prompt", "x", "--motion", "wild"], "gentle"),
        (["run", "PHOTO", "--prompt", "x", "--out", "/nonexistent/clip.mp4"], "/nonexistent"),
        (["run", "PHOTO", "--prompt", "x", "--out", "/tmp"], "directory"),
        (["route", "--image", "PHOTO", "--prompt", "x", "--audio", "PHOTO"], "audio: is not a WAV"),
        (["route", "--image", "PHOTO", "--prompt", "x", "--driving-video", "PHOTO"], "driving_video: is not"),
        (["jobs", "feedback", "vid_1"], "up"),
        (["route", "--image", "PHOTO", "--prompt", "x", "--fleet", "some"], "live"),
        (["jobs", "ls", "--limit", "0"], "limit"),
        (["jobs", "ls", "--server", "not-an-address"], "http://"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_names_what_is_wrong(arguments: list[str], named: str, photo: Path) -> None:
    done = i2v(*[str(photo) if part == "PHOTO" else part for part in arguments])
    assert done.exit_code == 2
    assert named in done.stderr


# --- jobs, models ------------------------------------------------------------------------------


def test_jobs_ls_reads_only_as_many_as_asked(api: Api) -> None:
    page = [job("completed", id=f"vid_{index}") for index in range(3)]
    api.on("GET", "/v1/videos", {"data": page, "has_more": True})
    done = i2v("jobs", "ls", "--limit", "3", "--status", "completed", "--server", api.url)
    assert re.findall(r"vid_\d", done.stdout) == ["vid_0", "vid_1", "vid_2"]
    assert [entry[1] for entry in api.requests] == ["/v1/videos?limit=3&order=desc&status=completed"]
    assert json.loads(i2v("jobs", "ls", "--limit", "3", "--server", api.url, "--json").stdout) == {
        "data": page
    }


def test_jobs_show(api: Api) -> None:
    attempt = {
        **{"attempt": 1, "status": "failed", "model": "wan", "offer": "local", "gpus": 1},
        "error": {"message": "lost"},
    }
    api.on("GET", "/v1/videos/vid_1", job("in_progress", attempts=[attempt]))
    shown = i2v("jobs", "show", "vid_1", "--server", api.url).stdout
    for expected in (
        "slow push in",
        "failed, wan/local on 1 GPU(s): lost",
        "2027-01-15 08:00:00 UTC",
        "chosen",
    ):
        assert expected in shown
    as_json = json.loads(i2v("jobs", "show", "vid_1", "--server", api.url, "--json").stdout)
    assert as_json == job("in_progress", attempts=[attempt])


def test_jobs_wait_downloads_when_told(api: Api, tmp_path: Path) -> None:
    api.on("GET", "/v1/videos/vid_1", job(), job("completed"))
    api.on("GET", "/v1/videos/vid_1/content", b"a clip")
    out = tmp_path / "clip.mp4"
    assert i2v("jobs", "wait", "vid_1", "--out", out, "--server", api.url).exit_code == 0
    assert out.read_bytes() == b"a clip"
    without = i2v("jobs", "wait", "vid_1", "--server", api.url)
    assert "i2v jobs wait vid_1 --out clip.mp4" in without.stdout


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
def test_jobs_wait_is_exit_1_at_any_other_end(api: Api, status: str) -> None:
    api.on("GET", "/v1/videos/vid_1", job(status))
    assert i2v("jobs", "wait", "vid_1", "--server", api.url).exit_code == 1


def test_jobs_wait_gives_up_at_its_timeout(api: Api) -> None:
    api.on("GET", "/v1/videos/vid_1", job("in_progress"))
    done = i2v("jobs", "wait", "vid_1", "--timeout", "0", "--server", api.url)
    assert done.exit_code == 1
    assert "still in_progress" in done.stderr


def test_jobs_cancel_and_rm_take_several(api: Api) -> None:
    for name in ("vid_1", "vid_2"):
        api.on("POST", f"/v1/videos/{name}/cancel", job("cancelled", id=name))
        api.on("DELETE", f"/v1/videos/{name}", {"id": name, "deleted": True})
    cancelled = i2v("jobs", "cancel", "vid_1", "vid_2", "--server", api.url)
    assert cancelled.stdout.count("cancelled") == 2
    removed = i2v("jobs", "rm", "vid_1", "vid_2", "--server", api.url, "--json")
    assert json.loads(removed.stdout)["data"] == [
        {"id": "vid_1", "deleted": True},
        {"id": "vid_2", "deleted": True},
    ]


def test_unknown_job_is_exit_1(api: Api) -> None:
    api.on("GET", "/v1/videos/vid_9", refusal("job_not_found", 404), status=404)
    done = i2v("jobs", "show", "vid_9", "--server", api.url)
    assert done.exit_code == 1
    assert "i2v jobs ls" in done.stderr


def test_models_of_the_server(api: Api) -> None:
    cards = [{"id": "parallax", "title": "Parallax", "readiness": "warm", "tasks": ["i2v"], "status": "live"}]
    api.on("GET", "/v1/models", {"data": cards})
    assert re.search(r"parallax\s+Parallax\s+i2v\s+live\s+warm", i2v("models", "--server", api.url).stdout)


def test_models_of_the_catalog_need_no_server() -> None:
    listed = json.loads(i2v("models", "--fleet", "all", "--json").stdout)["data"]
    assert "parallax" in {card["id"] for card in listed}


# --- route -------------------------------------------------------------------------------------


def test_route_live_asks_the_server(api: Api, photo: Path) -> None:
    api.on("POST", "/v1/route", DECISION)
    asked = ["route", "--image", photo, "--prompt", "x", "--fleet", "live", "--size", "832x480"]
    done = i2v(*asked, "--server", api.url, "--json")
    assert json.loads(done.stdout) == DECISION
    assert sent_wishes(api).size == "832x480"
    assert b"live" in api.requests[-1][2]


def test_route_live_with_nothing_chosen_is_exit_1(api: Api, photo: Path) -> None:
    api.on("POST", "/v1/route", NOTHING)
    done = i2v("route", "--image", photo, "--prompt", "x", "--fleet", "live", "--server", api.url)
    assert done.exit_code == 1
    assert "No model can do this." in done.stdout
    assert "allow 5 s" in done.stdout


def test_route_all_decides_here(photo: Path) -> None:
    done = i2v("route", "--image", photo, "--prompt", "slow push in", "--objective", "preview", "--json")
    decision = json.loads(done.stdout)
    assert done.exit_code == 0
    assert set(decision) >= set(DECISION)
    assert decision["final_estimate"]["predicted"]["usd"] > decision["chosen"]["predicted"]["usd"]
    assert decision["profile"] == "preview"
    assert decision["features"]["image"]["width"] == 640
    assert decision["features"]["prompt"]["camera"] == ["push_in"]
    assert decision["chosen"] == decision["candidates"][0]
    shown = i2v("route", "--image", photo, "--prompt", "slow push in", "--objective", "preview").stdout
    assert f"{decision['chosen']['model']}/{decision['chosen']['offer']}" in shown


@pytest.mark.parametrize(
    ("options", "exit_code", "named"),
    [
        (["--model", "paralax"], 2, "parallax"),
        (["--size", "huge"], 2, "832x480"),
        (["--camera", "fly"], 2, "push_in"),
        (["--seconds", "-1"], 2, "seconds"),
        (["--allow", "nobody"], 2, "nobody"),
    ],
)
def test_route_all_refuses_as_the_server_would(
    photo: Path, options: list[str], exit_code: int, named: str
) -> None:
    done = i2v("route", "--image", photo, "--prompt", "x", *options)
    assert done.exit_code == exit_code
    assert named in done.stderr


def test_route_of_something_that_is_no_photograph(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_text("not a photograph")
    done = i2v("route", "--image", path, "--prompt", "x")
    assert done.exit_code == 2
    assert "image" in done.stderr


def test_command_line_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys, router.cli, router.cli_offline; print({'torch', 'ray', 'diffusers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- serve -------------------------------------------------------------------------------------

STACK = """
import signal, sys, time
def stop(number, frame):
    print("stopping at", number, flush=True)
    sys.exit({code})
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
print("loading", flush=True)
print("ready: http://127.0.0.1:8000", flush=True)
time.sleep({sleep})
"""
PARENT = """
import sys
from router.cli_report import Report
from router.cli_serve import run_stack
sys.exit(run_stack(Report(as_json={as_json}), [sys.executable, "-u", "-c", {stack!r}]))
"""


def start_parent(*, code: int = 0, sleep: float = 60, as_json: bool = False) -> subprocess.Popen[str]:
    script = PARENT.format(as_json=as_json, stack=STACK.format(code=code, sleep=sleep))
    return subprocess.Popen(
        [sys.executable, "-u", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_hands_signals_on_and_takes_the_exit_code_back(number: signal.Signals) -> None:
    with start_parent(code=7) as parent:
        assert parent.stdout is not None
        assert "ready" in parent.stdout.readline()
        parent.send_signal(number)
        _, errors = parent.communicate(timeout=30)
        assert parent.returncode == 7
        assert f"stopping at {int(number)}" in errors
        assert "loading" in errors


def test_serve_json_says_when_it_is_ready() -> None:
    with start_parent(sleep=0, as_json=True) as parent:
        printed, _ = parent.communicate(timeout=30)
    assert json.loads(printed) == {"status": "ready", "server": "http://127.0.0.1:8000"}


@pytest.mark.skipif(sys.platform != "linux", reason="parent death signals are Linux's")
def test_serve_leaves_no_orphan_when_it_is_killed(tmp_path: Path) -> None:
    marker = tmp_path / "ended"
    stack = textwrap.dedent(f"""
        import pathlib, signal, sys, time
        def stop(number, frame):
            pathlib.Path({str(marker)!r}).touch()
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        print("ready: x", flush=True)
        time.sleep(60)
        """)
    script = PARENT.format(as_json=True, stack=stack)
    with subprocess.Popen([sys.executable, "-u", "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()
    assert eventually(marker.exists)


def eventually(true: Callable[[], bool]) -> bool:
    waiter = threading.Event()
    return any(true() or waiter.wait(0.05) for _ in range(400))


def test_serve_finds_a_taken_port_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = i2v("serve", "--port", port)
    assert done.exit_code == 1
    assert f"port {port} cannot be listened on" in done.stderr


def test_interrupted_wait_says_how_to_go_on(api: Api, photo: Path, tmp_path: Path) -> None:
    api.on("POST", "/v1/videos", job(), status=202)
    api.on("GET", "/v1/videos/vid_1", job("in_progress"))
    # Whoever started these tests in the background handed on SIGINT ignored.
    main = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('router.cli', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", main, "run", str(photo), "--prompt", "x", "--out", "c.mp4"]
    environment = {**os.environ, "I2V_SERVER": api.url}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert "accepted" in process.stderr.readline()
        assert eventually(lambda: any(entry[1] == "/v1/videos/vid_1" for entry in api.requests))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "i2v jobs wait vid_1 --out c.mp4" in errors
