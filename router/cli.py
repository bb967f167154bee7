"""The command `i2v`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from models.errors import ConfigError, InvalidRequest
from router import cli_options as opt
from router.cli_jobs import finish, jobs
from router.cli_models import models
from router.cli_options import FleetChoice, clip_options
from router.cli_progress import POLL_S, watching
from router.cli_report import Exit, Report, reporting
from router.cli_simulate import simulate
from router.cli_tables import decision_view
from router.client import Client
from router.client.connection import DEFAULT_SERVER

app = typer.Typer(
    name="i2v",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One photograph and a motion prompt in, one routed clip out.",
    epilog="Exit codes: 0 done, 1 the job failed or nothing fits, 2 wrong usage, 3 no server.",
)
app.add_typer(jobs, name="jobs")
app.add_typer(models, name="models")
app.add_typer(simulate, name="simulate")

IMAGE = typer.Argument(exists=True, dir_okay=False, readable=True, help="The photograph.")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    profile: Annotated[str, typer.Option(help="Overlay of resources.")] = "local",
    as_json: opt.JsonOption = False,
) -> None:
    """Run the whole stack on this machine until Ctrl-C."""
    from router.cli_serve import STACK, check_port, run_stack, serve_command

    report = Report(as_json=as_json)
    with reporting(report):
        if importlib.util.find_spec(STACK) is None:
            raise ConfigError(f"{STACK} is not installed; install the whole i2v-router distribution")
        check_port(host, port)
        report.note(f"starting on http://{host}:{port} (half a minute; the first start builds a tiny model)")
        code = run_stack(report, serve_command(host, port, profile))
    raise typer.Exit(code)


@app.command()
def run(
    image: Annotated[Path, IMAGE],
    prompt: opt.PromptOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the clip goes.")] = Path("clip.mp4"),
    model: opt.ModelOption = None,
    size: opt.SizeOption = None,
    seconds: opt.SecondsOption = None,
    fps: opt.FpsOption = None,
    objective: opt.ObjectiveOption = None,
    deadline: opt.DeadlineOption = None,
    max_cost: opt.MaxCostOption = None,
    camera: opt.CameraOption = None,
    last_image: opt.LastImageOption = None,
    driving_video: opt.DrivingVideoOption = None,
    audio: opt.AudioOption = None,
    generate_audio: opt.GenerateAudioOption = False,
    motion: opt.MotionOption = None,
    residency: opt.ResidencyOption = None,
    allow: opt.AllowOption = None,
    deny: opt.DenyOption = None,
    seed: opt.SeedOption = None,
    priority: opt.PriorityOption = None,
    server: opt.ServerOption = DEFAULT_SERVER,
    as_json: opt.JsonOption = False,
) -> None:
    """Make a clip: send the photograph, wait, download, and show why this model made it."""
    report = Report(as_json=as_json)
    with reporting(report), Client(server) as client:
        _check_out(out)
        options = clip_options(
            model=model,
            size=size,
            seconds=seconds,
            fps=fps,
            objective=objective,
            deadline=deadline,
            max_cost=max_cost,
            camera=camera,
            generate_audio=generate_audio,
            motion=motion,
            residency=residency,
            allow=allow,
            deny=deny,
            seed=seed,
            priority=priority,
        )
        video = client.create(
            image, prompt, last_image=last_image, driving_video=driving_video, audio=audio, **options
        )
        report.note(f"{video.id} accepted")
        try:
            with watching(report) as show:
                video = client.wait(video.id, on_progress=show, poll=POLL_S)
        except KeyboardInterrupt:
            report.note(
                f"\nthe job goes on: `i2v jobs wait {video.id} --out {out}` or `i2v jobs cancel {video.id}`"
            )
            raise
        if video.routing is not None and not as_json:
            report.out.print(decision_view(video.routing))
        finish(report, client, video, out)


@app.command()
def route(
    image: Annotated[
        Path, typer.Option("--image", exists=True, dir_okay=False, readable=True, help="The photograph.")
    ],
    prompt: opt.PromptOption,
    fleet: Annotated[
        FleetChoice, typer.Option(help="all: every card, idle, no server needed. live: ask the server.")
    ] = FleetChoice.ALL,
    model: opt.ModelOption = None,
    size: opt.SizeOption = None,
    seconds: opt.SecondsOption = None,
    fps: opt.FpsOption = None,
    objective: opt.ObjectiveOption = None,
    deadline: opt.DeadlineOption = None,
    max_cost: opt.MaxCostOption = None,
    camera: opt.CameraOption = None,
    last_image: opt.LastImageOption = None,
    driving_video: opt.DrivingVideoOption = None,
    audio: opt.AudioOption = None,
    generate_audio: opt.GenerateAudioOption = False,
    motion: opt.MotionOption = None,
    residency: opt.ResidencyOption = None,
    allow: opt.AllowOption = None,
    deny: opt.DenyOption = None,
    seed: opt.SeedOption = None,
    priority: opt.PriorityOption = None,
    server: opt.ServerOption = DEFAULT_SERVER,
    as_json: opt.JsonOption = False,
) -> None:
    """Show what would be chosen and why, without making anything."""
    report = Report(as_json=as_json)
    with reporting(report):
        options = clip_options(
            model=model,
            size=size,
            seconds=seconds,
            fps=fps,
            objective=objective,
            deadline=deadline,
            max_cost=max_cost,
            camera=camera,
            generate_audio=generate_audio,
            motion=motion,
            residency=residency,
            allow=allow,
            deny=deny,
            seed=seed,
            priority=priority,
        )
        if fleet is FleetChoice.LIVE:
            with Client(server) as client:
                decision = client.route(
                    image,
                    prompt,
                    last_image=last_image,
                    driving_video=driving_video,
                    audio=audio,
                    **options,
                )
        else:
            from router.cli_offline import decide_offline

            decision = decide_offline(
                image,
                prompt,
                options,
                last_image=last_image,
                driving_video=driving_video,
                audio=audio,
            )
        report.result(decision, decision_view(decision))
        if decision["chosen"] is None:
            raise typer.Exit(Exit.FAILED)


def _check_out(out: Path) -> None:
    """Find an impossible target before a clip is paid for."""
    if out.is_dir():
        raise InvalidRequest(f"--out {out} is a directory; name a file in it", param="out")
    if not out.parent.is_dir():
        raise InvalidRequest(f"--out {out}: the directory {out.parent} does not exist", param="out")


def main() -> None:
    """Entry point of the command."""
    app()


if __name__ == "__main__":
    main()
