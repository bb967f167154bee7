"""How near the clip comes to the asked corner of the resolution-fps-duration triangle."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from models.types import Prefer
from policies.sharing import once_per_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.types import ClipPlan, ClipWish
    from policies.base import Candidate, RouteRequest

Share = Annotated[float, Field(gt=0, le=1)]
Power = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class GeometryFit:
    """Product of what is delivered over what was asked, each share to a power; more than asked is no gain.

    What was asked counts, the preferred corner most; a size that nobody asked for is measured against
    `default_pixels` and counts little. Each chained segment and an interpolated rate cost a share, since a
    chained clip drifts from the photograph and in-between frames are guessed. So does each length beyond
    the one that the model was trained on. Nobody has published which of the two looks worse, so by default
    they cost the same, and time and price decide between one long shot and a chain.
    """

    name: ClassVar[str] = "geometry_fit"

    held: Power = 3.0
    """Power of the preferred corner, when it was asked for."""
    asked: Power = 1.5
    """Power of another corner that was asked for."""
    unasked: Power = 0.25
    """Power of the size when none was asked for."""
    default_pixels: Annotated[int, Field(ge=1)] = 1280 * 720
    """Area that is enough when no size is asked (720p)."""
    chained: Share = 0.93
    """Factor for each segment after the first."""
    stretched: Share = 0.93
    """Factor for each trained length that one shot goes beyond it; parts count in proportion."""
    interpolated: Share = 0.96
    """Factor for an interpolated frame rate."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        wish = request.wish
        return once_per_plan(candidates, lambda plan: self._value(wish, plan))

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """What is delivered and what gave way."""
        del request
        plan = candidate.plan
        clip = plan.effective
        told = f"{clip.width}x{clip.height}, {clip.seconds:.3g} s, {clip.fps:.4g} fps"
        if plan.segments > 1:
            sharing = f", {plan.overlap} frames shared" if plan.overlap > 1 else ""
            told = f"{told}, {plan.segments} segments chained{sharing}"
        if plan.beyond:
            made = plan.native.num_frames
            told = f"{told}, one shot of {made} frames, {plan.beyond} more than it was trained on"
        return "; ".join((told, *plan.gave_way))

    def _value(self, wish: ClipWish, plan: ClipPlan) -> float:
        clip = plan.effective
        if wish.size is not None:
            value = self._share(clip.width * clip.height, wish.size.pixels, wish, Prefer.RESOLUTION) ** 0.5
        else:
            pixels = clip.width * clip.height
            value = 1.0
            if pixels < self.default_pixels:
                value = sqrt(pixels / self.default_pixels) ** self.unasked
        if wish.seconds is not None:
            value *= self._share(clip.num_frames, wish.seconds * clip.fps, wish, Prefer.DURATION)
        if wish.fps is not None:
            value *= self._share(clip.fps, wish.fps, wish, Prefer.FPS)
        if plan.segments > 1:
            value *= self.chained ** (plan.segments - 1)
        if plan.beyond:
            value *= self.stretched ** (plan.beyond / (plan.native.num_frames - plan.beyond))
        if plan.interpolation > 1:
            value *= self.interpolated
        return float(value)

    def _share(self, delivered: float, asked: float, wish: ClipWish, corner: Prefer) -> float:
        if delivered >= asked:
            return 1.0
        power = self.held if wish.prefer is corner else self.asked
        return float((delivered / asked) ** power)
