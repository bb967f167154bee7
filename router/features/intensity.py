"""How strongly things are to move: words of degree, of pace, and words that are strong in themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from models.types import Intensity
from router.features import lexicon as x
from router.features import vocabulary as v
from router.features.clauses import NEGATORS, Clause, negated

_MOTION: Final = frozenset(v.CAMERA_VERBS) | frozenset(x.VERBS) | frozenset(x.MOTION_NOUNS) | x.DEEDS
_ASKED: Final = frozenset(
    {"loop", "parallax", "motion", "movement", "camera", "animation", "action", "gestures"}
)
_DRIVERS: Final = frozenset(
    {
        "wave",
        "waves",
        "current",
        "currents",
        "waterfall",
        "rain",
        "storm",
        "surf",
        "swell",
        "zoomed",
        "battle",
    }
    | {"wind", "winds", "breeze", "gusts", "gust", "snow", "snowfall", "river"}
)
# Adverbs without -ly; every other word of INTENSITIES without it is an adjective.
_ADVERBS: Final = frozenset({"barely", "slowmotion", "fast", "faster", "fullspeed", "almost", "hard"})
_RATES: Final = frozenset(
    {"pace", "speed", "rate", "tempo", "rhythm", "intensity", "strength", "velocity", "motion", "movement"}
)
_RATED: Final = {
    word: level
    for level, words in {
        Intensity.MODERATE: """natural normal regular average medium moderate ordinary everyday standard
            walking even constant measured steady realistic balanced comfortable usual""",
        Intensity.DYNAMIC: "high full top breakneck maximum great blistering",
        Intensity.GENTLE: "slow low leisurely relaxed unhurried minimal",
    }.items()
    for word in words.split()
}
"""What a word means before "pace" or "speed"."""
_PICTURED: Final = frozenset({"photo", "photograph", "photography", "camera"})
_TITLES: Final = frozenset({"motion", "level", "intensity", "movement", "strength"})


def read_intensity(clauses: Sequence[Clause]) -> Intensity | None:
    """The strongest intensity that is said of a motion; None when the words do not say."""
    found: list[Intensity] = []
    for clause in clauses:
        words = clause.words
        moves = any(word in _MOTION or word in _ASKED for word in words)
        only_degree = all(word in v.INTENSITIES or word in v.AMPLIFIERS for word in words)
        if "fullspeed" in words and _PICTURED.isdisjoint(words):
            only_degree = True
        if "neither" in words and "nor" in words and not {"slow", "fast"}.isdisjoint(words):
            found.append(Intensity.MODERATE)
            continue
        for at, word in enumerate(words):
            paced = _paced(words, at)
            if paced is not None:
                found.append(paced)
                continue
            if words == ("steady",):
                continue
            if word in x.VIOLENT and not _is_still(words, at):
                found.append(Intensity.DYNAMIC)
            level = v.INTENSITIES.get(word)
            heading = clause.titled and len(words) <= 3
            if level is None or not (only_degree or heading or _is_of_motion(words, at, moves)):
                continue
            amount = _amount(words, at, level)
            if amount is not None:
                found.append(amount)
    return max(found) if found else None


def _paced(words: tuple[str, ...], at: int) -> Intensity | None:
    """The level of "at a natural pace", "moderate-speed", "medium motion", "motion level: moderate"."""
    level = _RATED.get(words[at])
    if level is None or negated(words, at, reach=3) is not None:
        return None
    following = words[at + 1 : at + 4]
    for step, word in enumerate(following):
        if word in _RATES:
            is_picture = not {"photo", "photograph", "camera"}.isdisjoint(
                words[at + 2 + step : at + 3 + step]
            )
            return None if is_picture else level
        if word not in _RATED and word not in ("amount", "of", "strength") and not word.endswith("ly"):
            break
    titled = at > 0 and words[at - 1] in _TITLES and at == len(words) - 1
    return level if titled else None


def _is_still(words: tuple[str, ...], at: int) -> bool:
    """Strong words that describe: "an explosive photograph"; or that are denied."""
    after = words[at + 1] if at + 1 < len(words) else ""
    return negated(words, at) is not None or after in ("photo", "photograph", "portrait", "colours", "colors")


def _is_of_motion(words: tuple[str, ...], at: int, clause_moves: bool) -> bool:
    """The degree belongs to a motion: "gently sways", "slow push in"; not "soft light", "fast car"."""
    word = words[at]
    following = words[at + 1 : at + 4]
    if word == "steady" and at and words[at - 1] == "rock":
        return False
    if word in ("creep", "inch"):
        return at == 0 or words[at - 1] in v.OPENERS
    if word in ("steady", "still") and following[:1] and following[0] not in _MOTION | _RATES:
        return False
    if word.endswith("ly") or word in _ADVERBS:
        return clause_moves and v.STILL_LIFE.isdisjoint(following[:1]) and following[:1] != ("lit",)
    if not v.STILL_LIFE.isdisjoint(following[:2]):
        return False
    return any(other in _MOTION or other in _DRIVERS or other in _ASKED for other in following)


def _amount(words: tuple[str, ...], at: int, level: Intensity) -> Intensity | None:
    """The level after "very", "not too" and plain negation (None)."""
    before = words[at - 1] if at else ""
    if at >= 2 and words[at - 2] in NEGATORS and before in ("too", "very", "so"):
        return Intensity.MODERATE if level >= Intensity.DYNAMIC else None
    if negated(words, at, reach=3) is not None:
        return None
    if before == "moderately" and level >= Intensity.DYNAMIC:
        return Intensity.MODERATE
    if before in v.AMPLIFIERS:
        return {Intensity.GENTLE: Intensity.SUBTLE, Intensity.DYNAMIC: Intensity.EXTREME}.get(level, level)
    return level
