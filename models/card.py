"""The card: one YAML file that says what a model is, can do and costs, and where each figure is from.

A card has offers (ways to run it); an offer has modes (rows of *joint* limits: 1080p may allow 6 s only).
Every block that holds figures is `Sourced`: it names its source and the day it was checked, and says
`inferred: true` when nobody published it. A figure that nobody knows is `unknown`; what policies assume
instead is the prior of the model's family (see `models.priors`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from models.types import CameraMove, TaskType

Unknown = Literal["unknown"]
"""Written where a figure has no source. Never guessed on the card."""


class Block(BaseModel):
    """Strict base: an unknown key is an error, not a silent typo, and no figure is NaN or infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Sourced(Block):
    """A block of figures from one source."""

    source: str = Field(min_length=3)
    checked_at: date
    inferred: bool = False


class Licence(Sourced):
    """Terms of the weights or of the API."""

    id: str
    commercial: Literal["yes", "no", "threshold", "unknown"]
    note: str = ""


class Weights(Sourced):
    """Where the weights are. A hub id is loaded only at a pinned `revision` (40 hex digits)."""

    kind: Literal["open", "api", "none"]
    hub_id: str | None = None
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    pipeline: str | None = None
    """diffusers class that runs them."""
    bytes: int | None = Field(default=None, gt=0)
    """Size of all components in memory at their run precision."""

    @model_validator(mode="after")
    def _pinned(self) -> Weights:
        if self.revision is not None and self.hub_id is None:
            raise ValueError("a revision pins a hub_id; none is given")
        return self


class Camera(Sourced):
    """How the camera is steered.

    `parameter`, `brackets` and `native` are real interfaces; `prompt` is words that the model may follow;
    `video` means that the camera follows the driving video.
    """

    kind: Literal["none", "prompt", "parameter", "brackets", "native", "video"]
    moves: tuple[CameraMove, ...] = ()
    max_moves: int = Field(default=1, ge=1)

    @property
    def explicit(self) -> bool:
        """True when a move is an input of the model and not a hope in the prompt."""
        return self.kind in {"parameter", "brackets", "native"}


Need = Literal["none", "optional", "required"]
Precondition = Literal["human_body", "face", "single_subject"]


class Controls(Sourced):
    """What can be given beside photograph and prompt."""

    camera: Camera
    prompt: bool = True
    """False: the model reads no words at all."""
    prompt_scope: Literal["full", "camera"] = "full"
    """`camera`: of all words only camera moves have an effect; what the subject should do is not read."""
    last_image: Need = "none"
    driving_video: Need = "none"
    audio_in: Need = "none"
    audio_out: Literal["none", "native", "always"] = "none"
    """`native`: makes sound when asked; `always`: every clip has sound."""
    negative_prompt: bool = False
    seed: bool = True
    loop: bool = False
    """The model itself can close the loop."""
    region_mask: bool = False
    """What moves can be masked."""
    multi_shot: bool = False
    """One clip may have several shots, each with its own words."""
    prompt_required: bool = False
    prompt_max_chars: int | None = Field(default=None, ge=1)
    preconditions: tuple[Precondition, ...] = ()
    """What the photograph must show; the model refuses it otherwise."""


class InputImage(Sourced):
    """What photographs the model takes, in pixels."""

    min_side: int = Field(default=1, ge=1)
    max_side: int = Field(default=16384, ge=1)
    aspect_min: float = Field(default=0.05, gt=0)
    aspect_max: float = Field(default=20.0, gt=0)


