"""Camera moves in words, told from nouns that look alike.

A word such as "pan" or "push" is a camera move when the camera (or shot, lens, "we") does it, when the
camera is its object, or when it opens its clause with nothing but modifiers before it ("slow push in").
Otherwise somebody else pans for gold, pushes a door or carries a pan.

Where the words leave a direction open, the common one is taken: pan, truck and orbit to the right, tilt and
crane up, zoom and dolly in. An orbit is named by where the camera goes; clockwise is as seen from above.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.types import CameraMove
from router.features import vocabulary as v
from router.features.clauses import Clause, negated

Moves = tuple[CameraMove, ...]
Position = tuple[int, int]
"""Number of the clause and of the word in it."""

_FRAMES: Final = frozenset({"camera", "shot", "frame", "framing", "view", "viewpoint"})
_STILL_BETWEEN: Final = frozenset({"camera", "any", "the", "all", "at", "is", "does", "do", "are", "a"})
_RACK: Final = frozenset({"rack", "racks", "racking", "pull", "pulls", "pulling", "shift", "shifts"})
_STEADY: Final = frozenset({"still", "steady", "on", "position", "static"})
_ORBIT_LEFT: Final = frozenset({v.LEFT, v.CLOCKWISE})


@dataclass(frozen=True, slots=True)
class _Spot:
    """A camera verb in its clause."""

    words: tuple[str, ...]
    at: int
    verb: str
    does: bool
    """The camera does it, for certain."""
    bare: bool
    """It opens the clause, so that the camera may be meant."""

    @property
    def word(self) -> str:
        return self.words[self.at]

    @property
    def before(self) -> str:
        return self.words[self.at - 1] if self.at else ""

    @property
    def after(self) -> str:
        return self.words[self.at + 1] if self.at + 1 < len(self.words) else ""


def read_camera(clauses: Sequence[Clause]) -> tuple[Moves, frozenset[Position]]:
    """Camera moves in the order of the words, without repeats.

    A negated move is left out; "no camera movement" is `STATIC`.

    Returns:
        The moves, and the positions of words that belong to the camera and so to nobody else.
    """
    found: dict[CameraMove, None] = {}
    taken: set[Position] = set()
    other_acts = False
    carried = ""
    for number, clause in enumerate(clauses):
        if not clause.linked:
            other_acts, carried = False, ""
        negation = ""
        for at, word in enumerate(clause.words):
            verb = v.CAMERA_VERBS.get(word)
            if verb is None or _shows_noun(clause.words, at, verb):
                continue
            spot = _Spot(
                clause.words, at, verb, _camera_does(clause.words, at), _opens(clause.words, at, other_acts)
            )
            moves = _RULES.get(verb, _directed)(spot)
            if moves is None:
                continue
            taken.add((number, at))
            if not _is_negated(spot, carried):
                found.update(dict.fromkeys(moves))
                continue
            negation = word
            if _denies_all(spot):
                found[CameraMove.STATIC] = None
        carried = negation
        other_acts = _is_about_another(clause.words) or (other_acts and v.CAMERA.isdisjoint(clause.words))
    return tuple(found), frozenset(taken)


# --- rules: moves of a verb, () for camera motion without a name, None when it is not the camera's ---------


def _directed(spot: _Spot) -> Moves | None:
    if not (spot.does or spot.bare):
        return None
    if spot.verb in v.THINGS and spot.before in v.DETERMINERS and spot.after not in (*v.SHOT, *v.DIRECTIONS):
        return None
    known = v.DIRECTED[spot.verb]
    direction = _direction(spot, known)
    if direction is not None:
        return (known[direction],)
    named = spot.does or spot.before in v.SPEED or negated(spot.words, spot.at) is not None
    if named or (spot.verb == "zoom" and not spot.after):
        return (v.UNDIRECTED[spot.verb],) if spot.verb in v.UNDIRECTED else None
    return None


def _dolly(spot: _Spot) -> Moves | None:
    if spot.after == "zoom":
        return CameraMove.PUSH_IN, CameraMove.ZOOM_OUT
    return _directed(spot)


def _zoom(spot: _Spot) -> Moves | None:
    return () if spot.before == "dolly" else _directed(spot)


def _track(spot: _Spot) -> Moves | None:
    if (spot.does or spot.bare) and spot.after in ("alongside", "with", "behind", "shot", "along", "beside"):
        return (CameraMove.FOLLOW,)
    return _directed(spot)


def _move(spot: _Spot) -> Moves | None:
    if not spot.does:
        return None
    if "circle" in spot.words[spot.at : spot.at + 4]:
        return (CameraMove.ORBIT_RIGHT,)
    direction = _direction(spot, v.DIRECTED["move"])
    return () if direction is None else (v.DIRECTED["move"][direction],)


def _follow(spot: _Spot) -> Moves | None:
    is_order = spot.bare and spot.word != "follows" and spot.after in v.DETERMINERS | v.PEOPLE
    return (CameraMove.FOLLOW,) if spot.does or is_order else None


def _turn_around(spot: _Spot) -> Moves | None:
    """Orbit, circle, arc, rotate: around something it is an orbit, around the lens a roll."""
    window = [v.DIRECTIONS.get(word) for word in spot.words[spot.at + 1 : spot.at + 8]]
    turns = (v.LEFT, v.RIGHT, v.CLOCKWISE, v.COUNTERCLOCKWISE)
    side = next((found for found in window if found in turns), None)
    around = v.AROUND in window
    if spot.verb == "rotate":
        if not spot.does:
            return None
        if not around and side in (v.CLOCKWISE, v.COUNTERCLOCKWISE):
            return (CameraMove.ROLL,)
    elif not spot.does:
        objects = v.SHOT | v.DETERMINERS | v.PEOPLE | {""}
        alone = spot.verb == "orbit" and (spot.after in objects or spot.before in v.SPEED)
        if not (spot.bare and (alone or spot.after in v.DIRECTIONS)):
            return None
    return (CameraMove.ORBIT_LEFT if side in _ORBIT_LEFT else CameraMove.ORBIT_RIGHT,)


def _roll(spot: _Spot) -> Moves | None:
    return (CameraMove.ROLL,) if spot.does or spot.before in ("barrel", "dutch") else None


def _hold(spot: _Spot) -> Moves | None:
    steady = not _STEADY.isdisjoint(spot.words[spot.at + 1 : spot.at + 4])
    return (CameraMove.STATIC,) if spot.does and (steady or not spot.after) else None


def _handheld(spot: _Spot) -> Moves | None:
    return (CameraMove.SHAKE,) if spot.does or not spot.after or spot.after in v.HANDHELD_NEXT else None


def _static(spot: _Spot) -> Moves | None:
    if spot.word == "tripod":
        is_stand = spot.after in v.SHOT or (spot.bare and not spot.does)
        return (CameraMove.STATIC,) if is_stand else None
    if spot.word == "lockedoff" or spot.after in _FRAMES or spot.after == "hold":
        return (CameraMove.STATIC,)
    is_frame = spot.does and not _FRAMES.isdisjoint(spot.words[max(0, spot.at - 9) : spot.at])
    return (
        (CameraMove.STATIC,)
        if is_frame and (not spot.after or spot.word not in ("still", "locked"))
        else None
    )


def _focus(spot: _Spot) -> Moves | None:
    """A rack focus is the camera's doing, but none of its moves."""
    racked = spot.before in _RACK or spot.after in _RACK or (spot.does and spot.word.endswith("es"))
    return () if racked else None


