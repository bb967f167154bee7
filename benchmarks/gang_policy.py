"""How long one decision of the gang's scheduler takes: 8 GPUs, 200 clips, one core.

    python -m benchmarks.gang_policy [--decisions 2000] [--clips 200] [--passes 3]

A pool of one 8-GPU node is kept at 200 open clips of the simulator's mix: whenever one is finished, another
comes. Two thirds have deadlines that are already hopeless when they come, so that all of the scheduler works.
Tenants and bands vary. Each pass plays the same clips and times every decision; `decision_ms` takes the least
CPU time of each decision over the passes, which leaves out what other processes did to the machine's caches,
`single_pass_ms` leaves nothing out. `cold_ms` asks a fresh scheduler, which remembers no clip.

The peer is the earlier planner (`policies.simulate.gang.notes`) on decisions of the same size.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from benchmarks.report import Report, Target, arguments, percentiles
from policies.gang import GangClip, GangPolicy, Need, Running
from policies.gang_scheduler import GangScheduler
from policies.simulate.gang.notes import NotesPlanner
from policies.simulate.gang.pool import after_quantum
from policies.simulate.gang.workload import SHAPES

SEED = 20_261_121
NODES = (8,)
LIMIT_MS = 5.0


@dataclass(frozen=True, slots=True)
class Question:
    """One call of `decide`."""

    now: float
    ready: Sequence[GangClip]
    running: Sequence[Running]


def clip(number: int, now: float, rng: random.Random) -> GangClip:
    kind = rng.choices(SHAPES, [kind.share for kind in SHAPES])[0]
    slack = rng.choice((0.5, 1.0, 6.0))
    return GangClip(
        id=f"{number:06d}",
        arrived=now,
        due=now + slack * kind.seconds(kind.efficient),
        band=rng.choice((0, 1, 1, 2)),
        tenant=rng.choice("abcdef"),
        need=Need.DENOISE,
        steps_left=kind.steps,
        segment_steps_left=kind.steps,
        step_s=kind.step_s,
        encode_s=0.0,
        decode_s=kind.decode_s,
    )


def questions(policy: GangPolicy, clips: int, decisions: int) -> tuple[list[Question], list[float]]:
    """What the policy is asked in a pool that always holds so many clips, and CPU seconds of each answer."""
    rng = random.Random(SEED)
    now, made = 0.0, clips
    ready = {c.id: c for c in (clip(number, now, rng) for number in range(clips))}
    running: dict[str, Running] = {}
    ends: list[tuple[float, str, int]] = []
    asked, spent = [], []
    while len(asked) < decisions:
        question = Question(now, list(ready.values()), list(running.values()))
        began = time.thread_time()
        starts = policy.decide(now, question.ready, question.running, NODES)
        spent.append(time.thread_time() - began)
        asked.append(question)
        for start in starts:
            taken = ready.pop(start.clip)
            seconds = (
                taken.decode_s if taken.need is Need.DECODE else start.steps * taken.step_s[start.block.size]
            )
            running[taken.id] = Running(taken, start.block, now + seconds)
            heappush(ends, (now + seconds, taken.id, start.steps))
        now, name, steps = heappop(ends)
        run = running.pop(name)
        left = after_quantum(run.clip, run.block, steps)
        if left is None:
            left = clip(made, now, rng)
            made += 1
        ready[left.id] = left
    return asked, spent


def main() -> None:
    options = arguments(
        __doc__, decisions=(2000, "decisions timed"), clips=(200, "open clips"), passes=(3, "times over")
    )
    figures, peers, singles = [], [], []
    gc.collect()
    gc.freeze()
    asked: list[Question] = []
    for _ in range(options.passes):
        asked, spent = questions(GangScheduler(), options.clips, options.decisions)
        figures.append(spent)
        singles = spent
        peers.append(questions(NotesPlanner(), options.clips, options.decisions)[1])
    cold = []
    for question in asked[:: max(1, len(asked) // 200)]:
        fresh = [replace(c) for c in question.ready]
        began = time.thread_time()
        GangScheduler().decide(question.now, fresh, question.running, NODES)
        cold.append(time.thread_time() - began)
    steady = percentiles([min(times) for times in zip(*figures, strict=True)], 1e3)
    single, first = percentiles(singles, 1e3), percentiles(cold, 1e3)
    peer = percentiles([min(times) for times in zip(*peers, strict=True)], 1e3)
    Report(
        "gang_policy",
        "CPU time of one decision of the gang's scheduler",
        {"decision_ms": steady, "single_pass_ms": single, "cold_ms": first},
        {"what": "the earlier planner in a pool of the same size", "decision_ms": peer},
        [
            Target("decision p99, 8 GPUs x 200 clips", steady["p99"], "<=", LIMIT_MS, "ms"),
            Target("the same, nothing left out", single["p99"], "<=", LIMIT_MS, "ms"),
            Target("a fresh scheduler's first decision p99", first["p99"], "<=", LIMIT_MS, "ms"),
            Target("p50 over the earlier planner's", steady["p50"] / peer["p50"]),
        ],
        {"clips": options.clips, "decisions": options.decisions, "gpus": sum(NODES)},
    ).write()


if __name__ == "__main__":
    main()
