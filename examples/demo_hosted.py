"""`make demo-hosted`: rented models and a running engine behind the same door, without a key or a cent.

Three servers that ship with the product stand in for Replicate, fal and a vLLM-Omni: they check every request
against the real schemas and make a small moving picture. Everything else is as in production: the decision,
the books, the fallback when a provider fails, the reasons.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.console import Console

from examples.demo import OUTPUT, PHOTOGRAPHS, ROOT, i2v, running_stack

KEY = "demo-key"
PROVIDERS = ("replicate", "fal", "vllm-omni")
LATENCY_S = 4.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One `i2v run`, and what goes wrong at the providers meanwhile."""

    title: str
    out: str
    arguments: tuple[str, ...]
    faults: Mapping[str, str]


SCENES = (
    Scene(
        "A rented model: Hailuo at Replicate",
        "hosted-replicate.mp4",
        (str(PHOTOGRAPHS / "portrait.jpg"), "--prompt", "She turns her head, hair gently flowing",
         "--allow", "hailuo-2.3-fast/replicate", "--seconds", "6"),
        {},
    ),
    Scene(
        "Replicate refuses the photograph: the next candidate makes the clip",
        "hosted-fallback.mp4",
        (str(PHOTOGRAPHS / "portrait.jpg"), "--prompt", "She smiles at the camera",
         "--allow", "hailuo-2.3-fast", "--max-cost", "1"),
        {"replicate": "refuses_input"},
    ),
    Scene(
        "The answer to a paid submission is lost: it is found again, and not sent twice",
        "hosted-lost-answer.mp4",
        (str(PHOTOGRAPHS / "landscape.jpg"), "--prompt", "Mist drifts over the lake",
         "--allow", "hailuo-2.3-fast/replicate"),
        {"replicate": "lost_answer"},
    ),
    Scene(
        "Self-hosted only: the photograph stays here, on a running vLLM-Omni",
        "hosted-engine.mp4",
        (str(PHOTOGRAPHS / "landscape.jpg"), "--prompt", "Clouds roll over the mountains",
         "--model", "wan2.2-i2v-a14b", "--residency", "self-hosted", "--size", "832x480", "--seconds", "3"),
        {},
    ),
)  # fmt: skip


@contextmanager
def fake(provider: str) -> Iterator[str]:
    """A shipped fake in a process of its own; yields its address."""
    command = [sys.executable, "-m", "models.providers.fake", "--provider", provider]
    command += ["--key", KEY, "--latency", str(LATENCY_S), "--full-size"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        if process.stdout is None:
            raise RuntimeError("the fake has no output")
        yield str(json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        process.wait(20)


def overlay(urls: Mapping[str, str]) -> Path:
    """The profile `hosted`, with the stand-ins' addresses and the engine."""
    engine = {
        "name": "wan-on-vllm-omni",
        "route_prefix": None,
        "import_path": "deployments.app:build_provider",
        "args": {
            "provider": "vllm-omni", "url": urls["vllm-omni"], "model": "wan2.2-i2v-a14b", "offer": "engine",
            "gpu": "h100", "gpus": 4,
        },
        "deployments": [{"name": "Provider", "num_replicas": 1, "ray_actor_options": {"num_cpus": 0.2}}],
    }  # fmt: skip
    accounts = [{"name": name, "args": {"url": urls[name]}} for name in ("replicate", "fal")]
    path = OUTPUT / "hosted.yaml"
    path.write_text(yaml.safe_dump({"applications": [*accounts, engine]}), encoding="utf-8")
    return path


def told(url: str, console: Console) -> None:
    """What the stand-in for Replicate has seen."""
    ledger: dict[str, Any] = httpx.get(f"{url}/_fake/ledger", timeout=10).json()
    for call in ledger["calls"]:
        billed = "billed" if call["billed"] else "not billed"
        console.print(f"  {call['id']}  {call['endpoint']}  {call['status']}, {billed}")


def main() -> int:
    """Run the demo; returns the exit status."""
    console = Console()
    OUTPUT.mkdir(exist_ok=True)
    console.rule("[bold]Hosted providers and engines")
    console.print("Starting stand-ins for Replicate, fal and vLLM-Omni, and the whole stack ...")
    os.environ |= {"REPLICATE_API_TOKEN": KEY, "FAL_KEY": KEY, "VLLM_API_KEY": KEY}
    try:
        with ExitStack() as held:
            urls = {name: held.enter_context(fake(name)) for name in PROVIDERS}
            url = held.enter_context(running_stack("hosted", overlay=overlay(urls)))
            for scene in SCENES:
                console.rule(scene.title)
                for provider, fault in scene.faults.items():
                    script = {"fault": fault, "times": 1}
                    httpx.post(f"{urls[provider]}/_fake/script", json=script, timeout=10).raise_for_status()
                console.print(f"[dim]i2v run {' '.join(scene.arguments)}")
                if status := i2v(url, "run", *scene.arguments, "--out", str(OUTPUT / scene.out)):
                    return status
            console.rule("What the stand-in for Replicate was sent")
            told(urls["replicate"], console)
            console.rule("Jobs")
            i2v(url, "jobs", "ls")
            return 0
    except RuntimeError as error:
        console.print(f"[red]{error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
