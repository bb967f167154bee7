"""How the local stack is prepared, and what it says when an application does not come up."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import serve
from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview, ServeStatus

from deployments import local
from deployments.local import ROOT, Interrupted, LocalOptions, LocalStack, _overlay, _prepare_environment
from deployments.messages import told
from models.errors import ConfigError
from router.settings import Settings


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment without our variables, restored afterwards, in a directory of its own."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("I2V_", "RAY_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


# --- options ---------------------------------------------------------------------------------------------


def test_the_defaults_are_a_laptop() -> None:
    options = LocalOptions()
    assert (options.host, options.port, options.profile) == ("127.0.0.1", 8000, "local")
    assert options.config == ROOT / "serve_config.yaml"
    assert options.config.is_file()


def test_a_profile_is_an_overlay_by_its_name() -> None:
    assert _overlay("local") == ROOT / "deployments" / "overlays" / "local.yaml"


@pytest.mark.parametrize("profile", ["", "cloud", "../local", "local.yaml"])
def test_an_unknown_profile_is_refused_and_the_known_ones_are_named(profile: str) -> None:
    with pytest.raises(ConfigError, match=r"there are .*local") as caught:
        _overlay(profile)
    assert caught.value.param == "profile"
    assert "local" in caught.value.allowed  # type: ignore[operator]


def test_overlays_that_are_given_replace_the_profiles_and_host_and_port_are_ours(tmp_path: Path) -> None:
    patch = tmp_path / "only-gateway.yaml"
    patch.write_text("keep: [gateway]\n")
    config = LocalStack(LocalOptions("0.0.0.0", 9123, overlays=(patch,)))._config()
    assert [application.name for application in config.applications] == ["gateway"]
    assert (config.http_options.host, config.http_options.port) == ("0.0.0.0", 9123)


# --- environment -----------------------------------------------------------------------------------------


def prepare(**options: Any) -> None:
    """Without the tiny model of the local profile, unless asked."""
    _prepare_environment(LocalOptions(**({"profile": "other"} | options)))


def test_every_process_finds_the_same_absolute_places(environment: Path) -> None:
    prepare()
    assert os.environ["I2V_HOME"] == str(environment / ".i2v")
    assert os.environ["I2V_DATABASE_URL"] == f"sqlite+aiosqlite:///{environment}/.i2v/jobs.db"
    assert os.environ["I2V_MEDIA_URL"] == f"file://{environment}/.i2v/media"
    assert (environment / ".i2v").is_dir()
    elsewhere = environment / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    assert Settings().resolved_database_url == os.environ["I2V_DATABASE_URL"]
    assert Settings().home == environment / ".i2v"


@pytest.mark.parametrize(
    ("name", "given", "becomes"),
    [
        ("I2V_CARDS", "cards", "{here}/cards"),
        ("I2V_MODELS", "../checkpoints", "{parent}/checkpoints"),
        ("I2V_HOME", "state", "{here}/state"),
        ("I2V_DATABASE_URL", "sqlite:///jobs.db", "sqlite:///{here}/jobs.db"),
        ("I2V_DATABASE_URL", "sqlite+aiosqlite:///a/b.db?x=1", "sqlite+aiosqlite:///{here}/a/b.db?x=1"),
        ("I2V_DATABASE_URL", "sqlite:////var/jobs.db", "sqlite:////var/jobs.db"),
        ("I2V_DATABASE_URL", "postgresql://db/i2v", "postgresql://db/i2v"),
        ("I2V_MEDIA_URL", "media", "file://{here}/media"),
        ("I2V_MEDIA_URL", "/var/media", "file:///var/media"),
        ("I2V_MEDIA_URL", "s3://bucket/prefix", "s3://bucket/prefix"),
    ],
)
def test_relative_places_that_are_given_become_absolute(
    environment: Path, name: str, given: str, becomes: str
) -> None:
    os.environ[name] = given
    prepare()
    assert os.environ[name] == becomes.format(here=environment, parent=environment.parent)


def test_preparing_twice_changes_nothing_more(environment: Path) -> None:
    prepare()
    once = dict(os.environ)
    prepare()
    assert dict(os.environ) == once
    assert os.environ["PYTHONPATH"].split(os.pathsep).count(str(ROOT)) == 1


def test_what_the_operator_set_is_kept() -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "1"
    os.environ["RAY_AUTH_MODE"] = "token"
    prepare()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_SERVE_COLLECT_AUTOSCALING_METRICS_ON_HANDLE"] == "0"


def test_rays_ports_take_a_token_that_is_this_stacks_own() -> None:
    prepare()
    first = os.environ.pop("RAY_AUTH_TOKEN")
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(first) >= 32
    prepare()
    assert os.environ["RAY_AUTH_TOKEN"] != first


@pytest.mark.parametrize(
    ("name", "value"), [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN_PATH", "/run/secrets/ray")]
)
def test_an_operator_who_chose_otherwise_gets_no_token_of_ours(name: str, value: str) -> None:
    os.environ[name] = value
    prepare()
    assert os.environ[name] == value
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_the_local_profile_brings_its_card_and_its_checkpoint(environment: Path) -> None:
    prepare(profile="local")
    assert os.environ["I2V_CARDS"] == str(ROOT / "models" / "overlays" / "local")
    checkpoint = Path(os.environ["I2V_MODELS"]) / "tiny-wan-i2v"
    assert checkpoint == environment / ".i2v" / "checkpoints" / "tiny-wan-i2v"
    assert list(checkpoint.rglob("*.safetensors"))


# --- waiting ---------------------------------------------------------------------------------------------


def overview(status: str, message: str = "", deployment: str = "") -> ApplicationStatusOverview:
    return ApplicationStatusOverview(
        status=status,
        message=message,
        last_deployed_time_s=1.0,
        deployments={
            "Model": DeploymentStatusOverview("UNHEALTHY", "UNSPECIFIED", {}, deployment),
            "Quiet": DeploymentStatusOverview("HEALTHY", "UNSPECIFIED", {}, ""),
        },
    )


@pytest.fixture
def statuses(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, ApplicationStatusOverview]]:
    """What Serve answers, one after the other; the last answer stays."""
    answers: list[dict[str, ApplicationStatusOverview]] = []

    def status() -> ServeStatus:
        return ServeStatus(applications=answers.pop(0) if len(answers) > 1 else answers[0])

    monkeypatch.setattr(serve, "status", status)
    monkeypatch.setattr(local, "POLL_S", 0.001)
    return answers


def test_waiting_ends_when_everything_runs(statuses: list[dict[str, ApplicationStatusOverview]]) -> None:
    statuses += [
        {},
        {"a": overview("DEPLOYING")},
        {"a": overview("RUNNING"), "b": overview("DEPLOYING")},
        {"a": overview("RUNNING"), "b": overview("RUNNING")},
    ]
    LocalStack(LocalOptions())._wait_until_running(["a", "b"])
    assert len(statuses) == 1


def test_a_failure_tells_the_constructors_own_words(
    statuses: list[dict[str, ApplicationStatusOverview]],
) -> None:
    failed = overview(
        "DEPLOY_FAILED",
        "Failed to update the deployments ['Model'].",
        "The deployment failed to start 3 times. Error:\nConfigError: placement_group_bundles must hold 2",
    )
    statuses.append({"a": overview("RUNNING"), "b": failed})
    with pytest.raises(ConfigError, match="placement_group_bundles must hold 2") as caught:
        LocalStack(LocalOptions())._wait_until_running(["a", "b"])
    assert caught.value.param == "b"
    assert "Failed to update the deployments" in caught.value.message
    assert "Quiet" not in caught.value.message


def test_a_start_that_takes_too_long_names_who_is_late_and_why(
    statuses: list[dict[str, ApplicationStatusOverview]],
) -> None:
    statuses.append({"a": overview("RUNNING"), "b": overview("DEPLOYING", "", "waits for GPU: 1")})
    stack = LocalStack(LocalOptions(start_timeout_s=0.01))
    with pytest.raises(ConfigError, match=r"b is DEPLOYING: Model: waits for GPU: 1; c was not begun"):
        stack._wait_until_running(["a", "b", "c"])


def test_a_replica_that_cannot_be_constructed_from_zero_is_a_failure_too(
    statuses: list[dict[str, ApplicationStatusOverview]],
) -> None:
    failing = DeploymentStatusOverview("UNHEALTHY", "REPLICA_STARTUP_FAILED", {}, "two bundles are needed")
    statuses.append({"a": ApplicationStatusOverview("UNHEALTHY", "", 1.0, {"Model": failing})})
    with pytest.raises(ConfigError, match="two bundles are needed"):
        LocalStack(LocalOptions())._wait_until_running(["a"])


def test_a_signal_ends_the_wait_and_is_kept_for_whoever_acts_on_it(
    statuses: list[dict[str, ApplicationStatusOverview]],
) -> None:
    statuses.append({"a": overview("DEPLOYING")})
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    signals.put(signal.SIGTERM)
    with pytest.raises(Interrupted):
        LocalStack(LocalOptions(), signals)._wait_until_running(["a"])
    assert signals.get_nowait() == signal.SIGTERM


@pytest.mark.parametrize(
    ("messages", "longest", "expected"),
    [
        ([], 100, ""),
        (["", " one ", "", "two"], 100, "one two"),
        (["\x1b[36mray::Model\x1b[39m failed"], 100, "ray::Model failed"),
        (["a" * 10 + "b" * 10], 8, "aaaa ... bbbb"),
    ],
)
def test_messages_are_told_short_and_plain(messages: list[str], longest: int, expected: str) -> None:
    assert told(messages, longest) == expected


def test_closing_what_never_started_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(ray, "init", lambda *_, **__: started.append(1))
    monkeypatch.setattr(serve, "shutdown", lambda: started.append(2))
    LocalStack(LocalOptions()).close()
    assert started == []
