"""One word for neighbours that share what it is about: candidates stand in the order of cards and plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.card import Card
    from models.types import ClipPlan
    from policies.base import Candidate, Score


def once_per_card(candidates: Sequence[Candidate], word: Callable[[Card], Score]) -> list[Score]:
    """A score for each candidate, found once for neighbours of one card."""
    scores: list[Score] = []
    last: Card | None = None
    for candidate in candidates:
        card = candidate.card
        if card is not last:
            last, score = card, word(card)
        scores.append(score)
    return scores


def once_per_plan(candidates: Sequence[Candidate], word: Callable[[ClipPlan], Score]) -> list[Score]:
    """A score for each candidate, found once for neighbours of one plan."""
    scores: list[Score] = []
    last: ClipPlan | None = None
    for candidate in candidates:
        plan = candidate.plan
        if plan is not last:
            last, score = plan, word(plan)
        scores.append(score)
    return scores
