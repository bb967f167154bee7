"""Camera moves: an interface that takes the move beats words that the model may follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.base import Score
from policies.sharing import once_per_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.card import Camera
    from models.types import CameraMove
    from policies.base import Candidate, RouteRequest

Share = Annotated[float, Field(ge=0, le=1)]

NOTHING_ASKED = Score(1.0, "no camera move asked")


@dataclass(frozen=True, slots=True)
class CameraFit:
    """Mean over the asked moves, those of the controls first, else those of the prompt."""

    name: ClassVar[str] = "camera_fit"

    by_words: Share = 0.5
    """A move that the model may follow from the prompt.

    Models follow camera words in about 28-40 % of cases (Wan-Bench 2.0, camera control, 2025).
    """
    absent: Share = 0.1
    """A move that nothing in the model's interface can ask for."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[Score]:
        """One score per candidate, in order."""
        moves = tuple(w.move for w in request.camera) or request.features.prompt.camera
        if not moves:
            return [NOTHING_ASKED] * len(candidates)
        return once_per_card(candidates, lambda card: self._word(card.controls.camera, moves))

    def _word(self, camera: Camera, moves: tuple[CameraMove, ...]) -> Score:
        return Score(self._value(camera, moves), _told, (camera, moves))

    def _value(self, camera: Camera, moves: tuple[CameraMove, ...]) -> float:
        held = len(_held(camera, moves))
        each = 1.0 if camera.explicit else self.by_words
        return (each * held + self.absent * (len(moves) - held)) / len(moves)


def _held(camera: Camera, moves: tuple[CameraMove, ...]) -> list[CameraMove]:
    """The asked moves that the interface takes, or whose words the model is known to follow."""
    if camera.kind == "none":
        return []
    if camera.kind == "prompt":
        # A card that lists moves lists those whose words are known to work.
        return [move for move in moves if not camera.moves or move in camera.moves]
    return [move for move in moves if move in camera.moves][: camera.max_moves]


def _told(about: tuple[Camera, tuple[CameraMove, ...]]) -> str:
    camera, moves = about
    asked, held = ", ".join(moves), _held(camera, moves)
    if camera.kind == "none":
        return f"{asked} asked; no camera control and no words for it"
    if len(held) == len(moves):
        return (
            f"{asked} is an input of this model" if camera.explicit else f"{asked} asked; followed from words"
        )
    how = "its interface takes" if camera.explicit else "words known to work:"
    return f"{asked} asked; {how} {', '.join(held) or 'none of them'}"
