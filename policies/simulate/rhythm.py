"""When jobs come: Poisson, with a rate that follows the hours of the day."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

HOURS = (
    *(3.43, 0.98, 1.05, 1.08, 0.60, 0.32, 0.30, 0.23, 0.11, 0.04, 0.03, 0.00),
    *(0.00, 0.00, 0.00, 0.04, 0.57, 2.10, 2.48, 0.56, 0.98, 2.97, 2.97, 3.16),
)
"""Rate of each hour of the day over the mean: alibaba/clusterdata, cluster-trace-v2026-GenAI,
lora_request_trace (image requests, 2024), as recorded; its time zone is not stated. Inside a busy hour the
gaps of that trace have a coefficient of variation of 1.03, so Poisson fits."""
FIRST_HOUR = 18
"""A simulation begins at this hour: lull and rush follow each other."""
SECONDS_PER_HOUR = 3600.0


def steady(rate: float, hours: float, random: Random) -> Iterator[float]:
    """Poisson arrivals of `rate` per second."""
    at = random.expovariate(rate)
    while at < hours * SECONDS_PER_HOUR:
        yield at
        at += random.expovariate(rate)


def daily(rate: float, hours: float, random: Random) -> Iterator[float]:
    """Poisson arrivals whose rate follows the hours of the day, `rate` per second on average over the span.

    By thinning (Lewis & Shedler 1979): arrivals at the highest rate, of which each stays with the share that
    its hour has of it.
    """
    shares = [HOURS[(FIRST_HOUR + hour) % 24] for hour in range(max(1, -int(-hours // 1)))]
    lasting = [min(1.0, hours - hour) for hour in range(len(shares))]
    mean = sum(share * part for share, part in zip(shares, lasting, strict=True)) / hours
    peak = max(shares)
    for at in steady(rate * peak / mean, hours, random):
        if random.random() * peak < shares[int(at / SECONDS_PER_HOUR)]:
            yield at
