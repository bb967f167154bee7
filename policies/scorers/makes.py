"""A rendered clip moves the photograph; it generates nothing. It is worth that much and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.base import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest

Share = Annotated[float, Field(ge=0, le=1)]

GENERATED = Score(1.0, "generates the motion")


@dataclass(frozen=True, slots=True)
class Makes:
    """1 for generated clips; for rendered ones a share that depends on whether the camera is all that moves.

    When the words ask that something in the picture moves, a rendered clip cannot do it, camera or not.
    """

    name: ClassVar[str] = "makes"

    rendered: Share = 0.1
    """Worth of a rendered clip."""
    rendered_camera: Share = 0.25
    """Worth of a rendered clip when camera moves are asked and nothing else should move."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        prompt = request.features.prompt
        if prompt.subject_motion or prompt.environment_motion:
            rendered = Score(self.rendered, "moves the photograph only; what should move in it stays still")
        elif request.camera or prompt.camera:
            rendered = Score(self.rendered_camera, "follows the camera move exactly; nothing is generated")
        else:
            rendered = Score(self.rendered, "moves the photograph only; nothing is generated")
        return [GENERATED if c.card.makes == "generated" else rendered for c in candidates]
