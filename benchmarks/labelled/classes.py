"""The classes of intent: which ones a label names, which ones a reading claims, and the tally of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.types import CameraMove, Intensity
from policies.base import PromptFeatures
from router.features.advice import COMPETING

CAMERA_GROUPS: Final[Mapping[str, str]] = {
    move: group
    for group, moves in {
        "push/pull/zoom": "push_in pull_out zoom_in zoom_out",
        "pan/tilt": "pan_left pan_right tilt_up tilt_down",
        "truck/pedestal/orbit/roll": """truck_left truck_right pedestal_up pedestal_down orbit_left
            orbit_right roll""",
        "static": "static",
        "follow/shake": "follow shake",
    }.items()
    for move in moves.split()
}
REFUSED_FAMILIES: Final[Mapping[CameraMove, str]] = {
    CameraMove.ZOOM_IN: "zoom",
    CameraMove.ZOOM_OUT: "zoom",
    CameraMove.PUSH_IN: "dolly",
    CameraMove.PULL_OUT: "dolly",
    CameraMove.PAN_LEFT: "pan",
    CameraMove.PAN_RIGHT: "pan",
    CameraMove.TILT_UP: "tilt",
    CameraMove.TILT_DOWN: "tilt",
    CameraMove.TRUCK_LEFT: "truck",
    CameraMove.TRUCK_RIGHT: "truck",
    CameraMove.PEDESTAL_UP: "crane",
    CameraMove.PEDESTAL_DOWN: "crane",
    CameraMove.ORBIT_LEFT: "orbit",
    CameraMove.ORBIT_RIGHT: "orbit",
    CameraMove.ROLL: "roll",
    CameraMove.SHAKE: "shake",
    CameraMove.FOLLOW: "follow",
}
LEVELS: Final[Mapping[Intensity, str]] = {
    Intensity.SUBTLE: "low",
    Intensity.GENTLE: "low",
    Intensity.MODERATE: "medium",
    Intensity.DYNAMIC: "high",
    Intensity.EXTREME: "high",
}
FLAGS: Final[Mapping[str, str]] = {
    "subject": "subject motion",
    "ambient": "ambient motion",
    "caption": "caption, no motion",
    "loop": "loop",
    "competing": "competing motions",
    "fabric": "fabric",
    "historic": "historic",
}


@dataclass(slots=True)
class Tally:
    """Right and wrong claims of one class."""

    both: int = 0
    """Labelled and claimed."""
    missed: list[str] = field(default_factory=list)
    """Labelled, not claimed."""
    invented: list[str] = field(default_factory=list)
    """Claimed, not labelled."""

    @property
    def labelled(self) -> int:
        return self.both + len(self.missed)

    @property
    def precision(self) -> float:
        """Share of the claims that are right; 1 when nothing was claimed."""
        claimed = self.both + len(self.invented)
        return self.both / claimed if claimed else 1.0

    @property
    def recall(self) -> float:
        """Share of the labels that were claimed; 1 when there are none."""
        return self.both / self.labelled if self.labelled else 1.0

    def row(self) -> dict[str, float]:
        """The figures as stored."""
        return {
            "labelled": self.labelled,
            "claimed": self.both + len(self.invented),
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
        }


def labelled_classes(labels: Mapping[str, Any]) -> set[str]:
    """Classes that a row's labels name."""
    camera, required = labels.get("camera", ()), labels.get("required", ())
    named = {CAMERA_GROUPS[move] for move in camera} or {"no camera"}
    named |= {f"move: {move}" for move in camera}
    named |= _will(bool(camera), bool(required))
    named |= {words for flag, words in FLAGS.items() if labels.get(flag)}
    named |= {f"refused: {family}" for family in labels.get("refused", ())}
    if labels.get("intensity"):
        named.add(f"intensity {labels['intensity']}")
    named |= {f"audio: {kind}" for kind in labels.get("audio", ())}
    return named | ({"audio"} if labels.get("audio") else set()) | _denied(labels.get("refused", ()))


def claimed_classes(read: PromptFeatures) -> set[str]:
    """Classes that a reading claims."""
    named = {CAMERA_GROUPS[move.value] for move in read.camera} or {"no camera"}
    named |= {f"move: {move.value}" for move in read.camera}
    named |= _will(bool(read.camera), bool(read.camera_required))
    flags = {
        "subject": bool(read.subject_motion),
        "ambient": bool(read.environment_motion),
        "caption": read.is_caption,
        "loop": read.wants_loop,
        "competing": read.motion_count >= COMPETING,
        "fabric": read.fabric,
        "historic": read.historic,
    }
    named |= {FLAGS[flag] for flag, holds in flags.items() if holds}
    refused = {REFUSED_FAMILIES[move] for move in read.camera_refused if move in REFUSED_FAMILIES}
    named |= {f"refused: {family}" for family in refused}
    if read.intensity is not None:
        named.add(f"intensity {LEVELS[read.intensity]}")
    named |= {f"audio: {kind}" for kind in read.audio}
    return named | ({"audio"} if read.wants_audio else set()) | _denied(refused)


def tally(rows: Iterable[tuple[str, set[str], set[str]]]) -> dict[str, Tally]:
    """Tallies by class over (name, labelled, claimed) rows; moves and refusals are added up to one each."""
    tallies: dict[str, Tally] = {}
    for name, labelled, claimed in rows:
        for kind in labelled | claimed:
            for key in _keys(kind):
                entry = tallies.setdefault(key, Tally())
                if kind in labelled and kind in claimed:
                    entry.both += 1
                else:
                    (entry.missed if kind in labelled else entry.invented).append(f"{name}  [{kind}]")
    return tallies


def _will(camera: bool, required: bool) -> set[str]:
    if not camera:
        return set()
    return {"camera required"} if required else {"camera wished"}


def _denied(refused: Iterable[str]) -> set[str]:
    return {"a move refused"} if list(refused) else set()


def _keys(kind: str) -> tuple[str, ...]:
    if kind.startswith("move: "):
        return ("exact move",)
    if kind.startswith("refused: "):
        return ("exact refusal",)
    return (kind,)
