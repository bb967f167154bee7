"""The card: one YAML file that says what a model is, can do and costs, and where each figure is from.

A card has offers (ways to run it); an offer has modes (rows of *joint* limits: 1080p may allow 6 s only).
Every block that holds figures is `Sourced`: it names its source and the day it was checked, and says
`inferred: true` when nobody published it. A figure that nobody knows is `unknown`; what policies assume
instead is the prior of the model's family (see `models.priors`).
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from models.blocks import Block, Sourced, Unknown
from models.limits import (
    AreaSizes,
    FollowsInput,
    LatticeFrames,
    ListedSeconds,
    ListedSizes,
    Mode,
    Price,
    PricePerClip,
    PricePerGpuSecond,
    PricePerSecond,
    RangeSeconds,
    Stretch,
)
from models.offers import HOSTED, Adapter, ApiLatency, Offer, Sampling
from models.shapes import Cost, Rendering, Transformer, Vae
from models.types import CameraMove, TaskType

__all__ = [
    "HOSTED",
    "Adapter",
    "ApiLatency",
    "AreaSizes",
    "Block",
    "Camera",
    "Card",
    "Controls",
    "Cost",
    "FollowsInput",
    "InputImage",
    "LatticeFrames",
    "Licence",
    "ListedSeconds",
    "ListedSizes",
    "Mode",
    "Need",
    "Offer",
    "Precondition",
    "Price",
    "PricePerClip",
    "PricePerGpuSecond",
    "PricePerSecond",
    "Quality",
    "RangeSeconds",
    "Rendering",
    "Sampling",
    "Sourced",
    "Strength",
    "StrengthTag",
    "Stretch",
    "Transformer",
    "Unknown",
    "Vae",
    "Weights",
]


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


LEAST_PROMPT_LIMIT = 256
"""No model reads fewer characters, so shorter prompts need not be told apart."""


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
    prompt_max_chars: int | None = Field(default=None, ge=LEAST_PROMPT_LIMIT)
    preconditions: tuple[Precondition, ...] = ()
    """What the photograph must show; the model refuses it otherwise."""


class InputImage(Sourced):
    """What photographs the model takes, in pixels."""

    min_side: int = Field(default=1, ge=1)
    max_side: int = Field(default=16384, ge=1)
    aspect_min: float = Field(default=0.05, gt=0)
    aspect_max: float = Field(default=20.0, gt=0)


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
            if offer.backend not in HOSTED:
                if self.cost is None:
                    raise ValueError(f"offer {offer.id} is {offer.backend}: the card needs a cost block")
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
