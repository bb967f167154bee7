"""What each camera verb means where it stands: its moves, nothing named, or not the camera's at all.

Where the words leave a direction open, the common one is taken: pan, truck and orbit to the right, tilt and
crane up, zoom and dolly in. An orbit is named by where the camera goes; clockwise is as seen from above.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from models.types import CameraMove
from router.features import lexicon as x
from router.features import vocabulary as v
from router.features.clauses import negated

Moves = tuple[CameraMove, ...]

_FRAMES: Final = frozenset({"camera", "shot", "frame", "framing", "view", "viewpoint", "angle"})
_RACK: Final = frozenset({"rack", "racks", "racking", "pull", "pulls", "pulling", "shift", "shifts"})
_STEADY: Final = frozenset(
    {"still", "steady", "on", "position", "static", "stationary", "put", "fixed", "where"}
)
_SUBJECTS_OWN: Final = frozenset(
    {
        "walk",
        "walking",
        "go",
        "going",
        "move",
        "float",
        "floating",
        "advance",
        "advancing",
        "movement",
        "motion",
    }
)
"""Of these a bare form is rather the subject's: "walk towards the lake"."""
_PLAIN: Final = frozenset({"zoom", "pan", "tilt", "dolly", "crane"})
_ORBIT_LEFT: Final = frozenset({v.LEFT, v.CLOCKWISE})


@dataclass(frozen=True, slots=True)
class Spot:
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
        """The verb's form."""
        return self.words[self.at]

    @property
    def before(self) -> str:
        """The word before it, or nothing."""
        return self.words[self.at - 1] if self.at else ""

    @property
    def after(self) -> str:
        """The word after it, or nothing."""
        return self.words[self.at + 1] if self.at + 1 < len(self.words) else ""


def moves_of(spot: Spot) -> Moves | None:
    """Moves of a verb, () for camera motion without a name, None when it is not the camera's."""
    return _RULES.get(spot.verb, _directed)(spot)


def direction_in(words: tuple[str, ...]) -> str | None:
    """Where "from right to left" or "to the left" goes, when a clause says nothing else."""
    sides = [v.DIRECTIONS[word] for word in words if word in v.DIRECTIONS]
    others = [word for word in words if word not in v.DIRECTIONS and word not in v.LEADING]
    return sides[-1] if sides and not others else None


# --- rules -------------------------------------------------------------------------------------------------


def _directed(spot: Spot) -> Moves | None:
    if not (spot.does or spot.bare or _is_plainly_filmed(spot)):
        return None
    if spot.verb in v.THINGS and spot.before in v.DETERMINERS and not _is_move_noun(spot):
        return None
    known = v.DIRECTED[spot.verb]
    direction = _direction(spot, known)
    if direction is not None:
        return (known[direction],)
    named = spot.does or spot.before in v.SPEED or negated(spot.words, spot.at) is not None
    named = named or (spot.after in ("required", "must", "needed") and spot.verb not in v.THINGS)
    if named or (spot.verb == "zoom" and not spot.after):
        return (v.UNDIRECTED[spot.verb],) if spot.verb in v.UNDIRECTED else None
    return None


def _is_plainly_filmed(spot: Spot) -> bool:
    """True of "zoom in", "a pan to the left", "crane down" wherever they stand, unless somebody does it."""
    if spot.verb not in _PLAIN or spot.word.endswith("s") or spot.after in ("of", "on"):
        return False
    if spot.verb == "crane" and spot.after not in v.DIRECTIONS:
        return False
    # "A steak in a pan right off the stove" has a thing where a move would be asked for.
    if spot.before in v.DETERMINERS and spot.at > 1 and spot.words[spot.at - 2] in v.PREPOSITIONS:
        return False
    if any(x.is_someone(word) and word not in ("it", "who", "you", "we") for word in spot.words[: spot.at]):
        return False
    return _direction(spot, v.DIRECTED[spot.verb]) is not None


