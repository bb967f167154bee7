"""The whole stack on one machine: `python -m deployments.local` (what `i2v serve` starts).

Ray, the Serve proxy, the Gateway, the Router and the model replicas run in one process tree that ends with
this process. It loads the same serve_config.yaml as a cluster, through an overlay of resources, and deploys
it declaratively, as `serve deploy` would.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.messages import told
from models.errors import ConfigError, I2VError

if TYPE_CHECKING:
    from ray.serve.schema import ApplicationStatusOverview, ServeDeploySchema

ROOT = Path(__file__).resolve().parent.parent
CONFIG = next(
    (
        path
        for path in (ROOT / "serve_config.yaml", Path(__file__).with_name("serve_config.yaml"))
        if path.is_file()
    ),
    ROOT / "serve_config.yaml",
)
"""At the root of a checkout; beside this module in an installed wheel."""
OVERLAYS = Path(__file__).resolve().parent / "overlays"

RAY_ENVIRONMENT: Mapping[str, str] = {
    # Serve would otherwise lose sight of running clips when the Router (their caller) dies.
    "RAY_SERVE_COLLECT_AUTOSCALING_METRICS_ON_HANDLE": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
}
LOGICAL_CPUS = 8
"""What the small bundles of the local overlay need; a laptop's two cores share them."""
TINY_PROFILES = frozenset({"local", "gang"})
"""Profiles whose overlay runs the tiny random-weight Wan."""
POLL_S = 0.2
OBJECT_STORE_BYTES = 200 * 2**20
"""Bytes travel through the media store, so Ray's object store stays small."""


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How the local stack is started."""

    host: str = "127.0.0.1"
    port: int = 8000
    profile: str = "local"
    config: Path = CONFIG
    overlays: tuple[Path, ...] = ()
    start_timeout_s: float = 180.0


class Interrupted(Exception):
    """A signal came while applications were starting; it waits to be acted on."""


class LocalStack:
    """A running stack; `close` ends it. A signal in `signals` ends every wait."""

    def __init__(self, options: LocalOptions, signals: queue.SimpleQueue[int] | None = None) -> None:
        self.options = options
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue() if signals is None else signals

    def start(self) -> None:
        """Start Ray and Serve, deploy, and wait until every application runs.

        Raises:
            ConfigError: the configuration is wrong, or an application does not come up.
            Interrupted: a signal came.
        """
        _prepare_environment(self.options)
        import ray
        from ray import serve

        config = self._config()
        ray.init(
            num_cpus=LOGICAL_CPUS,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            namespace="i2v",
            log_to_driver=os.environ.get("I2V_RAY_LOGS", "0") == "1",
            configure_logging=False,
        )
        serve.start(
            proxy_location=config.proxy_location,
            http_options=config.http_options.model_dump(),
        )
        self._deploy(config)

    def reload(self) -> None:
        """Read the configuration again and deploy what changed; everything else keeps running.

        Raises:
            ConfigError: the new configuration is wrong (the old one stays), or does not come up.
            Interrupted: a signal came.
        """
        self._deploy(self._config())

    def _config(self) -> ServeDeploySchema:
        from deployments.config import load_serve_config

        options = self.options
        config = load_serve_config(options.config, *(options.overlays or (_overlay(options.profile),)))
        http = config.http_options.model_copy(update={"host": options.host, "port": options.port})
        return config.model_copy(update={"http_options": http})

    def _deploy(self, config: ServeDeploySchema) -> None:
        from ray.serve.context import _get_global_client

        _get_global_client().deploy_apps(config)
        self._wait_until_running([application.name for application in config.applications])

    def _wait_until_running(self, names: list[str]) -> None:
        from ray import serve

        deadline = time.monotonic() + self.options.start_timeout_s
        while True:
            applications = serve.status().applications
            waiting = [
                name for name in names if name not in applications or applications[name].status != "RUNNING"
            ]
            if not waiting:
                return
            for name in waiting:
                if name in applications and _failed(applications[name]):
                    raise ConfigError(
                        f"application {name} failed to deploy: {_reasons(applications[name])}", param=name
                    )
            if time.monotonic() > deadline:
                late = "; ".join(
                    f"{name} is {applications[name].status}: {_reasons(applications[name])}".rstrip(": ")
                    if name in applications
                    else f"{name} was not begun"
                    for name in waiting
                )
                raise ConfigError(f"not running after {self.options.start_timeout_s:.0f} s: {late}")
            self._pause()

    def _pause(self) -> None:
        try:
            received = self._signals.get(timeout=POLL_S)
        except queue.Empty:
            return
        self._signals.put(received)
        raise Interrupted

    def close(self) -> None:
        """End everything; running clips drain within Serve's grace."""
        import ray
        from ray import serve

        if not ray.is_initialized():
            return  # Serve would start a cluster, only to find nothing to end
        serve.shutdown()
        ray.shutdown()


