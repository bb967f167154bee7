"""Put one crew on one transformer, and take it off: diffusers' context-parallel hooks and one of our own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from diffusers import ContextParallelConfig, MagCacheConfig, ParallelConfig, TaylorSeerCacheConfig
from diffusers.hooks import HookRegistry, ModelHook
from diffusers.hooks.context_parallel import (
    ContextParallelGatherHook,
    ContextParallelSplitHook,
    _get_submodule_by_name,
)
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from torch.distributed.device_mesh import DeviceMesh

from models.errors import ConfigError
from models.runners.lost_peers import typed_peers

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from models.runners.passes import Passes, Tensors
    from models.runners.sharding_plans import ShardingPlan

SAFE_CACHES = (MagCacheConfig, TaylorSeerCacheConfig)
"""Driven by the step alone, so that all ranks skip the same work. FirstBlockCache and the like compare what
they see of the picture: ranks then disagree, and those that compute wait for ever for those that do not."""
_NAMES = ("i2v_split", "i2v_gather", "i2v_crew")
"""Our hooks' names. The last one goes on last, and so around all others. None needs to know how the caches'
hooks are ordered, as long as those are there before ours."""


@dataclass(slots=True, eq=False)
class Shard:
    """The ranks that share one forward, and what their hooks agree on in the course of it."""

    parallel: ParallelConfig
    """Diffusers' own description; attention processors look at it."""
    group: ProcessGroup
    tokens: int = 0
    """Of the forward under way."""

    @classmethod
    def over(cls, group: ProcessGroup, device: str) -> Shard:
        """Describe a group that exists already; no collective.

        `ContextParallelConfig.setup` does the same from a mesh of two dimensions, but makes one more process
        group of it, which all ranks of the gang would have to do together.
        """
        kind = torch.device(device).type
        mesh = DeviceMesh.from_group(group, kind, mesh_dim_names=("ulysses",))
        size, rank = dist.get_world_size(group), dist.get_rank(group)
        config = ContextParallelConfig(ulysses_degree=size)
        config._rank, config._world_size, config._device = rank, size, torch.device(device)
        config._mesh = config._flattened_mesh = config._ulysses_mesh = mesh
        config._ulysses_local_rank, config._ring_local_rank = rank, 0
        return cls(ParallelConfig(context_parallel_config=config), group)

    @property
    def config(self) -> ContextParallelConfig:
        """How diffusers' hooks split and gather."""
        config: ContextParallelConfig = self.parallel.context_parallel_config
        return config

    @property
    def sizes(self) -> list[int]:
        """Tokens of each rank, as `torch.tensor_split` deals them out: the first ones get one more."""
        least, more = divmod(self.tokens, self.config.ulysses_degree)
        return [least + (rank < more) for rank in range(self.config.ulysses_degree)]

    def measure(self, tokens: int) -> None:
        """A forward of so many tokens begins.

        Raises:
            ConfigError: there is not a token for each rank.
        """
        ranks = self.config.ulysses_degree
        if tokens < ranks:
            raise ConfigError(
                f"{tokens} tokens cannot be split over {ranks} ranks",
                param="degree",
                allowed=f"1 to {tokens}",
            )
        self.tokens = tokens
        # Attention over uneven shares first tells all ranks how much each has; even ones need not.
        self.config.ulysses_anything = tokens % ranks != 0


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where a plan's hooks go in one transformer; finding them takes longer than laying them."""

    processors: list[Any]
    """Attention processors that exchange tokens for heads."""
    splits: list[tuple[Any, int, Mapping[Any, Any]]]
    """Modules, a number that tells hooks of one module apart, and what enters or leaves it split."""
    gathers: list[tuple[Any, Any]]

    @classmethod
    def of(cls, transformer: Any, plan: ShardingPlan) -> Layout:
        """Find them."""
        processors = [
            module.processor
            for name, module in transformer.named_modules()
            if name.rpartition(".")[2] in plan.attention
        ]
        splits = [
            (module, number, inputs)
            for number, (name, inputs) in enumerate(plan.splits(transformer).items())
            for module in _modules(transformer, name)
        ]
        gathers = [
            (module, output)
            for name, output in plan.gathers(transformer).items()
            for module in _modules(transformer, name)
        ]
        return cls(processors, splits, gathers)


def _modules(transformer: Any, name: str) -> list[Any]:
    found = _get_submodule_by_name(transformer, name)
    return found if isinstance(found, list) else [found]


