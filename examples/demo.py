"""`make demo`: start everything, send two real photographs, show the clips and the reasons, stop.

The first clip is a camera move rendered from the photograph (parallax: nothing is generated). The second
goes through the real diffusers Wan pipeline class with tiny random weights made on the spot: it proves the
path, and looks like noise. With a GPU and weights the same commands give generated video.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "demo-output"
PHOTOGRAPHS = ROOT / "examples" / "photographs"
START_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One `i2v run` of the demo."""

    title: str
    out: str
    arguments: tuple[str, ...]


SHOTS = (
    Shot(
        "A camera move over a landscape, routed by objective",
        "landscape.mp4",
        (
            str(PHOTOGRAPHS / "landscape.jpg"),
            "--prompt", "Push in over the landscape towards the mountains",
            "--camera", "push_in", "--size", "768x512", "--seconds", "3", "--fps", "24",
            "--objective", "preview", "--motion", "dynamic",
        ),
    ),
    Shot(
        "The same path through a real diffusers Wan pipeline (tiny random weights: expect noise)",
        "tiny-wan.mp4",
        (
            str(PHOTOGRAPHS / "portrait.jpg"),
            "--prompt", "She turns her head slightly, hair gently flowing",
            "--model", "tiny-wan-i2v", "--seconds", "1", "--seed", "7",
        ),
    ),
)  # fmt: skip


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str, stack: subprocess.Popen[bytes]) -> None:
    """Poll `/readyz`; raises `RuntimeError` when the stack ends or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if stack.poll() is not None:
            raise RuntimeError(f"the stack ended with status {stack.returncode}; see {OUTPUT / 'stack.log'}")
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.5)
    raise RuntimeError(f"not ready after {START_TIMEOUT_S:.0f} s; see {OUTPUT / 'stack.log'}")


def i2v(url: str, *arguments: str) -> int:
    """Run the command line program, as a person would; returns its exit status."""
    command = [sys.executable, "-m", "router.cli", *arguments]
    return subprocess.run(command, env={**os.environ, "I2V_SERVER": url}, check=False).returncode


@contextmanager
def running_stack(profile: str, cards: Path | None = None, overlay: Path | None = None) -> Iterator[str]:
    """The whole stack as `i2v serve` starts it; yields its address and ends it afterwards.

    Args:
        profile: Overlay of resources.
        cards: Directory of cards instead of the profile's own.
        overlay: Merged over the profile's.

    Raises:
        RuntimeError: it ended early or took too long.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "I2V_HOME": str(OUTPUT / "state")}
    if cards is not None:
        environment["I2V_CARDS"] = str(cards)
    overlays: list[str] = []
    if overlay is not None:
        own = ROOT / "deployments" / "overlays" / f"{profile}.yaml"
        overlays = ["--overlay", str(own), "--overlay", str(overlay)]
    with (OUTPUT / "stack.log").open("wb") as log:
        stack = subprocess.Popen(
            [sys.executable, "-m", "deployments.local", "--port", str(port), "--profile", profile, *overlays],
            cwd=ROOT, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_until_ready(url, stack)
        yield url
    finally:
        stack.send_signal(signal.SIGTERM)
        try:
            stack.wait(60)
        except subprocess.TimeoutExpired:
            stack.kill()


def main() -> int:
    """Run the demo; returns the exit status."""
    console = Console()
    OUTPUT.mkdir(exist_ok=True)
    console.rule("[bold]i2v-router demo")
    console.print("Starting Ray Serve, the Gateway, the Router and two models on this machine ...")
    try:
        with running_stack("local") as url:
            for shot in SHOTS:
                console.rule(shot.title)
                console.print(f"[dim]i2v run {' '.join(shot.arguments)}")
                out = OUTPUT / shot.out
                if status := i2v(url, "run", *shot.arguments, "--out", str(out)):
                    return status
            console.rule("Jobs")
            i2v(url, "jobs", "ls")
            console.print(f"\nThe clips are in [bold]{OUTPUT}[/]: " + ", ".join(shot.out for shot in SHOTS))
            return 0
    except RuntimeError as error:
        console.print(f"[red]{error}")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
