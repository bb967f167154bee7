"""The peer of the stack benchmark: diffusers and the encoder in a process that knows nothing of a stack.

`python -m benchmarks.bare_clip` reads one JSON task a line on stdin and answers one line of JSON on stdout.
The first line names the checkpoint and is answered when it is loaded. It imports torch, diffusers, Pillow
and the product's encoder (with the function that crops a photograph), nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process occupies, in MiB."""

    rss: float
    peak_rss: float
    uss: float
    """Pages that it shares with nobody."""


def memory_of(pid: int) -> Memory:
    """Read from /proc (peak: VmHWM)."""
    import psutil

    full = psutil.Process(pid).memory_full_info()
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return Memory(round(full.rss / 2**20, 1), round(peak / 2**10, 1), round(full.uss / 2**20, 1))


class BareProcess:
    """A running peer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        """Send one task and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the bare process ended with status {self._process.wait()}")
        return dict(json.loads(line))


@contextmanager
def bare_process(checkpoint: Path, threads: int) -> Iterator[BareProcess]:
    """Start it, load the checkpoint, end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bare_clip"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"},
        # As the stack is started: the kernel shares the processors among sessions first (autogroups).
        start_new_session=True,
    )
    try:
        bare = BareProcess(process)
        bare.ask({"checkpoint": str(checkpoint)})
        yield bare
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def _serve() -> None:
    import torch
    from diffusers import WanImageToVideoPipeline
    from PIL import Image

    from models.runners.encode import encode_clip
    from models.runners.framing import fit_photograph
    from models.types import Fit, Framing, Geometry

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(2, 1)  # what the libraries print must not end up among the answers

    checkpoint = json.loads(sys.stdin.readline())["checkpoint"]
    pipe = WanImageToVideoPipeline.from_pretrained(checkpoint, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    print(json.dumps({"threads": torch.get_num_threads()}), file=answers)
    for line in sys.stdin:
        task = json.loads(line)
        began = time.perf_counter()
        geometry = Geometry(task["width"], task["height"], task["num_frames"], task["fps"])
        with Image.open(task["image"]) as opened:
            photograph = fit_photograph(
                opened.convert("RGB"), geometry.size, Framing(Fit.CROP, kept=1.0, filled=1.0)
            )
        frames = pipe(
            image=photograph,
            prompt=task["prompt"],
            negative_prompt="",
            width=geometry.width,
            height=geometry.height,
            num_frames=geometry.num_frames,
            num_inference_steps=task["steps"],
            guidance_scale=task["guidance"],
            generator=torch.Generator("cpu").manual_seed(task["seed"]),
            max_sequence_length=512,
            output_type="np",
        ).frames[0]
        pictures = ((frame * 255.0).round().astype("uint8") for frame in frames)
        encoded = encode_clip(pictures, geometry, Path(task["directory"]))
        print(json.dumps({"seconds": time.perf_counter() - began, "bytes": encoded.bytes}), file=answers)
        del frames, pictures


if __name__ == "__main__":
    _serve()
