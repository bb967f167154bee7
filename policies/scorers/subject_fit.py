"""What a model is said to be good at, against what the photograph and the words show. A weak prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.types import Objective
from policies.sharing import once_per_card

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.card import Card
    from policies.base import Candidate, RouteRequest

FABRIC_MOTIONS = frozenset({"billow", "flutter"})
"""What clothes do when they move; hair does it too, so they are half an evidence of fashion."""

NEUTRAL = 0.5


@dataclass(frozen=True, slots=True)
class SubjectFit:
    """0.5 + half the sum of strength x evidence: 0.5 is neutral, claims move it either way."""

    name: ClassVar[str] = "subject_fit"

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        """A value for each candidate, in order."""
        seen = evidence(request)
        if not seen:
            return [NEUTRAL] * len(candidates)
        return once_per_card(candidates, lambda card: _value(card, seen))

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        """The claims that apply, each times how sure the evidence is."""
        seen = evidence(request)
        if not seen:
            return "nothing in photograph or words that strengths speak of"
        claims = [f"{s.tag} {s.weight * seen[s.tag]:+.2f}" for s in candidate.card.strengths if s.tag in seen]
        return f"said of it: {', '.join(claims)}" if claims else "no strength or weakness is claimed for this"


def evidence(request: RouteRequest) -> dict[str, float]:
    """Strength tags that the request speaks of, with how sure that is, 0-1."""
    image, prompt = request.features.image, request.features.prompt
    seen: dict[str, float] = {}
    if image.subject != "other" and image.subject_confidence > 0:
        seen[image.subject] = image.subject_confidence
    if prompt.environment_motion:
        seen["ambient_motion"] = 1.0
    if request.camera or prompt.camera:
        seen["cinematic_camera"] = 1.0
    if not FABRIC_MOTIONS.isdisjoint(prompt.subject_motion):
        seen["fashion"] = 0.5
    if request.objective in {Objective.SPEED, Objective.PREVIEW}:
        seen["speed"] = 1.0
    return seen


def _value(card: Card, seen: Mapping[str, float]) -> float:
    total = 0.0
    for strength in card.strengths:
        if strength.tag in seen:
            total += strength.weight * seen[strength.tag]
    return min(1.0, max(0.0, NEUTRAL + NEUTRAL * total))
