"""What the stack costs on top of the pipeline: `python -m benchmarks.stack_tax [--clips 3] [--threads 1]`.

One clip of 81 frames at 16 fps (5.06 s) of the real `WanImageToVideoPipeline` (random weights, 218 M
parameters) goes from HTTP through job, replica and encoder to a downloaded MP4. The peer is the same
pipeline and encoder, same checkpoint, photograph, seed, shape and threads, in a bare process that runs while
no stack is up: half of its clips before the stack is started, half after it has ended, so that a machine
that drifts weighs on both. Both make one clip to warm up before any is timed.

One core computes and the others serve, as on a machine whose clips are made on GPUs. With a thread for each
core (`--threads 2` on two) what Ray's own processes use while idle (`idle_cores`) comes off the clip's cores.

What the idle processes of Ray and Serve alone cost on so few cores is told beside it: the bare process again,
while the stack is up and has nothing to do.

Wall time: from the first byte of the POST to the last byte of the MP4; the job is followed by its event
stream. Memory: of the process that holds the weights, after the same number of clips; peak is VmHWM.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.bare_clip import BareProcess, Memory, bare_process, memory_of
from benchmarks.report import ROOT, Report, Target, arguments, median
from benchmarks.stack import PORTRAIT, Stack, running_stack

WALL_RATIO = 1.03
MEMORY_RATIO = 1.05
FRAMES, FPS = 81, 16
PROMPT = "slow push in, hair gently flowing"
SEED = 7
POOL = "bench-wan"
MODEL = "bench-wan-i2v"


def overlay(threads: int) -> dict[str, Any]:
    """The local profile without its own models, plus one warm replica of the bench model."""
    application = {
        "name": POOL,
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "args": {"model": MODEL, "offer": "local", "gpu": "cpu", "threads": threads},
        "deployments": [
            {
                "name": "Model",
                "max_ongoing_requests": 1,
                "graceful_shutdown_timeout_s": 60,
                "health_check_period_s": 5,
                "placement_group_bundles": [{"CPU": 0.1}, {"CPU": 0.9}],
                "placement_group_strategy": "STRICT_PACK",
                "ray_actor_options": {"num_cpus": 0.1},
                "autoscaling_config": {"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 1},
            }
        ],
    }
    return {"keep": ["gateway", POOL], "applications": [application]}


def through_the_stack(stack: Stack, side: int) -> tuple[float, dict[str, Any], int]:
    """One clip by HTTP: seconds, the finished job, and the MP4's bytes."""
    photograph = PORTRAIT.read_bytes()
    with httpx.Client(base_url=stack.url, timeout=httpx.Timeout(30, read=600)) as client:
        began = time.perf_counter()
        posted = client.post(
            "/v1/videos",
            data={
                "prompt": PROMPT,
                "model": MODEL,
                "size": f"{side}x{side}",
                "seconds": str(FRAMES / FPS),
                "seed": str(SEED),
            },
            files={"input_reference": (PORTRAIT.name, photograph, "image/jpeg")},
        )
        if posted.status_code != 202:
            raise RuntimeError(f"POST answered {posted.status_code}: {posted.text[:500]}")
        job_id = posted.json()["id"]
        with client.stream("GET", f"/v1/videos/{job_id}/events") as events:
            for _ in events.iter_lines():
                pass  # the stream ends when the job is final
        clip = client.get(f"/v1/videos/{job_id}/content").raise_for_status().content
        seconds = time.perf_counter() - began
        job = client.get(f"/v1/videos/{job_id}").raise_for_status().json()
    if job["status"] != "completed" or job["geometry"]["effective"]["num_frames"] != FRAMES:
        raise RuntimeError(f"{job_id} is {job['status']}: {job['geometry']} {job['error']}")
    return seconds, job, len(clip)


def bare_task(side: int, directory: Path) -> dict[str, Any]:
    """The same clip for the bare process; steps and guidance are those of the card."""
    return {
        "image": str(PORTRAIT),
        "prompt": PROMPT,
        "width": side,
        "height": side,
        "num_frames": FRAMES,
        "fps": FPS,
        "steps": 2,
        "guidance": 1.0,
        "seed": SEED,
        "directory": str(directory),
    }


