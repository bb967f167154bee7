"""A job's progress while one waits: a bar on a terminal, a line for each new stage elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from router.cli_report import Report
from router.cli_words import progress_text
from router.client import Video

POLL_S = 0.5
"""How often a person sees something new; the server's own advice is for programs."""


@contextmanager
def watching(report: Report) -> Iterator[Callable[[Video], None]]:
    """What `Client.wait` calls with each state of the job."""
    if not report.interactive:
        yield _Lines(report)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=report.err, transient=True) as progress:
        bar = progress.add_task("queued", total=100)
        yield lambda video: progress.update(
            bar,
            completed=video.progress,
            description=f"{video.status.replace('_', ' ')}: {progress_text(video)}",
        )


class _Lines:
    """One line whenever status, stage or attempt changes."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last: tuple[object, ...] = ()

    def __call__(self, video: Video) -> None:
        detail = video.progress_detail
        now = (video.status, *((detail.stage, detail.attempt, detail.gpus) if detail else ()))
        if now != self._last:
            self._last = now
            self._report.note(f"{video.id}: {video.status.replace('_', ' ')}: {progress_text(video)}")
