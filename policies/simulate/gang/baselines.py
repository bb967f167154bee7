"""Other people's rules for a pool of GPUs, written from their descriptions.

All but DDiT's hold a clip's GPUs from its first step to its last picture: a policy here decides once a clip,
and lets a denoised clip decode on the block that it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from policies.gang import GangClip, Need, Running, Start
from policies.gang_blocks import FreeGpus
from policies.simulate.gang.notes import EFFICIENT, efficient, remaining

if TYPE_CHECKING:
    from collections.abc import Sequence

Queue = Literal["fifo", "edf"]
NEAREST = 24
"""Clips that the integer program looks at: those with the nearest deadlines."""
ON_TIME, LATE = 1000, 100
"""Rewards of the integer program (PKU-DAIR/Hetu-DiT, `multi_machine_efficient_ilp`)."""


class Fixed:
    """Every clip at one degree, the head of the line only."""

    def __init__(self, degree: int, queue: Queue) -> None:
        self._degree = degree
        self._queue = queue

    def decide(
        self, now: float, ready: Sequence[GangClip], running: Sequence[Running], nodes: Sequence[int]
    ) -> list[Start]:
        """What starts now."""
        free = FreeGpus(nodes, (run.block for run in running))
        starts = _decoding(ready, free)
        for clip in _line(ready, self._queue):
            block = free.take(self._degree)
            if block is None:
                break
            starts.append(Start(clip.id, block, clip.segment_steps_left))
        return starts


class Static:
    """Every clip at its shape's own degree k*; whatever fits starts (TetriServe's RSSP)."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def decide(
        self, now: float, ready: Sequence[GangClip], running: Sequence[Running], nodes: Sequence[int]
    ) -> list[Start]:
        """What starts now."""
        free = FreeGpus(nodes, (run.block for run in running))
        starts = _decoding(ready, free)
        for clip in _line(ready, self._queue):
            if not free.count:
                break
            block = free.take(efficient(clip))
            if block is not None:
                starts.append(Start(clip.id, block, clip.segment_steps_left))
        return starts


class Program:
    """TridentServe's objective, solved exactly by dynamic programming over the free GPUs."""

    def decide(
        self, now: float, ready: Sequence[GangClip], running: Sequence[Running], nodes: Sequence[int]
    ) -> list[Start]:
        """What starts now."""
        free = FreeGpus(nodes, (run.block for run in running))
        starts = _decoding(ready, free)
        nearest = _line(ready, "edf")[:NEAREST]
        for degree, clip in sorted(self._solved(now, nearest, free.count), key=lambda row: -row[0]):
            wanted, block = degree, None
            while wanted and block is None:
                block = free.take(wanted)
                wanted //= 2
            if block is not None:
                starts.append(Start(clip.id, block, clip.segment_steps_left))
        return starts

    def _solved(self, now: float, clips: Sequence[GangClip], gpus: int) -> list[tuple[int, GangClip]]:
        """Degrees for the clips of the best choice that uses at most so many GPUs; an idle GPU costs one."""
        best: list[tuple[int, tuple[tuple[int, GangClip], ...]] | None]
        best = [(0, ()), *([None] * gpus)]
        for clip in clips:
            rewards = _rewards(clip, now)
            for used in range(gpus, 0, -1):
                for degree, reward in rewards:
                    before = best[used - degree] if degree <= used else None
                    found = best[used]
                    if before is not None and (found is None or before[0] + reward > found[0]):
                        best[used] = (before[0] + reward, (*before[1], (degree, clip)))
        # Later clips only replace earlier ones within a row, so each row holds every clip at most once.
        full = [(row[0] - (gpus - used), row[1]) for used, row in enumerate(best) if row is not None]
        return list(max(full, key=lambda row: row[0])[1])


class Greedy:
    """DDiT's greedy: a clip starts at once on what is free up to k*, and is promoted at step boundaries.

    Written from the paper's abstract (arXiv 2506.13497): the longest-starved clip is promoted first, decoding
    takes one GPU, nothing is paused.
    """

    def decide(
        self, now: float, ready: Sequence[GangClip], running: Sequence[Running], nodes: Sequence[int]
    ) -> list[Start]:
        """What starts now."""
        free = FreeGpus(nodes, (run.block for run in running))
        begun = [clip for clip in _line(ready, "fifo") if clip.block is not None]
        # Whoever works keeps its block; what it may get beyond that comes from what nobody holds.
        degrees = {clip.id: clip.block.size for clip in begun if clip.block is not None}
        left = free.count - sum(degrees.values())
        starts = []
        decoding = [clip for clip in ready if clip.need is not Need.DENOISE]
        for clip in sorted(decoding, key=lambda clip: (clip.arrived, clip.id)):
            block = free.take(1, clip.block) if left > 0 or clip.block is not None else None
            if block is not None:
                starts.append(Start(clip.id, block, 0))
                left -= 1
        waiting = [clip for clip in _line(ready, "fifo") if clip.block is None]
        for clip in waiting:
            degree = min(efficient(clip), 1 << max(0, left.bit_length() - 1))
            if left < 1:
                break
            degrees[clip.id] = degree
            left -= degree
        starved = [clip for clip in begun if degrees[clip.id] < efficient(clip)]
        for clip in sorted(starved, key=lambda clip: (-_starved(clip, now), clip.id)):
            while degrees[clip.id] < efficient(clip) and degrees[clip.id] <= left:
                left -= degrees[clip.id]
                degrees[clip.id] *= 2
        clips = [clip for clip in (*begun, *waiting) if clip.id in degrees]
        for clip in sorted(clips, key=lambda clip: -degrees[clip.id]):
            wanted, block = degrees[clip.id], None
            while wanted and block is None:
                block = free.take(wanted, clip.block)
                wanted //= 2
            if block is not None:
                starts.append(Start(clip.id, block, 1))
        return starts


def _line(ready: Sequence[GangClip], queue: Queue) -> list[GangClip]:
    """Clips that are to be denoised, in order."""
    waiting = [clip for clip in ready if clip.need is Need.DENOISE]
    if queue == "edf":
        return sorted(waiting, key=lambda clip: (clip.due, clip.id))
    return sorted(waiting, key=lambda clip: (clip.arrived, clip.id))


def _decoding(ready: Sequence[GangClip], free: FreeGpus) -> list[Start]:
    """Denoised clips decode on the block that they hold."""
    starts = []
    for clip in ready:
        if clip.need is Need.DECODE and clip.block is not None:
            starts.append(Start(clip.id, free.occupy(clip.block), 0))
    return starts


def _rewards(clip: GangClip, now: float) -> list[tuple[int, int]]:
    """Reward by degree, of the degrees that are efficient."""
    least = min(clip.step_s)
    one, best = least * remaining(clip, least), min(remaining(clip, k) for k in clip.step_s)
    found = []
    for degree in sorted(clip.step_s):
        seconds = remaining(clip, degree)
        if one / (degree * seconds) < EFFICIENT:
            continue
        late = now + seconds - clip.due
        reward = ON_TIME if late <= 0.0 else min(ON_TIME, int(LATE * (1.0 + late / best)) + degree - 1)
        found.append((degree, reward))
    return found


def _starved(clip: GangClip, now: float) -> float:
    """Seconds since it came beyond those that it would have taken: DDiT's starvation time, near enough."""
    return now - clip.arrived + remaining(clip, clip.block.size if clip.block else 1)
