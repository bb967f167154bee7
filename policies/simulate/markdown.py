"""A report as Markdown tables, for documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULTS = (
    ("slo_attainment", "on time", ".3f"),
    ("slo_feasible", "of feasible", ".3f"),
    ("utility", "utility", ".3f"),
    ("utility_ratio", "gain", ".2f"),
    ("in_budget", "in budget", ".3f"),
    ("capability_violations", "unfit clips", ".0f"),
    ("budget_violations", "over budget", ".0f"),
    ("usd_per_clip", "$/clip", ".3f"),
    ("latency_p50", "p50 s", ".0f"),
    ("latency_p99", "p99 s", ".0f"),
    ("jain_tenants", "Jain", ".3f"),
)
PREDICTIONS = (
    ("mape_cold", "run, cold", ".1%"),
    ("mape_learned", "run, learned", ".1%"),
    ("bias_cold", "median, cold", ".1%"),
    ("bias_learned", "median, learned", ".1%"),
    ("mape_learned_hosted", "run, hosted, learned", ".1%"),
    ("bias_learned_hosted", "median, hosted, learned", ".1%"),
    ("q90_coverage", "within q90", ".1%"),
    ("q90_coverage_learned", "within q90, learned", ".1%"),
    ("on_time_error", "P(on time) off by", ".1%"),
)


def results(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a policy: what came of the jobs."""
    return table(rows, RESULTS)


def predictions(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a policy: how good its predictions were."""
    return table([row for row in rows if row["kind"] != "baseline"], PREDICTIONS)


def reliability(row: Mapping[str, Any]) -> str:
    """Promised against observed for one policy."""
    lines = ["| promised | jobs | mean promise | on time |", "|---|---|---|---|"]
    for found in row["reliability"]:
        lines.append(
            f"| {found['from']:.1f} to {found['from'] + 0.1:.1f} | {found['jobs']:.0f} "
            f"| {found['promised']:.3f} | {found['observed']:.3f} |"
        )
    return "\n".join(lines)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str, str]]) -> str:
    """One line a policy, one column a figure, with half its 95 % interval where there is one."""
    lines = [
        "| policy | " + " | ".join(heading for _, heading, _ in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row in rows:
        name = f"**{row['policy']}**" if row["kind"] == "production" else row["policy"]
        lines.append(f"| {name} | " + " | ".join(_cell(row, key, form) for key, _, form in columns) + " |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any], key: str, form: str) -> str:
    value = row.get(key)
    if value is None:
        return "-"
    half = row.get("ci95", {}).get(key)
    told = format(value, form)
    return told if half is None or form == ".0f" else f"{told} ± {format(half, form)}"
