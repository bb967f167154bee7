"""What an application of a model must look like for its gang to work, checked before Serve sees it.

A replica would find most of these faults by itself, after minutes and one replica at a time; the file shows
them all at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from deployments.args import ModelArgs
from deployments.discovery import BUILDER, MODEL_DEPLOYMENT
from models.errors import ConfigError

if TYPE_CHECKING:
    from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

BUILT_IN_REQUESTS = 1
"""`max_ongoing_requests` of the deployment as `deployments.app` declares it, where the file says nothing."""

Fault = tuple[str, str]
"""Field and what is wrong with it."""


def check_model_apps(config: ServeDeploySchema, origin: str) -> None:
    """Raise `ConfigError` naming every fault of the applications that run a model."""
    found = [
        (f"applications[{application.name}].{field}", told)
        for application in config.applications
        if application.import_path == BUILDER
        for field, told in _faults(application)
    ]
    if found:
        told = "; ".join(f"{field}: {text}" for field, text in found)
        raise ConfigError(f"{origin}: {told}", param=found[0][0])


def _faults(application: ServeApplicationSchema) -> Iterator[Fault]:
    try:
        args = ModelArgs.model_validate(application.args)
    except ValidationError as error:
        for fault in error.errors():
            yield ".".join(["args", *map(str, fault["loc"])]), fault["msg"]
        return
    given: dict[str, Any] = {}
    for deployment in application.deployments:
        if deployment.name == MODEL_DEPLOYMENT:
            given = deployment.model_dump(exclude_unset=True)
    at = f"deployments[{MODEL_DEPLOYMENT}]"
    yield from ((f"{at}.{field}", told) for field, told in _gang_faults(args, given))


def _gang_faults(args: ModelArgs, given: dict[str, Any]) -> Iterator[Fault]:
    ranks = f"{args.gang_size} rank" + ("s" if args.gang_size > 1 else "")
    bundles = given.get("placement_group_bundles") or []
    if len(bundles) != args.gang_size + 1:
        yield (
            "placement_group_bundles",
            f"holds {len(bundles)} bundles; gang_size {args.gang_size} needs {args.gang_size + 1} "
            f"(the coordinator and {ranks})",
        )
    if args.gang_size > 1 and given.get("placement_group_strategy") != "STRICT_PACK":
        yield (
            "placement_group_strategy",
            f"is {given.get('placement_group_strategy', 'not set')}; a gang of {ranks} lives on one node: "
            "set STRICT_PACK",
        )
    requests = given.get("max_ongoing_requests", BUILT_IN_REQUESTS)
    if requests < args.held:
        yield (
            "max_ongoing_requests",
            f"is {requests}; the replica holds {args.held} clips at once, each by a call of its own: "
            f"set {args.held} or more, or fewer slots",
        )
