"""Camera moves: an interface that takes the move beats words that the model may follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.base import Score

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
        words: dict[str, Score] = {}
        for c in candidates:
            if c.card.id not in words:
                words[c.card.id] = self._word(c.card.controls.camera, moves)
        return [words[c.card.id] for c in candidates]

    def _word(self, camera: Camera, moves: tuple[CameraMove, ...]) -> Score:
        asked = ", ".join(moves)
        if camera.kind == "none":
            return Score(self.absent, f"{asked} asked; no camera control and no words for it")
        if camera.kind == "prompt":
            return self._by_words(camera, moves, asked)
        held = [move for move in moves if move in camera.moves][: camera.max_moves]
        value = (len(held) + self.absent * (len(moves) - len(held))) / len(moves)
        if len(held) == len(moves):
            return Score(value, f"{asked} is an input of this model")
        return Score(value, f"{asked} asked; its interface takes {', '.join(held) or 'none of them'}")

    def _by_words(self, camera: Camera, moves: tuple[CameraMove, ...], asked: str) -> Score:
        # A card that lists moves lists those whose words the model is known to follow.
        known = [move for move in moves if not camera.moves or move in camera.moves]
        value = (self.by_words * len(known) + self.absent * (len(moves) - len(known))) / len(moves)
        if len(known) == len(moves):
            return Score(value, f"{asked} asked; followed from words only")
        return Score(value, f"{asked} asked; words known to work: {', '.join(known) or 'none of them'}")