class AreaSizes(Block):
    """Any size on the lattice up to `pixels`, as open models accept."""

    kind: Literal["area"]
    pixels: int = Field(ge=1)
    """Largest area the mode was trained for."""
    min_pixels: int = Field(ge=1)
    multiple: int = Field(ge=1)
    aspect_min: float = Field(default=0.25, gt=0)
    aspect_max: float = Field(default=4.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> AreaSizes:
        if self.min_pixels > self.pixels:
            raise ValueError(f"min_pixels={self.min_pixels} exceeds pixels={self.pixels}")
        if self.aspect_min > self.aspect_max:
            raise ValueError(f"aspect_min={self.aspect_min} exceeds aspect_max={self.aspect_max}")
        return self


class ListedSizes(Block):
    """Exactly these sizes, as APIs accept."""

    kind: Literal["list"]
    sizes: tuple[tuple[PositiveInt, PositiveInt], ...] = Field(min_length=1)


class LatticeFrames(Block):
    """`step * n + offset` frames between `min` and `max`."""

    kind: Literal["lattice"]
    step: int = Field(ge=1)
    offset: int = Field(ge=0)
    min: int = Field(ge=1)
    max: int = Field(ge=1)

    @model_validator(mode="after")
    def _on_lattice(self) -> LatticeFrames:
        for name, value in (("min", self.min), ("max", self.max)):
            if (value - self.offset) % self.step:
                raise ValueError(f"{name}={value} is not {self.step}k+{self.offset}")
        if self.min > self.max:
            raise ValueError("min exceeds max")
        return self


class ListedSeconds(Block):
    """Exactly these durations, at the mode's fps."""

    kind: Literal["seconds"]
    values: tuple[PositiveFloat, ...] = Field(min_length=1)


class RangeSeconds(Block):
    """Durations from `min` to `max` in steps of `step`."""

    kind: Literal["range"]
    min: float = Field(gt=0)
    max: float = Field(gt=0)
    step: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> RangeSeconds:
        if self.min > self.max:
            raise ValueError(f"min={self.min} exceeds max={self.max}")
        return self


class FollowsInput(Block):
    """The clip lasts as long as what drives it, from `min` to `max` seconds."""

    kind: Literal["follows"]
    of: Literal["driving_video", "audio"]
    min: float = Field(gt=0)
    max: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> FollowsInput:
        if self.min > self.max:
            raise ValueError(f"min={self.min} exceeds max={self.max}")
        return self


class PricePerSecond(Sourced):
    """USD per second of delivered clip."""

    kind: Literal["per_second"]
    usd: float = Field(ge=0)
    usd_with_audio: float | None = Field(default=None, ge=0)
    """Where a clip with generated sound is dearer."""


class PricePerClip(Sourced):
    """USD per clip."""

    kind: Literal["per_clip"]
    usd: float = Field(ge=0)
    usd_with_audio: float | None = Field(default=None, ge=0)


class PricePerGpuSecond(Sourced):
    """Priced by the GPU type's hourly rate (see `gpus.yaml`) times GPU-seconds used."""

    kind: Literal["gpu"]


Price = Annotated[PricePerSecond | PricePerClip | PricePerGpuSecond, Field(discriminator="kind")]


class Mode(Sourced):
    """One row of joint limits."""

    name: str
    sizes: Annotated[AreaSizes | ListedSizes, Field(discriminator="kind")]
    length: Annotated[
        LatticeFrames | ListedSeconds | RangeSeconds | FollowsInput, Field(discriminator="kind")
    ]
    fps: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] | Unknown
    """Frame rates that the model itself makes; the first is its own."""
    price: Price | None = None
    """Price of this mode where it differs from the offer's."""
    max_segments: int = Field(default=1, ge=1)
    """How many native lengths may be chained (last frame becomes the next photograph)."""
    interpolate_to: float | None = Field(default=None, gt=0)
    """Highest fps reached by in-between frames; None: no interpolation."""
    needs: tuple[Literal["last_image", "driving_video", "audio"], ...] = ()
    excludes: tuple[Literal["last_image", "driving_video", "audio"], ...] = ()

    @model_validator(mode="after")
    def _coherent(self) -> Mode:
        both = sorted(set(self.needs) & set(self.excludes))
        if both:
            raise ValueError(f"a mode cannot both need and exclude {both}")
        if self.interpolate_to is not None and self.fps == "unknown":
            raise ValueError("interpolate_to needs a known fps")
        if self.interpolate_to is not None and self.interpolate_to < max(self.rates):
            raise ValueError(
                f"interpolate_to={self.interpolate_to} is below the native {max(self.rates)} fps"
            )
        return self

    @property
    def rates(self) -> tuple[float, ...]:
        """Frame rates; raises `ValueError` on a card whose family prior has not been filled in."""
        if self.fps == "unknown":
            raise ValueError(f"mode {self.name}: fps is unknown; load cards through models.catalog")
        return self.fps


class Sampling(Sourced):
    """How many steps and passes a clip takes."""

    steps: int = Field(ge=1)
    guidance: float = Field(ge=0)
    passes_per_step: int = Field(ge=1)
    """Transformer passes per denoising step (2 with classifier-free guidance, 1 without)."""
    flow_shift: float | None = None


class ApiLatency(Sourced):
    """Wall seconds of a hosted call: lognormal with this median and p95."""

    p50: float = Field(gt=0)
    p95: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> ApiLatency:
        if self.p95 < self.p50:
            raise ValueError(f"p95={self.p95} is below p50={self.p50}")
        return self


