"""How the CLI speaks: results on stdout, the rest on stderr, JSON when asked, exit codes with a meaning."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from models.errors import I2VError, InvalidRequest, NoRoute, PayloadTooLarge
from router.client import ApiError, ClientError, ServerUnreachable

PLAIN_WIDTH = 140
"""Columns when nobody looks at a terminal (a pipe, a log): wide enough that tables stay whole."""
REFUSED = frozenset({400, 413, 415, 422})
"""Statuses that say: this request is wrong, whoever sends it."""


LATER = "try again shortly; GET /readyz says what is missing"
NEXT_STEPS = {
    "server_unreachable": "start one with `i2v serve`, or name another with --server URL (or I2V_SERVER)",
    "unknown_model": "`i2v models` lists them",
    "no_route": "take one of the changes under `What would fit`; `i2v route` shows every reason",
    "job_not_found": "`i2v jobs ls` lists the jobs of this server",
    "not_ready": "`i2v jobs wait ID` waits for the clip",
    "fleet_unavailable": LATER,
    "store_unavailable": LATER,
    "media_unavailable": LATER,
}
"""What to do about an error, by its code."""
MOST_ALLOWED = 12
"""A longer list of allowed values is no help in a terminal."""


class Exit(IntEnum):
    """Exit codes."""

    OK = 0
    FAILED = 1
    """The job failed, or no model can do it."""
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130
    """128 + SIGINT, as shells have it."""


class Report:
    """Where output goes. With `as_json` stdout carries exactly one JSON document and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    @property
    def interactive(self) -> bool:
        """True when a person watches stderr."""
        return self.err.is_terminal and not self.as_json

    def result(self, document: object, view: RenderableType) -> None:
        """The result: `document` as JSON, or `view` for people."""
        if self.as_json:
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        else:
            self.out.print(view)

    def note(self, text: str) -> None:
        """A word on the side; silent with `as_json`."""
        if not self.as_json:
            self.err.print(Text(text))

    def failure(self, message: str, *, code: str, next_step: str | None = None, **more: Any) -> None:
        """An error: what, and what to do next."""
        if self.as_json:
            error = {"code": code, "message": message, "next": next_step, **more}
            typer.echo(json.dumps({"error": error}, indent=2, ensure_ascii=False))
            return
        self.err.print(Text.assemble(("error: ", "bold red"), message))
        if next_step is not None:
            self.err.print(Text.assemble(("next:  ", "bold"), next_step))


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)
    return console


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """Turn errors into a message, the next step and an exit code."""
    try:
        yield
    except ServerUnreachable as error:
        report.failure(str(error), code="server_unreachable", next_step=NEXT_STEPS["server_unreachable"])
        raise typer.Exit(Exit.UNREACHABLE) from error
    except ApiError as error:
        more: dict[str, Any] = {"param": error.param, "request_id": error.request_id, "status": error.status}
        decision = error.body.get("decision")
        if decision is not None:
            more["decision"] = decision
        _show_decision(report, decision)
        report.failure(error.message, code=error.code, next_step=_next_step(error.code, error.body), **more)
        refused = error.status in REFUSED and error.code != NoRoute.code
        code = Exit.USAGE if refused or error.code == "unknown_model" else Exit.FAILED
        raise typer.Exit(code) from error
    except ClientError as error:
        report.failure(str(error), code="client_error")
        raise typer.Exit(Exit.FAILED) from error
    except I2VError as error:
        allowed = {"allowed": error.allowed} if error.allowed is not None else {}
        step = _next_step(error.code, allowed)
        report.failure(error.message, code=error.code, next_step=step, param=error.param)
        usage = isinstance(error, InvalidRequest | PayloadTooLarge)
        raise typer.Exit(Exit.USAGE if usage else Exit.FAILED) from error
    except OSError as error:
        report.failure(str(error), code="os_error")
        raise typer.Exit(Exit.FAILED) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(Exit.INTERRUPTED) from error


def _show_decision(report: Report, decision: Mapping[str, Any] | None) -> None:
    """A refused request explains itself: who could not, why, and what would fit."""
    if decision is None or report.as_json:
        return
    from router.cli_tables import decision_view

    report.err.print(decision_view(decision))


def _next_step(code: str, body: Mapping[str, Any]) -> str | None:
    if code in NEXT_STEPS:
        return NEXT_STEPS[code]
    allowed = body.get("allowed")
    if isinstance(allowed, list) and 0 < len(allowed) <= MOST_ALLOWED:
        return "allowed: " + ", ".join(map(str, allowed))
    return None