def _is_move_noun(spot: Spot) -> bool:
    """True of "a truck to the right", "the crane goes up", "a pan shot"; not of "a truck on the road"."""
    if spot.after in v.SHOT or spot.after in v.DIRECTIONS:
        return True
    following = spot.words[spot.at + 1 : spot.at + 4]
    if following[:2] == ("to", "the") and following[2:] and following[2] in v.DIRECTIONS:
        return True
    if following[:2] == ("to", "go"):
        return True
    goes = spot.after in ("goes", "moves", "comes") and following[1:] and following[1] in v.DIRECTIONS
    return bool(goes) and spot.verb == "crane"


def _dolly(spot: Spot) -> Moves | None:
    if spot.after == "zoom":
        return CameraMove.PUSH_IN, CameraMove.ZOOM_OUT
    return _directed(spot)


def _zoom(spot: Spot) -> Moves | None:
    if spot.after in ("tight", "close") and (spot.bare or spot.does):
        return (CameraMove.ZOOM_IN,)
    return () if spot.before == "dolly" else _directed(spot)


def _track(spot: Spot) -> Moves | None:
    if (spot.does or spot.bare) and spot.after in ("alongside", "with", "behind", "shot", "along", "beside"):
        return (CameraMove.FOLLOW,)
    if spot.bare and spot.before in ("lateral", "sideways"):
        return (CameraMove.TRUCK_RIGHT,)
    lateral = _direction(spot, v.DIRECTED["track"])
    if spot.does and lateral is None and spot.after in v.DETERMINERS:
        return (CameraMove.FOLLOW,)
    return _directed(spot)


def _move(spot: Spot) -> Moves | None:  # noqa: PLR0911 - one rule a line
    known = v.DIRECTED["move"]
    if not spot.does:
        # An order ("glide forward", "slide left slowly") says where to at once; a walk is the subject's.
        if spot.bare and spot.before == "lateral":
            direction = _direction(spot, known)
            return (known[direction] if direction else CameraMove.TRUCK_RIGHT,)
        if spot.bare and spot.word.startswith("sweep"):
            direction = _direction(spot, v.DIRECTED["swing"])
            return None if direction is None else (v.DIRECTED["swing"][direction],)
        closer = spot.bare and spot.words[spot.at + 1 : spot.at + 3] in (
            ("in", "close"),
            ("in", "on"),
            ("in", "tight"),
        )
        if closer and spot.word.startswith("mov"):
            return (CameraMove.PUSH_IN,)
        if not spot.bare or spot.word in _SUBJECTS_OWN or spot.word.endswith("s"):
            return None
        if not _heads_somewhere(spot):
            return None
    if "circle" in spot.words[spot.at : spot.at + 4]:
        return (CameraMove.ORBIT_RIGHT,)
    direction = _direction(spot, known)
    if direction is None and {"parallel", "alongside"}.isdisjoint(spot.words[spot.at :]):
        return () if spot.does else None
    return (known[direction] if direction else CameraMove.TRUCK_RIGHT,)


def _heads_somewhere(spot: Spot) -> bool:
    for word in spot.words[spot.at + 1 : spot.at + 6]:
        if word in v.DIRECTIONS:
            return not (
                word in ("in", "up", "down", "through", "over", "across", "into") and spot.word == "move"
            )
        if word not in v.SPEED and word not in v.LEADING and word not in ("laterally", "straight", "past"):
            return False
    return False


def _swing(spot: Spot) -> Moves | None:
    direction = _direction(spot, v.DIRECTED["swing"]) if spot.does else None
    return None if direction is None else (v.DIRECTED["swing"][direction],)


def _look(spot: Spot) -> Moves | None:
    heads = spot.does and spot.after in v.DIRECTIONS
    direction = _direction(spot, v.DIRECTED["look"]) if heads else None
    return None if direction is None else (v.DIRECTED["look"][direction],)


def _approach(spot: Spot) -> Moves | None:
    if spot.word.startswith("punch"):
        return (CameraMove.ZOOM_IN,) if spot.after == "in" and (spot.does or spot.bare) else None
    if not spot.does:
        return None
    near = (
        spot.word.startswith("approach") or spot.word == "nears" or spot.after in ("closer", "nearer", "in")
    )
    return (CameraMove.PUSH_IN,) if near else None


