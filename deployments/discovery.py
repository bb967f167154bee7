"""Which applications run models now: read from Serve itself, so that adding one needs no other change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from ray.serve._private.common import DeploymentStatusTrigger, ReplicaState
from ray.serve.config import AutoscalingConfig
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationDetails, DeploymentDetails, ServeInstanceDetails

from deployments.args import ModelArgs, ProviderArgs
from deployments.messages import told
from models.errors import ConfigError
from models.providers.registry import spec
from router.jobs.records import PoolRecord

log = logging.getLogger("i2v.discovery")

BUILDER = "deployments.app:build_model"
"""An application built by this import path is a pool; its name is the pool's name."""
MODEL_DEPLOYMENT = "Model"
PROVIDER_BUILDER = "deployments.app:build_provider"
"""An application built by this one reaches a hosted account or an engine; it is a pool too."""
PROVIDER_DEPLOYMENT = "Provider"
HOSTED_GPU = "hosted"
"""GPU type of an account's pool: nobody's of ours."""

DETAILS_TIMEOUT_S = 2.0
"""Serve's controller answers in milliseconds; while it restarts the Router goes on with what it saw last."""

_SICK = {"DEPLOY_FAILED", "DELETING", "NOT_STARTED"}
"""Serve starts no replica for such an application, and a handle to it queues calls without an error."""


async def _details() -> ServeInstanceDetails:
    """Serve's own REST view. The same document is public at `/api/serve/applications/`."""
    controller = _get_global_client()._controller
    details: dict[str, Any] = await asyncio.wait_for(
        controller.get_serve_instance_details.remote(), DETAILS_TIMEOUT_S
    )
    return ServeInstanceDetails(**details)


async def model_pools() -> list[PoolRecord]:
    """Every application that makes clips, with its limits and whether calls can be answered.

    Raises:
        TimeoutError, RayError: the controller does not answer.
    """
    return pools_of(await _details())


def pools_of(details: ServeInstanceDetails) -> list[PoolRecord]:
    """The pools among Serve's applications. Pure.

    An application whose arguments are wrong is none: it cannot run, and must not hide the others.
    """
    pools = []
    for name, application in sorted(details.applications.items()):
        config = application.deployed_app_config
        read = _READERS.get(config.import_path) if config is not None else None
        if config is None or read is None:
            continue
        try:
            pools.append(read(name, config.args, application))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            log.warning("application %s is no pool, its args are wrong: %s", name, faults)
        except ConfigError as error:
            log.warning("application %s is no pool, its args are wrong: %s", name, error.message)
    return pools


def _model_pool(name: str, given: Mapping[str, Any], application: ApplicationDetails) -> PoolRecord:
    args = ModelArgs.model_validate(given)
    pool = _pool(name, application, MODEL_DEPLOYMENT)
    return replace(pool, model=args.model, offer=args.offer, gpu=args.gpu, gang_size=args.gang_size)


def _provider_pool(name: str, given: Mapping[str, Any], application: ApplicationDetails) -> PoolRecord:
    """An account has no model of its own: it runs every offer of its host. Raises `ConfigError`."""
    args = ProviderArgs.model_validate(given)
    pool = _pool(name, application, PROVIDER_DEPLOYMENT)
    return replace(
        pool,
        model=args.model or "",
        offer=args.offer or "",
        gpu=args.gpu or HOSTED_GPU,
        gang_size=args.gpus,
        backend=spec(args.provider).backend,
    )


_READERS: Mapping[str, Callable[[str, Mapping[str, Any], ApplicationDetails], PoolRecord]] = {
    BUILDER: _model_pool,
    PROVIDER_BUILDER: _provider_pool,
}


def _pool(name: str, application: ApplicationDetails, deployed_as: str) -> PoolRecord:
    """What does not depend on the arguments."""
    deployment = application.deployments.get(deployed_as)
    low, high = (1, 1) if deployment is None else _limits(deployment)
    reason = _sickness(application, deployment)
    return PoolRecord(
        name=name,
        model="",
        offer="",
        gpu="",
        gang_size=1,
        min_replicas=low,
        max_replicas=high,
        healthy=not reason,
        reason=reason,
    )


def _limits(deployment: DeploymentDetails) -> tuple[int, int]:
    """Fewest and most replicas. What was not set is neither None nor a number but a marker of Serve's."""
    config = deployment.deployment_config
    scaling = config.autoscaling_config
    if isinstance(scaling, Mapping):
        scaling = AutoscalingConfig(**scaling)
    if isinstance(scaling, AutoscalingConfig):
        return int(scaling.min_replicas), int(scaling.max_replicas)
    fixed = config.num_replicas
    return (fixed, fixed) if isinstance(fixed, int) else (1, 1)


def _sickness(application: ApplicationDetails, deployment: DeploymentDetails | None) -> str:
    """Why calls would not be answered; empty when they would.

    Replicas that run answer on when an update or a larger scale fails, but not while they are deleted.
    """
    status = application.status.value
    if deployment is not None and status != "DELETING":
        # From zero, replicas that cannot be constructed leave the application only UNHEALTHY.
        fails = deployment.status_trigger is DeploymentStatusTrigger.REPLICA_STARTUP_FAILED
        running = any(replica.state is ReplicaState.RUNNING for replica in deployment.replicas)
        if running or not (fails or status in _SICK):
            return ""
    messages = [application.message, deployment.message if deployment is not None else ""]
    return f"application is {status}: {told(messages)}".rstrip(": ")
