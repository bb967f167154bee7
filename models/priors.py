"""What is assumed where a card says `unknown`: the prior of its family, wide and marked as assumed.

Cards never guess. Policies cannot decide on nothing, so loading a catalog fills the gaps from
`families.yaml`, and the card then lists in `assumed` which of its figures nobody published.
"""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, model_validator

from models.card import HOSTED, ApiLatency, Block, Quality, Sourced
from models.errors import ConfigError
from models.sheets import describe, read_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.card import Card, Mode, Offer

LEAST_SD = 60.0
"""Elo: models of one vendor and generation lie within 30-60 of each other on the arena.ai image-to-video
board of 16 April 2026, so a family's prior is at least that wide."""


class RatingPrior(Sourced):
    """Elo of a family's unrated models."""

    elo: float
    sd: float = Field(ge=LEAST_SD)


class RatePrior(Sourced):
    """Frame rate of a family's models whose own is not published."""

    fps: float = Field(gt=0)


class Priors(Block):
    """Figures that stand in for unknown ones."""

    rating: RatingPrior | None = None
    latency: ApiLatency | None = None
    """Of a hosted call for one clip."""
    rate: RatePrior | None = None

    @model_validator(mode="after")
    def _marked(self) -> Priors:
        for name in ("rating", "latency", "rate"):
            block = getattr(self, name)
            if block is not None and not block.inferred:
                raise ValueError(f"{name} is a prior: it must say `inferred: true`")
        return self


class Line(Priors):
    """What is known better of one generation or variant: the cards whose id begins with `prefix`."""

    prefix: str = Field(min_length=1)


class Family(Priors):
    """Priors of the models that share a vendor and a line."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    rating: RatingPrior
    lines: tuple[Line, ...] = ()

    def of(self, card_id: str) -> Priors:
        """The priors for one card: those of its longest line, else of the family."""
        lines = sorted(
            (line for line in self.lines if card_id.startswith(line.prefix)),
            key=lambda line: len(line.prefix),
        )
        found = {"rating": self.rating, "latency": self.latency, "rate": self.rate}
        for line in lines:
            found |= {name: block for name in found if (block := getattr(line, name)) is not None}
        return Priors(**found)


def load_families() -> Mapping[str, Family]:
    """The shipped priors by family id.

    Raises:
        ConfigError: the file is wrong; names the field.
    """
    name = "models/families.yaml"
    content = read_sheet(importlib.resources.files("models") / "families.yaml", name)
    rows = content.get("families") if isinstance(content, dict) and set(content) == {"families"} else None
    if not isinstance(rows, list):
        raise ConfigError(f"{name}: must hold one list under `families:`", param="families")
    families: dict[str, Family] = {}
    for index, row in enumerate(rows):
        try:
            family = Family.model_validate(row)
        except ValidationError as error:
            raise describe(error, f"{name}: families[{index}]") from error
        if family.id in families:
            raise ConfigError(f"{name}: family {family.id} repeats", param="id")
        families[family.id] = family
    return families


def with_priors(card: Card, families: Mapping[str, Family]) -> Card:
    """The card with every `unknown` figure but prices replaced by its family's prior.

    An unknown price stays unknown: money is never guessed.

    Raises:
        ConfigError: the card has unknown figures, and its family no prior for one of them.
    """
    assumed: list[str] = []
    changes: dict[str, Any] = {}
    if card.quality.elo == "unknown":
        prior = _priors(card, families).rating
        assert prior is not None  # noqa: S101 - a family always has one
        assumed.append("quality.elo")
        changes["quality"] = Quality(
            **{
                **card.quality.model_dump(),
                "elo": prior.elo,
                "sd": prior.sd,
                "source": prior.source,
                "inferred": True,
            }
        )
    offers = tuple(_offer(card, offer, families, assumed) for offer in card.offers)
    if not assumed:
        return card
    return card.model_copy(update={**changes, "offers": offers, "assumed": tuple(assumed)})


def _offer(card: Card, offer: Offer, families: Mapping[str, Family], assumed: list[str]) -> Offer:
    changes: dict[str, Any] = {}
    if offer.backend in HOSTED and offer.latency == "unknown":
        latency = _priors(card, families).latency
        if latency is None:
            raise _gap(card, f"offers.{offer.id}.latency", "latency")
        assumed.append(f"offers.{offer.id}.latency")
        changes["latency"] = latency
    modes = tuple(_mode(card, offer, mode, families, assumed) for mode in offer.modes)
    return offer.model_copy(update={**changes, "modes": modes})


def _mode(card: Card, offer: Offer, mode: Mode, families: Mapping[str, Family], assumed: list[str]) -> Mode:
    if mode.fps != "unknown":
        return mode
    rate = _priors(card, families).rate
    if rate is None:
        raise _gap(card, f"offers.{offer.id}.modes.{mode.name}.fps", "rate")
    assumed.append(f"offers.{offer.id}.modes.{mode.name}.fps")
    return mode.model_copy(update={"fps": (rate.fps,)})


def _priors(card: Card, families: Mapping[str, Family]) -> Priors:
    family = families.get(card.family)
    if family is None:
        raise ConfigError(
            f"card {card.id}: has unknown figures, and its family {card.family!r} has no priors",
            param="family",
            allowed=sorted(families),
        )
    return family.of(card.id)


def _gap(card: Card, field: str, prior: str) -> ConfigError:
    return ConfigError(
        f"card {card.id}: {field} is unknown, and family {card.family} has no prior `{prior}`", param=field
    )