def _chase(spot: Spot) -> Moves | None:
    ordered = spot.bare and not spot.word.endswith("s") and spot.after in v.DETERMINERS | {"after"}
    return (CameraMove.FOLLOW,) if spot.does or ordered or spot.before == "handheld" else None


def _keep(spot: Spot) -> Moves | None:
    words = spot.words[spot.at :]
    if "pace" in words[1:3] and "with" in words[1:5]:
        return (CameraMove.FOLLOW,) if spot.does or spot.bare else None
    if not {"camera", "shot", "frame", "framing"}.isdisjoint(words[1:4]) or spot.does:
        still = not (_STEADY - {"where", "on"}).isdisjoint(words[1:7])
        return (CameraMove.STATIC,) if still else None
    return None


def _shake(spot: Spot) -> Moves | None:
    filmed = spot.after in v.SHAKEN_NEXT and spot.word != "shake"
    alone = spot.word in ("shaky", "jitter", "jittery", "shakiness") and spot.bare and not spot.after
    held = spot.before == "handheld" or "handheld" in spot.words[spot.at + 1 : spot.at + 3]
    return (CameraMove.SHAKE,) if spot.does or filmed or alone or held else None


def _rise(spot: Spot) -> Moves | None:
    upright = spot.bare and not spot.at and spot.after in ("vertically", "straight")
    upright = upright or (spot.bare and "drone" in spot.words[spot.at + 1 : spot.at + 5])
    return (v.CAMERA_ONLY[spot.verb],) if spot.does or upright else None


def _retreat(spot: Spot) -> Moves | None:
    ordered = spot.word in ("widen", "widens") and not spot.at and spot.after in ("from", "out", "to")
    return (CameraMove.PULL_OUT,) if spot.does or ordered else None


def _follow(spot: Spot) -> Moves | None:
    is_order = spot.bare and spot.word != "follows" and spot.after in v.DETERMINERS | x.PEOPLE
    shoulder = spot.before == "shoulder" or (spot.bare and spot.after == "camera")
    ends = spot.word == "follow" and not spot.after and spot.bare and spot.at > 0
    if spot.word == "follow" and "stays" in spot.words:
        return None
    filmed = spot.word == "following" and spot.after in v.CAMERA
    return (CameraMove.FOLLOW,) if spot.does or is_order or shoulder or ends or filmed else None


def _turn_around(spot: Spot) -> Moves | None:
    """Orbit, circle, arc, rotate: around something it is an orbit, around the lens a roll."""
    window = [v.DIRECTIONS.get(word) for word in spot.words[spot.at + 1 : spot.at + 8]]
    turns = (v.LEFT, v.RIGHT, v.CLOCKWISE, v.COUNTERCLOCKWISE)
    side = next((found for found in window if found in turns), None)
    around = v.AROUND in window
    if spot.verb == "rotate":
        whole = not {"360", "degree"}.isdisjoint(spot.words[max(0, spot.at - 3) : spot.at]) and spot.bare
        ordered = spot.bare and around and not spot.at and spot.word in ("revolve", "rotate", "spin")
        if not (spot.does or ordered or (whole and around)):
            return None
        if not around and side in (v.CLOCKWISE, v.COUNTERCLOCKWISE):
            return (CameraMove.ROLL,)
    elif not spot.does:
        objects = v.SHOT | v.DETERMINERS | x.PEOPLE | {"", "must", "at", "in"}
        if spot.verb == "orbit" and spot.word == "orbit" and spot.before in v.SPEED and not spot.after:
            return (CameraMove.ORBIT_RIGHT,)
        alone = spot.verb == "orbit" and (spot.after in objects or spot.before in v.SPEED)
        alone = alone or (spot.word == "circle" and not spot.at and spot.after in v.DETERMINERS)
        turns_off = side is not None and (around or spot.after == "to")
        if not (spot.bare and (alone or turns_off or spot.after in v.DIRECTIONS)):
            return None
    return (CameraMove.ORBIT_LEFT if side in _ORBIT_LEFT else CameraMove.ORBIT_RIGHT,)


