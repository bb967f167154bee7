"""Reads a motion prompt: what moves, how strongly, what the camera does, whether sound or a loop is wished.

English words only. Another language is not guessed at: its prompt has no motions and is no caption either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from models.types import OPPOSED, CameraMove
from policies.base import PromptFeatures
from router.features import lexicon as x
from router.features import vocabulary as v
from router.features.camera import read_camera
from router.features.clauses import Clause, negated, read_clauses
from router.features.cues import names_fabric, names_old_picture
from router.features.intensity import read_intensity
from router.features.loops import read_loop
from router.features.motion import read_motions
from router.features.sound import read_audio

_SHORT: Final = 3
"""A prompt of so few ASCII words without motion is a caption even without English function words."""
_MOTIONS: Final = frozenset({"motion", "movement", "moves", "move", "changes", "moving"})
_ANYONE: Final = frozenset({"it", "its", "subject", "who", "crane"})


def read_prompt(text: str) -> PromptFeatures:
    """Read the words; never raises, in time linear in their number."""
    clauses = read_clauses(text)
    camera = read_camera(clauses)
    audio, loop = read_audio(text, clauses), read_loop(clauses)
    asks = any(word in v.ASKS for clause in clauses for word in clause.words) or _brings_to_life(clauses)
    subject, environment = read_motions(
        clauses,
        camera.taken,
        lively=bool(camera.moves) or loop or asks,
        going_on=loop or asks or "ambient" in audio,
    )
    if not subject and CameraMove.FOLLOW in camera.moves and _someone_is_followed(clauses):
        subject = ("move",)
    words = sum(len(clause.words) for clause in clauses)
    intensity = read_intensity(clauses)
    moves = bool(camera.moves or camera.taken or subject or environment or asks or audio or loop)
    moves = moves or intensity is not None or _denies_motion(clauses)
    return PromptFeatures(
        camera=camera.moves,
        subject_motion=subject,
        environment_motion=environment,
        intensity=intensity,
        wants_audio=bool(audio),
        wants_loop=loop,
        motion_count=count_motions(camera.moves, subject, environment),
        is_caption=words > 0 and not moves and _is_english(clauses, words),
        words=words,
        chars=len(text.strip()),
        camera_required=camera.required,
        camera_refused=camera.refused,
        audio=audio,
        fabric=names_fabric(clauses, camera=bool(camera.moves)),
        historic=names_old_picture(clauses),
    )


def count_motions(camera: Sequence[CameraMove], subject: Sequence[str], environment: Sequence[str]) -> int:
    """How many motions compete: 0 none, 1 one coherent motion, one more for each that pulls elsewhere.

    Subject, environment and one camera move together are one motion (the four-part prompt that works best).
    A second camera move competes (a hand-held shake goes with any), and one more if it undoes the first; so
    does a second action of the subject that is not a small one (blinking, smiling, swaying hair), and a third
    motion of the environment.
    """
    moves = [move for move in camera if move not in (CameraMove.STATIC, CameraMove.SHAKE)]
    undone = sum(pair <= set(moves) for pair in OPPOSED)
    actions = [verb for verb in subject if verb not in x.MICRO]
    if not (moves or subject or environment):
        return 0
    return 1 + max(0, len(moves) - 1) + undone + max(0, len(actions) - 1) + max(0, len(environment) - 2)


def _someone_is_followed(clauses: Sequence[Clause]) -> bool:
    """What a camera follows moves, whether or not the words say how."""
    return any(x.is_someone(word) and word not in _ANYONE for clause in clauses for word in clause.words)


def _denies_motion(clauses: Sequence[Clause]) -> bool:
    """True of "no motion", "nothing moves": that says what happens, too."""
    return any(
        word in _MOTIONS and negated(clause.words, at) is not None
        for clause in clauses
        for at, word in enumerate(clause.words)
    )


def _brings_to_life(clauses: Sequence[Clause]) -> bool:
    return any("life" in clause.words and {"to", "into"} & set(clause.words) for clause in clauses)


def _is_english(clauses: Sequence[Clause], words: int) -> bool:
    if len({word for clause in clauses for word in clause.words if word in v.FOREIGN}) >= 2:
        return False
    known = v.FUNCTION_WORDS | v.ENGLISH
    if any(word in known for clause in clauses for word in clause.words):
        return True
    return words <= _SHORT and all(word.isascii() for clause in clauses for word in clause.words)
