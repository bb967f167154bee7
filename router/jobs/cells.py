"""What the votes of one use case add up to, always counted anew from the votes themselves. Pure.

A vote may be replaced at any time, and a pair of models moves by what was believed of both when it was
compared: taking one vote back out of a sum is not exact, counting again is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.calibration import Belief, compared, liked

TENANT_VOTES = 40
"""Votes of one tenant that count in a cell, the newest ones. Our choice: about half of what the prior weighs
(policies.calibration: 75 votes), so that no tenant alone can move a model by more than some 100 Elo, however
often it votes. What was voted before makes room: models change behind their names."""
MOST_VOTES = 5000
"""Newest votes of a use case that are looked at. Our choice: counting them takes some 20 ms."""


@dataclass(frozen=True, slots=True)
class Cast:
    """One vote in a use case: a thumb for `model`, or `model` preferred over `other`."""

    tenant: str
    model: str
    elo: float
    """Rating of the model for that use without what votes taught."""
    reference_elo: float
    rating: int
    other: str | None = None
    other_elo: float = 0.0

    @property
    def models(self) -> tuple[str, ...]:
        """Whose beliefs it moves."""
        return (self.model,) if self.other is None else (self.model, self.other)


def counted(votes: Sequence[Cast]) -> list[Cast]:
    """Those of `votes` (oldest first) that count: the newest `TENANT_VOTES` of each tenant on each model.

    A clip that was preferred over one of the same model teaches nothing and counts nowhere.
    """
    said: Counter[tuple[str, str]] = Counter()
    kept = []
    for vote in reversed(votes):
        cells = [(vote.tenant, model) for model in vote.models]
        if len(set(cells)) == len(cells) and all(said[cell] < TENANT_VOTES for cell in cells):
            said.update(cells)
            kept.append(vote)
    return kept[::-1]


def beliefs_of(votes: Sequence[Cast]) -> Mapping[str, Belief]:
    """The belief of each model that some vote (oldest first) counts for."""
    found: dict[str, Belief] = {}
    for vote in counted(votes):
        mine = found.get(vote.model, Belief())
        if vote.other is None:
            found[vote.model] = liked(mine, vote.elo, vote.reference_elo, vote.rating > 0)
        else:
            theirs = found.get(vote.other, Belief())
            found[vote.model], found[vote.other] = compared(mine, vote.elo, theirs, vote.other_elo)
    return found
