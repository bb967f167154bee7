"""Pools read from the document that Serve's REST API serves."""

from __future__ import annotations

from typing import Any

import pytest
from ray.serve.schema import ServeInstanceDetails

from deployments.discovery import BUILDER, PROVIDER_BUILDER, pools_of
from router.jobs.records import PoolRecord

ARGS = {"model": "fake-i2v", "offer": "local", "gpu": "cpu"}


def deployment(replicas: tuple[str, ...] = (), message: str = "", **config: Any) -> dict[str, Any]:
    return {
        "name": "Model",
        "status": "HEALTHY",
        "status_trigger": "UNSPECIFIED",
        "message": message,
        "deployment_config": {"name": "Model", **config},
        "target_num_replicas": 1,
        "required_resources": {},
        "replicas": [
            {"replica_id": str(number), "state": state, "start_time_s": 1.0}
            for number, state in enumerate(replicas)
        ],
    }


def application(status: str = "RUNNING", message: str = "", **over: Any) -> dict[str, Any]:
    """`deployment`, `args`, `import_path` and `config` (None: none was deployed) may be given."""
    path, args = over.get("import_path", BUILDER), over.get("args", ARGS)
    found = over.get("deployment", deployment())
    return {
        "name": "pool",
        "route_prefix": None,
        "docs_path": None,
        "status": status,
        "message": message,
        "last_deployed_time_s": 1.0,
        "deployed_app_config": over.get("config", {"name": "pool", "import_path": path, "args": args}),
        "source": "declarative",
        "external_scaler_enabled": False,
        "deployments": {} if found is None else {found["name"]: found},
    }


def pools(**applications: dict[str, Any]) -> list[PoolRecord]:
    return pools_of(ServeInstanceDetails(proxies={}, applications=applications))


def pool(**over: Any) -> PoolRecord:
    (found,) = pools(pool=application(**over))
    return found


def test_a_pool_is_named_by_its_application_and_described_by_its_args() -> None:
    found = pool(args={"model": "wan", "offer": "turbo", "gpu": "h100", "gang_size": 1})
    assert (found.name, found.model, found.offer, found.gpu, found.gang_size) == (
        "pool", "wan", "turbo", "h100", 1,
    )  # fmt: skip
    assert found.healthy
    assert found.reason == ""


@pytest.mark.parametrize(
    "other",
    [
        application(import_path="deployments.app:build_gateway", args={}),
        application(config=None),
        application(args={}),
        application(args={**ARGS, "modle": "a typo"}),
        application(args={**ARGS, "gang_size": 3}),
    ],
)
def test_what_is_no_pool_is_left_out_and_hides_nothing(other: dict[str, Any]) -> None:
    assert [found.name for found in pools(z=application(), other=other, a=application())] == ["a", "z"]


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        ({}, (1, 1)),
        ({"num_replicas": 3}, (3, 3)),
        ({"autoscaling_config": {"min_replicas": 0, "max_replicas": 8}}, (0, 8)),
        ({"autoscaling_config": {"max_replicas": 2}}, (1, 2)),
    ],
)
def test_the_limits_of_a_pool(config: dict[str, Any], limits: tuple[int, int]) -> None:
    found = pool(deployment=deployment(**config))
    assert (found.min_replicas, found.max_replicas) == limits


@pytest.mark.parametrize(
    ("status", "replicas", "healthy"),
    [
        ("RUNNING", (), True),
        ("RUNNING", ("RUNNING",), True),
        ("DEPLOYING", (), True),
        ("UNHEALTHY", ("RUNNING",), True),
        ("NOT_STARTED", (), False),
        ("DEPLOY_FAILED", (), False),
        ("DEPLOY_FAILED", ("STARTING", "STOPPING"), False),
        ("DEPLOY_FAILED", ("RUNNING",), True),
        ("DELETING", ("RUNNING",), False),
    ],
)
def test_a_pool_is_healthy_when_calls_are_answered(
    status: str, replicas: tuple[str, ...], healthy: bool
) -> None:
    found = pool(status=status, deployment=deployment(replicas))
    assert found.healthy is healthy
    assert bool(found.reason) is not healthy


