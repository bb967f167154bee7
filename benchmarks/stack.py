"""A live local stack for the benchmarks that need one, started as `i2v serve` starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from benchmarks.report import ROOT

START_TIMEOUT_S = 240.0
FINAL = frozenset({"completed", "failed", "cancelled", "expired"})
PORTRAIT = ROOT / "examples" / "photographs" / "portrait.jpg"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def database_url(self) -> str:
        """Its job store: a process of this machine may open it too."""
        return f"sqlite:///{self.home / 'jobs.db'}"

    def worker(self, pool: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """The one worker of a pool, as `/v1/fleet` shows it, once it is ready."""
        deadline = time.monotonic() + timeout_s
        workers: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            fleet = httpx.get(f"{self.url}/v1/fleet", timeout=30).raise_for_status().json()
            workers = [row for row in fleet["workers"] if row["pool"] == pool]
            if len(workers) == 1 and workers[0]["state"] == "ready":
                return workers[0]
            time.sleep(0.2)
        raise RuntimeError(f"pool {pool} has no ready worker after {timeout_s:.0f} s: {workers}")

    def submit(self, prompt: str, **fields: str) -> str:
        """Post the bundled portrait; returns the job's id."""
        response = httpx.post(
            f"{self.url}/v1/videos",
            data={"prompt": prompt, **fields},
            files={"input_reference": (PORTRAIT.name, PORTRAIT.read_bytes(), "image/jpeg")},
            timeout=60,
        )
        if response.status_code != 202:
            raise RuntimeError(f"POST /v1/videos answered {response.status_code}: {response.text[:500]}")
        return str(response.json()["id"])

    def wait_final(self, job_id: str, timeout_s: float = 600.0, every_s: float = 0.1) -> dict[str, Any]:
        """Poll until the job is final; it must be completed."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            job: dict[str, Any] = httpx.get(f"{self.url}/v1/videos/{job_id}", timeout=30).json()
            if job["status"] in FINAL:
                if job["status"] != "completed":
                    raise RuntimeError(f"{job_id} ended as {job['status']}: {job['error']}")
                return job
            time.sleep(every_s)
        raise RuntimeError(f"{job_id} was not final after {timeout_s:.0f} s")

    def only(self, title: str) -> psutil.Process:
        """The one process of the stack whose command line contains `title` (Ray names its workers)."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if title in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        if len(found) != 1:
            raise RuntimeError(f"{len(found)} processes are called {title}")
        return found[0]


@contextmanager
def running_stack(
    home: Path, overlay: Mapping[str, Any], environment: Mapping[str, str], cards: Sequence[Path] = ()
) -> Iterator[Stack]:
    """Start the local profile plus `overlay`, with all state in `home`; stop it at the end.

    Args:
        home: An empty directory.
        overlay: Merged over `deployments/overlays/local.yaml`.
        environment: Added to this process's.
        cards: Card files beside those of the local profile.

    Raises:
        RuntimeError: it ended or was not ready in time; the message has the end of its log.
    """
    overlay_file, log = home / "overlay.yaml", home / "stack.log"
    overlay_file.write_text(yaml.safe_dump(dict(overlay)), encoding="utf-8")
    card_directory = home / "cards"
    card_directory.mkdir()
    for card in [*(ROOT / "models" / "overlays" / "local").glob("*.yaml"), *cards]:
        (card_directory / card.name).write_text(card.read_text(encoding="utf-8"), encoding="utf-8")
    port = free_port()
    local = ROOT / "deployments" / "overlays" / "local.yaml"
    command = [sys.executable, "-m", "deployments.local", "--port", str(port)]
    command += ["--overlay", str(local), "--overlay", str(overlay_file)]
    state = home / "state"
    variables = {"I2V_HOME": str(state), "I2V_CARDS": str(card_directory), "RAY_SERVE_LOG_TO_STDERR": "0"}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **variables, **environment},
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    stack = Stack(f"http://127.0.0.1:{port}", state, process)
    try:
        _wait_ready(stack, log)
        yield stack
    finally:
        _stop(process)


def _wait_ready(stack: Stack, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if stack.process.poll() is not None:
            break
        try:
            if httpx.get(f"{stack.url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.5)
    raise RuntimeError(f"the stack did not become ready:\n{log.read_text(errors='replace')[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    tree = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in psutil.wait_procs(tree, timeout=10)[1]:
        child.kill()
