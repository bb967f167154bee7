"""Which fakes there are: the routes of each by its provider's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from starlette.routing import BaseRoute

from models.providers.fake.core import Fake

FAMILIES: Mapping[str, str] = {
    "replicate": "models.providers.fake.replicate:routes",
    "fal": "models.providers.fake.fal:routes",
    "vllm-omni": "models.providers.fake.openai_videos:vllm_omni",
    "sglang": "models.providers.fake.openai_videos:sglang",
    "trtllm": "models.providers.fake.openai_videos:trtllm",
    "fastvideo": "models.providers.fake.openai_videos:fastvideo",
    "lightx2v": "models.providers.fake.lightx2v:routes",
}
"""Provider name to `module:function`, where the function is `routes(fake) -> list[BaseRoute]`."""


def family(provider: str) -> Callable[[Fake], list[BaseRoute]]:
    """The function that makes a provider's routes.

    Raises:
        ValueError: there is no fake of that name.
    """
    if provider not in FAMILIES:
        raise ValueError(f"no fake of {provider!r}; there are {', '.join(sorted(FAMILIES))}")
    module, _, name = FAMILIES[provider].partition(":")
    found: Callable[[Fake], list[BaseRoute]] = getattr(import_module(module), name)
    return found
