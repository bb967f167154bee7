"""What every policy sees and says: the request, the features, the fleet, candidates, scores, the decision.

What a decision makes once is a frozen dataclass; what it makes hundreds of is a named tuple, which is made in
a third of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol

from models.types import (
    CameraMove,
    CameraWish,
    ClipPlan,
    ClipWish,
    Intensity,
    Objective,
    Priority,
    Residency,
    Size,
    TaskType,
)
from policies.pareto import pareto_front

if TYPE_CHECKING:
    from models.card import Card, Mode, Offer
    from policies.calibration import Belief
    from policies.quality import Rating

    Beliefs = Mapping[tuple[str, str], Belief]

Subject = Literal["portrait", "group", "landscape", "product", "other"]
Orientation = Literal["portrait", "landscape", "square"]
AudioKind = Literal["ambient", "speech", "music"]
Defect = Literal["low_resolution", "blurred", "noisy", "dark", "harsh_light", "flat_light"]


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What was read from the photograph (upright). Shares are of the photograph's area or side, 0-1."""

    width: int
    height: int
    orientation: Orientation
    faces: tuple[tuple[float, float, float, float], ...] = ()
    """x, y, width, height of each face as shares of the photograph's sides."""
    largest_face: float = 0.0
    """Area share of the largest face."""
    sharpness: float | None = None
    """Variance of the Laplacian at a fixed working size; None when not measured."""
    exposure: float | None = None
    """Mean luma, 0-1."""
    contrast: float | None = None
    """Share of clipped pixels, 0-1."""
    spread: float | None = None
    """Standard deviation of the luma, 0-1; low values are flat light."""
    horizon: float | None = None
    """Height of a horizon as share of the height from the top, when one was found."""
    subject: Subject = "other"
    subject_confidence: float = 0.0
    noise: float | None = None
    """Standard deviation of pixel noise at a fixed working size, in levels of 255; None when not measured."""
    monochrome: bool = False
    """Black-and-white or toned (sepia): the picture has at most one hue."""
    aged: float = 0.0
    """Evidence that this is a historic print, 0-1; above 0 only for a monochrome picture."""
    defects: tuple[Defect, ...] = ()
    """What makes the picture hard to animate, the weightiest first."""

    @property
    def size(self) -> Size:
        """Pixels."""
        return Size(self.width, self.height)

    @property
    def face_count(self) -> int:
        """How many faces."""
        return len(self.faces)


@dataclass(frozen=True, slots=True)
class PromptFeatures:
    """What was read from the words."""

    camera: tuple[CameraMove, ...] = ()
    subject_motion: tuple[str, ...] = ()
    environment_motion: tuple[str, ...] = ()
    intensity: Intensity | None = None
    """None: the words do not say."""
    wants_audio: bool = False
    wants_loop: bool = False
    motion_count: int = 0
    """Number of competing motions."""
    is_caption: bool = False
    """True when the words say what is seen but not what happens."""
    words: int = 0
    chars: int = 0
    camera_required: tuple[CameraMove, ...] = ()
    """Those of `camera` that the words insist on ("must", "exactly", "required"); the rest is wished."""
    camera_refused: tuple[CameraMove, ...] = ()
    """Moves that the words rule out ("no zoom"), both directions when none is named."""
    audio: tuple[AudioKind, ...] = ()
    """Kinds of sound that are wished; empty while `wants_audio` when the words do not say which."""
    fabric: bool = False
    """Clothes or cloth are named: fashion."""
    historic: bool = False
    """The words call the photograph an old one ("sepia", "1920s photograph")."""


