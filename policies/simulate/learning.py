"""Learning from thumbs, in a toy: what each way of learning loses while it learns.

Nine models in five use cases; a model's true rating in a use case is the arena.ai rating (image-to-video
board of 16 April 2026) and an offset that nobody knows. Each request is of one use case, each model can take
it with chance 0.6; a thumb comes back with the rate of feedback. Regret is the like-probability that was lost
against the best feasible model, averaged over requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from random import Random
from typing import TYPE_CHECKING, Protocol

from policies.calibration import ELO_LOGIT, Belief, liked
from policies.quality import preference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ELO = (1357.0, 1334.0, 1308.0, 1290.0, 1255.0, 1227.0, 1169.0, 1139.0, 1051.0)
CASES = 5
REFERENCE = 1250.0
FEASIBLE = 0.6


class Learner(Protocol):
    """Chooses a model and hears what came of it."""

    def choose(self, case: int, feasible: Sequence[int]) -> int:
        """One of the feasible models."""
        ...

    def hear(self, case: int, model: int, like: bool) -> None:
        """A thumb."""
        ...


class Static:
    """The best rated, whatever people say."""

    def choose(self, case: int, feasible: Sequence[int]) -> int:
        """The best rated."""
        del case
        return max(feasible, key=ELO.__getitem__)

    def hear(self, case: int, model: int, like: bool) -> None:
        """Nothing."""


@dataclass
class Greedy:
    """Production's: the highest posterior mean of `policies.calibration`."""

    beliefs: dict[tuple[int, int], Belief] = field(default_factory=dict)

    def choose(self, case: int, feasible: Sequence[int]) -> int:
        """The highest mean."""
        return max(feasible, key=lambda model: self._value(case, model))

    def hear(self, case: int, model: int, like: bool) -> None:
        """Move the belief."""
        before = self.beliefs.get((case, model), Belief())
        self.beliefs[case, model] = liked(before, ELO[model], REFERENCE, like)

    def _value(self, case: int, model: int) -> float:
        belief = self.beliefs.get((case, model))
        return ELO[model] + (belief.offset if belief is not None else 0.0)


class Thompson(Greedy):
    """The same beliefs, but a draw from each decides."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def _value(self, case: int, model: int) -> float:
        belief = self.beliefs.get((case, model), Belief())
        return (
            ELO[model] + belief.offset + self._random.gauss(0.0, 1.0 / (ELO_LOGIT * sqrt(belief.precision)))
        )


class BetaTiers:
    """The adaptive router of LiteLLM 1.109.1: Thompson sampling of Beta cells with priors by tier."""

    MASS, CAP = 10.0, 200.0

    def __init__(self, random: Random) -> None:
        self._random = random
        self._cells: dict[tuple[int, int], tuple[float, float]] = {}

    def choose(self, case: int, feasible: Sequence[int]) -> int:
        """The highest draw."""
        return max(feasible, key=lambda model: self._random.betavariate(*self._cell(case, model)))

    def hear(self, case: int, model: int, like: bool) -> None:
        """One more success or failure, until the cell is full."""
        up, down = self._cell(case, model)
        if up + down < self.CAP:
            self._cells[case, model] = (up + like, down + (not like))

    def _cell(self, case: int, model: int) -> tuple[float, float]:
        mean = 0.7 if ELO[model] >= 1300 else 0.5 if ELO[model] >= 1200 else 0.3
        return self._cells.get((case, model), (mean * self.MASS, (1.0 - mean) * self.MASS))


LEARNERS: dict[str, Callable[[Random], Learner]] = {
    "static best": lambda random: Static(),
    "LiteLLM adaptive": BetaTiers,
    "logit-Gauss Thompson": Thompson,
    "logit-Gauss greedy (production)": lambda random: Greedy(),
}


def regret(
    make: Callable[[Random], Learner],
    *,
    spread: float,
    feedback: float,
    requests: int,
    runs: int,
    seed: int = 0,
    reference: float = REFERENCE,
) -> float:
    """Mean regret over all requests of all runs.

    Args:
        make: The learner, given a generator of its own.
        spread: Standard deviation of the hidden offsets, Elo.
        feedback: Share of requests that get a thumb.
        requests: Of each run.
        runs: With fresh offsets each.
        seed: Equal seeds meet equal requests.
        reference: Rating that people really like as often as not; learners assume `REFERENCE`.
    """
    lost = 0.0
    for run in range(runs):
        random = Random(f"{seed}/{run}")  # noqa: S311 - a simulation, no secret
        true = [[preference(elo + random.gauss(0.0, spread), reference) for elo in ELO] for _ in range(CASES)]
        learner = make(Random(f"{seed}/{run}/learner"))  # noqa: S311
        for _ in range(requests):
            case = random.randrange(CASES)
            feasible = [m for m in range(len(ELO)) if random.random() < FEASIBLE] or list(range(len(ELO)))
            luck, heard = random.random(), random.random() < feedback
            model = learner.choose(case, feasible)
            chances = true[case]
            lost += max(chances[m] for m in feasible) - chances[model]
            if heard:
                learner.hear(case, model, luck < chances[model])
    return lost / (runs * requests)
