"""The catalog: every card by id, the shipped ones with an operator's overlay laid over them."""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from models.card import Card
from models.errors import ConfigError, UnknownModel
from models.gpus import load_gpus
from models.priors import load_families, with_priors
from models.sheets import describe, read_sheet

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class Catalog:
    """Cards by id. Iteration is in id order, so that everything built on it is deterministic."""

    cards: Mapping[str, Card]

    def __iter__(self) -> Iterator[Card]:
        return iter(self.cards.values())

    def __len__(self) -> int:
        return len(self.cards)

    def __contains__(self, card_id: object) -> bool:
        return card_id in self.cards

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only view cannot be pickled; actors get the cards and build their own.
        return Catalog.of, (tuple(self),)

    @classmethod
    def of(cls, cards: Collection[Card]) -> Catalog:
        """A catalog of these cards.

        Raises:
            ConfigError: two cards share an id, or a `replacement` names no card.
        """
        by_id: dict[str, Card] = {}
        for card in sorted(cards, key=lambda card: card.id):
            if card.id in by_id:
                raise ConfigError(f"card id {card.id} repeats", param="id")
            by_id[card.id] = card
        for card in by_id.values():
            if card.replacement is not None and card.replacement not in by_id:
                raise ConfigError(
                    f"card {card.id}: replacement {card.replacement!r} names no card",
                    param="replacement",
                    allowed=sorted(by_id),
                )
            if card.replacement == card.id:
                raise ConfigError(f"card {card.id}: is its own replacement", param="replacement")
        return cls(MappingProxyType(by_id))

    def get(self, card_id: str) -> Card:
        """The card of that id.

        Raises:
            UnknownModel: there is none; the message names close matches, `allowed` lists every id.
        """
        card = self.cards.get(card_id)
        if card is not None:
            return card
        close = difflib.get_close_matches(card_id.lower(), self.cards, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise UnknownModel(f"no model is called {card_id!r}{hint}", param="model", allowed=list(self.cards))


def load_catalog(overlay: Path | None = None, *, gpu_types: Collection[str] | None = None) -> Catalog:
    """Read the shipped cards and, over them, those of an overlay directory.

    A file (`*.yaml`, `*.yml`, directly in the directory) holds one card or a list under `cards:`. An overlay
    card with a shipped id replaces that card whole; a new id joins.

    Args:
        overlay: The operator's directory; None for the shipped cards alone.
        gpu_types: Keys that an offer's `default_gpu` may name; None: those of the shipped `gpus.yaml`.

    Figures that a card leaves unknown hold its family's prior afterwards (see `models.priors`).

    Raises:
        ConfigError: the directory or a file cannot be read, or a card is wrong; names file and field.
    """
    cards = _read_directory(importlib.resources.files("models") / "cards", "models/cards")
    if overlay is not None:
        if not overlay.is_dir():
            raise ConfigError(f"{overlay}: the overlay of cards is not a directory", param="I2V_CARDS")
        cards |= _read_directory(overlay, str(overlay))
    _check_gpu_types(cards.values(), load_gpus() if gpu_types is None else gpu_types)
    families = load_families()
    return Catalog.of([with_priors(card, families) for card in cards.values()])


def _read_directory(directory: Traversable, label: str) -> dict[str, Card]:
    """Cards of one directory by id."""
    cards: dict[str, Card] = {}
    origin: dict[str, str] = {}
    try:
        files = sorted(directory.iterdir(), key=lambda file: file.name)
    except OSError as error:
        raise ConfigError(f"{label}: cannot be listed: {error}", param=label) from error
    for file in files:
        if not file.is_file() or not file.name.endswith((".yaml", ".yml")):
            continue
        name = f"{label}/{file.name}"
        for card in _read_file(file, name):
            if card.id in cards:
                raise ConfigError(f"{name}: card id {card.id} is already in {origin[card.id]}", param="id")
            cards[card.id] = card
            origin[card.id] = name
    return cards


def _read_file(file: Traversable, name: str) -> list[Card]:
    content = read_sheet(file, name)
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: must hold one card, or a list under `cards:`", param=name)
    if "cards" not in content:
        return [_card(content, name)]
    if set(content) != {"cards"} or not isinstance(content["cards"], list) or not content["cards"]:
        raise ConfigError(f"{name}: `cards:` must be the only key and hold a list of cards", param="cards")
    return [_card(row, f"{name}: cards[{index}]") for index, row in enumerate(content["cards"])]


def _card(row: Any, name: str) -> Card:
    label = f"{name} ({row['id']})" if isinstance(row, dict) and "id" in row else name
    try:
        return Card.model_validate(row)
    except ValidationError as error:
        raise describe(error, label) from error


def _check_gpu_types(cards: Collection[Card], known: Collection[str]) -> None:
    for card in cards:
        for offer in card.offers:
            if offer.default_gpu is not None and offer.default_gpu not in known:
                raise ConfigError(
                    f"card {card.id}, offer {offer.id}: default_gpu {offer.default_gpu!r} is no GPU type",
                    param="default_gpu",
                    allowed=sorted(known),
                )
