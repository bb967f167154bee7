"""Which providers there are: the shipped ones, and those of installed packages.

A provider is one module with a `SPEC`. A package adds one through an entry point of the group
`i2v_router.providers` whose value is such a spec (`our_provider = "our_package.ours:SPEC"`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Literal

from models.errors import ConfigError
from models.providers.base import Account, Provider, WebhookVerifier

GROUP = "i2v_router.providers"


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """What there is to know of a provider before it is reached.

    Attributes:
        name: As in serve_config.yaml (`args.provider`).
        backend: Offers of which backend it runs.
        key_env: Environment variable (or entry of the secrets file) that holds the key; None: none is needed.
        connect: Makes the adapter; opens no connection by itself.
        verifier: Makes the check of its webhooks; None: it sends none.
        key_needed: Without a key nothing can be sent.
    """

    name: str
    backend: Literal["replicate", "fal", "engine"]
    connect: Callable[[Account], Provider]
    key_env: str | None = None
    verifier: Callable[[Account], WebhookVerifier] | None = None
    key_needed: bool = True


SHIPPED: Mapping[str, str] = {
    "replicate": "models.providers.replicate:SPEC",
    "fal": "models.providers.fal:SPEC",
    "vllm-omni": "models.providers.openai_videos:VLLM_OMNI",
    "sglang": "models.providers.openai_videos:SGLANG",
    "trtllm": "models.providers.openai_videos:TRTLLM",
    "fastvideo": "models.providers.openai_videos:FASTVIDEO",
    "lightx2v": "models.providers.lightx2v:SPEC",
}


def names() -> tuple[str, ...]:
    """All that can be named, sorted."""
    return tuple(sorted({*SHIPPED, *(entry.name for entry in entry_points(group=GROUP))}))


@cache
def spec(name: str) -> ProviderSpec:
    """The provider of that name.

    Raises:
        ConfigError: there is none, or what a package offers under the name is no `ProviderSpec`.
    """
    found: object
    if name in SHIPPED:
        module, _, attribute = SHIPPED[name].partition(":")
        found = getattr(import_module(module), attribute)
    else:
        entry = next((entry for entry in entry_points(group=GROUP) if entry.name == name), None)
        if entry is None:
            raise ConfigError(f"no provider {name!r}", param="provider", allowed=list(names()))
        found = entry.load()
    if not isinstance(found, ProviderSpec):
        raise ConfigError(
            f"provider {name!r} is a {type(found).__name__}, not a ProviderSpec", param="provider"
        )
    return found
