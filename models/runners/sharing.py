"""Lay a crew of ranks over a pipeline between two steps, and lift it again.

The hooks are those of diffusers' context parallelism (Ulysses), and around them one of our own that shares
guidance's passes between the two halves of a crew (`models.runners.crew_hooks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from diffusers import AutoencoderKLWan

from models.errors import ConfigError
from models.runners.crew import Crew
from models.runners.crew_hooks import Laying, Layout, Shard
from models.runners.parallel import DEGREES
from models.runners.passes import Halves, Passes, Whole
from models.runners.sharding_plans import ShardingPlan, plan_of
from models.runners.shared_decode import shared_tiles, tiled

if TYPE_CHECKING:
    from models.runners.families import Family, Segment
    from models.runners.parallel import Blocks
    from models.runners.passes import Branches


class OfPipeline(Protocol):
    """What sharing must know of a family: which diffusers pipeline it runs."""

    pipeline: str
    """Name of the diffusers class."""


class Sharing:
    """Lays crews over the pipelines of one rank. Between two steps only, one crew at a time.

    Shallow copies of a pipeline share its transformers, so whatever was laid for one clip must be laid anew
    (or lifted) before another one's next step; where the crew is the same, that costs nothing.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._shards: dict[tuple[int, ...], Shard] = {}
        self._layouts: WeakKeyDictionary[Any, tuple[ShardingPlan, Layout]] = WeakKeyDictionary()
        self._crew: Crew | None = None
        self._plan: ShardingPlan | None = None
        self._layings: list[Laying] = []
        self._pipe: Any = None

    @property
    def blocks(self) -> Blocks:
        """The gang's groups."""
        return self._blocks

    def lay(self, pipe: Any, family: OfPipeline, crew: Crew, branches: Branches | None = None) -> None:
        """Let the crew share every forward of the pipeline's transformers from now on.

        Every rank of the crew calls this with the same arguments before the same step.

        Args:
            pipe: A pipeline (or a copy of one), not in the middle of a step.
            family: Whose it is.
            crew: Ranks that this rank is one of; of one rank, nothing is laid, and what was laid is lifted.
            branches: Positive and negative prompt embeddings, exactly as the transformer gets them; needed
                in a crew of two halves where the pipeline calls its transformer twice a step.

        Raises:
            ConfigError: this rank is not of the crew, the model cannot be split like this, a cache is on that
                every rank would decide about by itself, or the branches are missing.
        """
        if crew.degree == 1:
            self.lift()
            return
        if self._blocks.rank not in crew.ranks:
            raise ConfigError(f"rank {self._blocks.rank} is not of the crew {crew.ranks}", param="crew")
        plan = _checked_plan(pipe, family, crew)
        transformers = transformers_of(pipe)
        passes = [self._passes(pipe, plan, crew, branches) for _ in transformers]
        laid = [laying.transformer for laying in self._layings]
        if crew == self._crew and plan is self._plan and _same(laid, transformers):
            for laying, share in zip(self._layings, passes, strict=True):
                laying.renew(share, anew=pipe is not self._pipe)
            self._pipe = pipe
            return
        self.lift()
        self._crew, self._plan, self._pipe = crew, plan, pipe
        shard = self._shard(crew)
        try:
            for transformer, share in zip(transformers, passes, strict=True):
                laying = Laying(transformer, plan, self._layout(transformer, plan), shard)
                self._layings.append(laying)
                laying.lay(share)
        except BaseException:
            self.lift()
            raise

    def lift(self) -> None:
        """Take everything off; also after an error, and any number of times."""
        while self._layings:
            self._layings.pop().lift()
        self._crew = self._plan = self._pipe = None

    def decode_over(
        self, pipe: Any, family: Family, latents: torch.Tensor, segment: Segment, crew: Crew
    ) -> Iterator[torch.Tensor]:
        """Decode over the crew where the codec works in tiles, else on the leader alone.

        Every rank of the crew calls this and exhausts it; only the leader gets pictures, the same ones (bit
        for bit) that `family.decode` gives.

        Args:
            pipe: The pipeline, its transformers not at work.
            family: Whose it is.
            latents: Final latents of the segment, the same on every rank.
            segment: What was made.
            crew: Ranks that this rank is one of.

        Yields:
            As `Family.decode`.
        """
        leads = self._blocks.rank == crew.leader
        if crew.degree > 1 and isinstance(pipe.vae, AutoencoderKLWan) and tiled(pipe.vae, segment):
            with shared_tiles(pipe.vae, self._blocks.whole(crew), crew.leader):
                pictures = family.decode(pipe, latents, segment)
                yield from pictures if leads else _exhausted(pictures)
        elif leads:
            yield from family.decode(pipe, latents, segment)

    def _shard(self, crew: Crew) -> Shard | None:
        """Kept for each block: laying it again builds nothing."""
        if crew.ulysses == 1:
            return None
        group = self._blocks.sharers(crew)
        ranks = tuple(dist.get_process_group_ranks(group))
        if ranks not in self._shards:
            self._shards[ranks] = Shard.over(group, self._blocks.device)
        return self._shards[ranks]

    def _layout(self, transformer: Any, plan: ShardingPlan) -> Layout:
        """Found once for each transformer."""
        known = self._layouts.get(transformer)
        if known is None or known[0] is not plan:
            known = self._layouts[transformer] = (plan, Layout.of(transformer, plan))
        return known[1]

    def _passes(self, pipe: Any, plan: ShardingPlan, crew: Crew, branches: Branches | None) -> Passes:
        if crew.cfg == 1:
            return Whole()
        halves = Halves(self._blocks.partners(crew), self._blocks.half(crew))
        return plan.passes(halves, pipe, branches)


