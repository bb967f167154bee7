"""The GPUs and the clock: what a gang's policy starts is played out, one quantum at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heappop, heappush
from math import floor
from typing import TYPE_CHECKING

from policies.gang import Block, GangClip, GangPolicy, Need, Running, Start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.simulate.gang.workload import Job

RECONFIGURATION_S = 0.3
"""What a change of degree or place costs before the quantum begins. Assumed."""


@dataclass(slots=True)
class Tale:
    """What became of a clip."""

    job: Job
    finished: float = 0.0
    gpu_seconds: float = 0.0
    """GPU-seconds that it occupied, reconfigurations included."""
    reconfigurations: int = 0

    @property
    def on_time(self) -> bool:
        """It was there when it was wanted."""
        return self.finished <= self.job.due

    @property
    def latency(self) -> float:
        """Seconds from its arrival to its end."""
        return self.finished - self.job.at


class Pool:
    """Plays jobs through one policy until the last is done."""

    def __init__(self, nodes: Sequence[int], policy: GangPolicy, period: float | None = None) -> None:
        """A pool.

        Args:
            nodes: GPUs of each node.
            policy: Decides after every arrival and every quantum.
            period: It decides at multiples of so many seconds only; None: at every event.
        """
        self.decisions = 0
        self._nodes = tuple(nodes)
        self._policy = policy
        self._period = period
        self._now = 0.0
        self._ready: dict[str, GangClip] = {}
        self._running: dict[str, Running] = {}
        self._busy = [0] * len(self._nodes)
        self._ends: list[tuple[float, str, int]] = []
        self._tales: dict[str, Tale] = {}

    def play(self, jobs: Sequence[Job]) -> list[Tale]:
        """What became of each job, in their order.

        Raises:
            ValueError: the policy breaks a rule (a GPU twice, an unknown clip, a degree that it cannot have),
                or lets clips wait for ever.
        """
        self._tales = {job.id: Tale(job) for job in jobs}
        coming, place = list(jobs), 0
        tick: float | None = None
        while place < len(coming) or self._ends or self._ready:
            nexts = [coming[place].at] if place < len(coming) else []
            nexts += [self._ends[0][0]] if self._ends else []
            nexts += [tick] if tick is not None else []
            if not nexts:
                raise ValueError(f"the policy lets {len(self._ready)} clips wait for ever")
            self._now = min(nexts)
            while place < len(coming) and coming[place].at <= self._now:
                job = coming[place]
                self._ready[job.id] = _arrived(job)
                place += 1
            while self._ends and self._ends[0][0] <= self._now:
                _, clip, steps = heappop(self._ends)
                self._end(self._running.pop(clip), steps)
            if self._period is None or self._now == tick:
                self._decide()
            if self._period is not None:
                tick = (floor(self._now / self._period) + 1) * self._period if self._ready else None
        return list(self._tales.values())

    def _decide(self) -> None:
        if not self._ready:
            return
        self.decisions += 1
        ready = list(self._ready.values())
        for start in self._policy.decide(self._now, ready, list(self._running.values()), self._nodes):
            self._start(start)

    def _start(self, start: Start) -> None:
        clip, block = self._ready.pop(start.clip, None), start.block
        if clip is None:
            raise ValueError(f"{start.clip} does not wait")
        bits = ((1 << block.size) - 1) << block.first
        if block.first % block.size or block.first + block.size > self._nodes[block.node]:
            raise ValueError(f"{block} is no aligned block of nodes {self._nodes}")
        if self._busy[block.node] & bits:
            raise ValueError(f"{block} is not free for {start.clip}")
        if clip.need is Need.DENOISE and not (
            block.size in clip.step_s and 1 <= start.steps <= clip.segment_steps_left
        ):
            raise ValueError(f"{start.clip} cannot do {start.steps} steps on {block.size} GPUs")
        tale = self._tales[clip.id]
        moved = clip.block is not None and clip.block != block
        charge = RECONFIGURATION_S if moved else 0.0
        told = _seconds(clip, start, 1.0) + charge
        true = _seconds(clip, start, tale.job.factor) + charge
        tale.reconfigurations += moved
        tale.gpu_seconds += true * block.size
        self._busy[block.node] |= bits
        self._running[clip.id] = Running(clip, block, self._now + told)
        heappush(self._ends, (self._now + true, clip.id, start.steps))

    def _end(self, run: Running, steps: int) -> None:
        block = run.block
        self._busy[block.node] &= ~(((1 << block.size) - 1) << block.first)
        clip = after_quantum(run.clip, block, steps)
        if clip is None:
            self._tales[run.clip.id].finished = self._now
        else:
            self._ready[clip.id] = clip


def _arrived(job: Job) -> GangClip:
    need = Need.ENCODE if job.encode_s else Need.DENOISE if job.shape.steps else Need.WHOLE
    return GangClip(
        id=job.id,
        arrived=job.at,
        due=job.due,
        band=job.band,
        tenant=job.tenant,
        need=need,
        steps_left=job.shape.steps * job.segments,
        segment_steps_left=job.shape.steps,
        step_s=job.shape.step_s,
        encode_s=job.encode_s,
        decode_s=job.shape.decode_s,
        decodes_left=job.segments,
        whole_s=job.shape.decode_s if need is Need.WHOLE else 0.0,
    )


def _seconds(clip: GangClip, start: Start, factor: float) -> float:
    if clip.need is Need.DENOISE:
        return start.steps * clip.step_s[start.block.size] * factor
    if clip.need is Need.DECODE:
        return clip.decode_s
    return clip.encode_s if clip.need is Need.ENCODE else clip.whole_s


def after_quantum(clip: GangClip, block: Block, steps: int) -> GangClip | None:
    """The clip after a quantum of so many steps on that block; None when it is done."""
    if clip.need is Need.DENOISE:
        left = clip.segment_steps_left - steps
        need = Need.DENOISE if left else Need.DECODE
        return replace(
            clip, need=need, steps_left=clip.steps_left - steps, segment_steps_left=left, block=block
        )
    if clip.need is Need.ENCODE:
        return replace(clip, need=Need.DENOISE, block=block)
    if clip.need is Need.WHOLE or clip.decodes_left == 1:
        return None
    segment = clip.steps_left // (clip.decodes_left - 1)
    return replace(
        clip, need=Need.DENOISE, decodes_left=clip.decodes_left - 1, segment_steps_left=segment, block=block
    )
