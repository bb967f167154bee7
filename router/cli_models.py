"""`i2v models`: list the cards, and check the files that they are written in."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from router import cli_options as opt
from router.cli_options import FleetChoice
from router.cli_report import Exit, Report, reporting
from router.cli_tables import models_table
from router.client import Client
from router.client.connection import DEFAULT_SERVER
from router.settings import Settings

if TYPE_CHECKING:
    from models.lint import Finding

models = typer.Typer(invoke_without_command=True, help="List the models; check their cards.")


@models.callback()
def list_models(
    context: typer.Context,
    fleet: Annotated[
        FleetChoice, typer.Option(help="live: with the server's readiness. all: the cards, no server needed.")
    ] = FleetChoice.LIVE,
    server: opt.ServerOption = DEFAULT_SERVER,
    as_json: opt.JsonOption = False,
) -> None:
    """List the models."""
    if context.invoked_subcommand is not None:
        return
    report = Report(as_json=as_json)
    with reporting(report):
        if fleet is FleetChoice.LIVE:
            with Client(server) as client:
                found = client.models()
        else:
            from router.cli_offline import models_offline

            found = models_offline()
        report.result({"data": [card.model_dump(mode="json") for card in found]}, models_table(found))


@models.command("lint")
def lint_models(
    overlay: Annotated[
        Path | None, typer.Option(help="Directory of your own cards; I2V_CARDS when it is not given.")
    ] = None,
    max_age_days: Annotated[
        int | None,
        typer.Option(min=1, help="Figures checked longer ago (180 days) are stale, which is a warning."),
    ] = None,
    as_json: opt.JsonOption = False,
) -> None:
    """Check cards and profiles: contradictions, missing sources, stale figures. Errors exit with 1."""
    from models.catalog import load_catalog
    from models.lint import MAX_AGE_DAYS, Finding, lint
    from policies.profile import load_profiles

    report = Report(as_json=as_json)
    with reporting(report):
        directory = Settings().cards if overlay is None else overlay
        catalog, profiles = load_catalog(directory), load_profiles(directory)
        findings = (
            *(Finding("error", "", problem.param or "", problem.message) for problem in profiles.problems),
            *lint(catalog, datetime.now(UTC).date(), max_age_days or MAX_AGE_DAYS),
        )
        report.result(
            {"cards": len(catalog), "findings": [asdict(finding) for finding in findings]},
            _view(len(catalog), findings),
        )
        if any(finding.level == "error" for finding in findings):
            raise typer.Exit(Exit.FAILED)


def _view(cards: int, findings: tuple[Finding, ...]) -> Group:
    table = Table(box=None, pad_edge=False)
    for column in ("", "card", "field", "finding"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        style = "red" if finding.level == "error" else "yellow"
        table.add_row(Text(finding.level, style=style), finding.card, finding.field, Text(finding.message))
    errors = sum(finding.level == "error" for finding in findings)
    told = f"{cards} cards: {errors} errors, {len(findings) - errors} warnings"
    return Group(*([table] if findings else []), Text(told, style="bold red" if errors else "bold green"))
