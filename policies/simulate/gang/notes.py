"""The planner that the production scheduler grew from, with the switches that take its parts out.

At each decision: decode on one GPU each; give every clip that can still be in time the fewest GPUs that make
it, those with the least slack for their work first; late ones get one GPU each, the shortest first; what is
left doubles the degrees where it saves most time per GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from policies.gang import GangClip, Need, Running, Start
from policies.gang_blocks import FreeGpus

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN = 1.03
"""Predictions are taken with so much more."""
EFFICIENT = 0.8

Order = Literal["slack", "edf", "llf", "area"]


@dataclass(slots=True)
class _Plan:
    clip: GangClip
    degree: int
    grows: bool


class NotesPlanner:
    """The planner; the defaults are all of it."""

    def __init__(
        self,
        *,
        floor: float | None = 0.6,
        quantum: int = 1,
        round_s: float | None = None,
        order: Order = "slack",
        decode_on_all: bool = False,
        preempts: bool = True,
        changes_degree: bool = True,
        smallest: bool = True,
    ) -> None:
        """The planner with parts changed.

        Args:
            floor: Degrees grow while the efficiency stays at least this; None: never.
            quantum: Steps between two decisions.
            round_s: Fill so many seconds with steps instead.
            order: Of the clips that can be in time: by slack over work, deadline, laxity, or work.
            decode_on_all: Decode on the block that denoised.
            preempts: False: a clip that was begun goes on first, at its last degree or more.
            changes_degree: False: a clip keeps the degree of its first quantum.
            smallest: False: a clip that can be in time starts at k*, not at the fewest GPUs.
        """
        self._floor = floor
        self._quantum = quantum
        self._round_s = round_s
        self._order = order
        self._decode_on_all = decode_on_all
        self._preempts = preempts
        self._changes_degree = changes_degree
        self._smallest = smallest
        self._stars: dict[str, int] = {}

    def decide(
        self, now: float, ready: Sequence[GangClip], running: Sequence[Running], nodes: Sequence[int]
    ) -> list[Start]:
        """What starts now."""
        free = FreeGpus(nodes, (run.block for run in running))
        starts = self._decodes(ready, free)
        plans, left = self._plans(now, ready, free.count)
        if self._floor is not None:
            _grow(plans, left, self._floor)
        plans.sort(key=lambda plan: -plan.degree)
        for plan in plans:
            degree, block = plan.degree, None
            while degree and block is None:
                if degree in plan.clip.step_s:
                    block = free.take(degree)
                if not self._changes_degree and plan.clip.block is not None:
                    break
                degree //= 2
            if block is not None:
                starts.append(Start(plan.clip.id, block, self._steps(plan.clip, block.size)))
        return starts

    def _steps(self, clip: GangClip, degree: int) -> int:
        wanted = self._quantum
        if self._round_s is not None:
            wanted = max(1, int(self._round_s / clip.step_s[degree]))
        return min(wanted, clip.segment_steps_left)

    def _decodes(self, ready: Sequence[GangClip], free: FreeGpus) -> list[Start]:
        starts = []
        waiting = [clip for clip in ready if clip.need is not Need.DENOISE]
        if self._decode_on_all:
            for clip in waiting:
                if clip.block is not None and free.take(clip.block.size, clip.block) == clip.block:
                    starts.append(Start(clip.id, clip.block, 0))
            return starts
        for clip in sorted(waiting, key=lambda clip: (clip.due, clip.id)):
            block = free.take(1)
            if block is not None:
                starts.append(Start(clip.id, block, 0))
        return starts

    def _plans(self, now: float, ready: Sequence[GangClip], left: int) -> tuple[list[_Plan], int]:
        begun, feasible, late = self._sorted(now, ready)
        plans: list[_Plan] = []
        for clip in begun:
            degree = clip.block.size if clip.block else 1
            degree = max(degree, self._least(clip, now) or degree)
            while degree > left and degree > 1:
                degree //= 2
            if degree <= left:
                plans.append(_Plan(clip, degree, True))
                left -= degree
        for degree, clip in feasible + late:
            if degree <= left:
                plans.append(_Plan(clip, degree, self._changes_degree or clip.block is None))
                left -= degree
        return plans, left

    def _sorted(
        self, now: float, ready: Sequence[GangClip]
    ) -> tuple[list[GangClip], list[tuple[int, GangClip]], list[tuple[int, GangClip]]]:
        """Clips that must go on, those that can be in time, the late ones; each in order, with degrees."""
        begun: list[GangClip] = []
        feasible: list[tuple[float, str, int, GangClip]] = []
        late: list[tuple[float, str, int, GangClip]] = []
        for clip in ready:
            if clip.need is not Need.DENOISE:
                continue
            if not self._preempts and clip.block is not None:
                begun.append(clip)
                continue
            degree = self._least(clip, now)
            if degree is not None:
                feasible.append((self._urgency(clip, degree, now), clip.id, degree, clip))
                continue
            kept = None if self._changes_degree or clip.block is None else clip.block.size
            late.append((remaining(clip, min(clip.step_s)), clip.id, kept or min(clip.step_s), clip))
        begun.sort(key=lambda clip: (clip.due, clip.id))
        return begun, [row[2:] for row in sorted(feasible)], [row[2:] for row in sorted(late)]

    def _least(self, clip: GangClip, now: float) -> int | None:
        """The degree to start at; None when nothing makes the clip in time."""
        degrees = sorted(clip.step_s)
        if not self._changes_degree and clip.block is not None:
            degrees = [clip.block.size]
        in_time = [k for k in degrees if now + MARGIN * remaining(clip, k) <= clip.due]
        if not in_time:
            return None
        if self._smallest or (not self._changes_degree and clip.block is not None):
            return in_time[0]
        return self._stars.setdefault(clip.id, efficient(clip))

    def _urgency(self, clip: GangClip, degree: int, now: float) -> float:
        laxity = clip.due - now - MARGIN * remaining(clip, max(clip.step_s))
        if self._order == "edf":
            return clip.due
        if self._order == "llf":
            return laxity
        if self._order == "area":
            return degree * remaining(clip, degree)
        return laxity / remaining(clip, degree)


def efficient(clip: GangClip) -> int:
    """k*: the largest degree whose efficiency over what the clip still takes is at least 0.8."""
    least = min(clip.step_s)
    one = least * remaining(clip, least)
    return max(k for k in clip.step_s if one / (k * remaining(clip, k)) >= EFFICIENT)


def remaining(clip: GangClip, degree: int) -> float:
    """Seconds that the clip still takes at this degree."""
    return clip.steps_left * clip.step_s[degree] + clip.decodes_left * clip.decode_s


def _grow(plans: list[_Plan], left: int, floor: float) -> None:
    """Double degrees while GPUs are left, each time where it saves the most seconds per GPU."""
    while left > 0:
        best: tuple[float, str, _Plan] | None = None
        for plan in plans:
            clip, degree = plan.clip, plan.degree
            more = degree * 2
            if not plan.grows or degree > left or more not in clip.step_s:
                continue
            slow, fast = remaining(clip, degree), remaining(clip, more)
            if remaining(clip, min(clip.step_s)) / (more * fast) < floor:
                continue
            found = (-(slow - fast) / degree, clip.id, plan)
            if best is None or found[:2] < best[:2]:
                best = found
        if best is None:
            return
        left -= best[2].degree
        best[2].degree *= 2
