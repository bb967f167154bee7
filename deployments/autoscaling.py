"""Ray Serve autoscaling policies of the product; `autoscaling_config.policy` in serve_config.yaml names them.

They run in the controller's loop: they never raise and never block. Serve puts its own delays and the limits
of replicas around what they return.
"""

from __future__ import annotations

from math import ceil, isfinite, nan
from typing import Any

IN_FLIGHT = "in_flight"
"""Metric of provider replicas: calls in hand."""


class CallsInFlight:
    """So many replicas of a provider that none has more than `calls_per_replica` calls in flight.

    Serve's own measure, requests under way, says nothing here: a request ends once its call has begun.
    """

    def __init__(self, calls_per_replica: float = 500.0) -> None:
        """`calls_per_replica` above 0."""
        self._calls_per_replica = max(1.0, float(calls_per_replica))

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """Wanted replicas, from what each replica told last; as many as there are while none has told."""
        told = (context.raw_metrics or {}).get(IN_FLIGHT) or {}
        calls = [newest for series in told.values() if (newest := _newest(series)) is not None]
        if not calls:
            return context.target_num_replicas, {}
        return max(1, ceil(sum(calls) / self._calls_per_replica)), {}


def _newest(series: Any) -> float | None:
    """The newest value of a replica's series of points in time (Ray Serve 2.60); None: it says nothing."""
    points = list(series or ())
    value = float(getattr(points[-1], "value", nan)) if points else nan
    return value if isfinite(value) and value >= 0 else None
