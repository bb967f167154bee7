"""What a run of the pool comes to, in figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.simulate.gang.pool import Tale


@dataclass(frozen=True, slots=True)
class Metrics:
    """One policy on one workload. Seconds are simulated, shares are of all arrivals."""

    arrivals: int
    slo_attainment: float
    """On time."""
    slo_work: float
    """The same, each clip weighed by its GPU-seconds at degree 1."""
    slo_largest: float
    """On time, of the quarter of clips with the most work."""
    latency_p50: float
    latency_p99: float
    latency_max: float
    lateness_p99: float
    """Seconds after it was wanted; 0 when on time."""
    gpu_seconds_per_clip: float
    """Occupied, reconfigurations included."""
    reconfigurations_per_clip: float

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(tales: Sequence[Tale]) -> Metrics:
    """The figures of one run."""
    count = len(tales)
    work = {id(tale): tale.job.shape.seconds(1) for tale in tales}
    latencies = sorted(tale.latency for tale in tales)
    lateness = sorted(max(0.0, tale.finished - tale.job.due) for tale in tales)
    largest = sorted(tales, key=lambda tale: -work[id(tale)])[: max(1, count // 4)]
    return Metrics(
        arrivals=count,
        slo_attainment=sum(tale.on_time for tale in tales) / count,
        slo_work=sum(work[id(tale)] for tale in tales if tale.on_time) / sum(work.values()),
        slo_largest=sum(tale.on_time for tale in largest) / len(largest),
        latency_p50=quantile(latencies, 0.5),
        latency_p99=quantile(latencies, 0.99),
        latency_max=latencies[-1],
        lateness_p99=quantile(lateness, 0.99),
        gpu_seconds_per_clip=fmean(tale.gpu_seconds for tale in tales),
        reconfigurations_per_clip=fmean(tale.reconfigurations for tale in tales),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of `ordered` lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
