"""Guidance makes two or more passes a step: who of a crew's two halves makes which, and how they exchange.

A pipeline calls its transformer as if it were alone. Here a call is answered with results of which this half
computed its part and the other half, at the same moment, the rest. The pipelines of the Wan family call
twice a step, conditioned first; those of LTX call once with both in a batch (unconditioned first), and LTX-2
goes on with up to two more conditioned passes, one perturbed and one with picture and sound kept apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch
import torch.distributed as dist

from models.errors import ConfigError, RunnerError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    Branches: TypeAlias = tuple[torch.Tensor, torch.Tensor]
    """Positive and negative prompt embeddings, as the transformer gets them."""
    Tensors: TypeAlias = tuple[torch.Tensor, ...]
    Arguments: TypeAlias = Mapping[str, Any]
    Forward: TypeAlias = Callable[..., Tensors]

WORDS = "encoder_hidden_states"
"""What every transformer calls the prompt embeddings."""


class Passes(Protocol):
    """Answers one call of a transformer."""

    def __call__(self, forward: Forward, arguments: Arguments) -> Tensors:
        """The result that `forward(**arguments)` would give."""
        ...


@dataclass(frozen=True, slots=True)
class Halves:
    """The two ranks of a crew that compute the same share of different passes, as one of them sees them."""

    group: ProcessGroup
    me: int
    """0 or 1."""

    def exchanged(self, mine: Tensors) -> tuple[Tensors, Tensors]:
        """What half 0 and what half 1 computed."""
        both: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        for tensor in mine:
            parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in both]
            dist.all_gather(parts, tensor.contiguous(), group=self.group)
            for results, part in zip(both, parts, strict=True):
                results.append(part)
        return tuple(both[0]), tuple(both[1])


class Whole:
    """Every rank makes every pass (its share of the tokens of it)."""

    def __call__(self, forward: Forward, arguments: Arguments) -> Tensors:
        """Just the call."""
        return forward(**arguments)


class CalledTwice:
    """One call conditioned, the next one not: both are computed at the first, which answers the second."""

    def __init__(
        self,
        halves: Halves,
        branches: Branches,
        unconditioned: Callable[[Arguments], Arguments],
    ) -> None:
        """Share the two calls.

        Args:
            halves: This rank and its partner.
            branches: What tells the two calls apart, and what the other half needs before it is called.
            unconditioned: From the first call's arguments, what else differs in the second call.
        """
        self._halves = halves
        self._positive, self._negative = branches
        self._unconditioned = unconditioned
        self._held: tuple[torch.Tensor, Tensors] | None = None

    def __call__(self, forward: Forward, arguments: Arguments) -> Tensors:
        """Compute, or answer from what was computed.

        Raises:
            RunnerError: the prompt embeddings are neither of the branches.
        """
        noisy, words = arguments["hidden_states"], arguments[WORDS]
        if self._held is not None and _alike(words, self._negative) and _alike(noisy, self._held[0]):
            answer = self._held[1]
            self._held = None
            return answer
        if not _alike(words, self._positive):
            raise RunnerError("the pipeline passed prompt embeddings that are neither of the clip's branches")
        if self._halves.me == 1:
            arguments = {**arguments, **self._unconditioned(arguments), WORDS: self._negative}
        conditioned, unconditioned = self._halves.exchanged(forward(**arguments))
        self._held = (noisy, unconditioned)
        return conditioned


class CalledWithBatch:
    """One call with both passes in a batch: each half computes its element.

    Further passes of one element are made by both halves alike, except for LTX-2's two: where a pass with
    modalities kept apart follows a perturbed one, half 0 makes the one and half 1 the other.
    """

    def __init__(self, halves: Halves, batched: frozenset[str], isolates: Callable[[], bool]) -> None:
        """Share the batch.

        Args:
            halves: This rank and its partner.
            batched: Names of the arguments whose first dimension is the batch.
            isolates: True when a pass with modalities kept apart follows the perturbed one.
        """
        self._halves = halves
        self._batched = batched
        self._isolates = isolates
        self._held: tuple[torch.Tensor, Tensors] | None = None

    def __call__(self, forward: Forward, arguments: Arguments) -> Tensors:
        """Compute this half's part, or answer from what was computed."""
        noisy = arguments["hidden_states"]
        if noisy.shape[0] == 2:
            mine = slice(self._halves.me, self._halves.me + 1)
            element = {
                name: value[mine] if name in self._batched and value is not None else value
                for name, value in arguments.items()
            }
            first, second = self._halves.exchanged(forward(**element))
            return tuple(torch.cat(pair) for pair in zip(first, second, strict=True))
        if arguments.get("spatio_temporal_guidance_blocks") and self._isolates():
            if self._halves.me == 1:
                apart = {"spatio_temporal_guidance_blocks": None, "isolate_modalities": True}
                arguments = {**arguments, **apart}
            perturbed, isolated = self._halves.exchanged(forward(**arguments))
            self._held = (noisy, isolated)
            return perturbed
        if self._held is not None and arguments.get("isolate_modalities") and _alike(noisy, self._held[0]):
            answer = self._held[1]
            self._held = None
            return answer
        return forward(**arguments)


def needed(branches: Branches | None, pipeline: str) -> Branches:
    """The branches, where a pipeline cannot do without.

    Raises:
        ConfigError: there are none.
    """
    if branches is None:
        raise ConfigError(
            f"{pipeline} makes guidance's passes in two calls: two halves need both prompt embeddings",
            param="branches",
        )
    return branches


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one is other or (one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other))