def _failed(application: ApplicationStatusOverview) -> bool:
    """True when Serve has given up: at deploying, or later at starting a replica from zero."""
    if application.status == "DEPLOY_FAILED":
        return True
    return application.status == "UNHEALTHY" and any(
        deployment.status_trigger == "REPLICA_STARTUP_FAILED"
        for deployment in application.deployments.values()
    )


def _reasons(application: ApplicationStatusOverview) -> str:
    """Why an application does not run: its own message, and those of its deployments.

    The application's says only which deployments failed; a constructor's error is in the deployment's.
    """
    named = [f"{name}: {one.message}" for name, one in application.deployments.items() if one.message]
    return told([application.message, *named])


def _overlay(profile: str) -> Path:
    path = OVERLAYS / f"{profile}.yaml"
    if not path.is_file():
        allowed = sorted(p.stem for p in OVERLAYS.glob("*.yaml"))
        raise ConfigError(
            f"unknown profile {profile!r}; there are {', '.join(allowed)}", param="profile", allowed=allowed
        )
    return path


def _prepare_environment(options: LocalOptions) -> None:
    """Environment of every process of the stack, and the tiny checkpoint of the local profile."""
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Ray's own ports listen on every interface and run code for whoever may connect: a token of this stack.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ["RAY_AUTH_MODE"] == "token" and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    path = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    if str(ROOT) not in path:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *path])
    from router.settings import Settings

    settings = Settings()
    home = settings.home.resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Every process of the tree must agree on these, whatever its working directory.
    os.environ["I2V_HOME"] = str(home)
    os.environ["I2V_DATABASE_URL"] = _absolute_database(settings.resolved_database_url)
    os.environ["I2V_MEDIA_URL"] = _absolute_media(settings.resolved_media_url)
    for name, given in (("I2V_CARDS", settings.cards), ("I2V_MODELS", settings.models)):
        if given is not None:
            os.environ[name] = str(given.resolve())
    if options.profile in TINY_PROFILES:
        _prepare_tiny_model(home)


def _absolute_database(url: str) -> str:
    """The URL of a SQLite file made absolute; any other as it is."""
    scheme, separator, rest = url.partition(":///")
    if not separator or not scheme.startswith("sqlite") or rest.startswith(("/", ":memory:")):
        return url
    file, question, query = rest.partition("?")
    return f"{scheme}:///{Path(file).resolve()}{question}{query}"


def _absolute_media(url: str) -> str:
    """A directory made an absolute URL; any other URL as it is."""
    if "://" in url:
        return url
    return Path(url).resolve().as_uri()


def _prepare_tiny_model(home: Path) -> None:
    """Write the random-weight Wan checkpoint once, and point the catalog at its card."""
    os.environ.setdefault("I2V_CARDS", str(ROOT / "models" / "overlays" / "local"))
    root = Path(os.environ.setdefault("I2V_MODELS", str(home / "checkpoints")))
    from models.runners.tiny import write_tiny_checkpoint

    write_tiny_checkpoint("wan2.1", root / "tiny-wan-i2v", scale="demo")


def main(argv: list[str] | None = None) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP; SIGUSR1 reads the configuration again."""
    parser = argparse.ArgumentParser(prog="i2v serve", description="Run the whole stack on this machine.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--profile", default="local")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--overlay", type=Path, action="append", default=[])
    given = parser.parse_args(argv)
    options = LocalOptions(given.host, given.port, given.profile, given.config, tuple(given.overlay))
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, lambda received, _: signals.put(received))
    stack = LocalStack(options, signals)
    try:
        with contextlib.suppress(Interrupted):
            stack.start()
            print(f"ready: http://{options.host}:{options.port}", flush=True)
    except I2VError as error:
        print(f"error: {error.message}", file=sys.stderr)
        stack.close()
        return 1
    while signals.get() == signal.SIGUSR1:
        try:
            with contextlib.suppress(Interrupted):
                stack.reload()
        except I2VError as error:
            print(f"error: {error.message}; what ran before goes on", file=sys.stderr)
    stack.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
