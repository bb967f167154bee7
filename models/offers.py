"""Offers: the ways to run a card, on machines of one's own or on somebody else's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from models.blocks import Block, Sourced, Unknown
from models.limits import Mode, Price
from models.requests import RequestMap


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
    rating_offset: float = Field(default=0.0, le=0)
    """Elo that the shortcut is thought to cost against the card's rating."""


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
    request: RequestMap | None = None
    """For offers of Replicate and fal: how a planned clip is spelled in the model's own schema."""
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