class Gather(ContextParallelGatherHook):  # type: ignore[misc]
    """Puts the tokens together again, also where shares are uneven.

    Gloo refuses to gather unequal tensors (as diffusers does it), and diffusers would ask every rank for its
    size first, which all know: so shares are padded to the largest one and cut again.
    """

    def __init__(self, plan: Any, shard: Shard) -> None:
        super().__init__([plan], shard.config)
        self._dim: int = plan.gather_dim
        self._shard = shard

    def post_forward(self, module: Any, output: torch.Tensor) -> torch.Tensor:
        """Gather what the module returned."""
        sizes = self._shard.sizes
        padding = list(output.shape)
        padding[self._dim] = max(sizes) - output.shape[self._dim]
        padded = torch.cat([output, output.new_zeros(padding)], self._dim) if padding[self._dim] else output
        mine = padded.contiguous()
        parts = [torch.empty_like(mine) for _ in sizes]
        dist.all_gather(parts, mine, group=self._shard.group)
        return torch.cat(
            [part.narrow(self._dim, 0, n) for part, n in zip(parts, sizes, strict=True)], self._dim
        )


class CrewHook(ModelHook):  # type: ignore[misc]
    """Around a transformer's forward: measures it, shares its passes, and gives lost ranks their name."""

    def __init__(self, transformer: Any, plan: ShardingPlan, shard: Shard | None, passes: Passes) -> None:
        super().__init__()
        self.passes = passes
        self._names = list(inspect.signature(type(transformer).forward).parameters)[1:]
        self._plan = plan
        self._shard = shard

    def new_forward(self, module: Any, *args: Any, **kwargs: Any) -> Tensors:
        """The forward, shared."""
        arguments = {**dict(zip(self._names, args, strict=False)), **kwargs}
        if self._shard is not None:
            self._shard.measure(self._plan.tokens(module.config, arguments))
        with typed_peers("sharing a step"):
            return self.passes(self.fn_ref.original_forward, arguments)


class Laying:
    """One crew on one transformer."""

    def __init__(self, transformer: Any, plan: ShardingPlan, layout: Layout, shard: Shard | None) -> None:
        """Check what can be checked before anything is changed.

        Args:
            transformer: Of the pipeline.
            plan: How it is split.
            layout: Where in this transformer.
            shard: The ranks that share a forward; None where only passes are shared.

        Raises:
            ConfigError: a cache or an attention backend is on that cannot be shared.
        """
        self.transformer = transformer
        self._plan = plan
        self._shard = shard
        self._hook: CrewHook | None = None
        self._hooked: list[tuple[Any, str]] = []
        self._layout = layout
        _refuse_caches(transformer)
        if shard is not None:
            _refuse_backends(layout)

    def lay(self, passes: Passes) -> None:
        """Put it on."""
        self._forget()
        if self._shard is not None:
            self.transformer._parallel_config = self._shard.parallel
            for processor in self._layout.processors:
                processor._parallel_config = self._shard.parallel
            for module, number, inputs in self._layout.splits:
                self._register(
                    module, f"{_NAMES[0]}_{number}", ContextParallelSplitHook(inputs, self._shard.config)
                )
            for module, output in self._layout.gathers:
                self._register(module, _NAMES[1], Gather(output, self._shard))
        self._hook = CrewHook(self.transformer, self._plan, self._shard, passes)
        self._register(self.transformer, _NAMES[2], self._hook)

    def renew(self, passes: Passes, *, anew: bool) -> None:
        """The same crew goes on.

        Args:
            passes: How it shares the next steps' passes.
            anew: With another clip than before.
        """
        if anew:
            self._forget()
        if self._hook is not None:
            self._hook.passes = passes

    def lift(self) -> None:
        """Take it off again."""
        while self._hooked:
            module, name = self._hooked.pop()
            HookRegistry.check_if_exists_or_initialize(module).remove_hook(name, recurse=False)
        self._forget()
        if self._shard is not None:
            self.transformer._parallel_config = None
            for processor in self._layout.processors:
                processor._parallel_config = None

    def _forget(self) -> None:
        """Caches begin anew: what they hold is of other tokens, and all ranks must hold the same steps."""
        if _cache(self.transformer) is not None:
            self.transformer._reset_stateful_cache()

    def _register(self, module: Any, name: str, hook: ModelHook) -> None:
        HookRegistry.check_if_exists_or_initialize(module).register_hook(hook, name)
        self._hooked.append((module, name))


def _cache(transformer: Any) -> Any:
    return getattr(transformer, "_cache_config", None)


def _refuse_caches(transformer: Any) -> None:
    cache = _cache(transformer)
    if cache is not None and not isinstance(cache, SAFE_CACHES):
        raise ConfigError(
            f"{type(cache).__name__} decides by what each rank sees of the picture: ranks would wait for "
            "each other for ever; use it on one GPU",
            param="cache",
            allowed=[kind.__name__ for kind in SAFE_CACHES],
        )


def _refuse_backends(layout: Layout) -> None:
    active, _ = _AttentionBackendRegistry.get_active_backend()
    chosen = {processor._attention_backend or active for processor in layout.processors}
    for backend in sorted(AttentionBackendName(backend) for backend in chosen):
        if not _AttentionBackendRegistry._is_context_parallel_available(backend):
            raise ConfigError(
                f"attention backend {backend.value} cannot be shared by ranks",
                param="attention_backend",
                allowed=sorted(_AttentionBackendRegistry._supports_context_parallel),
            )
