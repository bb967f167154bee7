"""`i2v simulate`: what the policies would do under load, in simulated time, without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from router.cli_options import JsonOption, comma_list
from router.cli_report import Report, reporting
from router.cli_simulate_gang import gang
from router.cli_simulate_table import policy_table
from router.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

simulate = typer.Typer(no_args_is_help=True, help="Play policies through in simulated time.")

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("slo_attainment", "on time", ".3f"),
    ("slo_feasible", "feasible", ".3f"),
    ("utility", "utility", ".3f"),
    ("utility_ratio", "gain", ".2f"),
    ("in_budget", "budget", ".3f"),
    ("capability_violations", "unfit", ".0f"),
    ("usd_per_clip", "$/clip", ".3f"),
    ("latency_p99", "p99 s", ".0f"),
    ("q90_coverage", "q90", ".3f"),
    ("jain_tenants", "Jain", ".3f"),
)
"""Figures of the table for people; `--json` has all of them."""
WITHOUT_INTERVALS = frozenset({"q90_coverage", "jain_tenants"})
"""Left out where intervals need the room."""
LEGEND = (
    "on time: of all arrivals; feasible: of those that an idle fleet could serve; gain: production's utility "
    "over theirs; budget: clips within theirs; unfit: clips by models that cannot do what was asked; q90: "
    "runs within their predicted 90th percentile; Jain: fairness of on-time shares between tenants; ±: 95 % "
    "over seeds"
)


simulate.command()(gang)


@simulate.command()
def routing(
    world: Annotated[str, typer.Option(help="toy (nine models) or catalog (every card).")] = "toy",
    load: Annotated[
        float | None,
        typer.Option(min=0.001, max=10.0, metavar="R", help="Jobs per second.", show_default="the world's"),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=168.0, metavar="H", help="For how long jobs come.", show_default="the world's"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="First random seed.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="How many, for intervals.")] = 1,
    policies: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…", help="Names, or production, baselines, ablations, all.", show_default="all"
        ),
    ] = None,
    failures: Annotated[
        bool, typer.Option("--failures", help="Servers are lost and providers fail.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables of documents.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the shipped routing policy with other people's rules and with parts of itself taken out."""
    from policies.profile import load_profiles
    from policies.simulate.contest import PRODUCTION, ceilings, chosen, compete
    from policies.simulate.report import combined, interval, with_ratios
    from policies.simulate.worlds import scene, staged

    report = Report(as_json=as_json)
    with reporting(report):
        usual = scene(world)
        entrants = chosen(comma_list(policies) if policies is not None else None)
        profiles = load_profiles(Settings().cards)
        rate, span = load or usual.load, hours or usual.hours
        runs, bounds, counts = [], [], []
        for number in range(seed, seed + seeds):
            place, jobs = staged(world, rate, span, number, failures=failures)
            report.note(f"seed {number}: {len(jobs)} jobs, {len(entrants)} policies")
            bounds.append(ceilings(place, jobs, profiles))
            counts.append(len(jobs))
            runs.append(with_ratios(compete(place, jobs, profiles, entrants), PRODUCTION))
        workload = {
            "world": world,
            "summary": usual.summary,
            "load": rate,
            "hours": span,
            "seeds": seeds,
            "failures": failures,
            "arrivals": sum(counts) / seeds,
            "pools": len(place.lanes),
            **{name: interval([found[name] for found in bounds])[0] for name in bounds[0]},
        }
        rows = combined(runs)
        document = {"workload": workload, "seed": seed, "policies": rows}
        if markdown and not as_json:
            typer.echo(_markdown(rows))
        else:
            report.result(document, _table(workload, rows))


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    from policies.simulate.markdown import predictions, reliability, results

    parts = [results(rows), predictions(rows)]
    parts += [reliability(row) for row in rows if row["kind"] == "production"]
    return "\n\n".join(parts)


def _table(workload: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a policy; with several seeds each figure with half its 95 % interval."""
    title = (
        f"{workload['world']}: {workload['load']:g} jobs/s for {workload['hours']:g} h, "
        f"{workload['arrivals']:.0f} jobs, {workload['seeds']} seed(s); nobody's utility exceeds "
        f"{workload['bound_with_capacity']:.3f}"
    )
    several = workload["seeds"] > 1
    columns = [column for column in COLUMNS if not (several and column[0] in WITHOUT_INTERVALS)]
    return policy_table(title, LEGEND, rows, columns)
