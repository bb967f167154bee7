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


class GatewayArgs(BaseModel):
    """The Gateway application has no arguments of its own: it reads the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)
