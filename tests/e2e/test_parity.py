"""The simulator against the live stack: the same jobs, the shipped fake runner at 1/100 of real times.

Compared is what a simulation is for: which model each job gets, in which order clips come back, who is late,
and how long jobs wait on average. Single times are not: at this speed half a second of a dispatcher's tick,
an HTTP call and an MP4 is as much as a whole step of a schedule.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import httpx
import pytest

from models.catalog import Catalog, load_catalog
from models.gpus import load_gpus
from models.types import ClipWish, Objective, TaskType
from policies.base import Pool, RouteRequest
from policies.engine import Engine
from policies.fleet import SELF_HOSTED_SIGMA
from policies.profile import load_profiles
from policies.simulate.events import Tale, Yard
from policies.simulate.production import Production
from policies.simulate.world import Arrival, Lane, World
from router.features import read_features
from router.images import load_photograph
from tests.e2e.live import HERE, ROOT, LiveStack, fresh_home, wait_for

pytestmark = pytest.mark.e2e

SERVERS = {"steady-i2v": 2, "quick-i2v": 1}
STEPS_S = {"steady-i2v": 4.0, "quick-i2v": 1.2}
SCRIPT = '[[fake {"step_seconds": 0.1}]]'
PROMPT = f"She smiles {SCRIPT}"
JOBS = (
    # Seconds after the first, deadline in seconds, budget in USD.
    *((0.0, 60.0, None), (0.4, 60.0, None), (0.8, 40.0, None), (1.2, 3.5, None), (1.6, 15.0, None)),
    *((2.0, 90.0, 0.1), (2.4, 12.0, None), (2.8, 90.0, None), (3.2, 30.0, 0.1), (3.6, 4.5, None)),
    *((4.0, 60.0, None), (4.4, 20.0, None), (4.8, 90.0, None), (5.2, 8.0, 0.1), (5.6, 45.0, None)),
)


class Known:
    """The fake runner takes what its card says; the rest is the stack's own time, told by the warm-up."""

    def __init__(self, extra: float) -> None:
        self._extra = extra

    def bias(self, pool: Pool, gpus: int) -> float:
        seconds = STEPS_S[pool.model]
        return (seconds + self._extra) / seconds

    def elo_offset(self, job: Arrival, card_id: str) -> float:
        return 0.0


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    directory = tmp_path_factory.mktemp("parity")
    environment = fresh_home(directory)
    (Path(environment["I2V_CARDS"]) / "parity.yaml").write_text((HERE / "parity" / "cards.yaml").read_text())
    stack = LiveStack(directory, environment)
    stack.overlay.write_text((HERE / "parity" / "overlay.yaml").read_text())
    try:
        stack.start()
        for model, count in SERVERS.items():
            wait_for(f"{model} to be warm", lambda m=model, n=count: ready(stack, m) >= n, 120)
        yield stack
    finally:
        stack.stop()


def ready(stack: LiveStack, model: str) -> int:
    fleet = httpx.get(f"{stack.url}/v1/fleet", timeout=10).json()
    name = model.removesuffix("-i2v")
    return sum(worker["state"] == "ready" and name in worker["pool"] for worker in fleet["workers"])


def submit(stack: LiveStack, deadline: float, budget: float | None) -> dict[str, Any]:
    fields = {"seconds": "1", "routing[objective]": "quality", "routing[deadline_s]": str(deadline)}
    if budget is not None:
        fields["routing[max_cost_usd]"] = str(budget)
    return stack.submit(PROMPT, **fields)


@dataclass(frozen=True)
class Live:
    """What the stack did, in seconds after the first job."""

    jobs: list[dict[str, Any]]
    came: list[float]
    ended: list[float]
    extra: float
    """A clip's time beside its steps."""


