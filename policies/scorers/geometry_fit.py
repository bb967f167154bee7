"""How near the clip comes to the asked corner of the resolution-fps-duration triangle."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from models.types import Prefer
from policies.base import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.types import ClipPlan, ClipWish
    from policies.base import Candidate, RouteRequest

Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, slots=True)
class GeometryFit:
    """Weighted geometric mean of what is delivered over what was asked; more than asked is no gain.

    The preferred corner counts `held` times. An unasked size is measured against `default_pixels`. Each
    chained segment and interpolated rate costs a share, since a chained clip drifts from the photograph
    and in-between frames are guessed.
    """

    name: ClassVar[str] = "geometry_fit"

    held: Annotated[float, Field(ge=1)] = 3.0
    """Weight of the preferred corner against 1 for each other."""
    default_pixels: Annotated[int, Field(ge=1)] = 1280 * 720
    """Area that is enough when no size is asked (720p)."""
    chained: Share = 0.93
    """Factor for each segment after the first."""
    interpolated: Share = 0.96
    """Factor for an interpolated frame rate."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        wish = request.wish
        words: dict[int, Score] = {}
        scores = []
        for c in candidates:
            # Candidates that differ in GPUs or pool share one plan object.
            word = words.get(id(c.plan))
            if word is None:
                word = words[id(c.plan)] = self._word(wish, c.plan)
            scores.append(word)
        return scores

    def _word(self, wish: ClipWish, plan: ClipPlan) -> Score:
        clip = plan.effective
        pixels = wish.size.pixels if wish.size else self.default_pixels
        size = min(1.0, sqrt(clip.width * clip.height / pixels))
        seconds = min(1.0, clip.seconds / wish.seconds) if wish.seconds else 1.0
        fps = min(1.0, clip.fps / wish.fps) if wish.fps else 1.0
        by_size, by_seconds, by_fps = (
            self.held if wish.prefer is corner else 1.0
            for corner in (Prefer.RESOLUTION, Prefer.DURATION, Prefer.FPS)
        )
        value = (size**by_size * seconds**by_seconds * fps**by_fps) ** (1 / (by_size + by_seconds + by_fps))
        if plan.segments > 1:
            value *= self.chained ** (plan.segments - 1)
        if plan.interpolation > 1:
            value *= self.interpolated
        told = f"{clip.width}x{clip.height}, {clip.seconds:.3g} s, {clip.fps:.4g} fps"
        if plan.gave_way:
            told = f"{told}; {'; '.join(plan.gave_way)}"
        return Score(value, told)
