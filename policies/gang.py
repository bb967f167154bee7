"""Which clips of a gang run now, on how many GPUs, and which wait: decided anew at step boundaries. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Need(StrEnum):
    """What a clip needs next."""

    ENCODE = "encode"
    """Its photograph and words are to be encoded, on one GPU."""
    DENOISE = "denoise"
    """Steps, on a block of GPUs."""
    DECODE = "decode"
    """A finished segment is to be decoded, on one GPU."""
    WHOLE = "whole"
    """A clip that cannot be paused: all of it, on one GPU."""


@dataclass(frozen=True, slots=True)
class Block:
    """An aligned block of a node's GPUs: `size` of them from `first`, a multiple of `size`."""

    node: int
    first: int
    size: int

    @property
    def gpus(self) -> tuple[int, ...]:
        """GPUs of the node."""
        return tuple(range(self.first, self.first + self.size))


@dataclass(frozen=True, slots=True)
class GangClip:
    """What the scheduler knows of a clip. Times are seconds on the caller's clock; durations are seconds.

    Attributes:
        id: Names it.
        arrived: When it came.
        due: When it was promised; inf where nothing was.
        band: Priority band, 0 first (`policies.fairness.BANDS`).
        tenant: Whose it is.
        need: What it needs next.
        steps_left: Denoising steps still to do, over all its segments.
        segment_steps_left: Steps still to do of the segment under way: a quantum ends there at the latest.
        step_s: Seconds a step by degree; only degrees that this clip can run at.
        encode_s: Seconds of its encoding, on one GPU.
        decode_s: Seconds of decoding one segment, on one GPU.
        decodes_left: Segments still to be decoded.
        whole_s: Seconds of a clip that cannot be paused.
        block: Where it ran last; None when nowhere yet.
    """

    id: str
    arrived: float
    due: float
    band: int
    tenant: str
    need: Need
    steps_left: int
    segment_steps_left: int
    step_s: Mapping[int, float]
    encode_s: float
    decode_s: float
    decodes_left: int = 1
    whole_s: float = 0.0
    block: Block | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A clip in the middle of a quantum, which nothing interrupts; `until` is when it should end."""

    clip: GangClip
    block: Block
    until: float


@dataclass(frozen=True, slots=True)
class Start:
    """Let a clip go on, on this block, for so many steps (0: what it needs is no denoising)."""

    clip: str
    block: Block
    steps: int


class GangPolicy(Protocol):
    """Decides at each event: a clip came, a quantum ended, a rank came or went."""

    def decide(
        self, now: float, ready: Sequence[GangClip], running: Sequence[Running], nodes: Sequence[int]
    ) -> Sequence[Start]:
        """What starts now. Clips not named wait (or stay paused); blocks named are free and do not overlap.

        Args:
            now: The caller's clock.
            ready: Clips at a boundary: new, paused, or just at the end of a quantum.
            running: Clips in a quantum.
            nodes: GPUs of each node (a replica's gang is one node).
        """
        ...
