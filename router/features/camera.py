"""Camera moves in words, told from nouns that look alike.

A word such as "pan" or "push" is a camera move when the camera (or shot, lens, "we") does it, when the
camera is its object, or when it opens its clause with nothing but modifiers before it ("slow push in").
Otherwise somebody else pans for gold, pushes a door or carries a pan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from models.types import CameraMove
from router.features import lexicon as x
from router.features import vocabulary as v
from router.features.clauses import NEGATORS, Clause, negated, refused_after
from router.features.insist import insists
from router.features.moves import Moves, Spot, direction_in, moves_of

Position = tuple[int, int]
"""Number of the clause and of the word in it."""

_STILL_BETWEEN: Final = frozenset(
    {
        "camera",
        "any",
        "the",
        "all",
        "at",
        "is",
        "does",
        "do",
        "are",
        "a",
        "absolutely",
        "must",
        "may",
        "should",
    }
    | {"frame", "shot", "whatsoever", "circumstances", "account"}
)
_LONGEST_LIST: Final = 6
"""Clauses of one list of denials."""


@dataclass(frozen=True, slots=True)
class Camera:
    """What the words ask of the camera, in the order of the words, without repeats."""

    moves: Moves
    required: Moves
    """Those that the words insist on."""
    refused: Moves
    """Those that the words rule out."""
    taken: frozenset[Position]
    """Words that belong to the camera and so to nobody else."""


def read_camera(clauses: Sequence[Clause]) -> Camera:
    """Read the camera's part; "no camera movement" is `STATIC`."""
    found: dict[CameraMove, bool] = {}
    refused: dict[CameraMove, None] = {}
    taken: set[Position] = set()
    listed = _listed_after_no(clauses)
    other_acts = False
    carried = heading = ""
    for number, clause in enumerate(clauses):
        if not clause.linked:
            other_acts, carried = False, ""
        negation = ""
        for at, word in enumerate(clause.words):
            verb = v.CAMERA_VERBS.get(word) or _unlisted(clause.words, at)
            if verb is None or _shows_noun(clause.words, at, verb):
                continue
            spot = _spot(clause.words, at, verb, other_acts=other_acts)
            denied = number in listed or _is_negated(spot, carried)
            moves = moves_of(spot)
            if moves is None and not (denied and verb in v.SHEER):
                continue
            taken.add((number, at))
            if denied:
                negation = word
                if _denies_all(spot):
                    found.setdefault(CameraMove.STATIC, insists(clauses, number, at))
                else:
                    refused.update(dict.fromkeys(_refused(spot, moves or ())))
                continue
            for move in _headed(moves or (), spot, heading):
                found[move] = found.get(move, False) or insists(clauses, number, at)
        carried = negation
        heading = direction_in(clause.words) or ""
        other_acts = _is_about_another(clause.words) or (other_acts and v.CAMERA.isdisjoint(clause.words))
    for move in found:
        refused.pop(move, None)
    required = tuple(move for move, insisted in found.items() if insisted)
    return Camera(tuple(found), required, tuple(refused), frozenset(taken))


def _unlisted(words: tuple[str, ...], at: int) -> str | None:
    """Whatever the camera does towards somewhere is a move: "the camera lunges forward"."""
    word = words[at]
    if not at or at + 1 >= len(words) or not word.endswith("s") or word in v.DIRECTIONS or word in x.STATES:
        return None
    subject = words[at - 1] if not words[at - 1].endswith("ly") else words[max(0, at - 2)]
    goes = words[at + 1] in v.DIRECTIONS and words[at + 1] not in ("through", "over", "in", "across", "right")
    return "move" if subject in ("camera", "drone", "lens") and goes else None


def _spot(words: tuple[str, ...], at: int, verb: str, *, other_acts: bool) -> Spot:
    return Spot(words, at, verb, _camera_does(words, at), _opens(words, at, other_acts))


def _headed(moves: Moves, spot: Spot, heading: str) -> Moves:
    """Turn a pan that names no side where the clause before pointed ("from right to left, the shot pans")."""
    known = v.DIRECTED.get(spot.verb, {})
    said = any(word in v.DIRECTIONS and v.DIRECTIONS[word] in known for word in spot.words[spot.at + 1 :])
    if (
        len(moves) == 1
        and heading in known
        and (not said or spot.verb == "pan")
        and moves[0] in known.values()
    ):
        return (known[heading],)
    return moves