def run_stack(
    home: Path, checkpoints: Path, clips: int, side: int, threads: int, bare: Bare
) -> dict[str, Any]:
    """Warm up and time the stack, then the peer beside the stack while that has nothing to do."""
    card = ROOT / "benchmarks" / "cards" / "bench-wan.yaml"
    with running_stack(home, overlay(threads), {"I2V_MODELS": str(checkpoints)}, [card]) as stack:
        worker = stack.worker(POOL)
        (rank,) = worker["detail"]["rank_pids"]
        loaded = memory_of(rank)
        idle = idle_cores(stack.process.pid)
        memory, seconds, inside = [], [], []
        size = 0
        for _ in range(clips + 1):
            spent, job, size = through_the_stack(stack, side)
            seconds.append(spent)
            inside.append(job["usage"]["actual_seconds"])
            memory.append(memory_of(rank))
        coordinator = memory_of(worker["detail"]["pid"])
        beside = bare.beside(max(2, clips // 2))
    return {
        "seconds": [round(one, 3) for one in seconds[1:]],
        "on_the_replica": inside[1:],
        "first_seconds": round(seconds[0], 3),
        "idle_cores": idle,
        "bare_beside_the_idle_stack": beside,
        "memory_loaded": asdict(loaded),
        "memory": [asdict(one) for one in memory],
        "coordinator_memory": asdict(coordinator),
        "clip_bytes": size,
    }


def idle_cores(pid: int, seconds: float = 5.0) -> float:
    """Cores that the whole stack keeps busy while nothing is asked of it."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    before = sum(sum(process.cpu_times()[:2]) for process in tree)
    time.sleep(seconds)
    after = sum(sum(process.cpu_times()[:2]) for process in tree if process.is_running())
    return round((after - before) / seconds, 3)


class Bare:
    """The peer's clips so far."""

    def __init__(self, process: BareProcess, side: int, directory: Path) -> None:
        self._process = process
        self._task = bare_task(side, directory)
        self.seconds: list[float] = []
        self.memory: list[Memory] = []
        self.loaded = memory_of(process.pid)
        self.clip_bytes = 0

    def make(self, clips: int) -> None:
        for _ in range(clips):
            answer = self._process.ask(self._task)
            self.seconds.append(answer["seconds"])
            self.memory.append(memory_of(self._process.pid))
            self.clip_bytes = answer["bytes"]

    def beside(self, clips: int) -> list[float]:
        """Seconds of further clips that are not the peer's: something else is running meanwhile."""
        return [round(self._process.ask(self._task)["seconds"], 3) for _ in range(clips)]


def main() -> None:
    given = arguments(
        __doc__,
        clips=(4, "timed clips on each side"),
        side=(160, "pixels of the square clip's side"),
        threads=(1, "CPU threads that make the clip, on each side"),
    )
    with tempfile.TemporaryDirectory(prefix="i2v-bench-") as folder, ExitStack() as open_things:
        root = Path(folder)
        checkpoints, home = root / "checkpoints", root / "stack"
        home.mkdir()
        # In a process of its own: what building it leaves behind is nobody's.
        subprocess.run(
            [
                sys.executable,
                "-m",
                "models.runners.tiny",
                "wan2.1",
                str(checkpoints / MODEL),
                "--scale",
                "bench",
            ],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        process = open_things.enter_context(bare_process(checkpoints / MODEL, given.threads))
        bare = Bare(process, given.side, root / "bare")
        bare.make(1 + (given.clips + 1) // 2)
        ours = run_stack(home, checkpoints, given.clips, given.side, given.threads, bare)
        bare.make(given.clips // 2)
    report(given.clips, given.side, given.threads, ours, bare).write()


def report(clips: int, side: int, threads: int, ours: dict[str, Any], bare: Bare) -> Report:
    timed = bare.seconds[1:]
    last, theirs = Memory(**ours["memory"][-1]), bare.memory[clips]
    targets = [
        Target(
            "wall time of a 5 s clip through the stack over a bare process",
            median(ours["seconds"]) / median(timed),
            "<=",
            WALL_RATIO,
        ),
        Target(
            "RSS of the rank after its clips over the bare process", last.rss / theirs.rss, "<=", MEMORY_RATIO
        ),
        Target(
            "peak RSS of the rank over the bare process", last.peak_rss / theirs.peak_rss, "<=", MEMORY_RATIO
        ),
    ]
    return Report(
        name="stack_tax",
        summary="a 5.06 s diffusers clip by HTTP, beside the same pipeline in a bare process",
        figures=ours | {"uss_ratio": round(last.uss / theirs.uss, 4)},
        peer={
            "what": "WanImageToVideoPipeline and encode_clip in a process of their own, no stack running",
            "seconds": [round(one, 3) for one in timed],
            "first_seconds": round(bare.seconds[0], 3),
            "memory_loaded": asdict(bare.loaded),
            "memory": [asdict(one) for one in bare.memory],
            "clip_bytes": bare.clip_bytes,
        },
        targets=targets,
        settings={
            "clips": clips,
            "frames": FRAMES,
            "fps": FPS,
            "size": f"{side}x{side}",
            "steps": 2,
            "threads": threads,
        },
        notes=(
            "RSS counts pages shared with other processes too: for a Ray worker those of the object store's "
            "mapping that it touched and of Ray's own libraries; USS counts none of them.",
        ),
    )


if __name__ == "__main__":
    main()
