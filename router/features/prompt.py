"""Reads a motion prompt: what moves, how strongly, what the camera does, whether sound or a loop is wished.

English words only. Another language is not guessed at: its prompt has no motions and is no caption either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from models.types import CameraMove
from policies.base import PromptFeatures
from router.features import vocabulary as v
from router.features.camera import read_camera
from router.features.clauses import Clause, negated, read_clauses
from router.features.motion import read_intensity, read_motions

_SHORT: Final = 3
"""A prompt of so few ASCII words without motion is a caption even without English function words."""


def read_prompt(text: str) -> PromptFeatures:
    """Read the words; never raises, in time linear in their number."""
    clauses = read_clauses(text)
    camera, taken = read_camera(clauses)
    subject, environment = read_motions(clauses, taken)
    words = sum(len(clause.words) for clause in clauses)
    asks = any(word in v.ASKS for clause in clauses for word in clause.words)
    moves = bool(camera or subject or environment or taken or asks)
    return PromptFeatures(
        camera=camera,
        subject_motion=subject,
        environment_motion=environment,
        intensity=read_intensity(clauses),
        wants_audio=_wants_sound(clauses),
        wants_loop=_wants_loop(clauses),
        motion_count=count_motions(camera, subject, environment),
        is_caption=words > 0 and not moves and _is_english(clauses, words),
        words=words,
    )


def count_motions(camera: Sequence[CameraMove], subject: Sequence[str], environment: Sequence[str]) -> int:
    """How many motions compete: 0 none, 1 one coherent motion, one more for each that pulls elsewhere.

    Subject, environment and one camera move together are one motion (the four-part prompt that works best).
    A second camera move competes (a hand-held shake goes with any), so does a second action of the subject
    that is not a small one (blinking, smiling, swaying hair), so does a third motion of the environment.
    """
    moves = [move for move in camera if move not in (CameraMove.STATIC, CameraMove.SHAKE)]
    actions = [verb for verb in subject if verb not in v.MICRO]
    if not (moves or subject or environment):
        return 0
    return 1 + max(0, len(moves) - 1) + max(0, len(actions) - 1) + max(0, len(environment) - 2)


def _wants_sound(clauses: Sequence[Clause]) -> bool:
    for clause in clauses:
        for at, word in enumerate(clause.words):
            if word not in v.SOUND and word not in v.SAYING:
                continue
            after = clause.words[at + 1] if at + 1 < len(clause.words) else ""
            if after in v.SOUND_THINGS or negated(clause.words, at) is not None:
                continue
            if v.SILENT.isdisjoint(clause.words):
                return True
    return False


def _wants_loop(clauses: Sequence[Clause]) -> bool:
    for clause in clauses:
        for at, word in enumerate(clause.words):
            if word not in v.LOOP or negated(clause.words, at) is not None:
                continue
            before = clause.words[at - 1] if at else ""
            after = clause.words[at + 1] if at + 1 < len(clause.words) else ""
            if before not in v.LOOP_THINGS and after not in v.LOOP_NOT_AFTER:
                return True
    return False


def _is_english(clauses: Sequence[Clause], words: int) -> bool:
    if any(word in v.FUNCTION_WORDS for clause in clauses for word in clause.words):
        return True
    return words <= _SHORT and all(word.isascii() for clause in clauses for word in clause.words)