def _refused(spot: Spot, moves: Moves) -> Moves:
    named = (spot.after in v.DIRECTIONS or spot.before in ("lateral", "sideways")) and bool(moves)
    return moves if named else v.REFUSED.get(spot.verb, moves)


def _listed_after_no(clauses: Sequence[Clause]) -> frozenset[int]:
    """Clauses that go on with a list of denials: "no pan, tilt or zoom"."""
    found: set[int] = set()
    for number, clause in enumerate(clauses):
        if "or" not in clause.words or not _is_short_list(clause.words):
            continue
        back = number - 1
        middle: list[int] = []
        while (
            back >= max(0, number - _LONGEST_LIST)
            and clauses[back].sentence == clause.sentence
            and _is_short_list(clauses[back].words)
        ):
            if clauses[back].words[0] in NEGATORS:
                found |= {number, *middle}
                break
            middle.append(back)
            back -= 1
    return frozenset(found)


def _is_short_list(words: tuple[str, ...]) -> bool:
    fillers = v.OPENERS | NEGATORS | {"or", "kind", "sort"}
    return len(words) <= 6 and all(
        word in v.CAMERA_VERBS or word in fillers or word in v.DIRECTIONS for word in words
    )


# --- who acts ----------------------------------------------------------------------------------------------


def _camera_does(words: tuple[str, ...], at: int) -> bool:
    """The camera is the subject shortly before the verb, or its object or noun right after it."""
    for index in range(at - 1, max(-1, at - 9), -1):
        if words[index] in x.PEOPLE and words[index] not in _CAMERA_TOO:
            break
        if words[index] == "we" and index + 1 < at and words[index + 1] in ("need", "want", "must", "should"):
            break
        if words[index] in v.CAMERA:
            # "a shot of a woman rolling dough": what follows "of" is in the shot, not done by it.
            return "of" not in words[index + 1 : at]
    after = words[at + 1 : at + 4]
    if after and after[0] in v.SHOT:
        return True
    filmed = "camera" in after or after[:2] == ("the", "frame")
    return filmed and after[0] != "to" and ("of" not in after or after[:3] == ("of", "the", "camera"))


_CAMERA_TOO: Final = frozenset({"subject", "it", "its", "crane", "truck", "who"})
"""Words of people that stand in talk of the camera as well: "it zooms out"."""


def _shows_noun(words: tuple[str, ...], at: int, verb: str) -> bool:
    if at and words[at - 1] in ("dutch", "barrel", "camera"):
        return False
    return at + 1 < len(words) and words[at + 1] in v.NEVER_BEFORE.get(verb, frozenset())


def _opens(words: tuple[str, ...], at: int, other_acts: bool) -> bool:
    """Only modifiers and other moves stand before the verb, and no other subject is carried over by "and"."""
    word = words[at]
    if other_acts and word.endswith(("s", "ing")):
        return False
    if at == 0 and word.endswith("s") and v.CAMERA_VERBS[word] in v.THINGS:
        # "pans left" may open a clause about the camera, "trucks on a road" may not.
        return len(words) > 1 and words[1] in v.DIRECTIONS
    return all(_may_precede(other) for other in words[max(0, at - 12) : at])


def _may_precede(word: str) -> bool:
    known = word in v.OPENERS or word in v.CAMERA_VERBS or word in v.DIRECTIONS or word in v.INTENSITIES
    return known or word in NEGATORS or word.isdigit()


def _is_about_another(words: tuple[str, ...]) -> bool:
    """The clause begins with somebody or something that is not the camera."""
    return v.CAMERA.isdisjoint(words) and any(not _may_precede(word) for word in words[:4])


def _is_negated(spot: Spot, carried: str) -> bool:
    """Negated here, or by "and" from an equal form before ("without zooming and panning")."""
    if negated(spot.words, spot.at) is not None or refused_after(spot.words, spot.at):
        return True
    return bool(carried) and spot.at == 0 and spot.word.endswith("ing") == carried.endswith("ing")


def _denies_all(spot: Spot) -> bool:
    """True for "no camera movement" and "the camera does not move", not for "no sudden camera movement"."""
    start = negated(spot.words, spot.at)
    if spot.verb != "move" or start is None or spot.word not in _MOVING:
        return False
    return _STILL_BETWEEN.issuperset(spot.words[start + 1 : spot.at])


_MOVING: Final = frozenset({"move", "moves", "moving", "movement", "movements", "motion"})
