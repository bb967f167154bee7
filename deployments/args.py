"""Arguments that applications take in serve_config.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ModelArgs(BaseModel):
    """Which offer an application runs, and on what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    """Card id."""
    offer: str = "local"
    gpu: str = "cpu"
    """GPU type of the ranks (key of gpus.yaml); it prices and predicts the offer."""
    gang_size: Literal[1] = 1
    """Ranks of a replica. One clip runs on one rank; larger ones would leave GPUs idle and are refused."""
    checkpoint: str | None = None
    """Local checkpoint directory; None: `I2V_MODELS/<card id>` if that exists, else the card's hub id."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of a rank; None: one per core of the node (Ray would set 1)."""


class GatewayArgs(BaseModel):
    """The Gateway application has no arguments of its own: it reads the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)
