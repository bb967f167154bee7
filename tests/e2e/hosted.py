"""Providers and engines for live stacks: the shipped fakes as processes, and a stack that rents them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import yaml

from tests.e2e.live import HERE, ROOT, LiveStack, fresh_home, wait_for

KEY = "key-of-a-live-test-5f1d"
"""No other text of a stack holds it, so that a log that shows it is found out."""
SECONDS = 1.0
"""How long a call takes unless a test says otherwise."""


@dataclass(frozen=True, slots=True)
class Fake:
    """A stand-in for a provider, in a process of its own."""

    provider: str
    url: str

    def told(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/_fake/ledger", timeout=10).raise_for_status().json())

    def calls(self) -> list[dict[str, Any]]:
        """What it has accepted so far, oldest first."""
        return list(self.told()["calls"])

    def asked(self, operation: str) -> int:
        """Requests of that operation so far."""
        return int(self.told()["requests"].get(operation, 0))

    def script(self, fault: str, times: int = 1) -> None:
        body = {"fault": fault, "times": times}
        httpx.post(f"{self.url}/_fake/script", json=body, timeout=10).raise_for_status()

    @contextmanager
    def taking(self, seconds: float) -> Iterator[None]:
        """Calls take so long inside the block. Those that are still open then end soon."""
        self._takes(seconds)
        try:
            yield
        finally:
            self._takes(SECONDS)

    def _takes(self, seconds: float) -> None:
        body = {"latency_s": seconds}
        httpx.post(f"{self.url}/_fake/settings", json=body, timeout=10).raise_for_status()


@contextmanager
def fakes(*providers: str) -> Iterator[dict[str, Fake]]:
    """Start stand-ins, all at once; yields them by name."""
    with ExitStack() as held:
        begun = {name: held.enter_context(_process(name)) for name in providers}
        yield {name: Fake(name, _address(process)) for name, process in begun.items()}


@contextmanager
def _process(provider: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "models.providers.fake", "--provider", provider]
    command += ["--latency", str(SECONDS)]
    if provider != "sglang":  # it is run without a key
        command += ["--key", KEY]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()


def _address(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return str(json.loads(process.stdout.readline())["url"])


@dataclass(frozen=True, slots=True)
class HostedStack:
    """A live stack and the providers that it uses."""

    live: LiveStack
    fakes: Mapping[str, Fake]

    def all_calls(self) -> int:
        return sum(len(fake.calls()) for fake in self.fakes.values())

    def under_way(self, job_id: str, provider: str, already: int) -> dict[str, Any]:
        """Wait until the provider has one call more than `already` and our books its ticket; the job then."""

        def accepted() -> dict[str, Any] | None:
            if len(self.fakes[provider].calls()) <= already:
                return None
            job = self.live.job(job_id)
            calls = [call for attempt in job["attempts"] for call in attempt["calls"]]
            return job if any(call["state"] == "submitted" for call in calls) else None

        return dict(wait_for(f"{job_id} to be under way at {provider}", accepted))

    def logged(self) -> str:
        """All that the stack and its workers have written."""
        session = Path(self.live.environment["RAY_TMPDIR"], "ray", "session_latest", "logs")
        logs = [self.live.home / "stack.log", *(path for path in session.rglob("*") if path.is_file())]
        return "\n".join(log.read_text(errors="replace") for log in logs)


@contextmanager
def hosted_stack(directory: Path, *providers: str, drop: tuple[str, ...] = ()) -> Iterator[HostedStack]:
    """The profile `hosted` over fakes of these providers, which call back at its own address.

    Args:
        directory: Holds all that is the stack's.
        providers: Fakes to start.
        drop: Applications of the test overlay and the profile that this stack does without.
    """
    # Of its own, so that its logs can be told from others'; short, because sockets lie in it.
    with TemporaryDirectory(prefix="i2v-") as ray, fakes(*providers) as standing:
        keys = {"REPLICATE_API_TOKEN": KEY, "FAL_KEY": KEY, "VLLM_API_KEY": KEY}
        environment = fresh_home(directory) | keys | {"RAY_TMPDIR": ray}
        live = LiveStack(directory, environment, profile="hosted")
        environment["I2V_PUBLIC_URL"] = live.url
        live.overlay.write_text(yaml.safe_dump(_addressed(standing, drop)))
        try:
            live.start()
            stack = HostedStack(live, standing)
            wait_for("every account", lambda: all(live.workers(pool) for pool in _pools(live)), 90)
            yield stack
        finally:
            live.stop()
            logs = Path(ray, "ray", "session_latest", "logs")
            if logs.is_dir():
                shutil.copytree(logs, directory / "ray-logs", ignore_dangling_symlinks=True)


def _pools(live: LiveStack) -> list[str]:
    applications = yaml.safe_load(live.overlay.read_text())["applications"]
    return [each["name"] for each in applications if "provider" in each.get("args", {})]


def _addressed(standing: Mapping[str, Fake], drop: tuple[str, ...]) -> dict[str, Any]:
    """The test overlay with the fakes' addresses in it."""
    overlay: dict[str, Any] = yaml.safe_load((HERE / "overlay-hosted.yaml").read_text())
    kept = []
    for application in overlay["applications"]:
        if application["name"] in drop:
            continue
        provider = application.get("args", {}).get("provider")
        if provider is not None:
            application["args"]["url"] = standing[provider].url
        kept.append(application)
    names = [application["name"] for application in kept]
    names += [name for name in ("parallax",) if name not in drop]
    return {"keep": names, "applications": kept}


def quiet(seconds: float) -> None:
    """Let the stack do what it would do anyway."""
    time.sleep(seconds)
