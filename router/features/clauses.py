"""Cuts a prompt into clauses of plain lower-case words, in one pass over the text.

Every later reading looks at a few words around a word, so the whole of prompt reading is linear in the
length of the text; no pattern here can backtrack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?|[.,:;!?()\n]")
_STOPS: Final = frozenset(",:;()")
_ENDS: Final = frozenset(".!?\n")
_BREAKS: Final = frozenset({"while", "as", "but", "when", "until", "before", "after", "whilst", "because"})
_TITLES: Final = frozenset({"camera", "move", "movement", "shot", "motion", "level"})
"""Before a colon these name what the words after it are about ("Camera: fixed"); no break then."""
_TELLS: Final = frozenset({"while", "as", "when", "until", "whilst"})
_LINKS: Final = frozenset({"and", "then", "plus", "also"})
_LONGEST: Final = 40
"""Words of a clause; a longer run is cut there, so that what a clause costs to read has a bound."""
NEGATORS: Final = frozenset(
    {"no", "not", "without", "never", "avoid", "zero", "nor", "neither", "minus", "don't", "doesn't", "isn't"}
    | {"won't", "aren't", "can't", "cannot", "nothing", "stop", "excluding", "mustn't", "shouldn't", "skip"}
    | {"omit", "remove", "avoiding", "forbid", "exclude", "wouldn't", "needn't", "nobody"}
)
_REFUSALS: Final = frozenset(
    {
        "forbidden",
        "unwanted",
        "banned",
        "prohibited",
        "undesired",
        "avoided",
        "excluded",
        "free",
        "disallowed",
    }
)
"""After a word these deny it: "zooming is forbidden", "zoom-free"."""
_JOINED: Final = {
    ("hand", "held"): "handheld",
    ("counter", "clockwise"): "counterclockwise",
    ("anti", "clockwise"): "counterclockwise",
    ("ken", "burns"): "kenburns",
    ("locked", "off"): "lockedoff",
    ("locked", "down"): "lockedoff",
    ("fly", "through"): "flythrough",
    ("fly", "over"): "flyover",
    ("bullet", "time"): "bullettime",
    ("lip", "sync"): "lipsync",
    ("lip", "synced"): "lipsync",
    ("voice", "over"): "voiceover",
    ("sound", "track"): "soundtrack",
    ("slow", "motion"): "slowmotion",
    ("slow", "mo"): "slowmotion",
    ("time", "lapse"): "timelapse",
    ("not", "only"): "also",
    ("full", "speed"): "fullspeed",
    ("top", "speed"): "fullspeed",
    ("high", "speed"): "fullspeed",
    ("full", "throttle"): "fullspeed",
    ("breakneck", "speed"): "fullspeed",
    ("lightning", "speed"): "fullspeed",
    ("high", "energy"): "energetic",
    ("stay", "put"): "stay still",
    ("stays", "put"): "stays still",
    ("never", "ending"): "endless",
    ("has", "to"): "must",
    ("have", "to"): "must",
    ("needs", "to"): "must",
    ("need", "to"): "must",
    ("got", "to"): "must",
    ("rather", "than"): "without",
    ("instead", "of"): "without",
    ("free", "of"): "without",
}
_SPELLING: Final = {
    "anticlockwise": "counterclockwise",
    "anti-clockwise": "counterclockwise",
    "dont": "don't",
    "doesnt": "doesn't",
    "cam": "camera",
    "cameras": "camera",
    "shots": "shot",
    "slowmo": "slowmotion",
    "pullback": "pull back",
    "lipsynced": "lipsync",
    "loopable": "looping",
    "steadicam": "steadicam camera",
    "camcorder": "camcorder camera",
    "highspeed": "fullspeed",
    "mustnt": "mustn't",
    "cannot": "can't",
}


@dataclass(frozen=True, slots=True)
class Clause:
    """Words between two breaks."""

    words: tuple[str, ...]
    linked: bool
    """Joined to the clause before it by "and" or "then", so that it may share its subject and negation."""
    sentence: int = 0
    """Number of its sentence."""
    titled: bool = False
    """It ends with a colon, so that it speaks of what follows."""
    told: bool = False
    """It follows "as" or "while", so that somebody does something in it."""


def read_clauses(text: str) -> tuple[Clause, ...]:
    """Clauses in order; empty for a text without words."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(text.lower()):
        word = match.group().replace("\u2019", "'")
        tokens.extend(_SPELLING.get(word, word).split(" "))
    clauses: list[Clause] = []
    words: list[str] = []
    linked = told = False
    sentence = 0

    def close(next_linked: bool, *, titled: bool = False) -> None:
        nonlocal words, linked, told
        if words:
            clauses.append(Clause(tuple(words), linked, sentence, titled, told))
            linked, told = next_linked, False
        else:
            linked = linked and next_linked
        words = []

    index = 0
    while index < len(tokens):
        token = tokens[index]
        pair = _JOINED.get((token, tokens[index + 1])) if index + 1 < len(tokens) else None
        if pair is not None:
            index += 1
            token = pair
        index += 1
        if token == ":":  # noqa: S105 - punctuation, no password
            if _TITLES.isdisjoint(words[-1:]):
                close(False, titled=True)
        elif token in _ENDS:
            close(False)
            sentence += 1
        elif token in _STOPS or token in _BREAKS:
            close(False)
            told = token in _TELLS
        elif token in _LINKS:
            close(True)
        else:
            words.extend(token.split(" "))
            if len(words) >= _LONGEST:
                close(False)
    close(False)
    return tuple(clauses)


def negated(words: tuple[str, ...], at: int, *, reach: int = 5) -> int | None:
    """Position of a negating word at most `reach` words before `at`, or None."""
    for index in range(at - 1, max(-1, at - 1 - reach), -1):
        if words[index] in NEGATORS:
            return index
    return None


def refused_after(words: tuple[str, ...], at: int) -> bool:
    """Whether the words right after `at` deny it: "zooming is forbidden", "zoom-free"."""
    following = words[at + 1 : at + 5]
    if following[:1] == ("free",):
        return True
    linked = bool(following) and following[0] in _LINKING
    return linked and not (_REFUSALS | _UNWANTED_AFTER_NOT).isdisjoint(following) and _denies(following)


_LINKING: Final = frozenset({"is", "are", "must", "should", "being"})
_UNWANTED_AFTER_NOT: Final = frozenset(
    {"wanted", "allowed", "needed", "desired", "acceptable", "welcome", "required"}
)


def _denies(following: tuple[str, ...]) -> bool:
    return not _REFUSALS.isdisjoint(following) or "not" in following or "isn't" in following