def played(stack: LiveStack) -> Live:
    warm = [submit(stack, 60.0, None), submit(stack, 60.0, None), submit(stack, 60.0, 0.1)]
    done = [stack.wait_final(job["id"]) for job in warm]
    extra = fmean(seconds_of(job) - STEPS_S[job["served_model"]] for job in done)
    began, came, ids = time.monotonic(), [], []
    ended: dict[str, float] = {}

    def look() -> bool:
        """Note who has ended since the last look; times of the API are whole seconds."""
        listed = httpx.get(f"{stack.url}/v1/videos", params={"limit": 50}, timeout=10).json()["data"]
        for job in listed:
            if job["id"] in ids and job["status"] in {"completed", "failed", "cancelled", "expired"}:
                ended.setdefault(job["id"], time.monotonic() - began)
        return len(ended) == len(JOBS)

    for due, deadline, budget in JOBS:
        while time.monotonic() < began + due:
            look()
            time.sleep(0.05)
        came.append(time.monotonic() - began)
        ids.append(submit(stack, deadline, budget)["id"])
    wait_for("all jobs to end", look, 180)
    return Live([stack.job(found) for found in ids], came, [ended[found] for found in ids], extra)


def seconds_of(job: dict[str, Any]) -> float:
    return float(job["usage"]["actual_seconds"])


def simulated(catalog: Catalog, at: Sequence[float], extra: float) -> list[Tale]:
    photograph = load_photograph(
        (ROOT / "examples" / "photographs" / "portrait.jpg").read_bytes(), max_pixels=50_000_000
    )
    features = read_features(photograph, PROMPT)
    asked = RouteRequest(
        features, wish=ClipWish(seconds=1.0), task=TaskType.TI2V, objective=Objective.QUALITY
    )
    jobs = [
        Arrival(index, when, replace(asked, deadline_s=deadline, max_cost_usd=budget))
        for index, (when, (_, deadline, budget)) in enumerate(zip(at, JOBS, strict=True))
    ]
    lanes = {
        model: Lane(
            Pool(model, model, "local", "cpu", replicas=count, max_replicas=count, sigma=SELF_HOSTED_SIGMA),
            0.02,
            0.1,
        )
        for model, count in SERVERS.items()
    }
    world = World("parity", catalog, load_gpus(), lanes, Known(extra), 1200.0, seed=0)
    engine = Engine(catalog, load_gpus(), load_profiles())
    return Yard(world, Production(world, engine)).play(jobs)


def concordance(a: Sequence[float], b: Sequence[float]) -> float:
    """Share of pairs that stand in the same order in both."""
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    return fmean((a[i] < a[j]) == (b[i] < b[j]) for i, j in pairs)


def test_the_simulator_tells_what_the_live_stack_does(live: LiveStack) -> None:
    real = played(live)
    assert [job["status"] for job in real.jobs] == ["completed"] * len(JOBS)
    tales = simulated(load_catalog(Path(live.environment["I2V_CARDS"])), real.came, real.extra)
    assert not any(tale.rejected for tale in tales)
    ends = [tale.finished or 0.0 for tale in tales]
    told = [
        (job["served_model"], tale.model, round(end, 1), round(simulated_end, 1), tale.job.request.deadline_s)
        for job, tale, end, simulated_end in zip(real.jobs, tales, real.ended, ends, strict=True)
    ]

    assert fmean(a == b for a, b, *_ in told) >= 0.85, told
    assert concordance(real.ended, ends) >= 0.85, told
    late = [
        (end > tale.job.due) == (simulated_end > tale.job.due)
        for tale, end, simulated_end in zip(tales, real.ended, ends, strict=True)
    ]
    assert fmean(late) >= 0.8, told
    waits = [
        end - came - seconds_of(job) for job, end, came in zip(real.jobs, real.ended, real.came, strict=True)
    ]
    simulated_waits = [tale.runs[-1].began - tale.job.at for tale in tales]
    assert fmean(waits) == pytest.approx(fmean(simulated_waits), rel=0.35, abs=1.0), told
