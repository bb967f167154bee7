"""The catalog: every card by id, the shipped ones with an operator's overlay laid over them."""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.card import Card
from models.errors import ConfigError, UnknownModel
from models.gpus import load_gpus
from models.loading import Shelf, read_cards
from models.priors import load_families, with_priors


@dataclass(frozen=True, slots=True)
class Catalog:
    """Cards by id. Iteration is in id order, so that everything built on it is deterministic.

    Attributes:
        cards: By id.
        problems: What was wrong in the files; the cards that they name are not in the catalog.
        aliases: Other names of the cards, each with the id that it stands for.
    """

    cards: Mapping[str, Card]
    problems: tuple[ConfigError, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __iter__(self) -> Iterator[Card]:
        return iter(self.cards.values())

    def __len__(self) -> int:
        return len(self.cards)

    def __contains__(self, card_id: object) -> bool:
        return card_id in self.cards

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only view cannot be pickled; actors get the cards and build their own.
        return _rebuilt, (tuple(self), self.problems)

    @classmethod
    def of(cls, cards: Collection[Card]) -> Catalog:
        """A catalog of these cards.

        Raises:
            ConfigError: two cards share an id or a name, or a `replacement` names no card.
        """
        by_id: dict[str, Card] = {}
        for card in sorted(cards, key=lambda card: card.id):
            if card.id in by_id:
                raise ConfigError(f"card id {card.id} repeats", param="id")
            by_id[card.id] = card
        for card in by_id.values():
            wrong = _wrong_replacement(card, by_id)
            if wrong is not None:
                raise wrong
        names: dict[str, str] = {}
        for card in by_id.values():
            for alias in card.aliases:
                if alias in by_id or alias in names:
                    raise ConfigError(
                        f"card {card.id}: alias {alias!r} already names {names.get(alias, alias)}",
                        param="aliases",
                    )
                names[alias] = card.id
        return cls(MappingProxyType(by_id), aliases=MappingProxyType(names))

    def get(self, name: str) -> Card:
        """The card of that id or alias; a retired one too, which names its successor.

        Raises:
            UnknownModel: there is none; the message names close matches, `allowed` lists every id.
        """
        card = self.cards.get(self.aliases.get(name, name))
        if card is not None:
            return card
        close = difflib.get_close_matches(name.lower(), (*self.cards, *self.aliases), n=3, cutoff=0.5)
        told = dict.fromkeys(self.aliases.get(match, match) for match in close)
        hint = f"; did you mean {' or '.join(told)}?" if told else ""
        raise UnknownModel(f"no model is called {name!r}{hint}", param="model", allowed=list(self.cards))


def load_catalog(
    overlay: Path | None = None, *, gpu_types: Collection[str] | None = None, strict: bool = False
) -> Catalog:
    """Read the shipped cards and, over them, those of an overlay directory.

    A file (`*.yaml`, `*.yml`, directly in the directory) holds one card or a list under `cards:`. An overlay
    card with a shipped id replaces that card whole; a new id joins. Figures that a card leaves unknown hold
    its family's prior afterwards (see `models.priors`).

    A broken card or file is left out and told in `Catalog.problems`; the rest serves. An overlay card that is
    broken takes the shipped card of its id out as well: what its operator wanted instead is not known.

    Args:
        overlay: The operator's directory; None for the shipped cards alone.
        gpu_types: Keys that an offer's `default_gpu` may name; None: those of the shipped `gpus.yaml`.
        strict: Raise the first problem instead.

    Raises:
        ConfigError: a directory cannot be read, a file that is no card is wrong (`families.yaml`,
            `gpus.yaml`), or, when strict, anything is wrong; names file, line and field.
    """
    shelf = read_cards(importlib.resources.files("models") / "cards", "models/cards")
    if overlay is not None:
        if not overlay.is_dir():
            raise ConfigError(f"{overlay}: the overlay of cards is not a directory", param="I2V_CARDS")
        shelf = shelf.under(read_cards(overlay, str(overlay)))
    families = load_families()
    gpus = load_gpus() if gpu_types is None else gpu_types
    problems = list(shelf.problems)
    cards: dict[str, Card] = {}
    for card_id, card in sorted(shelf.cards.items()):
        try:
            _check_gpu_types(card, gpus)
            cards[card_id] = with_priors(card, families)
        except ConfigError as error:
            problems.append(_placed(shelf, card_id, error))
    problems += _mend(shelf, cards)
    if strict and problems:
        raise problems[0]
    return _rebuilt(tuple(cards.values()), tuple(problems))


def _rebuilt(cards: Collection[Card], problems: tuple[ConfigError, ...]) -> Catalog:
    made = Catalog.of(cards)
    return Catalog(made.cards, problems, made.aliases)


def _check_gpu_types(card: Card, known: Collection[str]) -> None:
    for offer in card.offers:
        if offer.default_gpu is not None and offer.default_gpu not in known:
            raise ConfigError(
                f"card {card.id}, offer {offer.id}: default_gpu {offer.default_gpu!r} is no GPU type",
                param="default_gpu",
                allowed=sorted(known),
            )


def _wrong_replacement(card: Card, known: Collection[str]) -> ConfigError | None:
    if card.replacement == card.id:
        return ConfigError(f"card {card.id}: is its own replacement", param="replacement")
    if card.replacement is not None and card.replacement not in known:
        return ConfigError(
            f"card {card.id}: replacement {card.replacement!r} names no card",
            param="replacement",
            allowed=sorted(known),
        )
    return None


def _mend(shelf: Shelf, cards: dict[str, Card]) -> Iterator[ConfigError]:
    """Take out of the cards the names that stand for nothing or for two, and tell of each."""
    names: dict[str, str] = {}
    for card_id, card in list(cards.items()):
        changes: dict[str, Any] = {}
        wrong = _wrong_replacement(card, cards)
        if wrong is not None:
            yield _placed(shelf, card_id, wrong)
            changes["replacement"] = None
        taken = [alias for alias in card.aliases if alias in cards or alias in names]
        for alias in taken:
            told = f"card {card_id}: alias {alias!r} already names {names.get(alias, alias)}"
            yield _placed(shelf, card_id, ConfigError(told, param="aliases"))
        free = tuple(dict.fromkeys(alias for alias in card.aliases if alias not in taken))
        names |= dict.fromkeys(free, card_id)
        if free != card.aliases:
            changes["aliases"] = free
        if changes:
            cards[card_id] = card.model_copy(update=changes)


def _placed(shelf: Shelf, card_id: str, error: ConfigError) -> ConfigError:
    """The same problem, with file and line of its card."""
    return ConfigError(
        f"{shelf.place(card_id, error.param)}: {error.message}", param=error.param, allowed=error.allowed
    )
