"""Cuts a prompt into clauses of plain lower-case words, in one pass over the text.

Every later reading looks at a few words around a word, so the whole of prompt reading is linear in the
length of the text; no pattern here can backtrack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?|[.,;!?()\n]")
_STOPS: Final = frozenset(",.;!?\n()")
_BREAKS: Final = frozenset({"while", "as", "but", "when", "until", "before", "after", "whilst"})
_LINKS: Final = frozenset({"and", "then", "plus", "also"})
NEGATORS: Final = frozenset(
    {"no", "not", "without", "never", "avoid", "zero", "nor", "neither", "minus", "don't", "doesn't", "isn't"}
    | {"won't", "aren't", "can't", "cannot", "nothing", "stop", "excluding"}
)
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
}


@dataclass(frozen=True, slots=True)
class Clause:
    """Words between two breaks."""

    words: tuple[str, ...]
    linked: bool
    """Joined to the clause before it by "and" or "then", so that it may share its subject and negation."""


def read_clauses(text: str) -> tuple[Clause, ...]:
    """Clauses in order; empty for a text without words."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(text.lower()):
        word = match.group().replace("\u2019", "'")
        tokens.extend(_SPELLING.get(word, word).split(" "))
    clauses: list[Clause] = []
    words: list[str] = []
    linked = False

    def close(next_linked: bool) -> None:
        nonlocal words, linked
        if words:
            clauses.append(Clause(tuple(words), linked))
            linked = next_linked
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
        if token in _STOPS or token in _BREAKS:
            close(False)
        elif token in _LINKS:
            close(True)
        else:
            words.append(token)
    close(False)
    return tuple(clauses)


def negated(words: tuple[str, ...], at: int, *, reach: int = 5) -> int | None:
    """Position of a negating word at most `reach` words before `at`, or None."""
    for index in range(at - 1, max(-1, at - 1 - reach), -1):
        if words[index] in NEGATORS:
            return index
    return None