@dataclass(frozen=True, slots=True)
class Features:
    """Everything read from photograph and words, with advice for the person."""

    image: ImageFeatures
    prompt: PromptFeatures
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What is asked, without bytes: all that a decision may depend on."""

    features: Features
    wish: ClipWish = field(default_factory=ClipWish)
    task: TaskType = TaskType.TI2V
    model: str = "auto"
    objective: Objective = Objective.BALANCED
    camera: tuple[CameraWish, ...] = ()
    """Explicit controls; camera words in the prompt are in `features` and only a preference."""
    motion: Intensity | None = None
    deadline_s: float | None = None
    """Seconds from now until the clip must be there."""
    max_cost_usd: float | None = None
    priority: Priority = Priority.NORMAL
    residency: Residency = Residency.ANY
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    has_last_image: bool = False
    has_driving_video: bool = False
    driving_seconds: float | None = None
    """Playing time of the driving video; None when there is none or it was not read."""
    has_audio: bool = False
    audio_seconds: float | None = None
    """Playing time of the audio file; None when there is none or it was not read."""
    generate_audio: bool = False
    tenant: str = "default"
    draw: float | None = None
    """A number in [0, 1) that belongs to the job: it says whether the job explores, or is held out from what
    was learned (see `policies.explore`). None: neither."""


class Waiting(NamedTuple):
    """One job that waits for a pool."""

    due: float
    """Seconds from `Fleet.now` until its clip must be there; inf when it has no deadline."""
    priority: Priority
    seconds: float
    """Predicted run time there."""
    gpus: int = 1
    """GPUs that it is planned to run on."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The replicas of one Serve application that run one offer (or a hosted account)."""

    name: str
    model: str
    offer: str
    gpu: str
    """GPU type, a key of gpus.yaml (`cpu` for a laptop)."""
    gang_size: int = 1
    """GPUs of one replica, which its clips share."""
    slots: int = 1
    """Clips that one replica holds at once."""
    replicas: int = 0
    """Live replicas."""
    max_replicas: int = 1
    busy_seconds: tuple[float, ...] = ()
    """Predicted seconds until each clip that runs is done; idle replicas are absent."""
    busy_gpus: tuple[int, ...] = ()
    """GPUs that each of them is planned to run on, in the same order; empty: one each."""
    queued_seconds: float = 0.0
    """Predicted seconds of queued work that is already promised to this pool, beside `waiting`; it counts as
    ahead of any new job."""
    waiting: tuple[Waiting, ...] = ()
    """Jobs promised to this pool one by one, so that a new one is put where its deadline and band put it."""
    cold_start_s: float = 0.0
    """Predicted seconds until a replica that does not exist yet can run (0 replicas)."""
    healthy: bool = True
    reason: str = ""
    """Why it is not healthy."""
    speed: float = 1.0
    """Calibrated actual over predicted seconds (above 1: slower than the formula)."""
    sigma: float = 0.05
    """Standard deviation of ln(actual / predicted)."""
    congestion: float = 1.0
    """A factor, 1 or more, on the price of its GPU seconds in utility alone, over the one that follows from
    its load (see `policies.load.congestion`). Never on a price that is told."""

    @property
    def gpus_at_work(self) -> int:
        """GPUs that running clips are planned to hold; never more than there are."""
        at_work = sum(self.busy_gpus) if self.busy_gpus else len(self.busy_seconds)
        return min(at_work, self.replicas * self.gang_size)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What can run now: pools by (model, offer), and what votes have taught about the models."""

    pools: tuple[Pool, ...]
    now: float = 0.0
    beliefs: Beliefs = field(default_factory=dict, hash=False)
    """By (card id, use case); empty: nobody has voted."""


class Prediction(NamedTuple):
    """What a candidate would deliver. Seconds are wall; `quality` is the expected preference, 0-1."""

    seconds: float
    wait_seconds: float
    usd: float | None
    """None: the offer has no known price."""
    gpu_seconds: float
    quality: float
    on_time: float
    """Probability that the deadline is met (1.0 when there is none)."""
    memory_bytes: int = 0
    """Peak per GPU."""
    fits: bool = True
    """The peak fits the GPU type of the pool."""
    congestion: float = 1.0
    """Factor on `usd` in utility alone: what the GPU seconds are worth to those who wait for them."""
    rating: Rating | None = None
    """What `quality` follows from; None where it was not predicted."""

    @property
    def total_seconds(self) -> float:
        """Wait and run."""
        return self.wait_seconds + self.seconds


class Score(NamedTuple):
    """One scorer's word on one candidate: value in [0, 1] (clamped) and why."""

    value: float
    reason: str


