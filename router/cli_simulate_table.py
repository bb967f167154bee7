"""A contest of policies as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COUNTS = frozenset({"capability_violations"})
"""Figures that are told without an interval."""


def policy_table(
    title: str, legend: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str, str]]
) -> Table:
    """One line a policy, kinds apart; with several seeds each figure with half its 95 % interval.

    Args:
        title: Above the table.
        legend: Below it.
        rows: Policies with their figures.
        columns: Key, heading and format of each figure.
    """
    table = Table(title=title, title_justify="left", caption=legend, caption_justify="left")
    table.add_column("policy", no_wrap=True)
    for _, heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    kind = None
    for row in rows:
        if kind is not None and row["kind"] != kind:
            table.add_section()
        kind = row["kind"]
        table.add_row(row["policy"], *(_cell(row, name, form) for name, _, form in columns))
    return table


def _cell(row: Mapping[str, Any], name: str, form: str) -> str:
    value = row.get(name)
    if value is None:
        return "-"
    half = row.get("ci95", {}).get(name)
    told = format(value, form)
    if half is None or name in COUNTS:
        return told
    return f"{told} ±{format(half, form).removeprefix('0')}"
