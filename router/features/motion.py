"""Who or what moves in a prompt besides the camera, and how strongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from models.types import Intensity
from router.features import vocabulary as v
from router.features.clauses import NEGATORS, Clause, negated

_NATURE: Final = v.ENVIRONMENT_NOUNS | v.WEARABLE
_MOTION: Final = (
    frozenset(v.CAMERA_VERBS)
    | frozenset(v.SUBJECT_VERBS)
    | frozenset(v.ENVIRONMENT_VERBS)
    | frozenset(v.MOTION_NOUNS)
)
_DRIVERS: Final = frozenset(
    {"wave", "waves", "current", "waterfall", "rain", "storm", "surf", "swell", "zoomed"}
)
# Adverbs without -ly; every other word of INTENSITIES without it is an adjective.
_ADVERBS: Final = frozenset({"barely", "slowmotion", "fast", "faster"})


def read_motions(
    clauses: Sequence[Clause], taken: frozenset[tuple[int, int]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Motions of the subject and of the environment, each verb once, in the order of the words.

    Args:
        clauses: the prompt.
        taken: positions (clause, word) that belong to the camera.
    """
    subject: dict[str, None] = {}
    environment: dict[str, None] = {}
    for number, clause in enumerate(clauses):
        words = clause.words
        for at, word in enumerate(words):
            if (number, at) in taken or negated(words, at) is not None:
                continue
            actor = _actor(words, at)
            nature = v.ENVIRONMENT_VERBS.get(word)
            person = v.SUBJECT_VERBS.get(word)
            acts = actor in _NATURE or (person is None and nature not in v.NEEDS_NATURE)
            if nature is not None and acts and _is_natural_motion(words, at, actor):
                (subject if actor in v.WEARABLE else environment)[nature] = None
            elif word in v.MOTION_NOUNS and v.WIND_THINGS.isdisjoint(words[at + 1 : at + 2]):
                of_subject = actor in v.WEARABLE and word not in v.WINDS
                (subject if of_subject else environment)[v.MOTION_NOUNS[word]] = None
            elif (
                person is not None
                and actor not in v.ENVIRONMENT_NOUNS
                and _is_action(words, at, person, after_other=bool(subject))
            ):
                subject[person] = None
    return tuple(subject), tuple(environment)


def read_intensity(clauses: Sequence[Clause]) -> Intensity | None:
    """The strongest intensity that is said of a motion; None when the words do not say."""
    found: list[Intensity] = []
    for clause in clauses:
        words = clause.words
        moves = any(word in _MOTION or word in ("motion", "movement") for word in words)
        only_degree = all(word in v.INTENSITIES or word in v.AMPLIFIERS for word in words)
        for at, word in enumerate(words):
            level = v.INTENSITIES.get(word)
            if level is None or not (only_degree or _is_of_motion(words, at, moves)):
                continue
            amount = _amount(words, at, level)
            if amount is not None:
                found.append(amount)
    return max(found) if found else None


def _actor(words: tuple[str, ...], at: int) -> str:
    """The nearest known actor before the verb, else the noun right after it ("rippling water")."""
    for index in range(at - 1, max(-1, at - 9), -1):
        if words[index] in _NATURE or words[index] in v.PEOPLE:
            return words[index]
    following = words[at + 1] if at + 1 < len(words) else ""
    return following if following in _NATURE else ""


def _is_natural_motion(words: tuple[str, ...], at: int, actor: str) -> bool:
    word = words[at]
    before = words[at - 1] if at else ""
    if word.endswith("ing"):
        # "a flowing dress" describes; "flowing water" and "the falling snow" move.
        return before not in v.DETERMINERS or before == "the"
    if word in v.MOTION_NOUNS:
        return True
    if word.endswith("s"):
        return before not in v.DETERMINERS
    # A base form needs its actor before it: "petals fall", not "fall colours".
    return before not in v.DETERMINERS and not _NATURE.isdisjoint(words[max(0, at - 8) : at])


def _is_action(words: tuple[str, ...], at: int, verb: str, *, after_other: bool) -> bool:
    """Tell an action from a noun ("a walk"), an adjective ("a smiling woman") and a pose ("sitting")."""
    word = words[at]
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    said_how = before.endswith("ly")
    if word.endswith("ing"):
        describes = before in v.DETERMINERS and bool(after)
        begins = before in ("starts", "begins", "start", "begin")
        return not describes and (verb not in v.POSED or said_how or begins)
    if word.endswith("s") and not word.endswith("ss"):
        if word in ("waves", "steps", "flies"):
            return before in v.PEOPLE or said_how or (not at and after_other)
        return after_other if not at else before not in v.DETERMINERS | v.PREPOSITIONS
    opens = all(
        other in v.SPEED or other in ("let", "make", "please") for other in words[max(0, at - 8) : at]
    )
    if opens:
        return not after or after in v.MOVES_ALONG or said_how
    plural = len(before) > 4 and before.endswith("s") and not before.endswith("ss")
    return plural or before in v.PEOPLE or before in ("to", "will", "should", "must") or said_how


def _is_of_motion(words: tuple[str, ...], at: int, clause_moves: bool) -> bool:
    """The degree belongs to a motion: "gently sways", "slow push in"; not "soft light", "fast car"."""
    word = words[at]
    following = words[at + 1 : at + 3]
    if word.endswith("ly") or word in _ADVERBS:
        return clause_moves and v.STILL_LIFE.isdisjoint(following[:1]) and following[:1] != ("lit",)
    if not v.STILL_LIFE.isdisjoint(following):
        return False
    return any(
        other in _MOTION or other in _DRIVERS or other in ("motion", "movement", "camera")
        for other in following
    )


def _amount(words: tuple[str, ...], at: int, level: Intensity) -> Intensity | None:
    """The level after "very", "not too" and plain negation (None)."""
    before = words[at - 1] if at else ""
    if at >= 2 and words[at - 2] in NEGATORS and before in ("too", "very", "so"):
        return Intensity.MODERATE if level >= Intensity.DYNAMIC else None
    if negated(words, at, reach=3) is not None:
        return None
    if before in v.AMPLIFIERS:
        return {Intensity.GENTLE: Intensity.SUBTLE, Intensity.DYNAMIC: Intensity.EXTREME}.get(level, level)
    return level
