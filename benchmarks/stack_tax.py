"""What the stack costs on top of the pipeline: `python -m benchmarks.stack_tax [--clips 3] [--side 160]`.

One clip of 81 frames at 16 fps (5.06 s) of the real `WanImageToVideoPipeline` (random weights, 218 M
parameters) goes from HTTP through job, replica and encoder to a downloaded MP4. The peer is the same
pipeline and encoder, same checkpoint, photograph, seed, shape and threads, in a bare process that runs while
no stack is up: half of its clips before the stack is started, half after it has ended, so that a machine
that drifts weighs on both. Both make one clip to warm up before any is timed.

Wall time: from the first byte of the POST to the last byte of the MP4; the job is followed by its event
stream. Memory: of the process that holds the weights, after the same number of clips; peak is VmHWM.
"""

from __future__ import annotations

import json
import os
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


def overlay() -> dict[str, Any]:
    """The local profile without its own models, plus one warm replica of the bench model."""
    application = {
        "name": POOL,
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "args": {"model": MODEL, "offer": "local", "gpu": "cpu"},
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


def bare_task(job: dict[str, Any], plan: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The same clip for the bare process, as the stack planned it."""
    native = plan["native"]
    return {
        "image": str(PORTRAIT),
        "prompt": PROMPT,
        "width": native["width"],
        "height": native["height"],
        "num_frames": native["num_frames"],
        "fps": plan["effective"]["fps"],
        "framing": plan["framing"],
        "steps": 2,
        "guidance": 1.0,
        "seed": job["seed"],
        "directory": str(directory),
    }
