"""The fleet of a dry run: every offer is there, warm and idle."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from models.card import HOSTED, ApiLatency
from policies.base import Fleet, Pool
from policies.candidates import DEGREES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.card import Offer
    from models.catalog import Catalog
    from models.gpus import GpuType

P95 = 1.6449
"""The 95th percentile of a standard normal."""

SELF_HOSTED_SIGMA = 0.05
"""Spread of ln(actual / predicted) of a model on its own GPUs: diffusion steps repeat within 5 %."""


def idle_fleet(catalog: Catalog, gpus: Mapping[str, GpuType]) -> Fleet:
    """One idle replica for every offer that is not retired, on the GPU type that its card assumes.

    Offers whose GPU type is not named or not known get no pool, and so no candidate.
    """
    pools = []
    for card in catalog:
        if card.status == "retired":
            continue
        for offer in card.offers:
            gpu = "hosted" if offer.backend in HOSTED else offer.default_gpu
            if gpu is None or (gpu != "hosted" and gpu not in gpus):
                continue
            pools.append(
                Pool(
                    name=f"{card.id}--{offer.id}",
                    model=card.id,
                    offer=offer.id,
                    gpu=gpu,
                    gang_size=max((d for d in DEGREES if d in offer.degrees), default=1),
                    replicas=1,
                    sigma=_sigma(offer),
                )
            )
    return Fleet(tuple(pools))


def _sigma(offer: Offer) -> float:
    if not isinstance(offer.latency, ApiLatency):
        return SELF_HOSTED_SIGMA
    return max(SELF_HOSTED_SIGMA, log(offer.latency.p95 / offer.latency.p50) / P95)