HOSTED = frozenset({"replicate", "fal", "vendor"})
"""Backends that run on somebody else's machines: no GPU type of ours, no degree."""


class Adapter(Sourced):
    """Weights laid over the model for one offer, such as a distillation to few steps (LoRA)."""

    hub_id: str | None = None
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    files: tuple[str, ...] = Field(min_length=1)
    """safetensors files in the repository (or local directory), one for each expert in order."""
    scale: float = Field(default=1.0, gt=0)


class Offer(Block):
    """One way to run a card."""

    id: str
    backend: Literal["local", "engine", "replicate", "fal", "vendor"]
    runner: str | None = None
    """For local offers: the module under `models.runners` (or an entry point) that makes the clip."""
    ref: str | None = None
    """For hosted offers: how the provider calls it (`owner/name`, endpoint or model id)."""
    replica: str | None = None
    """Id of the local offer on whose replicas this one runs too (the same weights and an adapter)."""
    adapter: Adapter | None = None
    modes: tuple[Mode, ...] = Field(min_length=1)
    sampling: Sampling | None = None
    price: Price | Unknown | None = None
    latency: ApiLatency | Unknown | None = None
    default_gpu: str | None = None
    """GPU type (key of gpus.yaml) assumed by a dry run over every card."""
    degrees: tuple[PositiveInt, ...] = Field(default=(1,), min_length=1)
    """GPU counts that one clip can run on."""
    label: str = ""
    """What a person must know before choosing it, such as that nothing is generated."""

    @model_validator(mode="after")
    def _coherent(self) -> Offer:
        if self.backend == "local" and self.runner is None:
            raise ValueError(f"offer {self.id} is local: it needs a runner")
        if (self.replica is None) != (self.adapter is None):
            raise ValueError(f"offer {self.id}: replica and adapter go together")
        names = [mode.name for mode in self.modes]
        if len(set(names)) != len(names):
            raise ValueError(f"mode names repeat in offer {self.id}: {names}")
        return self


