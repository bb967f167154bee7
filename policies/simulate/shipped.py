"""The shipped catalog on a plausible fleet, with a truth that differs from the cards as far as they admit."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from typing import TYPE_CHECKING

from models.catalog import load_catalog
from models.gpus import load_gpus
from policies.calibration import FORMULA_ERROR, HOSTED_ERROR, OFFSET_SD
from policies.fleet import SELF_HOSTED_SIGMA, idle_fleet
from policies.quality import evidence, rated, use_case
from policies.simulate.world import Failures, Lane, World, draw

if TYPE_CHECKING:
    from models.catalog import Catalog
    from policies.base import Pool
    from policies.simulate.world import Arrival

OWN_REPLICAS = 4
"""Replicas of each local offer. Our choice."""
HOSTED_CALLS = 3
"""Calls in flight that each hosted account allows. Our choice: entry tiers of such accounts allow a few."""
REFERENCE_ELO = 1200.0
"""As the shipped profiles have it."""
FEEDBACK = 0.3
"""Share of clips that get a thumb. Our choice."""


class ShippedTruth:
    """Speeds and tastes drawn around the cards, as wide as the policy's priors say.

    A model's true rating in a use case is the card's, off by its own uncertainty, moved by what is claimed of
    it (claims are right on average, by assumption) and by a draw of `OFFSET_SD` for the use case.
    """

    def __init__(self, catalog: Catalog, seed: int) -> None:
        self._catalog = catalog
        self._seed = seed
        self._biases: dict[tuple[str, str, int], float] = {}
        self._offsets: dict[tuple[str, str], float] = {}

    def bias(self, pool: Pool, gpus: int) -> float:
        """A draw for each way of running."""
        key = (pool.model, pool.offer, gpus)
        found = self._biases.get(key)
        if found is None:
            spread = HOSTED_ERROR if pool.gpu == "hosted" else FORMULA_ERROR
            found = self._biases[key] = exp(draw(self._seed, "bias", *key).gauss(0.0, spread))
        return found

    def elo_offset(self, job: Arrival, card_id: str) -> float:
        """The card's own, the claims', and the use case's."""
        card = self._catalog.cards[card_id]
        elo, sd = card.quality.rating
        claims = rated(card, evidence(job.request)).elo - elo
        cell = self._drawn(card_id, use_case(job.request), OFFSET_SD)
        return self._drawn(card_id, "own", sd) + claims + cell

    def _drawn(self, card_id: str, what: str, spread: float) -> float:
        found = self._offsets.get((card_id, what))
        if found is None:
            found = draw(self._seed, "rating", card_id, what).gauss(0.0, spread)
            self._offsets[card_id, what] = found
        return found


def shipped_world(
    seed: int, *, failures: Failures | None = None, feedback: float = FEEDBACK, catalog: Catalog | None = None
) -> World:
    """Every card that generates, on its usual GPU type or hosted account."""
    cards = load_catalog() if catalog is None else catalog
    gpus = load_gpus()
    lanes = {}
    for pool in idle_fleet(cards, gpus).pools:
        card = cards.cards[pool.model]
        # An offer that runs on another one's replicas is left out: a lane has one queue and one offer.
        if card.makes != "generated" or card.offer(pool.offer).replica is not None or pool.gpu == "cpu":
            continue
        hosted = pool.gpu == "hosted"
        servers = HOSTED_CALLS if hosted else OWN_REPLICAS
        lanes[pool.name] = Lane(
            replace(pool, replicas=servers, max_replicas=servers),
            pool.sigma if hosted else SELF_HOSTED_SIGMA,
            HOSTED_ERROR if hosted else FORMULA_ERROR,
        )
    return World(
        name="catalog",
        catalog=cards,
        gpus=gpus,
        lanes=lanes,
        truth=ShippedTruth(cards, seed),
        reference_elo=REFERENCE_ELO,
        seed=seed,
        feedback=feedback,
        failures=failures or Failures(),
    )