def _camera_only(spot: _Spot) -> Moves | None:
    return (v.CAMERA_ONLY[spot.verb],) if spot.does else None


def _named(spot: _Spot) -> Moves | None:
    return (v.NAMED[spot.verb],)


_RULES: Final[Mapping[str, Callable[[_Spot], Moves | None]]] = {
    "dolly": _dolly,
    "zoom": _zoom,
    "track": _track,
    "move": _move,
    "follow": _follow,
    "orbit": _turn_around,
    "circle": _turn_around,
    "rotate": _turn_around,
    "roll": _roll,
    "hold": _hold,
    "handheld": _handheld,
    "static": _static,
    "focus": _focus,
    **dict.fromkeys(v.CAMERA_ONLY, _camera_only),
    **dict.fromkeys(v.NAMED, _named),
}


# --- who acts, where to ------------------------------------------------------------------------------------


def _camera_does(words: tuple[str, ...], at: int) -> bool:
    """The camera is the subject shortly before the verb, or its object or noun right after it."""
    for index in range(at - 1, max(-1, at - 9), -1):
        if words[index] in v.PEOPLE:
            break
        if words[index] in v.CAMERA:
            # "a shot of a woman rolling dough": what follows "of" is in the shot, not done by it.
            return "of" not in words[index + 1 : at]
    after = words[at + 1 : at + 4]
    if after and after[0] in v.SHOT:
        return True
    return "camera" in after and "of" not in after and after[0] != "to"


