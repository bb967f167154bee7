"""A rendered clip moves the photograph; it generates nothing. It is worth that much and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, RouteRequest

Share = Annotated[float, Field(ge=0, le=1)]


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

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        rendered = self.rendered_camera if _only_the_camera(request) else self.rendered
        return [1.0 if c.card.makes == "generated" else rendered for c in candidates]

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """Whether anything is generated, and whether that is needed."""
        if candidate.card.makes == "generated":
            return "generates the motion"
        if _only_the_camera(request):
            return "follows the camera move exactly; nothing is generated"
        if _moves(request):
            return "moves the photograph only; what should move in it stays still"
        return "moves the photograph only; nothing is generated"


def _moves(request: RouteRequest) -> bool:
    prompt = request.features.prompt
    return bool(prompt.subject_motion or prompt.environment_motion)


def _only_the_camera(request: RouteRequest) -> bool:
    return bool(request.camera or request.features.prompt.camera) and not _moves(request)
