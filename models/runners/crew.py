"""The ranks that work on one clip together, and what each of them is for. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Crew:
    """An aligned block of a gang's ranks that shares one clip for a while.

    Attributes:
        ranks: Ranks within the gang, consecutive from a multiple of their number; the first one leads: it
            previews, saves and decodes.
        cfg: 2 when one half computes the conditioned pass and the other the unconditioned one, else 1.
    """

    ranks: tuple[int, ...]
    cfg: int = 1

    def __post_init__(self) -> None:
        degree = len(self.ranks)
        first = self.ranks[0] if self.ranks else 0
        if degree not in (1, 2, 4, 8) or first % degree or self.ranks != tuple(range(first, first + degree)):
            raise ValueError(f"a crew is an aligned block of 1, 2, 4 or 8 ranks; got {self.ranks}")
        if self.cfg not in (1, 2) or degree % self.cfg:
            raise ValueError(f"cfg must be 1, or 2 in a crew of two or more; got {self.cfg} of {degree}")

    @property
    def degree(self) -> int:
        """GPUs at work on the clip."""
        return len(self.ranks)

    @property
    def ulysses(self) -> int:
        """Ranks that share one forward."""
        return self.degree // self.cfg

    @property
    def leader(self) -> int:
        """The rank that speaks for the crew."""
        return self.ranks[0]


ALONE = Crew((0,))
"""One rank by itself."""
