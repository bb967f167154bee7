"""What every block of a card is: strict, frozen, and with the source of its figures."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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
