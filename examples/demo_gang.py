"""`make demo-gang`: three clips on a gang of four ranks; each is told with its pauses and changes of degree.

The ranks are processes on this machine's CPU (gloo between them) with a tiny random-weight Wan, so the clips
are noise. What is real is the sharing: the first clip is alone and takes all ranks, the second is in a hurry
and takes some from it, the third takes what is left and grows when the others end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.demo import OUTPUT, PHOTOGRAPHS, ROOT, running_stack
from router.client import ApiError, Client, Video

POOL = "tiny-wan"
MODEL = "tiny-wan-i2v"
WORKER_TIMEOUT_S = 300.0

CLIPS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("first: long, nothing promised", "landscape.jpg", {"size": "192x128", "seconds": 5}),
    ("second: due in 60 s", "portrait.jpg", {"size": "128x128", "seconds": 3, "deadline_s": 60}),
    ("third: low priority", "product.jpg", {"size": "128x128", "seconds": 5, "priority": "low"}),
)
APART_S = 6.0
STEPS = 60
"""Instead of the card's four, so that there is time to share."""


def main() -> int:
    """Run the demo; returns the exit status."""
    console = Console()
    OUTPUT.mkdir(exist_ok=True)
    console.rule("[bold]A gang of four ranks")
    console.print("Starting the stack with one replica of four CPU ranks ...")
    try:
        with running_stack("gang", _cards()) as url, Client(url) as client:
            _wait_for_worker(client)
            clips = list(_submitted(client, console))
            console.print("Waiting for the clips ...")
            for clip in clips:
                client.wait(clip.id)
            for (title, _, _), clip in zip(CLIPS, clips, strict=True):
                console.print(_history(client, title, clip))
                client.download(clip.id, OUTPUT / f"gang-{clip.id}.mp4")
            console.print(f"\nThe clips are in [bold]{OUTPUT}[/].")
            return 0
    except (RuntimeError, ApiError) as error:
        console.print(f"[red]{error}")
        return 1


def _cards() -> Path:
    """The tiny model's card, with more steps."""
    cards = OUTPUT / "cards"
    cards.mkdir(exist_ok=True)
    card = (ROOT / "models" / "overlays" / "local" / "tiny-wan.yaml").read_text()
    (cards / "tiny-wan.yaml").write_text(card.replace("      steps: 4\n", f"      steps: {STEPS}\n"))
    return cards


def _wait_for_worker(client: Client) -> None:
    """The gang takes a while to load: four processes import torch."""
    deadline = time.monotonic() + WORKER_TIMEOUT_S
    while client.model(MODEL).readiness != "warm":
        if time.monotonic() > deadline:
            raise RuntimeError(f"{MODEL} did not come up in {WORKER_TIMEOUT_S:.0f} s")
        time.sleep(0.5)


def _submitted(client: Client, console: Console) -> Iterator[Video]:
    for title, photograph, wishes in CLIPS:
        clip = client.create(Path(PHOTOGRAPHS / photograph), "A slow walk", model=MODEL, **wishes)
        console.print(f"  {title}: {clip.id}")
        yield clip
        time.sleep(APART_S)


def _history(client: Client, title: str, clip: Video) -> Table:
    """The events of one clip in which its ranks changed."""
    table = Table(title=title, title_justify="left")
    for heading in ("s", "what", "step", "ranks"):
        table.add_column(heading, justify="right" if heading in ("s", "ranks") else "left")
    began: float | None = None
    before: tuple[object, ...] = ()
    for event in client.events(clip.id):
        began = event.at if began is None else began
        detail = event.data
        now = (event.type, detail.get("stage"), detail.get("gpus"))
        if now == before:
            continue
        before = now
        told = str(detail.get("stage", event.type)).replace("_", " ")
        steps = f"{detail['step']}/{detail['steps']}" if detail.get("steps") else ""
        gpus = detail.get("gpus")
        table.add_row(f"{event.at - began:.1f}", told, steps, "" if gpus is None else str(gpus))
    return table


if __name__ == "__main__":
    sys.exit(main())