class Transformer(Sourced):
    """Shape of the denoiser, from which FLOPs, bytes and memory follow (see `models.cost`)."""

    kind: Literal["wan", "ltx", "unet"]
    params: int = Field(gt=0)
    """Parameters of one expert."""
    experts: int = Field(default=1, ge=1)
    width: int | None = Field(default=None, gt=0)
    mlp: int | None = Field(default=None, gt=0)
    layers: int | None = Field(default=None, gt=0)
    heads: int | None = Field(default=None, gt=0)
    text_tokens: int = Field(default=0, ge=0)
    image_tokens: int = Field(default=0, ge=0)
    temporal_compression: int = Field(default=4, ge=1)
    spatial_compression: int = Field(default=8, ge=1)
    patch: int = Field(default=1, ge=1)
    flops_per_forward: float | None = Field(default=None, gt=0)
    """For UNets, FLOPs of one forward at `reference` (width, height, frames), spatial attention left out;
    scaled by pixels x frames."""
    attention_flops_per_forward: float = Field(default=0.0, ge=0)
    """For UNets, FLOPs of spatial self-attention at `reference`; scaled by pixels squared x frames."""
    reference: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    activation_bytes_per_token_width: float = Field(default=22.0, ge=0)
    """Live activation bytes of one call, per token and unit of width (for UNets per pixel and frame); the
    batch of two that some pipelines use for guidance is in it."""

    @model_validator(mode="after")
    def _complete(self) -> Transformer:
        is_unet = self.kind == "unet"
        required = ["flops_per_forward", "reference"] if is_unet else ["width", "mlp", "layers", "heads"]
        missing = [name for name in required if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a {self.kind} transformer needs {', '.join(missing)}")
        return self


class Vae(Sourced):
    """kFLOP per pixel and frame of the codec, and its peak memory while decoding."""

    decode_kflop: float = Field(ge=0)
    encode_kflop: float = Field(ge=0)
    encodes_all_frames: bool = False
    peak_bytes_per_pixel: float = Field(default=0.0, ge=0)
    """Part of the decode peak that does not grow with the number of frames (codecs that stream)."""
    peak_bytes_per_pixel_frame: float = Field(default=0.0, ge=0)
    """Part of the decode peak that does."""


class Rendering(Sourced):
    """Cost of a renderer without a network: CPU seconds per megapixel of output frames."""

    seconds_per_megapixel: float = Field(ge=0)
    fixed_seconds: float = Field(ge=0)
    bytes_per_pixel: float = Field(default=0.0, ge=0)
    """Working memory per pixel of one frame."""


class Cost(Block):
    """What one clip costs in arithmetic; exactly one of `transformer` and `rendering`."""

    transformer: Transformer | None = None
    vae: Vae | None = None
    rendering: Rendering | None = None

    @model_validator(mode="after")
    def _one(self) -> Cost:
        if (self.transformer is None) == (self.rendering is None):
            raise ValueError("give exactly one of transformer and rendering")
        if self.transformer is not None and self.vae is None:
            raise ValueError("a transformer needs its vae")
        return self


class Quality(Sourced):
    """Prior of how good clips look: Elo on one board, with its uncertainty.

    `dynamic_degree` is VBench's share of clips that really move (0-1), when known.
    """

    elo: float | Unknown
    sd: float | None = Field(default=None, gt=0)
    board: str
    dynamic_degree: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _spread(self) -> Quality:
        if (self.elo == "unknown") != (self.sd is None):
            raise ValueError("a known elo has an sd, an unknown one has none")
        return self

    @property
    def rating(self) -> tuple[float, float]:
        """Elo and its standard deviation; raises `ValueError` before the family prior was filled in."""
        if self.elo == "unknown" or self.sd is None:
            raise ValueError("elo is unknown; load cards through models.catalog")
        return self.elo, self.sd


StrengthTag = Literal[
    "portrait",
    "group",
    "landscape",
    "product",
    "historic",
    "fashion",
    "cinematic_camera",
    "ambient_motion",
    "speed",
    "batch",
]


class Strength(Sourced):
    """A weighted, weak prior: this model is said to be good (or bad) at something."""

    tag: StrengthTag
    weight: float = Field(ge=-1, le=1)


class Card(Block):
    """One model."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    family: str
    vendor: str
    makes: Literal["generated", "rendered"]
    """`rendered`: the photograph is moved, nothing is generated."""
    status: Literal["live", "preview", "legacy", "deprecated", "retired"]
    checked_at: date
    retires_on: date | None = None
    replacement: str | None = None
    tasks: tuple[TaskType, ...] = Field(min_length=1)
    licence: Licence
    weights: Weights
    controls: Controls
    input_image: InputImage
    offers: tuple[Offer, ...]
    """Empty only where the model is retired."""
    cost: Cost | None = None
    quality: Quality
    strengths: tuple[Strength, ...] = ()
    weaknesses: tuple[str, ...] = ()
    summary: str
    aliases: tuple[str, ...] = ()
    """Other names by which the model is asked for."""
    assumed: tuple[str, ...] = ()
    """Fields that the card leaves `unknown` and that hold the family's prior; filled in on loading."""

    @model_validator(mode="after")
    def _coherent(self) -> Card:
        if self.status == "retired" and self.replacement is None and self.retires_on is None:
            raise ValueError("a retired card names retires_on or its replacement")
        if not self.offers and self.status != "retired":
            raise ValueError("only a retired card may have no offers")
        ids = [offer.id for offer in self.offers]
        if len(set(ids)) != len(ids):
            raise ValueError(f"offer ids repeat: {ids}")
        for offer in self.offers:
            if offer.backend == "local":
                if self.cost is None:
                    raise ValueError(f"offer {offer.id} is local: the card needs a cost block")
                if self.cost.transformer is not None and offer.sampling is None:
                    raise ValueError(f"offer {offer.id} denoises: it needs a sampling block")
            if offer.replica is not None and offer.replica not in ids:
                raise ValueError(
                    f"offer {offer.id} runs on the replicas of {offer.replica!r}, which is no offer"
                )
            for mode in offer.modes:
                if mode.length.kind == "follows" and self._control(mode.length.of) == "none":
                    raise ValueError(
                        f"mode {mode.name} follows {mode.length.of}, which the card's controls refuse"
                    )
                for need in mode.needs:
                    if self._control(need) == "none":
                        raise ValueError(f"mode {mode.name} needs {need}, which the card's controls refuse")
        return self

    def _control(self, need: str) -> Need:
        controls = self.controls
        by_need = {
            "last_image": controls.last_image,
            "driving_video": controls.driving_video,
            "audio": controls.audio_in,
        }
        return by_need[need]

    def offer(self, offer_id: str) -> Offer:
        """The offer of that id; raises `KeyError` naming those that exist."""
        for offer in self.offers:
            if offer.id == offer_id:
                return offer
        raise KeyError(f"{self.id} has no offer {offer_id!r}; it has {[o.id for o in self.offers]}")
