"""The fleet of a dry run: every offer is there, warm and idle."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from models.card import HOSTED, ApiLatency
from models.sharding import DEGREES
from policies.base import Fleet, Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.card import Card, Offer
    from models.catalog import Catalog
    from models.gpus import GpuType

P95 = 1.6449
"""The 95th percentile of a standard normal."""

SELF_HOSTED_SIGMA = 0.05
"""Spread of ln(actual / predicted) of a model on its own GPUs: diffusion steps repeat within 5 %."""


def idle_fleet(catalog: Catalog, gpus: Mapping[str, GpuType]) -> Fleet:
    """One idle replica for every offer that is not retired, on the GPU type that its card assumes.

    An offer that runs on another one's replicas shares that one's pool name and GPU type, so that both see
    the same load. A hosted account has one free call, on nobody's GPU. Offers whose GPU type is not named or
    not known get no pool, and so no candidate. Neither does an engine: it is there where somebody has started
    one, and what it makes is seen by the local offer of the same card.
    """
    pools = (
        _idle(card, offer, gpus) for card in catalog if card.status != "retired" for offer in card.offers
    )
    return Fleet(tuple(pool for pool in pools if pool is not None))


def _idle(card: Card, offer: Offer, gpus: Mapping[str, GpuType]) -> Pool | None:
    host = offer if offer.replica is None else card.offer(offer.replica)
    gpu = "hosted" if offer.backend in HOSTED else offer.default_gpu or host.default_gpu
    if offer.backend == "engine" or gpu is None or (gpu != "hosted" and gpu not in gpus):
        return None
    return Pool(
        name=f"{card.id}--{host.id}",
        model=card.id,
        offer=offer.id,
        gpu=gpu,
        gang_size=(
            1
            if gpu == "hosted"
            else max((d for d in DEGREES if d in host.degrees or d in offer.degrees), default=1)
        ),
        replicas=1,
        sigma=prior_sigma(offer),
    )


def prior_sigma(offer: Offer) -> float:
    """Spread of ln(actual / predicted) to expect of an offer before runs have told."""
    if not isinstance(offer.latency, ApiLatency):
        return SELF_HOSTED_SIGMA
    return max(SELF_HOSTED_SIGMA, log(offer.latency.p95 / offer.latency.p50) / P95)
