"""A live local stack in its own process tree, as `i2v serve` starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
START_TIMEOUT_S = 240.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, check: Callable[[], Any], timeout_s: float = 60.0, every_s: float = 0.1) -> Any:
    """Poll `check` until it is truthy; a fault in a moment of restart counts as not yet."""
    deadline = time.monotonic() + timeout_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = check()
        except httpx.TransportError as error:
            last = error
        else:
            if last:
                return last
        time.sleep(every_s)
    raise AssertionError(f"waited {timeout_s:.0f} s for {what}; last seen: {last!r}")


@dataclass
class LiveStack:
    """One running stack and what tests need to talk to it and to hurt it."""

    home: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    profile: str = "local"
    """Overlay of resources in `deployments/overlays`."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def overlay(self) -> Path:
        """This stack's own copy of the test overlay, which a test may change."""
        return self.home / "overlay.yaml"

    def start(self) -> None:
        if not self.overlay.exists():
            own = "overlay.yaml" if self.profile == "local" else f"overlay-{self.profile}.yaml"
            self.overlay.write_text((HERE / own).read_text())
        command = [
            sys.executable,
            "-m",
            "deployments.local",
            "--port",
            str(self.port),
            "--overlay",
            str(ROOT / "deployments" / "overlays" / f"{self.profile}.yaml"),
            "--overlay",
            str(self.overlay),
        ]
        with (self.home / "stack.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the stack to be ready", self._ready, START_TIMEOUT_S, every_s=0.5)

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the stack ended early:\n{(self.home / 'stack.log').read_text()[-4000:]}")
        return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200

    def stop(self) -> None:
        if self.process is None:
            return
        tree = psutil.Process(self.process.pid).children(recursive=True) if self.alive() else []
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for child in psutil.wait_procs(tree, timeout=10)[1]:
            child.kill()
        self.process = None

    def reload(self) -> None:
        """Have the configuration read again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR1)

    def kill_all(self) -> None:
        """kill -9 every process of the stack, as a power cut would."""
        assert self.process is not None
        tree = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for member in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(tree, timeout=20)
        self.process.wait()
        self.process = None

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def pids(self, title: str) -> list[int]:
        """Processes of the stack whose command line contains `title` (Ray names its workers)."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if title in " ".join(child.cmdline()):
                    found.append(child.pid)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, title: str) -> int:
        """kill -9 the one process of that title; returns its pid."""
        (pid,) = wait_for(f"one process {title}", lambda: self._single(title))
        os.kill(pid, signal.SIGKILL)
        return int(pid)

    def _single(self, title: str) -> list[int] | None:
        found = self.pids(title)
        return found if len(found) == 1 else None

    def workers(self, pool: str) -> list[dict[str, Any]]:
        fleet = httpx.get(f"{self.url}/v1/fleet", timeout=10).json()
        return [w for w in fleet["workers"] if w["pool"] == pool and w["state"] == "ready"]

    def job(self, job_id: str) -> dict[str, Any]:
        response = httpx.get(f"{self.url}/v1/videos/{job_id}", timeout=10)
        response.raise_for_status()
        return dict(response.json())

    def submit(self, prompt: str, **fields: str) -> dict[str, Any]:
        """Post the bundled portrait; fields go into the form as they are."""
        photograph = (ROOT / "examples" / "photographs" / "portrait.jpg").read_bytes()
        headers = {"Idempotency-Key": fields.pop("idempotency_key")} if "idempotency_key" in fields else {}
        response = httpx.post(
            f"{self.url}/v1/videos",
            data={"prompt": prompt, **fields},
            files={"input_reference": ("portrait.jpg", photograph, "image/jpeg")},
            headers=headers,
            timeout=60,
        )
        assert response.status_code == 202, response.text
        return dict(response.json())

    def wait_final(self, job_id: str, timeout_s: float = 120.0) -> dict[str, Any]:
        final = {"completed", "failed", "cancelled", "expired"}
        job: dict[str, Any] = {}

        def ended() -> bool:
            job.update(self.job(job_id))
            return job["status"] in final

        wait_for(f"{job_id} to end (now {job})", ended, timeout_s)
        return job


def fresh_home(directory: Path) -> dict[str, str]:
    """Environment of a stack that keeps all its state in `directory`."""
    cards = directory / "cards"
    cards.mkdir(parents=True)
    for source in (ROOT / "models" / "overlays" / "local", HERE / "cards"):
        for card in source.glob("*.yaml"):
            (cards / card.name).write_text(card.read_text())
    return {
        "I2V_HOME": str(directory / "home"),
        "I2V_CARDS": str(cards),
        "I2V_LEASE_S": "6",
        "RAY_SERVE_LOG_TO_STDERR": "0",
    }
