"""What a router has learned so far: time fits and beliefs, kept as the job store keeps them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from policies.calibration import (
    Belief,
    Beliefs,
    Ledger,
    TimeFit,
    fold,
    in_force,
    liked,
    sigma_of,
    slice_of,
    speed_of,
)
from policies.quality import evidence, rated, use_case

if TYPE_CHECKING:
    from policies.base import Pool
    from policies.simulate.events import Run
    from policies.simulate.world import Arrival, World

Key = tuple[str, str, str, int]
"""Model, offer, GPU type, GPUs."""


class Experience:
    """Fits by way of running, beliefs by use case. Either may be switched off."""

    def __init__(self, world: World, *, calibrate: bool = True, learn: bool = True) -> None:
        self.fits: dict[Key, TimeFit] = {}
        self.ledger = Ledger()
        self._beliefs: dict[tuple[str, str], Belief] = {}
        self._world = world
        self._calibrate = calibrate
        self._learn = learn
        self.pools = {name: self._fitted(lane.pool, None) for name, lane in world.lanes.items()}
        """Idle pools by name, with what is known of their speed."""

    @property
    def beliefs(self) -> Beliefs:
        """Those that decisions may use."""
        return in_force(self._beliefs, self.ledger)

    def samples(self, pool: Pool, gpus: int) -> int:
        """Runs seen of that way of running."""
        fit = self.fits.get((pool.model, pool.offer, pool.gpu, gpus))
        return fit.samples if fit is not None else 0

    def ran(self, run: Run) -> None:
        """A clip was made."""
        if not self._calibrate:
            return
        pool = self._world.lanes[run.order.pool].pool
        key = (pool.model, pool.offer, pool.gpu, run.order.gpus)
        fit = self.fits[key] = fold(self.fits.get(key, TimeFit()), run.order.formula_s, run.ends - run.began)
        self.pools[pool.name] = self._fitted(pool, fit)

    def voted(self, job: Arrival, card_id: str, like: bool) -> None:
        """Book a thumb in the job's cell."""
        if not self._learn:
            return
        request = job.request
        part = "hold_out" if self.ledger.rolled_back else slice_of(request.draw, request.objective)
        self.ledger = self.ledger.voted(part, like)
        cell = (card_id, use_case(request))
        prior = rated(self._world.catalog.cards[card_id], evidence(request)).elo
        before = self._beliefs.get(cell, Belief())
        self._beliefs[cell] = liked(before, prior, self._world.reference_elo, like)

    def _fitted(self, pool: Pool, fit: TimeFit | None) -> Pool:
        """The idle pool; a pool has one speed, that of the way it ran last."""
        error = self._world.lanes[pool.name].formula_error
        if not self._calibrate:
            return pool
        return replace(pool, speed=speed_of(fit, pool.sigma, error), sigma=sigma_of(fit, pool.sigma, error))
