"""Runs of several seeds as one table: means with their 95 % confidence intervals."""

from __future__ import annotations

from math import sqrt
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201)
"""Student's t at 97.5 % for 1, 2, ... degrees of freedom; 2.0 stands for more."""
APART = frozenset({"policy", "kind", "reliability"})
"""Fields of a row that are no figures."""


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half width of the 95 % confidence interval; None for a single value."""
    mean, count = fmean(values), len(values)
    if count < 2:
        return mean, None
    deviation = sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    student = T_95[count - 2] if count - 2 < len(T_95) else 2.0
    return mean, student * deviation / sqrt(count)


def with_ratios(rows: Sequence[dict[str, Any]], production: str) -> list[dict[str, Any]]:
    """Rows with `utility_ratio`, production's utility over theirs; unchanged without production."""
    ours = next((row["utility"] for row in rows if row["policy"] == production), None)
    if ours is None:
        return list(rows)
    return [
        row
        if row["policy"] == production or not row["utility"]
        else row | {"utility_ratio": ours / row["utility"]}
        for row in rows
    ]


def combined(runs: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One row a policy from one row a policy and seed; `ci95` holds half widths by figure.

    A figure that some seeds do not have (nobody got that far) is the mean of those that do. Reliability
    tables are added up.
    """
    if len(runs) == 1:
        return [dict(row) for row in runs[0]]
    made = []
    for rows in zip(*runs, strict=True):
        row: dict[str, Any] = {"policy": rows[0]["policy"], "kind": rows[0]["kind"], "seeds": len(rows)}
        halves: dict[str, float] = {}
        for name in rows[0]:
            if name in APART:
                continue
            values = [float(found[name]) for found in rows if found.get(name) is not None]
            if not values:
                row[name] = None
                continue
            row[name], half = interval(values)
            if half is not None:
                halves[name] = half
        row["ci95"] = halves
        if "reliability" in rows[0]:
            row["reliability"] = _added([found["reliability"] for found in rows])
        made.append(row)
    return made


def _added(tables: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    bins: dict[float, list[Mapping[str, float]]] = {}
    for table in tables:
        for row in table:
            bins.setdefault(row["from"], []).append(row)
    added = []
    for start, rows in sorted(bins.items()):
        jobs = sum(row["jobs"] for row in rows)
        added.append(
            {
                "from": start,
                "jobs": jobs,
                "promised": sum(row["promised"] * row["jobs"] for row in rows) / jobs,
                "observed": sum(row["observed"] * row["jobs"] for row in rows) / jobs,
            }
        )
    return added
