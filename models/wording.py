"""Camera moves and intensity as words, for models whose only camera interface is the prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.types import CameraMove, Intensity

_Words = tuple[str, str]
"""The sentence that is added, and the pattern that says it is there already."""

_CAMERA: dict[CameraMove, _Words] = {
    CameraMove.STATIC: ("static camera, locked off", r"static|still camera|locked.?off|tripod|fixed camera"),
    CameraMove.PUSH_IN: (
        "the camera slowly pushes in",
        r"push\w*[\s-]in\b|doll(y|ies|ying)[\s-](in\b|forward)|mov\w+ (in|closer|forward)",
    ),
    CameraMove.PULL_OUT: (
        "the camera slowly pulls back",
        r"pull\w*[\s-](back|out|away)|doll(y|ies|ying)[\s-](out|back)|mov\w+ (back|away)",
    ),
    CameraMove.PAN_LEFT: ("the camera pans left", r"pan\w*\s(\w+\s){0,3}left"),
    CameraMove.PAN_RIGHT: ("the camera pans right", r"pan\w*\s(\w+\s){0,3}right"),
    CameraMove.TILT_UP: ("the camera tilts up", r"tilt\w*\s(\w+\s){0,3}up"),
    CameraMove.TILT_DOWN: ("the camera tilts down", r"tilt\w*\s(\w+\s){0,3}down"),
    CameraMove.TRUCK_LEFT: (
        "the camera trucks left",
        r"(truck|track|slid)\w*\s(\w+\s){0,3}left",
    ),
    CameraMove.TRUCK_RIGHT: (
        "the camera trucks right",
        r"(truck|track|slid)\w*\s(\w+\s){0,3}right",
    ),
    CameraMove.PEDESTAL_UP: (
        "the camera rises straight up",
        r"pedestal\w*\s(\w+\s){0,2}up|(camera|crane|boom)\w*\s(\w+\s){0,2}(rise|rises|rising|up)\b",
    ),
    CameraMove.PEDESTAL_DOWN: (
        "the camera sinks straight down",
        r"pedestal\w*\s(\w+\s){0,2}down|(camera|crane|boom)\w*\s(\w+\s){0,2}(sink\w*|lower\w*|down)\b",
    ),
    CameraMove.ZOOM_IN: ("the lens zooms in", r"zoom\w*[\s-](\w+\s){0,2}in"),
    CameraMove.ZOOM_OUT: ("the lens zooms out", r"zoom\w*[\s-](\w+\s){0,2}out"),
    CameraMove.ORBIT_LEFT: (
        "the camera orbits to the left around the subject",
        r"(orbit|arc)\w*\s(\w+\s){0,3}left",
    ),
    CameraMove.ORBIT_RIGHT: (
        "the camera orbits to the right around the subject",
        r"(orbit|arc)\w*\s(\w+\s){0,3}right",
    ),
    CameraMove.ROLL: ("the camera rolls", r"camera\s(\w+\s){0,2}roll|roll\w*\s(\w+\s){0,2}camera|dutch"),
    CameraMove.SHAKE: ("handheld camera shake", r"hand.?held|camera shak|shak\w+ camera"),
    CameraMove.FOLLOW: ("the camera follows the subject", r"follow|tracking shot"),
}

_INTENSITY: dict[Intensity, str] = {
    Intensity.SUBTLE: "subtle, barely noticeable motion",
    Intensity.GENTLE: "gentle, slow motion",
    Intensity.MODERATE: "moderate, natural motion",
    Intensity.DYNAMIC: "dynamic, energetic motion",
    Intensity.EXTREME: "extreme, fast motion",
}
# Any word of amount counts: two different amounts in one prompt would contradict each other.
_AMOUNT = (
    r"subtl|slight|gentl|soft(ly)?\b|calm|slow|moderate|natural motion|dynamic|energetic|vigorous|fast|quick|"
    r"rapid|extreme|intens|wild|violent"
)


def worded(prompt: str, camera: Sequence[CameraMove], intensity: Intensity | None) -> str:
    """The prompt with the asked camera moves and intensity said in words, unless it says them already.

    Args:
        prompt: The person's own words; they come first and are never changed.
        camera: Moves in the order in which they were asked.
        intensity: How much moves; None adds nothing.
    """
    added = [sentence for sentence, pattern in map(_CAMERA.__getitem__, camera) if not _says(prompt, pattern)]
    if intensity is not None and not _says(prompt, _AMOUNT):
        added.append(_INTENSITY[intensity])
    if not added:
        return prompt
    own = prompt.strip().rstrip(".,;")
    return ", ".join([own, *added] if own else added)


def _says(prompt: str, pattern: str) -> bool:
    return re.search(rf"\b({pattern})", prompt, re.IGNORECASE) is not None
