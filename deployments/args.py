"""Arguments that applications take in serve_config.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.providers.limits import LOOKS_PER_S, SUBMITS_PER_S


class ModelArgs(BaseModel):
    """Which offer an application runs, and on what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    """Card id."""
    offer: str = "local"
    gpu: str = "cpu"
    """GPU type of the ranks (key of gpus.yaml); it prices and predicts the offer."""
    gang_size: Literal[1, 2, 4, 8] = 1
    """Ranks of a replica, one GPU each. Clips share them: each runs on an aligned block of 1, 2, 4 or 8."""
    slots: int | None = Field(default=None, ge=1)
    """Clips that a replica holds at once, running or paused; None: `held`."""
    checkpoint: str | None = None
    """Local checkpoint directory; None: `I2V_MODELS/<card id>` if that exists, else the card's hub id."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of a rank; None: one per core of the node (Ray would set 1)."""

    @property
    def held(self) -> int:
        """Clips that a replica holds at once: `slots`, else 1 on one rank and two for each rank of a gang.

        Two, so that a paused or new clip is at hand whenever a rank falls free, and waits for no call.
        """
        if self.slots is not None:
            return self.slots
        return 1 if self.gang_size == 1 else 2 * self.gang_size


class ProviderArgs(BaseModel):
    """Which hosted account, or which running engine, an application reaches."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str
    """Name in `models.providers.registry`: `replicate`, `fal`, `vllm-omni`, `sglang`, …"""
    account: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of ours for the account; spending is booked under it, and webhooks come to an address with it."""
    url: str | None = Field(default=None, pattern=r"^https?://[^\s@]+$")
    """Where it is; needed for an engine, and for a hosted provider only where it is not the public one."""
    key_env: str | None = None
    """Variable (or entry of the secrets file) that holds the key; None: the provider's usual one."""
    model: str | None = None
    """For an engine: card id of the model that it serves."""
    offer: str | None = None
    """For an engine: the card's offer (with `backend: engine`)."""
    gpu: str | None = None
    """For an engine: GPU type (key of gpus.yaml) that it runs on; it prices and predicts the offer."""
    gpus: Literal[1, 2, 4, 8] = 1
    """For an engine: GPUs that it puts on one clip."""
    concurrency: int | None = Field(default=None, ge=1)
    """Calls that one replica has in flight at most. None: 1000, of an engine 1."""
    submits_per_s: float = Field(default=SUBMITS_PER_S, gt=0)
    """Submissions that one replica sends a second, at most."""
    looks_per_s: float = Field(default=LOOKS_PER_S, gt=0)
    """Looks at calls, and searches for them, that one replica makes a second, at most."""
    spend_cap_usd: float | None = Field(default=None, gt=0)
    """Most that may be spent with the account within `spend_window_s`; None: no cap."""
    spend_window_s: float = Field(default=86_400.0, gt=0)

    @property
    def most_calls(self) -> int:
        """Calls in flight at most. An engine works on one clip at a time, and the Router is the queue."""
        if self.concurrency is not None:
            return self.concurrency
        return 1 if self.engine else 1000

    @property
    def engine(self) -> bool:
        """Whether an engine is named and no hosted account."""
        return self.model is not None

    @model_validator(mode="after")
    def _whole(self) -> ProviderArgs:
        of_engine = {"url": self.url, "model": self.model, "offer": self.offer, "gpu": self.gpu}
        if self.engine and (missing := [name for name, value in of_engine.items() if value is None]):
            raise ValueError(f"an engine needs url, model, offer and gpu; missing: {', '.join(missing)}")
        if not self.engine and (self.offer is not None or self.gpu is not None or self.gpus != 1):
            raise ValueError("offer, gpu and gpus are for engines, which also name their model")
        return self


class GatewayArgs(BaseModel):
    """The Gateway application has no arguments of its own: it reads the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)
