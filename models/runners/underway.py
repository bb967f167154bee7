"""The segment of a clip that is under way: its own pipeline, standing between two denoising steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from models.runners.failures import typed_failures
from models.runners.families import EndsAtLatents, MakesSound, Replaces, Resumes, TwoPasses
from models.runners.preview import preview_picture, to_frames
from models.runners.randomness import Randomness, seeded
from models.runners.resume import ClipState
from models.runners.solver import Memory, can_start_late, own_solver
from models.runners.stepping import SteppedCall, own_pipe
from models.runners.tape import forget, play, record

if TYPE_CHECKING:
    from models.card import Card, Offer
    from models.runners.base import Frame, Place, Sound
    from models.runners.families import Family, Segment
    from models.runners.tape import Calls, Prepared
    from models.runners.variants import Variants


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What all clips of a runner have in common."""

    card: Card
    variants: Variants
    family: Family
    pipe: Any
    device: torch.device

    def prepared(self, offer: Offer) -> tuple[Prepared, ...]:
        """What is kept of a segment's beginning; nothing where it cannot be taken up in its middle."""
        family = self.family
        late = isinstance(family, Resumes) and can_start_late(self.variants.scheduler(offer))
        return family.prepared if late and isinstance(family, Resumes) else ()


@dataclass(frozen=True, slots=True, eq=False)
class Underway:
    """One segment between its beginning and its decoded pictures.

    Attributes:
        segment: What is made.
        pipe: The clip's own pipeline object.
        call: Its call, paused.
        calls: What the pipeline prepared, where that can be kept; empty once it was.
        branches: Both prompts as the denoiser gets them, where it is called once for each.
    """

    loaded: Loaded
    segment: Segment
    pipe: Any
    call: SteppedCall
    calls: Calls
    branches: tuple[torch.Tensor, torch.Tensor] | None
    _memory: Memory
    _randomness: Randomness
    _beginning: torch.Tensor
    """State of the segment's generator before anything was drawn."""

    @classmethod
    def begun(cls, loaded: Loaded, offer: Offer, segment: Segment) -> Underway:
        """Call the pipeline up to its loop; what it prepares is recorded.

        Raises:
            InputRefused, OutOfMemory: the pipeline refuses its input, or memory ran out.
        """
        beginning = segment.generator.get_state()
        with _doing("preparing", segment):
            pipe = _own_pipe(loaded, offer, segment, 0)
            calls = record(pipe, loaded.prepared(offer))
            return cls._entered(loaded, segment, pipe, calls, beginning, enter=True)

    @classmethod
    def resumed(
        cls, loaded: Loaded, offer: Offer, segment: Segment, state: ClipState, calls: Calls
    ) -> Underway:
        """Call the pipeline up to its loop with what it prepared at hand, and go on from the state.

        Raises:
            CheckpointUnusable: the pipeline asks for more than was recorded.
            OutOfMemory: memory ran out.
        """
        beginning, done = segment.generator.get_state(), state.place.step
        with _doing("preparing", segment):
            pipe = _own_pipe(loaded, offer, segment, done)
            play(pipe, loaded.prepared(offer), calls, state.moving)
            left = not (state.place.denoised and isinstance(loaded.family, EndsAtLatents))
            self = cls._entered(loaded, segment, pipe, calls, beginning, enter=left)
        forget(calls)
        self.call.latest = dict(state.moving)
        if left:
            self._memory.restore(state.solver)
        self._randomness.restore(state.randomness)
        segment.generator.set_state(state.generator)
        return self

    @classmethod
    def _entered(
        cls,
        loaded: Loaded,
        segment: Segment,
        pipe: Any,
        calls: Calls,
        beginning: torch.Tensor,
        *,
        enter: bool,
    ) -> Underway:
        family, randomness = loaded.family, Randomness(segment.seed, loaded.device)
        prepared = family.prepared if isinstance(family, Resumes) else ()
        moving = tuple(item.moves for item in prepared if item.moves) or ("latents",)
        call = SteppedCall(pipe, moving, randomness)
        if enter:
            call.enter({"output_type": "latent", **family.arguments(pipe, segment)})
        branches = family.branches(pipe, calls) if calls and isinstance(family, TwoPasses) else None
        return cls(
            loaded, segment, pipe, call, calls, branches, Memory(pipe.scheduler), randomness, beginning
        )

    def state(self, place: Place) -> ClipState:
        """Everything that the next step reads beside the conditioning."""
        return ClipState(
            place,
            self.call.latest,
            self._memory.changed(),
            self._randomness.saved(),
            self.segment.generator.get_state(),
        )

    def beginning(self, place: Place) -> ClipState:
        """The state in which the segment is begun anew."""
        return ClipState(place, {}, {}, {}, self._beginning)

    def step(self) -> None:
        """Run one denoising step."""
        self.call.step()

    def preview(self) -> Frame | None:
        """A small picture of the clip as it stands; draws nothing from the clip's random state."""
        latents = self.call.latest.get("latents")
        if latents is None:
            return None
        with seeded(self.segment.seed, self.loaded.device):
            return preview_picture(self.loaded.family, self.pipe, latents, self.segment)

    def output(self) -> tuple[Any, Sound | None]:
        """What the pipeline returns, and its sound where it makes some; the call is over."""
        family = self.loaded.family
        with _doing("denoising", self.segment):
            made = (
                family.ended(self.call.latest["latents"])
                if isinstance(family, EndsAtLatents)
                else self.call.finish()
            )
            self.call.close()
        if not isinstance(family, MakesSound):
            return made, None
        with _doing("decoding the sound of", self.segment):
            return made, family.sound(self.pipe, made, self.segment)

    def decoded(self, latents: torch.Tensor) -> Iterator[list[Frame]]:
        """The segment's pictures, in order, as many at once as the codec makes.

        Raises (while they are taken):
            OutOfMemory: memory ran out.
        """
        segment = self.segment
        chunks = self.loaded.family.decode(self.pipe, latents, segment)
        while True:
            with _doing("decoding", segment), seeded(segment.seed, self.loaded.device):
                chunk = next(chunks, None)
                frames = [] if chunk is None else to_frames(chunk)
            if chunk is None:
                return
            yield frames

    def denoising(self) -> AbstractContextManager[None]:
        """Names this segment in what its steps raise."""
        return _doing("denoising", self.segment)


def _own_pipe(loaded: Loaded, offer: Offer, segment: Segment, done: int) -> Any:
    pipe = own_pipe(loaded.pipe, own_solver(loaded.variants.scheduler(offer), done))
    if isinstance(loaded.family, Replaces):
        vars(pipe).update(loaded.family.replaced(pipe, segment))
    return pipe


def _doing(what: str, segment: Segment) -> AbstractContextManager[None]:
    native = segment.native
    return typed_failures(f"{what} {native.size}, {native.num_frames} frames, {segment.steps} steps")
