"""One value for neighbours that share what it is about: candidates stand in the order of cards and plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.card import Card
    from models.types import ClipPlan
    from policies.base import Candidate


def once_per_card(candidates: Sequence[Candidate], value: Callable[[Card], float]) -> list[float]:
    """A value for each candidate, found once for neighbours of one card."""
    values: list[float] = []
    last: Card | None = None
    for candidate in candidates:
        card = candidate.card
        if card is not last:
            last, found = card, value(card)
        values.append(found)
    return values


def once_per_plan(candidates: Sequence[Candidate], value: Callable[[ClipPlan], float]) -> list[float]:
    """A value for each candidate, found once for neighbours of one plan."""
    values: list[float] = []
    last: ClipPlan | None = None
    for candidate in candidates:
        plan = candidate.plan
        if plan is not last:
            last, found = plan, value(plan)
        values.append(found)
    return values
