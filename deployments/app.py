"""Application builders: the import paths that serve_config.yaml names.

One application per model (`build_model`), so that each upgrades alone and a broken one takes nothing down;
one for the Gateway and the Router (`build_gateway`). Options such as resources and replicas come from
serve_config.yaml; what is set here are only the limits that correctness needs.
"""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Application

from deployments.args import GatewayArgs, ModelArgs, ProviderArgs
from deployments.gateway import GatewayReplica
from deployments.model import ModelReplica
from deployments.provider import ProviderReplica
from deployments.router import RouterReplica

Model = serve.deployment(ModelReplica, name="Model", max_ongoing_requests=1)
"""One clip at a time: the Router is the queue."""

Provider = serve.deployment(ProviderReplica, name="Provider", max_ongoing_requests=100)
"""A request ends as soon as its job has begun."""

Router = serve.deployment(RouterReplica, name="Router", num_replicas=1)

Gateway = serve.deployment(serve.ingress()(GatewayReplica), name="Gateway")


def build_model(args: dict[str, Any]) -> Application:
    """One model on its gang; `args` are `ModelArgs`."""
    return Model.bind(ModelArgs.model_validate(args).model_dump())


def build_provider(args: dict[str, Any]) -> Application:
    """One hosted account, or one running engine; `args` are `ProviderArgs`."""
    return Provider.bind(ProviderArgs.model_validate(args).model_dump())


def build_gateway(args: dict[str, Any]) -> Application:
    """HTTP in front, one Router behind; `args` are `GatewayArgs`."""
    GatewayArgs.model_validate(args)
    return Gateway.bind(Router.bind())
