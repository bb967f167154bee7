"""What cards say of chains is what the families that run them can do."""

from __future__ import annotations

import pytest

from models.card import Card, Mode
from models.catalog import load_catalog
from models.runners.families import Continues, FollowsVideo
from models.runners.registry import family_of

ROWS = [
    (card, mode)
    for card in load_catalog()
    for offer in card.offers
    if offer.backend == "local" and offer.runner == "diffusers"
    for mode in offer.modes
    if mode.max_segments > 1
]


@pytest.mark.parametrize(
    ("card", "mode"), [pytest.param(*row, id=f"{row[0].id}-{row[1].name}") for row in ROWS]
)
def test_only_families_that_go_on_from_several_frames_share_them(card: Card, mode: Mode) -> None:
    family = family_of(card.weights.pipeline or "")
    assert not isinstance(family, FollowsVideo)
    assert isinstance(family, Continues) == (mode.overlap > 1)


def test_there_are_such_cards() -> None:
    assert {card.id for card, mode in ROWS if mode.overlap > 1} == {"ltx-2", "skyreels-v2-df"}
