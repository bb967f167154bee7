"""How long a clip should be for what moves in it.

Weak priors, as makers of photo animations tell them (2026): a face holds for a few seconds, water and clouds
for longer. They choose the duration when none is asked, and advise when another one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.types import Intensity
from policies.geometry import DEFAULT_SECONDS
from policies.quality import SURE_OF_SUBJECT

if TYPE_CHECKING:
    from policies.base import RouteRequest


@dataclass(frozen=True, slots=True)
class Suited:
    """Durations in seconds that suit `what`."""

    low: float
    high: float
    what: str


BREATHING = Suited(2, 4, "small movements of a portrait")
PORTRAIT = Suited(4, 6, "portraits")
ENVIRONMENT = Suited(4, 8, "moving surroundings")
BODY = Suited(4, 10, "moving bodies")
CAMERA = Suited(3, 8, "camera moves")


def suited(request: RouteRequest) -> Suited | None:
    """The durations that suit what is asked to move; None when the request does not say."""
    image, prompt = request.features.image, request.features.prompt
    intensity = request.motion if request.motion is not None else prompt.intensity
    if image.subject == "portrait" and image.subject_confidence >= SURE_OF_SUBJECT:
        return BREATHING if intensity is not None and intensity <= Intensity.GENTLE else PORTRAIT
    if prompt.environment_motion:
        return ENVIRONMENT
    if prompt.subject_motion:
        return BODY
    return CAMERA if request.camera or prompt.camera else None


def default_seconds(request: RouteRequest) -> float:
    """Duration when none is asked.

    That of what drives the clip, else the models' usual length within what suits the motion.
    """
    driving = request.driving_seconds if request.driving_seconds is not None else request.audio_seconds
    if driving is not None:
        return driving
    span = suited(request)
    return DEFAULT_SECONDS if span is None else min(max(DEFAULT_SECONDS, span.low), span.high)