def _shows_noun(words: tuple[str, ...], at: int, verb: str) -> bool:
    return at + 1 < len(words) and words[at + 1] in v.NEVER_BEFORE.get(verb, frozenset())


def _opens(words: tuple[str, ...], at: int, other_acts: bool) -> bool:
    """Only modifiers and other moves stand before the verb, and no other subject is carried over by "and"."""
    word = words[at]
    if other_acts and word.endswith(("s", "ing")):
        return False
    if at == 0 and word.endswith("s") and v.CAMERA_VERBS[word] in v.THINGS:
        # "pans left" may open a clause about the camera, "trucks on a road" may not.
        return len(words) > 1 and words[1] in v.DIRECTIONS
    return all(
        other in v.OPENERS or other in v.CAMERA_VERBS or other in v.DIRECTIONS or negated((other, ""), 1) == 0
        for other in words[max(0, at - 12) : at]
    )


def _is_about_another(words: tuple[str, ...]) -> bool:
    """The clause begins with somebody or something that is not the camera."""
    known = (v.OPENERS, v.CAMERA_VERBS, v.DIRECTIONS)
    return v.CAMERA.isdisjoint(words) and any(all(word not in part for part in known) for word in words[:4])


def _direction(spot: _Spot, known: Mapping[str, CameraMove]) -> str | None:
    """The first direction after the verb that it understands; in "from left to right" the last one."""
    words = spot.words
    came_from = False
    seen = ""
    for index in range(spot.at + 1, min(len(words), spot.at + (7 if spot.does else 3))):
        word, after = words[index], words[index + 1] if index + 1 < len(words) else ""
        if word in v.CAMERA_VERBS:
            break
        came_from = came_from or word == "from"
        direction = v.DIRECTIONS.get(word)
        is_no_direction = (word == "right" and after in v.NOT_A_SIDE) or (
            word == "in" and after in v.NOT_INWARD
        )
        if direction is None or direction not in known or is_no_direction:
            continue
        if not came_from:
            return direction
        if seen:
            return direction
        seen = direction
    if seen:
        return {v.LEFT: v.RIGHT, v.RIGHT: v.LEFT}.get(seen, seen)
    before = v.DIRECTIONS.get(spot.before)
    is_noun = spot.word in ("movement", "motion", "move", "pan", "tilt", "dolly", "zoom")
    return before if is_noun and before in known else None


def _is_negated(spot: _Spot, carried: str) -> bool:
    """Negated here, or by "and" from an equal form before ("without zooming and panning")."""
    if negated(spot.words, spot.at) is not None:
        return True
    return bool(carried) and spot.at == 0 and spot.word.endswith("ing") == carried.endswith("ing")


def _denies_all(spot: _Spot) -> bool:
    """True for "no camera movement" and "the camera does not move", not for "no sudden camera movement"."""
    start = negated(spot.words, spot.at)
    if spot.verb != "move" or start is None:
        return False
    return _STILL_BETWEEN.issuperset(spot.words[start + 1 : spot.at])
