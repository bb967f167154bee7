"""A contest of the pool as a Markdown table, for documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from policies.simulate.markdown import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS = (
    ("slo_attainment", "on time", ".3f"),
    ("lead_points", "production's lead, points", ".1f"),
    ("slo_work", "by work", ".3f"),
    ("slo_largest", "largest quarter", ".3f"),
    ("latency_p50", "p50 s", ".0f"),
    ("latency_p99", "p99 s", ".0f"),
    ("latency_max", "longest s", ".0f"),
    ("gpu_seconds_per_clip", "GPU-s/clip", ".0f"),
    ("reconfigurations_per_clip", "moves/clip", ".2f"),
)


def results(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a policy."""
    return table(rows, COLUMNS)
