"""Whether a clip is wished that ends where it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.features.clauses import Clause, negated


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOOP: Final = _words("loop loops looping looped loopable cinemagraph cinemagraphs boomerang")
_CYCLIC: Final = _words("cyclic cyclical cyclically")
_THINGS_BEFORE: Final = _words("belt fruit roller earring wire rope hoop a-rope the-rope")
_NOT_AFTER: Final = _words(
    "road roads path trail river earring earrings scarf around through pedal over between past under"
)
_OF_THINGS: Final = _words(
    "rope wire thread string ribbon yarn cable leather hair road track chain fabric tape light"
)
_ENDLESS: Final = _words(
    """endless endlessly forever seamless seamlessly infinite infinitely perfectly continuously
    indefinitely eternally"""
)
_REPEAT: Final = _words("repeat repeats repeating replay replays repeated")
_ENDS: Final = _words("end ends last final ending")
_STARTS: Final = _words("first start starts begins starting beginning began opening initial")
_SAME: Final = _words("same identical match matches matching equal equals where return returns")
_SETTINGS: Final = _words("frame frames pose position state image point picture")


def read_loop(clauses: Sequence[Clause]) -> bool:
    """True for a wish to loop: the word itself, "ends where it begins", "plays on repeat"."""
    return any(_named(clause.words) or _repeats(clause.words) for clause in clauses) or _meets(clauses)


def _named(words: tuple[str, ...]) -> bool:
    for at, word in enumerate(words):
        before = words[at - 1] if at else ""
        after = words[at + 1 : at + 6]
        if word in _CYCLIC or (word == "gif" and not _ENDLESS.isdisjoint(words)):
            return True
        if word not in _LOOP or negated(words, at) is not None:
            continue
        if before in _THINGS_BEFORE or (after[:1] and after[0] in _NOT_AFTER):
            continue
        if after[:1] == ("of",) and not _OF_THINGS.isdisjoint(after[1:]) and _ENDLESS.isdisjoint(words):
            continue
        # "does a loop", "through the loop": a figure that is flown or a thing.
        lead = words[max(0, at - 3) : at]
        if not {"does", "do", "through", "flies", "performs", "fly"}.isdisjoint(lead):
            continue
        return True
    return False


def _repeats(words: tuple[str, ...]) -> bool:
    for at, word in enumerate(words):
        if word not in _REPEAT or negated(words, at) is not None:
            continue
        before = words[at - 1] if at else ""
        if before == "on" or not _ENDLESS.isdisjoint(words):
            return True
    return False


def _meets(clauses: Sequence[Clause]) -> bool:
    """The end is said to be the start: "last frame same as the first", "ends where it begins"."""
    sentences: dict[int, set[str]] = {}
    for clause in clauses:
        if not any(negated((word, ""), 1) == 0 for word in clause.words):
            sentences.setdefault(clause.sentence, set()).update(clause.words)
    for words in sentences.values():
        ends, starts = not _ENDS.isdisjoint(words), not _STARTS.isdisjoint(words)
        same, frames = not _SAME.isdisjoint(words), not _SETTINGS.isdisjoint(words)
        if (
            same
            and starts
            and (ends or not {"return", "returns"}.isdisjoint(words))
            and (frames or "where" in words)
        ):
            return True
    return False