@pytest.mark.parametrize(("replicas", "healthy"), [((), False), (("STARTING",), False), (("RUNNING",), True)])
def test_replicas_that_cannot_be_constructed_from_zero_make_a_sick_pool(
    replicas: tuple[str, ...], healthy: bool
) -> None:
    failing = deployment(replicas, message="RankLost: a rank died while it loaded")
    failing |= {"status": "UNHEALTHY", "status_trigger": "REPLICA_STARTUP_FAILED"}
    found = pool(status="UNHEALTHY", message="The deployments ['Model'] are UNHEALTHY.", deployment=failing)
    assert found.healthy is healthy
    assert ("RankLost" in found.reason) is not healthy


def test_a_long_reason_keeps_its_beginning_and_its_end() -> None:
    message = "The deployment failed to start. " + "frame\n" * 1000 + "ConfigError: two bundles are needed"
    found = pool(status="DEPLOY_FAILED", deployment=deployment(message=message))
    assert len(found.reason) < 1100
    assert "failed to start" in found.reason
    assert found.reason.endswith("ConfigError: two bundles are needed")


def test_the_reason_holds_both_messages() -> None:
    found = pool(
        status="DEPLOY_FAILED",
        message="Failed to update the deployments ['Model'].",
        deployment=deployment(message="RankLost: a rank died while it loaded"),
    )
    assert found.reason == (
        "application is DEPLOY_FAILED: Failed to update the deployments ['Model']. "
        "RankLost: a rank died while it loaded"
    )


def test_an_application_that_has_no_deployment_yet_cannot_be_called() -> None:
    found = pool(status="DEPLOYING", deployment=None)
    assert not found.healthy
    assert found.reason == "application is DEPLOYING"


# --- accounts and engines ----------------------------------------------------------------------------------

ENGINE = {"provider": "vllm-omni", "url": "http://10.0.0.7:8000", "model": "wan", "offer": "engine"}


def reached(args: dict[str, Any], **over: Any) -> dict[str, Any]:
    """An application that reaches a provider."""
    config = {"num_replicas": 2}
    of_provider = {**deployment(**config), "name": "Provider"}
    return application(**({"import_path": PROVIDER_BUILDER, "args": args, "deployment": of_provider} | over))


@pytest.mark.parametrize("provider", ["replicate", "fal"])
def test_a_hosted_account_is_a_pool_without_a_model(provider: str) -> None:
    (found,) = pools(main=reached({"provider": provider, "account": "main"}))
    assert found == PoolRecord(
        name="main", model="", offer="", gpu="hosted", gang_size=1, min_replicas=2, max_replicas=2,
        healthy=True, reason="", backend=provider,
    )  # fmt: skip


def test_an_engine_is_a_pool_of_its_model_and_gpus() -> None:
    (found,) = pools(engine=reached({**ENGINE, "gpu": "h100", "gpus": 4}))
    assert (found.model, found.offer, found.backend) == ("wan", "engine", "engine")
    assert (found.gpu, found.gang_size) == ("h100", 4)


def test_models_are_local() -> None:
    assert pool().backend == "local"


@pytest.mark.parametrize(
    "args", [{}, {"provider": "replicate", "key": "in the file"}, {"provider": "nobody"}, ENGINE]
)
def test_an_account_whose_arguments_are_wrong_is_no_pool(args: dict[str, Any]) -> None:
    assert [found.name for found in pools(a=reached(args), b=application())] == ["b"]


def test_an_account_is_sick_as_any_application() -> None:
    (found,) = pools(main=reached({"provider": "fal"}, status="DELETING"))
    assert not found.healthy
    assert found.reason == "application is DELETING"
