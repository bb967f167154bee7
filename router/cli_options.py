"""Options that several commands share, and how they become what the API is asked."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer

from models.types import Intensity, Objective, Priority, Residency
from router.client import ClipOptions


class Motion(StrEnum):
    """Words for how much shall move: the names of `Intensity`, as options take them."""

    SUBTLE = Intensity.SUBTLE.name.lower()
    GENTLE = Intensity.GENTLE.name.lower()
    MODERATE = Intensity.MODERATE.name.lower()
    DYNAMIC = Intensity.DYNAMIC.name.lower()
    EXTREME = Intensity.EXTREME.name.lower()


class FleetChoice(StrEnum):
    """What is treated as available."""

    ALL = "all"
    LIVE = "live"


CLIP = "The clip"
BUDGET = "What it may take"
CHOICE = "Which models"
_FILE = {"exists": True, "dir_okay": False, "readable": True}

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
ServerOption = Annotated[
    str, typer.Option("--server", metavar="URL", envvar="I2V_SERVER", help="Address of the server.")
]
PromptOption = Annotated[str, typer.Option("--prompt", "-p", help="What shall move, and how.")]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Card id, or auto.", show_default="auto", rich_help_panel=CHOICE)
]
SizeOption = Annotated[
    str | None, typer.Option("--size", metavar="WxH", help="Frame size in pixels.", rich_help_panel=CLIP)
]
SecondsOption = Annotated[
    float | None, typer.Option("--seconds", metavar="S", help="Playing time.", rich_help_panel=CLIP)
]
FpsOption = Annotated[
    float | None, typer.Option("--fps", metavar="N", help="Frames per second.", rich_help_panel=CLIP)
]
ObjectiveOption = Annotated[
    Objective | None,
    typer.Option("--objective", help="What counts most.", show_default="balanced", rich_help_panel=BUDGET),
]
DeadlineOption = Annotated[
    float | None,
    typer.Option("--deadline", metavar="S", help="Seconds until it must be there.", rich_help_panel=BUDGET),
]
MaxCostOption = Annotated[
    float | None, typer.Option("--max-cost", metavar="USD", help="Most it may cost.", rich_help_panel=BUDGET)
]
CameraOption = Annotated[
    list[str] | None,
    typer.Option(
        "--camera",
        metavar="MOVE[:required]",
        help="Camera move; repeat for several. With :required only models with a real camera control count.",
        rich_help_panel=CLIP,
    ),
]
LastImageOption = Annotated[
    Path | None, typer.Option("--last-image", help="Frame to end on.", rich_help_panel=CLIP, **_FILE)
]
DrivingVideoOption = Annotated[
    Path | None,
    typer.Option("--driving-video", help="Video whose motion is followed.", rich_help_panel=CLIP, **_FILE),
]
AudioOption = Annotated[
    Path | None, typer.Option("--audio", help="Sound that drives the clip.", rich_help_panel=CLIP, **_FILE)
]
GenerateAudioOption = Annotated[
    bool, typer.Option("--generate-audio", help="Make sound too.", rich_help_panel=CLIP)
]
MotionOption = Annotated[
    Motion | None, typer.Option("--motion", help="How much moves.", rich_help_panel=CLIP)
]
ResidencyOption = Annotated[
    Residency | None,
    typer.Option(
        "--residency", help="Where the photograph may go.", show_default="any", rich_help_panel=CHOICE
    ),
]
AllowOption = Annotated[
    str | None, typer.Option("--allow", metavar="ID,…", help="Only these models.", rich_help_panel=CHOICE)
]
DenyOption = Annotated[
    str | None, typer.Option("--deny", metavar="ID,…", help="None of these models.", rich_help_panel=CHOICE)
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="Repeats a clip.", rich_help_panel=CLIP)
]
PriorityOption = Annotated[
    Priority | None,
    typer.Option("--priority", help="Order in the queue.", show_default="normal", rich_help_panel=BUDGET),
]


def clip_options(
    *,
    model: str | None,
    size: str | None,
    seconds: float | None,
    fps: float | None,
    objective: Objective | None,
    deadline: float | None,
    max_cost: float | None,
    camera: list[str] | None,
    generate_audio: bool,
    motion: Motion | None,
    residency: Residency | None,
    allow: str | None,
    deny: str | None,
    seed: int | None,
    priority: Priority | None,
) -> ClipOptions:
    """What was given, under the names of the API; what was not given is absent."""
    given: dict[str, object] = {
        "model": model,
        "size": size,
        "seconds": seconds,
        "fps": fps,
        "objective": objective.value if objective else None,
        "deadline_s": deadline,
        "max_cost_usd": max_cost,
        "camera": [move for part in camera for move in comma_list(part)] if camera else None,
        "generate_audio": generate_audio or None,
        "motion": motion.value if motion else None,
        "residency": residency.value if residency else None,
        "allow": comma_list(allow) if allow is not None else None,
        "deny": comma_list(deny) if deny is not None else None,
        "seed": seed,
        "priority": priority.value if priority else None,
    }
    return cast(ClipOptions, {name: value for name, value in given.items() if value is not None})


def comma_list(text: str) -> list[str]:
    """`a, b` as a list without empty elements."""
    return [part.strip() for part in text.split(",") if part.strip()]
