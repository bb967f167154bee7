"""What a clip still takes, and by when it should be there: its due time, or the next promise after it.

A clip that cannot be in time any more is promised again, a patience later, and again after that, so that late
work has a deadline too. Each promise missed makes it dearer to put off once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isinf
from typing import TYPE_CHECKING

from policies.gang import Need

if TYPE_CHECKING:
    from policies.gang import GangClip

BAND_WORTH = 16.0
"""A clip is worth so many of the next band. Our choice: at 1.2 each, 15 missed promises make up for one."""
BEST_EFFORT = 4.0
"""A clip without a due time is first promised after so many patiences. Our choice."""
MOST_MISSED = 200
"""Promises beyond this make a clip no dearer, which keeps the figures finite."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How promises are made.

    Attributes:
        patience_s: Seconds between a promise and the next.
        insistence: How much dearer a missed promise makes a clip.
        margin: Factor on predicted seconds, for what may go wrong.
        floor: A degree is used for a clip while a step is so efficient at it, relative to the smallest
            degree; higher degrees only when nothing else makes it in time.
    """

    patience_s: float
    insistence: float
    margin: float
    floor: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """A clip as the scheduler sees it.

    Attributes:
        clip: The clip.
        degrees: GPUs that its next quantum may take, the fewest first.
        seconds: What it still takes when it is let run, at its best degree.
        work: GPU-seconds that it still takes.
        promise: By when it should be there.
        denoised_by: By when its steps should be done for that.
        worth: What keeping the promise is worth.
    """

    clip: GangClip
    degrees: tuple[int, ...]
    seconds: float
    work: float
    promise: float
    denoised_by: float
    worth: float
    lasts: float
    """Until then this outlook holds: afterwards the promise can no longer be kept."""


def outlook(clip: GangClip, now: float, gpus: int, terms: Terms) -> Outlook:
    """How the clip stands now, on a node of so many GPUs.

    Raises:
        ValueError: no degree of the clip fits on the node.
    """
    single = clip.need is Need.WHOLE
    degrees = (1,) if single else _degrees(clip, now, gpus, terms)
    tail = clip.whole_s if single else clip.decodes_left * clip.decode_s
    tail += clip.encode_s if clip.need is Need.ENCODE else 0.0
    top = degrees[-1]
    steps = 0.0 if single else clip.steps_left * clip.step_s[top]
    needs = terms.margin * (steps + tail)
    promise, missed = clip.due, 0
    if isinf(clip.due):
        promise = clip.arrived + BEST_EFFORT * terms.patience_s
    if now + needs > promise:
        missed = max(1, ceil((now + needs - promise) / terms.patience_s))
        promise += missed * terms.patience_s
    worth = terms.insistence ** min(missed, MOST_MISSED) / BAND_WORTH**clip.band
    block = degrees if clip.need is Need.DENOISE else (1,)
    return Outlook(
        clip, block, steps + tail, steps * top + tail, promise, promise - terms.margin * tail, worth,
        promise - needs,
    )  # fmt: skip


def _degrees(clip: GangClip, now: float, gpus: int, terms: Terms) -> tuple[int, ...]:
    """Degrees that are efficient enough, and dearer ones up to the first that makes the clip in time."""
    known = [k for k in sorted(clip.step_s) if k <= gpus]
    if not known:
        raise ValueError(f"{clip.id} runs on {sorted(clip.step_s)} GPUs, nodes have at most {gpus}")
    one = known[0] * clip.step_s[known[0]]
    used = [k for k in known if one >= terms.floor * k * clip.step_s[k]] or known[:1]
    tail = clip.decodes_left * clip.decode_s + (clip.encode_s if clip.need is Need.ENCODE else 0.0)

    def in_time(degree: int) -> bool:
        return now + terms.margin * (clip.steps_left * clip.step_s[degree] + tail) <= clip.due

    if not in_time(used[-1]):
        for degree in known:
            if degree > used[-1] and in_time(degree):
                return (*used, degree)
    return tuple(used)
