"""Reading directories of cards: what is well-formed is kept, what is broken is told with line and field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from models.card import Card
from models.errors import ConfigError
from models.sheets import Sheet, describe, open_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

_IDS = re.compile(r"^[ \t]*(?:-[ \t]+)?id:[ \t]*[\"']?([a-z0-9][a-z0-9.-]*)", re.MULTILINE)
"""Ids that a file without readable YAML seems to hold; those of its offers are among them and do no harm."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a card stands."""

    sheet: Sheet
    under: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Shelf:
    """The cards of one or two directories, and what was wrong there.

    Attributes:
        cards: Well-formed cards by id.
        problems: In the order of the files.
        broken: Ids of cards that are there but broken.
        spots: Of each card in `cards`.
    """

    cards: Mapping[str, Card] = field(default_factory=dict)
    problems: tuple[ConfigError, ...] = ()
    broken: frozenset[str] = frozenset()
    spots: Mapping[str, _Spot] = field(default_factory=dict)

    def under(self, overlay: Shelf) -> Shelf:
        """This shelf with an overlay laid over it. Cards that are broken there are out here, too."""
        lost = sorted(self.cards.keys() & overlay.broken)
        cards = {card_id: card for card_id, card in self.cards.items() if card_id not in overlay.broken}
        spots = {card_id: spot for card_id, spot in self.spots.items() if card_id not in overlay.broken}
        told = [
            ConfigError(
                f"the shipped card {card_id} is out of the catalog until the overlay's is mended",
                param="id",
            )
            for card_id in lost
        ]
        return Shelf(
            cards | dict(overlay.cards),
            (*self.problems, *overlay.problems, *told),
            self.broken | overlay.broken,
            spots | dict(overlay.spots),
        )

    def place(self, card_id: str, key: str | None) -> str:
        """File and line of a card, of its `key` where that is written."""
        spot = self.spots[card_id]
        path = spot.under if key is None else (*spot.under, *key.split("."))
        line = spot.sheet.line(path)
        return spot.sheet.name if line is None else f"{spot.sheet.name}: line {line}"


def read_cards(directory: Traversable, label: str) -> Shelf:
    """The cards of the `*.yaml` and `*.yml` files directly in a directory.

    Args:
        directory: Where they are.
        label: How errors call it.

    Raises:
        ConfigError: the directory cannot be listed.
    """
    cards: dict[str, Card] = {}
    spots: dict[str, _Spot] = {}
    problems: list[ConfigError] = []
    broken: set[str] = set()
    try:
        files = sorted(directory.iterdir(), key=lambda file: file.name)
    except OSError as error:
        raise ConfigError(f"{label}: cannot be listed: {error}", param=label) from error
    for file in files:
        if not file.is_file() or not file.name.endswith((".yaml", ".yml")):
            continue
        name = f"{label}/{file.name}"
        try:
            sheet = open_sheet(file, name)
            rows = _rows(sheet)
        except ConfigError as error:
            problems.append(error)
            broken |= _seeming_ids(file)
            continue
        for under, row in rows:
            card_id = row.get("id") if isinstance(row, dict) else None
            try:
                card = _card(sheet, under, row)
            except ConfigError as error:
                problems.append(error)
                broken |= {card_id} if isinstance(card_id, str) else set()
                continue
            if card.id in spots:
                first = spots[card.id].sheet.name
                told = f"{name}: line {sheet.line(under)}: card id {card.id} is already in {first}"
                problems.append(ConfigError(told, param="id"))
                broken.add(card.id)
                continue
            cards[card.id], spots[card.id] = card, _Spot(sheet, under)
    kept = {card_id: card for card_id, card in cards.items() if card_id not in broken}
    return Shelf(kept, tuple(problems), frozenset(broken), {card_id: spots[card_id] for card_id in kept})


def _rows(sheet: Sheet) -> Sequence[tuple[tuple[int | str, ...], Any]]:
    """The cards of a file as written, each with its path in it."""
    content = sheet.content
    if not isinstance(content, dict):
        raise ConfigError(f"{sheet.name}: must hold one card, or a list under `cards:`", param=sheet.name)
    if "cards" not in content:
        return [((), content)]
    if set(content) != {"cards"} or not isinstance(content["cards"], list) or not content["cards"]:
        told = f"{sheet.name}: line {sheet.line(('cards',))}: `cards:` must be the only key and hold a list"
        raise ConfigError(f"{told} of cards", param="cards")
    return [(("cards", index), row) for index, row in enumerate(content["cards"])]


def _card(sheet: Sheet, under: tuple[int | str, ...], row: Any) -> Card:
    label = sheet.name if not under else f"{sheet.name}: cards[{under[-1]}]"
    if isinstance(row, dict) and "id" in row:
        label = f"{label} ({row['id']})"
    try:
        return Card.model_validate(row)
    except ValidationError as error:
        raise describe(error, label, sheet, under) from error


def _seeming_ids(file: Traversable) -> set[str]:
    try:
        text = file.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        # It cannot be read at all; what it would have replaced cannot be known.
        return set()
    return set(_IDS.findall(text))
