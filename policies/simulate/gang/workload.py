"""What comes to the pool: six shapes of clip, their times on H100 at every degree, and when they are wanted.

Times follow the latency model that was fitted to Wan-Video/Wan2.2's published table (`assets/comp_effic.png`,
H100 rows; mean error 0.8 %, largest 1.6 %): compute divides by the degree, Ulysses' all-to-alls do not quite,
decoding does not at all. Shapes longer than 81 frames are extrapolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf
from random import Random

from models.errors import InvalidRequest

DEGREES = (1, 2, 4, 8)
LAYERS, WIDTH, FEED_FORWARD, TEXT = 40, 5120, 13824, 512
"""Wan 14B: transformer layers, width, width of the feed-forward, text tokens."""
LINEAR_FLOPS, ATTENTION_FLOPS = 291e12, 712e12
"""Effective FLOP/s of one H100 in linear layers and in attention (fitted)."""
LINK_BYTES = 350e9
"""Bytes/s that one GPU sends over NVLink (fitted)."""
DECODE_S = 0.350
"""Seconds per million pixels of the clip, on one GPU (fitted; text encoding is in it)."""
EFFICIENT = 0.8
"""k*, the largest efficient degree: T(1)/T(k)/k is at least this."""
SLACKS = (1.5, 3.0, 6.0)
"""A clip is wanted after one of these times T(k*), with equal chances."""
NOISE = 0.05
"""Spread of each clip's speed, which no policy sees: its steps take exp(N(0, 0.05)) times the prediction."""
LULL, RUSH, SPELL_S = 0.4, 1.6, 1800.0
"""Bursty arrivals: the rate of even and of odd half-hours, relative to the mean."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One class of clips.

    Attributes:
        name: Names it.
        share: Of all clips.
        steps: Denoising steps; 0: the clip cannot be paused, and decoding is all of it.
        step_s: Seconds a step by degree.
        decode_s: Seconds of decoding, on one GPU.
    """

    name: str
    share: float
    steps: int
    step_s: Mapping[int, float]
    decode_s: float

    def seconds(self, degree: int) -> float:
        """The whole clip at one degree, from nothing to its pictures."""
        return self.steps * self.step_s[degree] + self.decode_s

    @property
    def efficient(self) -> int:
        """k*: the largest degree whose efficiency T(1)/T(k)/k is at least 0.8."""
        return max(k for k in DEGREES if self.seconds(1) / self.seconds(k) / k >= EFFICIENT)


def shape(name: str, share: float, width: int, height: int, frames: int, steps: int, *, cfg: bool) -> Shape:
    """A class of clips by its geometry; `cfg`: two forward passes a step."""
    tokens = ((frames - 1) // 4 + 1) * (height // 16) * (width // 16)
    linear = tokens * LAYERS * (12 * WIDTH**2 + 4 * WIDTH * FEED_FORWARD)
    attention = 4 * tokens**2 * WIDTH * LAYERS + 4 * tokens * TEXT * WIDTH * LAYERS
    compute = linear / LINEAR_FLOPS + attention / ATTENTION_FLOPS
    step_s = {}
    for degree in DEGREES:
        sent = 4 * LAYERS * (2 * tokens * WIDTH / degree) * (degree - 1) / degree
        step_s[degree] = (2 if cfg else 1) * (compute / degree + sent / LINK_BYTES)
    return Shape(name, share, steps, step_s, DECODE_S * width * height * frames / 1e6)


SHAPES = (
    shape("fast480x81", 0.40, 832, 480, 81, 4, cfg=False),
    shape("fast720x121", 0.15, 1280, 720, 121, 4, cfg=False),
    shape("q480x81", 0.25, 832, 480, 81, 40, cfg=True),
    shape("q480x161", 0.08, 832, 480, 161, 40, cfg=True),
    shape("q720x81", 0.10, 1280, 720, 81, 40, cfg=True),
    shape("q720x161", 0.02, 1280, 720, 161, 40, cfg=True),
)
"""The mix: more than half are four-step clips, a fiftieth of the clips is a sixth of the work."""
MEAN_WORK = sum(kind.share * kind.seconds(1) for kind in SHAPES)
"""GPU-seconds of a clip on average: 344.3."""


@dataclass(frozen=True, slots=True)
class Job:
    """A clip that comes.

    Attributes:
        id: Names it; the order of ids is that of arrivals.
        at: When it comes, in seconds.
        due: When it is wanted.
        shape: Its class.
        factor: What its steps take, relative to the prediction. No policy sees it.
        band: Priority band, 0 first.
        tenant: Whose it is.
        segments: The clip is a chain of so many, each with all steps of the shape and a decoding of its own.
        encode_s: Seconds of encoding before the first step, on one GPU.
    """

    id: str
    at: float
    due: float
    shape: Shape
    factor: float
    band: int = 1
    tenant: str = ""
    segments: int = 1
    encode_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Workload:
    """How clips come.

    Attributes:
        load: Mean work that comes, relative to what all GPUs do at degree 1 (0.7: seven tenths).
        hours: For how long clips come; what is left then is still worked off.
        nodes: Nodes of eight GPUs.
        slack: The one slack of all clips; None: one of `SLACKS` each.
        bursty: Lulls and rushes of half an hour.
    """

    load: float = 0.7
    hours: float = 8.0
    nodes: int = 1
    slack: float | None = None
    bursty: bool = False

    @property
    def gpus(self) -> tuple[int, ...]:
        """GPUs of each node."""
        return (8,) * self.nodes

    def jobs(self, seed: int) -> list[Job]:
        """Clips in order of arrival: Poisson, independent classes, slacks and speeds.

        Raises:
            InvalidRequest: none comes in so short a time.
        """
        draw = Random(seed)  # noqa: S311 - a simulation, no secret
        rate = self.load * sum(self.gpus) / MEAN_WORK
        shares = [kind.share for kind in SHAPES]
        found: list[Job] = []
        at, end = 0.0, self.hours * 3600.0
        while True:
            at = _next(at, rate, draw) if self.bursty else at + draw.expovariate(rate)
            if at >= end:
                break
            kind = draw.choices(SHAPES, shares)[0]
            slack = self.slack if self.slack is not None else draw.choice(SLACKS)
            due = at + slack * kind.seconds(kind.efficient)
            found.append(Job(f"{len(found):05d}", at, due, kind, exp(draw.gauss(0.0, NOISE))))
        if not found:
            raise InvalidRequest(
                f"no clip comes in {self.hours:g} h at load {self.load:g} with seed {seed}; take more hours",
                param="hours",
            )
        return found

    def realised(self, jobs: Sequence[Job]) -> float:
        """The load that really came: these clips' work over what all GPUs do in those hours."""
        return sum(job.shape.seconds(1) for job in jobs) / (sum(self.gpus) * self.hours * 3600.0)


def _next(at: float, rate: float, draw: Random) -> float:
    """The next arrival at a rate that changes every half-hour: one unit of work of a unit Poisson process."""
    left, edge = draw.expovariate(1.0), inf
    while True:
        spell = int(at // SPELL_S)
        now = rate * (RUSH if spell % 2 else LULL)
        edge = (spell + 1) * SPELL_S
        if at + left / now < edge:
            return at + left / now
        left -= (edge - at) * now
        at = edge
