"""What a model needs to see in the photograph, against what is seen there.

What a model is said to be good at moves its rating (see `policies.quality`); this is about those that only
work on faces, bodies or a single subject, and refuse or spoil everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from policies.quality import SURE_OF_SUBJECT
from policies.sharing import once_per_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.card import Card
    from policies.base import Candidate, ImageFeatures, RouteRequest

Share = Annotated[float, Field(ge=0, le=1)]

NEEDS = {"human_body": "a person", "face": "a face", "single_subject": "a single subject"}


@dataclass(frozen=True, slots=True)
class SubjectFit:
    """1 where the photograph shows what the model needs; `missing` where it shows something else."""

    name: ClassVar[str] = "subject_fit"

    missing: Share = 0.2
    """What is needed is not there. Not 0: a detector that sees no face may be wrong."""
    unsure: Share = 0.7
    """Nothing says whether it is there."""
    faceless: Share = 0.45
    """A face is needed, none was found, and nothing else says what is shown: faces large enough to be
    animated are mostly found."""

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        image = request.features.image
        return once_per_card(candidates, lambda card: self._value(card, image))

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """What the model needs and what was found."""
        image, needed = request.features.image, candidate.card.controls.preconditions
        if not needed:
            return "takes any subject"
        found = [f"{image.face_count} faces found"]
        if image.subject_confidence > 0:
            found.append(f"{image.subject} ({image.subject_confidence:.0%} sure)")
        return f"needs {' and '.join(NEEDS[need] for need in needed)}; {', '.join(found)}"

    def _value(self, card: Card, image: ImageFeatures) -> float:
        needed = card.controls.preconditions
        if not needed:
            return 1.0
        return min(self._met(need, image) for need in needed)

    def _met(self, need: str, image: ImageFeatures) -> float:
        sure = image.subject_confidence >= SURE_OF_SUBJECT
        if need == "single_subject":
            if image.face_count > 1 or (sure and image.subject == "group"):
                return self.missing
            return 1.0 if image.face_count == 1 or sure else self.unsure
        if image.face_count or (sure and image.subject in {"portrait", "group"}):
            return 1.0
        if sure and image.subject in {"landscape", "product"}:
            return self.missing
        return self.faceless if need == "face" else self.unsure
