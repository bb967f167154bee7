"""What a request means for each segment of its clip: photograph, words, numbers, seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image

from models.runners.families import FollowsVideo, Segment
from models.runners.framing import face_focus, fit_photograph
from models.wording import worded

if TYPE_CHECKING:
    from typing import Any

    from models.card import Card
    from models.runners.base import Frame, RunRequest
    from models.runners.families import Family

_SEED_STRIDE = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio (Knuth): seeds of segments of neighbouring requests do not meet."""


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """One request as a row of segments.

    Attributes:
        count: Calls of the pipeline: segments of the plan, each as many runs as its length takes where the
            clip follows a video.
        overlap: Pictures that neighbours share.
        made: Pictures that each call makes.
    """

    card: Card
    request: RunRequest
    steps: int
    guidance: float
    count: int
    overlap: int
    made: int
    runs: int

    @classmethod
    def of(
        cls, card: Card, family: Family, pipe: Any, request: RunRequest, *, steps: int, guidance: float
    ) -> Chain:
        """The chain that a request asks of a pipeline.

        Args:
            card: Tells which controls are passed on.
            family: Tells how its segments are joined.
            pipe: The pipeline.
            request: The clip.
            steps: Denoising steps of one segment.
            guidance: Guidance scale.
        """
        native = request.plan.native
        follows = isinstance(family, FollowsVideo)
        runs = family.runs(native) if isinstance(family, FollowsVideo) else 1
        return cls(
            card=card,
            request=request,
            steps=steps,
            guidance=guidance,
            count=request.plan.segments * runs,
            overlap=family.overlap(pipe, native)
            if isinstance(family, FollowsVideo)
            else request.plan.overlap,
            made=family.run_frames() if isinstance(family, FollowsVideo) else native.num_frames,
            runs=runs if follows else 0,
        )

    def first(self) -> Segment:
        """The segment that begins with the photograph."""
        return self._segment(0, self._fitted(self.request.image), (), self._generator(0), prepared=False)

    def next(self, index: int, before: tuple[Frame, ...], last: Segment) -> Segment:
        """A later segment.

        Args:
            index: From 1.
            before: The newest pictures of the clip: as many as neighbours share, and at least one.
            last: The segment before this one.
        """
        if self.runs:
            # The runs of a video begin with the photograph each, and draw their noise one after the other.
            photograph, generator = self._fitted(self.request.image), last.generator
        else:
            photograph, generator = Image.fromarray(before[-1]), self._generator(index)
        return self._segment(index, photograph, before, generator, prepared=False)

    def again(self, index: int) -> Segment:
        """A segment that is resumed: pictures are stand-ins, since nothing is encoded again."""
        size = self.request.plan.native.size
        blank = Image.new("RGB", (size.width, size.height))
        return self._segment(index, blank, (), self._generator(index), prepared=True)

    def _segment(
        self,
        index: int,
        photograph: Image.Image,
        before: tuple[Frame, ...],
        generator: torch.Generator,
        *,
        prepared: bool,
    ) -> Segment:
        """A last image belongs to the last segment only."""
        request, controls = self.request, self.card.controls
        by_words = controls.camera.kind == "prompt"
        last = request.last_image if index == self.count - 1 else None
        if last is not None:
            last = photograph if prepared else self._fitted(last)
        return Segment(
            image=photograph,
            last_image=last,
            prompt=worded(request.prompt, request.camera, request.intensity) if by_words else request.prompt,
            negative_prompt=request.negative_prompt if controls.negative_prompt else "",
            native=request.plan.native,
            steps=self.steps,
            guidance=self.guidance,
            intensity=request.intensity,
            seed=self._seed(index),
            generator=generator,
            driving_video=request.driving_video,
            run=index % self.runs if self.runs else 0,
            before=before[-self.overlap :] if self.overlap else (),
            prepared=prepared,
        )

    def notes(self) -> tuple[str, ...]:
        """What was asked and could not be passed on."""
        request, controls, notes = self.request, self.card.controls, []
        if request.camera and controls.camera.kind != "prompt":
            moves = ", ".join(request.camera)
            notes.append(f"{self.card.id} has no way to be told a camera move; ignored: {moves}")
        if request.prompt.strip() and not controls.prompt:
            notes.append(f"{self.card.id} reads no words; the prompt was ignored")
        if request.negative_prompt.strip() and not controls.negative_prompt:
            notes.append(f"{self.card.id} takes no negative prompt; it was ignored")
        return tuple(notes)

    def _seed(self, index: int) -> int:
        return (self.request.seed + index * _SEED_STRIDE) % 2**63

    def _generator(self, index: int) -> torch.Generator:
        return torch.Generator("cpu").manual_seed(self._seed(index))

    def _fitted(self, image: Image.Image) -> Image.Image:
        """Exactly native size, cropped around the faces or padded; never stretched."""
        plan = self.request.plan
        return fit_photograph(image, plan.native.size, plan.framing, focus=face_focus(self.request.faces))
