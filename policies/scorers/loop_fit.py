"""A loop that the words wish for: few models close one, and a clip that does not is half of the wish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class LoopFit:
    """1 where no loop is wished or the model closes it in this mode; less where it takes a trick or a cut."""

    name: ClassVar[str] = "loop_fit"

    by_last_image: Share = 0.9
    """A last image is given, which may be the photograph itself: the clip ends where it starts."""
    could: Share = 0.6
    """The model takes a last image, and none was given."""
    absent: Share = 0.5
    """The clip's end will not meet its start. These three are our choice: no figure is published."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        if not request.features.prompt.wants_loop:
            return [1.0] * len(candidates)
        return [self._value(request, candidate) for candidate in candidates]

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """Whether the loop closes, and how."""
        if not request.features.prompt.wants_loop:
            return "no loop asked"
        controls, seconds = candidate.card.controls, candidate.plan.effective.seconds
        if controls.loop and "loop" in candidate.mode.excludes:
            return f"closes loops, but not in this mode ({seconds:.3g} s)"
        if controls.loop:
            return "closes the loop itself"
        if controls.last_image == "none":
            return f"closes no loop: the end of {seconds:.3g} s will not meet its start"
        given = "the given last image" if request.has_last_image else "a last image, and 0 were given"
        return f"closes a loop only by {given}"

    def _value(self, request: RouteRequest, candidate: Candidate) -> float:
        controls = candidate.card.controls
        if controls.loop and "loop" not in candidate.mode.excludes:
            return 1.0
        if controls.last_image == "none":
            return self.absent
        return self.by_last_image if request.has_last_image else self.could