def crew_for(family: OfPipeline, pipe: Any, ranks: Sequence[int], guidance: float) -> Crew:
    """How these ranks share one clip: guidance's two passes first, then the tokens of each forward.

    Args:
        family: Whose pipeline it is.
        pipe: The pipeline; its transformers say how many attention heads there are.
        ranks: An aligned block.
        guidance: The clip's guidance scale; above 1 the model makes two passes a step.

    Raises:
        ConfigError: the model cannot be split over that many ranks.
    """
    halves = 2 if guidance > 1.0 and len(ranks) > 1 else 1
    crew = Crew(tuple(ranks), halves)
    if crew.degree > 1:
        _checked_plan(pipe, family, crew)
    return crew


def degrees_of(family: OfPipeline, pipe: Any, guidance: float = 1.0) -> tuple[int, ...]:
    """Degrees at which this pipeline runs, as `crew_for` would share them; (1,) without a sharding plan."""
    possible = []
    for degree in DEGREES:
        try:
            crew_for(family, pipe, range(degree), guidance)
        except ConfigError:
            continue
        possible.append(degree)
    return tuple(possible)


def transformers_of(pipe: Any) -> list[Any]:
    """The denoisers of a pipeline; Wan 2.2 A14B has two experts."""
    both = (getattr(pipe, "transformer", None), getattr(pipe, "transformer_2", None))
    return [transformer for transformer in both if transformer is not None]


def _checked_plan(pipe: Any, family: OfPipeline, crew: Crew) -> ShardingPlan:
    plan = plan_of(family.pipeline, pipe)
    if plan is None:
        raise ConfigError(
            f"{family.pipeline} has no sharding plan: it runs on one GPU; got {crew.degree}",
            param="degree",
            allowed=[1],
        )
    for transformer in transformers_of(pipe):
        for heads in plan.heads(transformer.config):
            if heads % crew.ulysses:
                raise ConfigError(
                    f"{family.pipeline}: {heads} attention heads cannot be split over {crew.ulysses} ranks",
                    param="degree",
                    allowed=[n for n in DEGREES if heads % n == 0],
                )
    return plan


def _same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _exhausted(pictures: Iterator[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    for _ in pictures:
        pass
    return ()
