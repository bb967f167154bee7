"""A clip on a gang, as the executor keeps it: where it stands, who holds it, what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from deployments.ranks import ClipTask, Event
from models.runners.base import Place
from policies.gang import Block, GangClip, Need


@dataclass(frozen=True, slots=True)
class ClipTimes:
    """Predicted seconds of one clip's parts.

    Attributes:
        encode_s: Its photograph and words, on one GPU.
        step_s: One denoising step, by degree; only degrees that the clip can run at.
        decode_s: The pictures of one segment, with what is done to them, on one GPU.
        steps: Steps of one segment.
        segments: Segments of the clip.
        whole_s: All of it on one GPU.
    """

    encode_s: float
    step_s: Mapping[int, float]
    decode_s: float
    steps: int
    segments: int
    whole_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """A clip to make, and what it is worth to be in time.

    Attributes:
        task: What is to be made.
        times: What it should take.
        due: When it was promised, on the executor's clock; inf where nothing was.
        band: Priority band, 0 first.
        tenant: Whose it is.
        place: Where the state in its folder stands; None for a clip that begins anew.
        stepped: It can be paused after any step.
    """

    task: ClipTask
    times: ClipTimes
    due: float
    band: int
    tenant: str
    place: Place | None = None
    stepped: bool = True


@dataclass(slots=True, eq=False)
class ClipRun:
    """Changes as the clip is made; only the executor writes it."""

    work: Work
    arrived: float
    place: Place | None
    saved_at: Place | None
    """Where the state in the folder stands."""
    holders: frozenset[int] = frozenset()
    """Ranks that hold the clip at `place`."""
    block: Block | None = None
    until: float = 0.0
    """When what it is busy with should end."""
    task: asyncio.Task[None] | None = None
    """What it is busy with; None at a boundary."""
    parking: asyncio.Task[None] | None = None
    cancelled: bool = False
    over: bool = False
    """Its last word was said."""
    anew: bool = False
    """Its checkpoint was of no use: it began again."""
    losses: int = 0
    """Times that ranks were lost while they worked on it."""
    unsaved_s: float = 0.0
    gpus: int | None = None
    """Degree last told; 0 while paused."""
    gpu_seconds: float = 0.0
    run_seconds: float = 0.0
    """Time that somebody worked on it."""
    predicted_seconds: float = 0.0
    """What the predictions said of the same work."""
    stages: dict[str, float] = field(default_factory=dict)
    preview_key: str | None = None
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)

    @property
    def name(self) -> str:
        """Tells the attempts of all jobs apart."""
        return self.work.task.name

    @property
    def need(self) -> Need:
        """What it needs next."""
        if not self.work.stepped:
            return Need.WHOLE
        if self.place is None:
            return Need.ENCODE
        return Need.DECODE if self.place.denoised else Need.DENOISE

    @property
    def ready(self) -> bool:
        """At a boundary, and to be gone on with."""
        return self.task is None and not self.over

    @property
    def saved(self) -> bool:
        """The folder holds where it stands."""
        return self.place is not None and self.place == self.saved_at

    @property
    def steps_left(self) -> int:
        """Denoising steps of all segments still to do."""
        times, place = self.work.times, self.place
        return times.steps * times.segments if place is None else place.total - place.done

    @property
    def decodes_left(self) -> int:
        """Segments still to be decoded."""
        return self.work.times.segments if self.place is None else self.place.segments - self.place.segment

    def view(self, factor: Callable[[int], float]) -> GangClip:
        """What the scheduler sees; `factor` tells actual over predicted time at a degree."""
        times, place = self.work.times, self.place
        return GangClip(
            id=self.name,
            arrived=self.arrived,
            due=self.work.due,
            band=self.work.band,
            tenant=self.work.tenant,
            need=self.need,
            steps_left=self.steps_left,
            segment_steps_left=times.steps if place is None else place.steps - place.step,
            step_s={degree: seconds * factor(degree) for degree, seconds in times.step_s.items()},
            encode_s=times.encode_s * factor(1),
            decode_s=times.decode_s * factor(1),
            decodes_left=self.decodes_left,
            whole_s=times.whole_s * factor(1),
            block=self.block,
        )

    def remaining_s(self, degree: int) -> float:
        """Predicted seconds until the clip is there, if it went on at once at that degree."""
        times = self.work.times
        if not self.work.stepped:
            return max(0.0, times.whole_s - self.run_seconds)
        step = times.step_s.get(degree) or times.step_s[min(times.step_s)]
        head = times.encode_s if self.place is None else 0.0
        return head + self.steps_left * step + self.decodes_left * times.decode_s

    def did(self, seconds: float, gpus: int, predicted: float, stages: Mapping[str, float]) -> None:
        """Book time that was worked on it, and the seconds of its stages."""
        for stage, spent in stages.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + spent
        self.run_seconds += seconds
        self.gpu_seconds += seconds * gpus
        self.predicted_seconds += predicted
        self.unsaved_s += seconds

    def stands(self, place: Place, holders: frozenset[int], *, saved: bool) -> None:
        """It moved on."""
        self.place, self.holders = place, holders
        if saved:
            self.saved_at, self.unsaved_s = place, 0.0

    def fell_back(self) -> None:
        """Its ranks hold it no more: it stands where it was last saved."""
        self.place, self.holders = self.saved_at, frozenset()
        self.unsaved_s = 0.0

    def begin_anew(self) -> None:
        """Its saved state is of no use."""
        self.anew = True
        self.saved_at = None
        self.fell_back()
