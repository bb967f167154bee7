"""`i2v jobs`: look at jobs, wait for them, stop them, remove them, finalize previews, rate clips."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from rich.console import Group
from rich.text import Text

from models.errors import InvalidRequest
from router.cli_options import JsonOption, ServerOption
from router.cli_progress import POLL_S, watching
from router.cli_report import Exit, Report, reporting
from router.cli_tables import clip_facts, decision_view, job_view, jobs_table
from router.client import Client, FinalOptions, Video
from router.client.connection import DEFAULT_SERVER

jobs = typer.Typer(no_args_is_help=True, help="Look at jobs, wait for them, stop them, remove them.")

JobArgument = Annotated[str, typer.Argument(metavar="ID", help="Job id (vid_…).")]
JobsArgument = Annotated[list[str], typer.Argument(metavar="ID…", help="Job ids (vid_…).")]


class Status(StrEnum):
    """Statuses that a listing can be narrowed to."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Thumb(StrEnum):
    """A word on a clip."""

    UP = "up"
    DOWN = "down"


@jobs.command("ls")
def list_jobs(
    status: Annotated[Status | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    report = Report(as_json=as_json)
    with reporting(report), Client(server) as client:
        page_size = min(limit, 100)
        wanted = client.list(status=status.value if status else None, page_size=page_size)
        found = list(islice(wanted, limit))
        view = jobs_table(found) if found else Text("no jobs")
        report.result({"data": [_json(video) for video in found]}, view)


@jobs.command("show")
def show_job(job: JobArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Show one job: state, attempts, and why its model was chosen."""
    report = Report(as_json=as_json)
    with reporting(report), Client(server) as client:
        video = client.retrieve(job)
        parts = [job_view(video)] + ([decision_view(video.routing)] if video.routing else [])
        report.result(_json(video), Group(*parts))


@jobs.command("wait")
def wait_for_job(
    job: JobArgument,
    out: Annotated[Path | None, typer.Option(help="Download the clip to this file.")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="S", help="Give up waiting after this.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Wait until a job ends; exit code 1 when it ends without a clip."""
    report = Report(as_json=as_json)
    with reporting(report), Client(server) as client:
        with watching(report) as show:
            video = client.wait(job, on_progress=show, timeout=timeout, poll=POLL_S)
        finish(report, client, video, out)


@jobs.command("cancel")
def cancel_jobs(
    jobs: JobsArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False
) -> None:
    """Stop jobs; a running one stops at its next step, a finished one stays as it is."""
    report = Report(as_json=as_json)
    with reporting(report), Client(server) as client:
        videos = [client.cancel(job) for job in jobs]
        report.result({"data": [_json(video) for video in videos]}, jobs_table(videos))


@jobs.command("rm")
def remove_jobs(
    jobs: JobsArgument, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False
) -> None:
    """Cancel jobs if needed and remove them with their clips."""
    report = Report(as_json=as_json)
    with reporting(report), Client(server) as client:
        for job in jobs:
            client.delete(job)
        removed = [{"id": job, "deleted": True} for job in jobs]
        report.result({"data": removed}, Text("removed " + ", ".join(jobs)))


@jobs.command("finalize")
def finalize_job(
    job: JobArgument,
    model: Annotated[str | None, typer.Option(help="Card id, or auto.", show_default="the preview's")] = None,
    max_cost: Annotated[float | None, typer.Option(metavar="USD", help="Most it may cost.")] = None,
    deadline: Annotated[
        float | None, typer.Option(metavar="S", help="Seconds until it must be there.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Wait, and download the clip to this file.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Make a completed preview again at full quality: same photograph, words, seed and length."""
    report = Report(as_json=as_json)
    given = {"model": model, "max_cost_usd": max_cost, "deadline_s": deadline}
    options = cast(FinalOptions, {name: value for name, value in given.items() if value is not None})
    with reporting(report), Client(server) as client:
        video = client.finalize(job, **options)
        if out is None:
            report.result(_json(video), job_view(video))
            return
        report.note(f"{video.id} accepted")
        with watching(report) as show:
            video = client.wait(video.id, on_progress=show, poll=POLL_S)
        finish(report, client, video, out)


@jobs.command("feedback")
def rate_job(
    job: JobArgument,
    thumb: Annotated[Thumb | None, typer.Argument(help="What you think of its clip.")] = None,
    better_than: Annotated[
        str | None, typer.Option(metavar="ID", help="A clip of the same photograph that is not as good.")
    ] = None,
    comment: Annotated[str, typer.Option(help="Why.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Say what you think of a clip: up, down, or better than another. The router learns from it."""
    report = Report(as_json=as_json)
    with reporting(report), Client(server) as client:
        if (thumb is None) == (better_than is None):
            raise InvalidRequest(
                "give up or down, or --better-than ID", param="thumb", allowed=["up", "down"]
            )
        rating: Literal[1, -1] | None = None if thumb is None else 1 if thumb is Thumb.UP else -1
        taken = client.feedback(job, rating, better_than=better_than, comment=comment)
        said = f"better than {better_than}" if better_than else f"thumb {thumb}"
        cell = f"{taken.model}, {taken.use_case or 'in no use: the model is gone'}"
        report.result(taken.model_dump(mode="json"), Text(f"{job}: {said}; counts for {cell}"))


def finish(report: Report, client: Client, video: Video, out: Path | None) -> None:
    """Fetch and tell what a final job made, or why there is nothing.

    Raises:
        typer.Exit: with code 1 when the job did not complete.
    """
    if video.status == "completed":
        if out is not None:
            client.download(video.id, out)
        place = str(out) if out is not None else f"`i2v jobs wait {video.id} --out clip.mp4` fetches it"
        report.result({"video": _json(video), "out": str(out) if out else None}, clip_facts(video, place))
        final = video.final_estimate
        if final is not None and video.finalized_by is None:
            report.note(f"`i2v jobs finalize {video.id}` makes it in earnest: {_final_words(final)}")
        return
    reason = f"{video.error.code}: {video.error.message}" if video.error is not None else "no clip was made"
    message = f"{video.id} {video.status}: {reason}"
    step = f"`i2v jobs show {video.id}` shows every attempt"
    report.failure(
        message, code=video.error.code if video.error else video.status, next_step=step, video=_json(video)
    )
    raise typer.Exit(Exit.FAILED)


def _final_words(final: dict[str, Any]) -> str:
    shape, predicted = final["geometry"], final["predicted"]
    seconds = predicted["wait_seconds"] + predicted["seconds"]
    usd = "unknown cost" if predicted["usd"] is None else f"${predicted['usd']:.2g}"
    return f"{final['model']}, {shape['width']}x{shape['height']}, in about {seconds:.0f} s for {usd}"


def _json(video: Video) -> dict[str, object]:
    return video.model_dump(mode="json", exclude_unset=True)
