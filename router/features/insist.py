"""Whether a prompt insists on its camera move ("must", "exactly", "required") or merely wishes it.

A word that insists counts for a move of its own clause, unless somebody else must do something there; a
clause that only insists ("no exceptions", "it is mandatory", "Required:") counts for the move beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.features import lexicon as x
from router.features import vocabulary as v
from router.features.clauses import Clause, negated


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MUST: Final = _words("must needs need shall")
"""Words whose subject must do it; "has to" is read as "must"."""
_INSISTS: Final = _words(
    """exactly required require requires requirement mandatory precisely precise strictly strict essential
    imperative vital crucial non-negotiable nonnegotiable negotiable absolutely definitely compulsory
    obligatory necessary exact ensure certain sure imperatively unconditionally"""
)
_SURE: Final = _words("sure certain")
_OPTIONAL: Final = _words("optional maybe perhaps possibly preferably ideally could optionally")
_POINTS: Final = _words(
    """it that this is a an the move camera must mandatory required requirement no exceptions exception non
    negotiable be without fail please strictly absolutely definitely part here done so motion movement
    important it's hard degrees degree meters metres seconds percent framing frame remain stay in photo
    photograph same picture position very vital essential exactly precisely one only for whole entire
    clip shot as specified i mean"""
)
"""A clause of nothing but these speaks of the move beside it."""


def insists(clauses: Sequence[Clause], number: int, at: int) -> bool:
    """Whether the words insist on the move at word `at` of clause `number`."""
    clause = clauses[number]
    if not _OPTIONAL.isdisjoint(clause.words):
        return False
    if _in_clause(clause.words, at):
        return True
    for other in (number - 1, number + 1):
        if not 0 <= other < len(clauses):
            continue
        beside = clauses[other]
        near = beside.sentence == clause.sentence or beside.titled
        if near and _only_insists(beside.words) and not (other > number and beside.titled):
            return True
    return False


def _in_clause(words: tuple[str, ...], move: int) -> bool:
    if "circumstances" in words or {"no", "account"} <= set(words):
        return True
    for at, word in enumerate(words):
        if negated(words, at, reach=3) is not None and words[max(0, at - 1)] != "no":
            continue
        if word in _MUST and _is_on_the_camera(words, at, move):
            return True
        if word in _INSISTS:
            if word in _SURE and not {"make", "making", "absolutely"} & set(words[max(0, at - 3) : at]):
                continue
            if word == "exact":
                continue
            return True
        if word == "fail" and at and "without" in words[max(0, at - 2) : at]:
            return True
        if word == "only" and _only_this(words, at, move):
            return True
    return False


def _is_on_the_camera(words: tuple[str, ...], at: int, move: int) -> bool:
    """Nobody else stands before "must": "the camera must", "there has to be", "I need"."""
    if words[at] == "need" and at and words[at - 1] not in ("i", "we"):
        return False
    for index in range(at - 1, -1, -1):
        word = words[index]
        if word in v.CAMERA or word in v.CAMERA_VERBS or word in ("it", "there", "i"):
            return True
        if x.is_someone(word) or word in x.NATURE:
            return False
    return at == 0 or move > at or move < at


def _only_this(words: tuple[str, ...], at: int, move: int) -> bool:
    """True of "only a dolly-in is acceptable", "only zoom out counts", "pan right only"."""
    if at == len(words) - 1 and move < at:
        return True
    return at < move <= at + 3 and not {"acceptable", "counts", "allowed", "accepted"}.isdisjoint(words)


def _only_insists(words: tuple[str, ...]) -> bool:
    said = (_INSISTS - _SURE) | _MUST | {"exceptions", "exception", "fail", "negotiable"}
    return not said.isdisjoint(words) and all(
        word in _POINTS or word in said or word.isdigit() for word in words
    )