def _roll(spot: Spot) -> Moves | None:
    named = spot.before in ("barrel", "dutch") or (spot.bare and spot.before == "camera")
    return (CameraMove.ROLL,) if spot.does or named else None


def _hold(spot: Spot) -> Moves | None:
    following = spot.words[spot.at + 1 : spot.at + 5]
    if spot.does and spot.word in ("stays", "stay") and spot.after == "with":
        return (CameraMove.FOLLOW,)
    steady = not _STEADY.isdisjoint(following)
    ordered = spot.bare and spot.word == "hold" and following[:1] and following[0] in ("still", "steady")
    shot = spot.bare and spot.word == "hold" and "shot" in following[:2]
    if ordered or shot:
        return (CameraMove.STATIC,)
    return (CameraMove.STATIC,) if spot.does and (steady or not spot.after) else None


def _handheld(spot: Spot) -> Moves | None:
    if spot.after in v.HELD_THINGS or spot.before in ("holding", "holds", "his", "her"):
        return None
    return (CameraMove.SHAKE,)


def _static(spot: Spot) -> Moves | None:
    if spot.word == "tripod":
        is_stand = spot.after in v.SHOT or (spot.bare and not spot.does) or (spot.does and not spot.after)
        return (CameraMove.STATIC,) if is_stand else None
    framed = not _FRAMES.isdisjoint(spot.words[spot.at + 1 : spot.at + 3]) and spot.after not in v.DETERMINERS
    if spot.word == "lockedoff" or (framed and spot.before != "old") or spot.after == "hold":
        return (CameraMove.STATIC,)
    if spot.word in ("static", "stationary") and not spot.after and spot.bare:
        return (CameraMove.STATIC,)
    is_frame = spot.does and not _FRAMES.isdisjoint(spot.words[max(0, spot.at - 9) : spot.at])
    return (
        (CameraMove.STATIC,)
        if is_frame
        and (
            not spot.after
            or spot.after in ("and", "at", "for", "in", "throughout", "so", "to", "down")
            or spot.word not in ("still", "locked")
        )
        else None
    )


def _focus(spot: Spot) -> Moves | None:
    """A rack focus is the camera's doing, but none of its moves."""
    racked = spot.before in _RACK or spot.after in _RACK or (spot.does and spot.word.endswith("es"))
    return () if racked else None


def _camera_only(spot: Spot) -> Moves | None:
    return (v.CAMERA_ONLY[spot.verb],) if spot.does else None


def _named(spot: Spot) -> Moves | None:
    return (v.NAMED[spot.verb],)


_RULES: Final[Mapping[str, Callable[[Spot], Moves | None]]] = {
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
    "swing": _swing,
    "look": _look,
    "approach": _approach,
    "chase": _chase,
    "keep": _keep,
    **dict.fromkeys(v.CAMERA_ONLY, _camera_only),
    **dict.fromkeys(v.NAMED, _named),
    "shake": _shake,
    "rise": _rise,
    "fall": _rise,
    "retreat": _retreat,
}


# --- where to ----------------------------------------------------------------------------------------------


def _direction(spot: Spot, known: Mapping[str, CameraMove]) -> str | None:
    """The first direction after the verb that it understands; in "from left to right" the last one."""
    words = spot.words
    came_from = False
    seen = ""
    for index in range(spot.at + 1, min(len(words), spot.at + 7)):
        word, after = words[index], words[index + 1] if index + 1 < len(words) else ""
        if word in v.CAMERA_VERBS and word not in ("go", "goes", "going"):
            break
        if not spot.does and word not in v.DIRECTIONS and not _leads(word):
            break
        came_from = came_from or word == "from"
        direction = v.DIRECTIONS.get(word)
        somewhat = words[index + 2 : index + 3] in (("bit",), ("little",), ("touch",))
        sided = after == "side" and words[index - 1] == "the"
        is_no_direction = (word == "right" and after in v.NOT_A_SIDE and not sided) or (
            word == "in" and after in v.NOT_INWARD and not somewhat
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


def _leads(word: str) -> bool:
    """May stand between a verb and where it goes: "all the way out", "slowly to the left"."""
    return word in v.SPEED or word in v.LEADING
