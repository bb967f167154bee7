"""What tests of gang execution share: a gang over ranks that step, and a clip that stands in the middle."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from deployments.coordinator import Coordinator
from deployments.fake_gang import InTurn, SteppedRanks
from deployments.pace import Pace
from policies.gang import Need
from tests.unit.deployments.coordinating import QUICK, Bench, until

STEADY = replace(QUICK, stall_floor_s=30.0, step_floor_s=30.0)
"""Nothing stalls by itself."""
SAVING = replace(STEADY, save_s=0.0)
"""Every quantum is saved."""


async def gang(
    bench: Bench, ranks: SteppedRanks, policy: InTurn, *, pace: Pace = STEADY, worker: str = "w1"
) -> Coordinator:
    coordinator = bench.over(ranks, policy=policy, pace=pace, slots=4, worker=worker)
    await coordinator.open()
    bench.opened.append(coordinator)
    return coordinator


def asked(ranks: SteppedRanks, job_id: str, *what: str) -> list[Any]:
    return [a for a in ranks.asked if a.clip.startswith(job_id) and (not what or a.what in what)]


async def interrupted(bench: Bench, pace: Pace) -> tuple[str, SteppedRanks, Coordinator, asyncio.Task[Any]]:
    """A clip that stands after some of its steps, with no more coming."""
    ranks = SteppedRanks(bench.media, 2, steps=8)
    policy = InTurn(degree=2)
    coordinator = await gang(bench, ranks, policy, pace=pace)
    job_id, fence = await bench.claimed(seconds=100.0)
    policy.choose = lambda clip: None if clip.need is Need.DENOISE and clip.steps_left <= 5 else 2
    taking = asyncio.create_task(coordinator.take(job_id, fence))
    await until(lambda: len(asked(ranks, job_id, "advance")) == 3)
    return job_id, ranks, coordinator, taking
