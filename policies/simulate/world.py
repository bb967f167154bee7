"""A world to route in: the catalog, the replicas, and a hidden truth that only the simulation knows.

Draws belong to what they are about (this job on this pool) and not to the order in which they are asked for,
so that every policy meets the same runs: differences between policies are differences of policies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from random import Random
from typing import TYPE_CHECKING, Protocol

from policies.quality import preference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.catalog import Catalog
    from models.gpus import GpuType
    from policies.base import Pool, RouteRequest


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job of the workload."""

    index: int
    at: float
    """Seconds since the beginning."""
    request: RouteRequest

    @property
    def due(self) -> float:
        """When its clip must be there, in seconds since the beginning; inf without a deadline."""
        return float("inf") if self.request.deadline_s is None else self.at + self.request.deadline_s


@dataclass(frozen=True, slots=True)
class Lane:
    """The replicas of one offer; each runs one clip at a time."""

    pool: Pool
    """As it stands when idle: `replicas` is the number of servers, `sigma` the prior spread of the card."""
    sigma: float
    """True spread of ln(seconds) from run to run."""
    formula_error: float
    """Prior spread of what the formula is off by, for calibration."""


@dataclass(frozen=True, slots=True)
class Failures:
    """What breaks. Times are exponential."""

    server_mtbf_s: float = 0.0
    """Mean time between losses of one server; 0: none is ever lost."""
    repair_s: float = 180.0
    """Until a lost server is back."""
    error_rate: float = 0.0
    """Share of runs that end in an error half-way."""
    outages: tuple[tuple[str, float, float], ...] = ()
    """(pool, from, to): every run of the pool fails at once."""


class Truth(Protocol):
    """What really happens."""

    def bias(self, pool: Pool, gpus: int) -> float:
        """True over predicted seconds of that way of running, before noise."""
        ...

    def elo_offset(self, job: Arrival, card_id: str) -> float:
        """Elo by which the model is really better or worse for this job than its rating."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """Everything but the jobs and the policy.

    Attributes:
        name: For reports.
        catalog: What can be chosen.
        gpus: GPU types.
        lanes: By pool name.
        truth: What really happens.
        reference_elo: Rating at which a clip is liked as often as not.
        feedback: Share of clips that get a thumb.
        failures: What breaks.
        seed: Of the runs' noise.
    """

    name: str
    catalog: Catalog
    gpus: Mapping[str, GpuType]
    lanes: Mapping[str, Lane]
    truth: Truth
    reference_elo: float
    seed: int
    feedback: float = 0.0
    failures: Failures = field(default_factory=Failures)

    def seconds(self, job: Arrival, pool: Pool, gpus: int, formula_s: float, attempt: int = 0) -> float:
        """How long the run really takes.

        Args:
            job: Whose clip it is.
            pool: Where.
            gpus: Degree.
            formula_s: The formula's word, before any calibration.
            attempt: Repeats are other runs.
        """
        noise = draw(self.seed, "run", job.index, pool.name, attempt).gauss(0.0, self.lanes[pool.name].sigma)
        return formula_s * self.truth.bias(pool, gpus) * exp(noise)

    def quality(self, job: Arrival, card_id: str) -> float:
        """Chance that the clip is really liked."""
        elo, _ = self.catalog.cards[card_id].quality.rating
        return preference(elo + self.truth.elo_offset(job, card_id), self.reference_elo)

    def rated(self, card_id: str) -> float:
        """The chance that its rating alone tells."""
        return preference(self.catalog.cards[card_id].quality.rating[0], self.reference_elo)


def draw(*parts: object) -> Random:
    """A generator that belongs to these parts, equal on every machine and in every run."""
    return Random("/".join(map(str, parts)))  # noqa: S311 - a simulation, no secret