class Candidate(NamedTuple):
    """Offer x geometry x GPU count, with its prediction."""

    card: Card
    offer: Offer
    mode: Mode
    plan: ClipPlan
    gpus: int
    pool: Pool
    prediction: Prediction

    @property
    def key(self) -> str:
        """Stable name for ties and logs."""
        return f"{self.card.id}/{self.offer.id}/{self.mode.name}@{self.pool.name}x{self.gpus}"


class Column(NamedTuple):
    """A scorer of the profile with its weight."""

    scorer: Scorer
    weight: float


class Scored(NamedTuple):
    """A candidate with its utility and the value that each of `columns` gave it."""

    candidate: Candidate
    utility: float
    values: tuple[float, ...]
    columns: tuple[Column, ...]
    request: RouteRequest

    @property
    def scores(self) -> dict[str, tuple[Score, float]]:
        """By scorer name: the score and its weight in the profile. Worded now: few are ever read."""
        return {
            scorer.name: (Score(value, scorer.explain(self.request, self.candidate)), weight)
            for value, (scorer, weight) in zip(self.values, self.columns, strict=True)
        }


class Rejected(NamedTuple):
    """An offer (or candidate) that a filter took out, and why."""

    model: str
    offer: str
    filter: str
    reason: str


class Saves(NamedTuple):
    """What a changed request saves against the one that was asked, had it neither deadline nor budget.

    Seconds are never negative: 0 where the clip is there no sooner. Negative USD are what it costs more. None
    where the request as asked can be had at no price or time, or where a price is not known.
    """

    seconds: float | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class CounterOffer:
    """A change to the request under which something fits."""

    change: str
    """In words."""
    chosen: Scored
    patch: Mapping[str, object] = field(default_factory=dict, hash=False)
    """The changed fields under their HTTP names; None takes a field away."""
    saves: Saves = field(default_factory=Saves)


@dataclass(frozen=True, slots=True)
class Clash:
    """The smallest set of wishes that cannot be had together (one: it cannot be had at all)."""

    fields: tuple[str, ...]
    """HTTP names."""
    told: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome: chosen (or None), ordered fallbacks, all candidates, all rejections."""

    profile: str
    features: Features
    chosen: Scored | None
    fallbacks: tuple[Scored, ...] = ()
    candidates: tuple[Scored, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    counter_offers: tuple[CounterOffer, ...] = ()
    advice: tuple[str, ...] = ()
    clashes: tuple[Clash, ...] = ()
    """Which wishes stand in each other's way, when nothing fits: every smallest set of them."""
    notes: tuple[str, ...] = ()
    """How the choice was made where that is not the rule (explored, or held out from what was learned), and
    why a long clip is one shot or a chain where its model can do both."""

    @property
    def pareto(self) -> tuple[Scored, ...]:
        """Candidates that no other one beats in quality, total seconds, price and chance to be on time."""
        return pareto_front(self.candidates)


class OfferFilter(Protocol):
    """Takes an offer out before geometry is planned (cheap facts of card and offer).

    Returns the reason for rejection, or None to keep it. The reason is a full sentence with figures. A filter
    of either kind may also have `applies(request) -> bool`: where that is False it is not asked at all.
    """

    name: ClassVar[str]

    def reject_offer(self, request: RouteRequest, card: Card, offer: Offer) -> str | None:
        """Why this offer is no answer, or None."""
        ...


class CandidateFilter(Protocol):
    """Takes a planned candidate out (needs geometry, price or prediction)."""

    name: ClassVar[str]

    def reject(self, request: RouteRequest, candidate: Candidate) -> str | None:
        """Why this candidate is no answer, or None."""
        ...


class Scorer(Protocol):
    """Values all candidates at once, so that it may compare them; explains a single one when asked."""

    name: ClassVar[str]

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> Sequence[float]:
        """A value in [0, 1] (clamped) for each candidate, in order."""
        ...

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """Why the candidate has its value, in words with figures."""
        ...


class Picker(Protocol):
    """Orders scored candidates, best first; must be deterministic for equal inputs."""

    name: ClassVar[str]

    def order(self, request: RouteRequest, scored: Sequence[Scored]) -> Sequence[Scored]:
        """All of `scored`, best first."""
        ...
