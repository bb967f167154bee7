"""`i2v simulate gang`: how a gang's scheduler shares GPUs among clips, beside other people's schedulers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from router.cli_options import JsonOption, comma_list
from router.cli_report import Report, reporting
from router.cli_simulate_table import policy_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("slo_attainment", "on time", ".3f"),
    ("lead_points", "lead", ".1f"),
    ("slo_work", "by work", ".3f"),
    ("latency_p50", "p50 s", ".0f"),
    ("latency_p99", "p99 s", ".0f"),
    ("latency_max", "max s", ".0f"),
    ("gpu_seconds_per_clip", "GPU-s", ".0f"),
    ("reconfigurations_per_clip", "moves", ".2f"),
)
"""Figures of the table for people; `--json` has all of them."""
LEGEND = (
    "on time: of all arrivals; lead: production's, in points, on the same clips; by work: on time, weighed "
    "by GPU-seconds; p50, p99, max: latency; GPU-s: of a clip; moves: changes of degree or place of a clip; "
    "±: 95 % over seeds"
)


def gang(
    load: Annotated[
        float, typer.Option(min=0.01, max=4.0, metavar="R", help="Work that comes, relative to all GPUs.")
    ] = 0.7,
    hours: Annotated[
        float, typer.Option(min=0.01, max=168.0, metavar="H", help="For how long clips come.")
    ] = 8.0,
    nodes: Annotated[int, typer.Option(min=1, max=2, metavar="N", help="Nodes of eight GPUs.")] = 1,
    slack: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=100.0, metavar="S", help="Deadlines: S x the time at k*.", show_default="1.5, 3 or 6"
        ),
    ] = None,
    bursty: Annotated[bool, typer.Option("--bursty", help="Lulls and rushes of half an hour.")] = False,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="First random seed.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="How many, for intervals.")] = 1,
    policies: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…", help="Names, or production, baselines, ablations, all.", show_default="all"
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables of documents.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the shipped gang scheduler with other people's and with parts of itself taken out."""
    from policies.simulate.gang.contest import chosen, compete
    from policies.simulate.gang.markdown import results
    from policies.simulate.gang.workload import Workload
    from policies.simulate.report import combined

    report = Report(as_json=as_json)
    with reporting(report):
        entrants = chosen(comma_list(policies) if policies is not None else None)
        work = Workload(load, hours, nodes, slack, bursty)
        runs, counts, realised = [], [], []
        for number in range(seed, seed + seeds):
            jobs = work.jobs(number)
            report.note(f"seed {number}: {len(jobs)} clips, {len(entrants)} policies")
            counts.append(len(jobs))
            realised.append(work.realised(jobs))
            runs.append(compete(jobs, work.gpus, entrants))
        workload = {
            "load": load,
            "load_realised": sum(realised) / seeds,
            "hours": hours,
            "nodes": nodes,
            "gpus": sum(work.gpus),
            "slack": slack,
            "bursty": bursty,
            "seeds": seeds,
            "arrivals": sum(counts) / seeds,
        }
        rows = combined(runs)
        if markdown and not as_json:
            typer.echo(results(rows))
        else:
            document = {"workload": workload, "seed": seed, "policies": rows}
            report.result(document, _table(workload, rows))


def _table(workload: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Table:
    title = (
        f"{workload['gpus']} GPUs, load {workload['load']:g} (realised {workload['load_realised']:.2f}) for "
        f"{workload['hours']:g} h, {workload['arrivals']:.0f} clips, {workload['seeds']} seed(s)"
    )
    return policy_table(title, LEGEND, rows, COLUMNS)
