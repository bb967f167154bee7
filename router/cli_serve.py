"""`i2v serve`: start the local stack as a child process, say when it is ready, end it when told."""

from __future__ import annotations

import ctypes
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import FrameType

import typer
from rich.text import Text

from models.errors import ConfigError
from router.cli_report import Report

STACK = "deployments.local"
"""The module that runs the stack; started by name, because this layer must not import it."""
READY = "ready: "
"""What the stack prints, with its address, once it takes requests."""
PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>: a signal for the child when its parent dies, however that happens."""
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def serve_command(host: str, port: int, profile: str) -> list[str]:
    """The command line of the stack."""
    arguments = ["--host", host, "--port", str(port), "--profile", profile]
    return [sys.executable, "-u", "-m", STACK, *arguments]


def check_port(host: str, port: int) -> None:
    """Find a taken port before minutes are spent on starting.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"{host} port {port} cannot be listened on: {error.strerror or error}", param="port"
            ) from error


def run_stack(report: Report, command: Sequence[str]) -> int:
    """Run until the stack ends; signals go on to it, its exit code comes back.

    The child has a session of its own, so that Ctrl-C reaches it once, through us.
    """
    with subprocess.Popen(  # noqa: S603 - our own module, no shell
        command,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_bound_to_parent(),  # noqa: PLW1509 - this process has one thread
    ) as stack:

        def forward(number: int, _: FrameType | None) -> None:
            stack.send_signal(number)

        before = {number: signal.signal(number, forward) for number in FORWARDED}
        try:
            assert stack.stdout is not None  # noqa: S101 - PIPE was asked for
            for line in stack.stdout:
                _relay(report, line.rstrip("\n"))
            return _exit_code(stack.wait())
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _relay(report: Report, line: str) -> None:
    if not line.startswith(READY):
        report.note(line)
        return
    address = line.removeprefix(READY).strip()
    if report.as_json:
        typer.echo(json.dumps({"status": "ready", "server": address}))
        return
    report.out.print(Text.assemble(("ready   ", "bold green"), (address, "bold"), "  (Ctrl-C ends it)"))
    report.out.print(Text("        i2v run photo.jpg --prompt 'slow push in' --out clip.mp4"))


def _exit_code(status: int) -> int:
    """A child that a signal ended is told as shells do: 128 + signal."""
    return 128 - status if status < 0 else status


def _bound_to_parent() -> Callable[[], None] | None:
    """On Linux: let the child end when we are killed and can forward nothing any more."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))

    return bind
