"""Which applications run models now: read from Serve itself, so that adding one needs no other change."""

from __future__ import annotations

import asyncio
from typing import Any

from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationDetails, ServeInstanceDetails

from deployments.args import ModelArgs
from router.jobs.records import PoolRecord

BUILDER = "deployments.app:build_model"
"""An application built by this import path is a pool; its name is the pool's name."""
MODEL_DEPLOYMENT = "Model"

_SICK = {"DEPLOY_FAILED", "DELETING", "NOT_STARTED"}
"""A handle to such an application queues calls without an error, so it must not be chosen."""


def _details() -> ServeInstanceDetails:
    """Serve's own REST view. The same document is public at `/api/serve/applications/`."""
    client = _get_global_client()
    details: dict[str, Any] = client.get_serve_details()
    return ServeInstanceDetails(**details)


async def model_pools() -> list[PoolRecord]:
    """Every application built by `build_model`, with its limits and whether calls can be answered."""
    details = await asyncio.to_thread(_details)
    return [
        _pool(name, application)
        for name, application in sorted(details.applications.items())
        if application.deployed_app_config is not None
        and application.deployed_app_config.import_path == BUILDER
    ]


def _pool(name: str, application: ApplicationDetails) -> PoolRecord:
    assert application.deployed_app_config is not None  # noqa: S101 - filtered by the caller
    args = ModelArgs.model_validate(application.deployed_app_config.args)
    low = high = 1
    deployment = application.deployments.get(MODEL_DEPLOYMENT)
    if deployment is not None:
        scaling = deployment.deployment_config.autoscaling_config
        fixed = deployment.deployment_config.num_replicas
        if isinstance(scaling, dict):
            low, high = int(scaling.get("min_replicas", 1)), int(scaling.get("max_replicas", 1))
        elif scaling is not None:
            low, high = int(scaling.min_replicas), int(scaling.max_replicas)
        elif isinstance(fixed, int):
            low = high = fixed
    status = application.status.value
    sick = status in _SICK or deployment is None
    return PoolRecord(
        name=name,
        model=args.model,
        offer=args.offer,
        gpu=args.gpu,
        gang_size=args.gang_size,
        min_replicas=low,
        max_replicas=high,
        healthy=not sick,
        reason=f"application is {status}: {application.message[:300]}" if sick else "",
    )
