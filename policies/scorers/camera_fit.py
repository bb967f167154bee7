"""Camera moves: an input of the model beats commands in the prompt, and these beat words it may follow.

How well a model follows camera words (WBench, VBench) is a claim on its card that moves its rating.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.sharing import once_per_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.card import Camera
    from models.types import CameraMove
    from policies.base import Candidate, RouteRequest

    Moves = tuple[CameraMove, ...]

Share = Annotated[float, Field(ge=0, le=1)]

NO_INTERFACE = {
    "none": "no camera control and no words for it",
    "video": "its camera follows the driving video",
}


@dataclass(frozen=True, slots=True)
class CameraFit:
    """Mean over the asked moves, those of the controls first, else those of the prompt."""

    name: ClassVar[str] = "camera_fit"

    by_brackets: Share = 0.9
    """A move that is written into the prompt as a command which the model was trained on. Near an input of
    its own; how near has no published figure, so the value is a choice."""
    by_words: Share = 0.5
    """A move that the model may follow from the prompt.

    Models follow camera words in about 28-40 % of cases (Wan-Bench 2.0, camera control, 2025).
    """
    absent: Share = 0.1
    """A move that nothing in the model's interface can ask for."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        moves = _asked(request)
        if not moves:
            return [1.0] * len(candidates)
        return once_per_card(candidates, lambda card: self._value(card.controls.camera, moves))

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """The asked moves and how the model can be told them."""
        moves, camera = _asked(request), candidate.card.controls.camera
        if not moves:
            return "no camera move asked"
        asked, held = ", ".join(moves), _held(camera, moves)
        if not held and camera.kind in NO_INTERFACE:
            return f"{asked} asked, 0 of {len(moves)} can be had: {NO_INTERFACE[camera.kind]}"
        if len(held) < len(moves):
            how = "its interface takes" if camera.explicit else "words known to work:"
            which = ", ".join(held) or "none of them"
            return f"{asked} asked, {len(held)} of {len(moves)} can be had; {how} {which}"
        if camera.kind == "brackets":
            return f"{asked} asked, {len(held)} of {len(moves)} by commands that this model was trained on"
        return (
            f"{asked} is an input of this model"
            if camera.explicit
            else f"{asked} asked; followed from words (in 28-40 % of clips, Wan-Bench 2.0)"
        )

    def _value(self, camera: Camera, moves: Moves) -> float:
        held = len(_held(camera, moves))
        each = self.by_brackets if camera.kind == "brackets" else 1.0 if camera.explicit else self.by_words
        return (each * held + self.absent * (len(moves) - held)) / len(moves)


def _asked(request: RouteRequest) -> Moves:
    return tuple(wish.move for wish in request.camera) or request.features.prompt.camera


def _held(camera: Camera, moves: Moves) -> list[CameraMove]:
    """The asked moves that the interface takes, or whose words the model is known to follow."""
    if camera.kind in NO_INTERFACE:
        return []
    if camera.kind == "prompt":
        # A card that lists moves lists those whose words are known to work.
        return [move for move in moves if not camera.moves or move in camera.moves]
    return [move for move in moves if move in camera.moves][: camera.max_moves]
