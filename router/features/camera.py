"""Camera moves in words: the vocabulary of film sets, told from nouns that look alike.

A word such as "pan" or "push" is a camera move when the camera (or shot, lens, "we") does it, when the
camera is its object, or when it opens its clause with nothing but modifiers before it ("slow push in").
Otherwise somebody else pans for gold, pushes a door or carries a pan.

Where the words leave a direction open, the common one is taken: pan, truck and orbit to the right, tilt and
crane up, zoom and dolly in. An orbit is named by where the camera goes; clockwise is as seen from above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from models.types import CameraMove
from router.features.clauses import NEGATORS, Clause, negated

_CAMERA: Final = frozenset(
    {"camera", "lens", "shot", "view", "viewpoint", "perspective", "frame", "framing", "footage", "pov", "we"}
)
_SHOT: Final = frozenset(
    {"shot", "movement", "motion", "move", "effect", "camera", "view", "footage", "hold"}
)
_SPEED: Final = frozenset(
    """slow slowly slight slightly gentle gently smooth smoothly subtle subtly steady steadily quick quickly fast
    rapid rapidly dramatic dramatically cinematic soft softly gradual gradually very extremely lazy sweeping
    whip crash continuous long short full half simple constant""".split()  # fmt: skip
)
_MODIFIERS: Final = (
    _SPEED
    | NEGATORS
    | _CAMERA
    | frozenset(
        """a an the with using use add please make do let's let just only some any more less or in on is are to
        360 degree degrees wide tight close up low high aerial drone epic perfectly completely it at all
        first next finally now start starts begin begins starting beginning""".split()  # fmt: skip
    )
)
_OTHERS: Final = frozenset(
    """she he they her his him who man woman men women girl boy child children people person someone dog cat
    model subject crowd couple""".split()  # fmt: skip
)
_LEFT, _RIGHT, _UP, _DOWN, _IN, _OUT, _AROUND, _CW, _CCW = "left right up down in out around cw ccw".split()
_DIRECTIONS: Final[Mapping[str, str]] = {
    "left": _LEFT, "leftward": _LEFT, "leftwards": _LEFT,
    "right": _RIGHT, "rightward": _RIGHT, "rightwards": _RIGHT, "sideways": _RIGHT, "laterally": _RIGHT,
    "across": _RIGHT,
    "up": _UP, "upward": _UP, "upwards": _UP, "skyward": _UP, "skywards": _UP,
    "down": _DOWN, "downward": _DOWN, "downwards": _DOWN,
    "in": _IN, "into": _IN, "inward": _IN, "inwards": _IN, "forward": _IN, "forwards": _IN, "closer": _IN,
    "nearer": _IN, "toward": _IN, "towards": _IN, "ahead": _IN, "through": _IN, "over": _IN,
    "out": _OUT, "outward": _OUT, "outwards": _OUT, "back": _OUT, "backward": _OUT, "backwards": _OUT,
    "away": _OUT, "wider": _OUT,
    "around": _AROUND, "round": _AROUND,
    "clockwise": _CW, "counterclockwise": _CCW,
}  # fmt: skip
_VERBS: Final[Mapping[str, str]] = {
    form: verb
    for verb, forms in {
        "zoom": "zoom zooms zooming",
        "dolly": "dolly dollies dollying",
        "push": "push pushes pushing",
        "pull": "pull pulls pulling",
        "pan": "pan pans panning",
        "tilt": "tilt tilts tilting",
        "orbit": "orbit orbits orbiting",
        "circle": "circle circles circling arc arcs arcing",
        "rotate": "rotate rotates rotating revolve revolves revolving spin spins spinning rotation swirl swirls",
        "truck": "truck trucks trucking",
        "track": "track tracks tracking",
        "follow": "follow follows following",
        "crane": "crane cranes craning pedestal pedestals boom booms booming jib jibs",
        "rise": "rise rises rising ascend ascends ascending lifts lifting climbs climbing",
        "fall": "descend descends descending lowers lowering sinks sinking drops dropping",
        "roll": "roll rolls rolling",
        "shake": "shake shakes shaking shaky jitter jitters jittery wobble wobbles wobbly trembles",
        "handheld": "handheld",
        "move": """move moves moving movement movements motion glide glides gliding drift drifts drifting float
            floats floating fly flies flying travel travels traveling travelling advance advances advancing creep
            creeps creeping slide slides sliding sweep sweeps sweeping swoop swoops swooping go goes going inches
            eases""",
        "retreat": "retreat retreats retreating backs backing",
        "hold": "hold holds holding stays remains",
        "static": "static stationary fixed locked lockedoff motionless unmoving still tripod",
        "kenburns": "kenburns",
        "flythrough": "flythrough flyover",
        "bullettime": "bullettime",
    }.items()
    for form in forms.split()
}
_ALWAYS_OTHER_AFTER: Final[Mapping[str, frozenset[str]]] = {
    "zoom": frozenset({"lens", "lenses", "call", "meeting", "background", "h1", "recorder"}),
    "pan": frozenset({"flute", "flutes", "pipe", "pipes", "of", "fried", "pizza", "seared", "handle", "lid"}),
    "push": frozenset({"button", "up", "ups", "pin", "cart"}),
    "pull": frozenset({"focus", "up", "ups", "over", "request"}),
    "tilt": frozenset({"shift"}),
    "orbit": frozenset({"of"}),
    "circle": frozenset({"of"}),
    "roll": frozenset({"of", "call", "on"}),
    "track": frozenset({"suit", "record", "field", "and"}),
    "follow": frozenset({"by", "up"}),
    "truck": frozenset({"driver", "bed", "stop"}),
    "crane": frozenset({"bird", "operator", "fly"}),
    "dolly": frozenset({"parton"}),
    "move": frozenset({"blur"}),
}
_NOUNS: Final = frozenset({"truck", "crane", "track", "dolly", "pan"})
_DETERMINERS: Final = frozenset({"a", "an", "the", "his", "her", "their", "its", "this", "that"})
_HANDHELD_NEXT: Final = frozenset(
    """camera shot footage feel style look movement motion shake cinematography documentary video effect
    aesthetic follow tracking""".split()  # fmt: skip
)
_AFTER_RIGHT: Final = frozenset(
    {"next", "beside", "behind", "above", "below", "now", "before", "after", "side"}
)
_SIDES: Final = (_LEFT, _RIGHT)
_ORBITS: Final = {_LEFT: CameraMove.ORBIT_LEFT, _CW: CameraMove.ORBIT_LEFT}
_STILL: Final = frozenset({"camera", "any", "the", "all", "at", "is", "does", "do", "are", "a"})

# Directions that a verb understands when the camera does it, and the move that each means.
_MOVES: Final[Mapping[str, Mapping[str, CameraMove]]] = {
    "zoom": {_IN: CameraMove.ZOOM_IN, _OUT: CameraMove.ZOOM_OUT},
    "dolly": {
        _IN: CameraMove.PUSH_IN, _OUT: CameraMove.PULL_OUT,
        _LEFT: CameraMove.TRUCK_LEFT, _RIGHT: CameraMove.TRUCK_RIGHT,
    },
    "push": {_IN: CameraMove.PUSH_IN, _LEFT: CameraMove.TRUCK_LEFT, _RIGHT: CameraMove.TRUCK_RIGHT},
    "pull": {_OUT: CameraMove.PULL_OUT},
    "pan": {
        _LEFT: CameraMove.PAN_LEFT, _RIGHT: CameraMove.PAN_RIGHT,
        _UP: CameraMove.TILT_UP, _DOWN: CameraMove.TILT_DOWN,
    },
    "tilt": {_UP: CameraMove.TILT_UP, _DOWN: CameraMove.TILT_DOWN},
    "truck": {_LEFT: CameraMove.TRUCK_LEFT, _RIGHT: CameraMove.TRUCK_RIGHT},
    "track": {
        _LEFT: CameraMove.TRUCK_LEFT, _RIGHT: CameraMove.TRUCK_RIGHT,
        _IN: CameraMove.PUSH_IN, _OUT: CameraMove.PULL_OUT,
    },
    "crane": {_UP: CameraMove.PEDESTAL_UP, _DOWN: CameraMove.PEDESTAL_DOWN},
    "move": {
        _IN: CameraMove.PUSH_IN, _OUT: CameraMove.PULL_OUT,
        _LEFT: CameraMove.TRUCK_LEFT, _RIGHT: CameraMove.TRUCK_RIGHT,
        _UP: CameraMove.PEDESTAL_UP, _DOWN: CameraMove.PEDESTAL_DOWN,
        _AROUND: CameraMove.ORBIT_RIGHT, _CW: CameraMove.ORBIT_LEFT, _CCW: CameraMove.ORBIT_RIGHT,
    },
}  # fmt: skip
# What a verb means when no direction is named.
_OPEN: Final[Mapping[str, CameraMove]] = {
    "zoom": CameraMove.ZOOM_IN,
    "dolly": CameraMove.PUSH_IN,
    "push": CameraMove.PUSH_IN,
    "pull": CameraMove.PULL_OUT,
    "pan": CameraMove.PAN_RIGHT,
    "tilt": CameraMove.TILT_UP,
    "truck": CameraMove.TRUCK_RIGHT,
    "track": CameraMove.FOLLOW,
    "crane": CameraMove.PEDESTAL_UP,
}
# Verbs that only the camera may do: a bare "rises" or "rolls" is the subject's.
_EXPLICIT: Final[Mapping[str, CameraMove]] = {
    "rise": CameraMove.PEDESTAL_UP,
    "fall": CameraMove.PEDESTAL_DOWN,
    "roll": CameraMove.ROLL,
    "shake": CameraMove.SHAKE,
    "retreat": CameraMove.PULL_OUT,
    "hold": CameraMove.STATIC,
}
_FIXED: Final[Mapping[str, CameraMove]] = {
    "kenburns": CameraMove.ZOOM_IN,
    "flythrough": CameraMove.PUSH_IN,
    "bullettime": CameraMove.ORBIT_RIGHT,
}


def read_camera(clauses: Sequence[Clause]) -> tuple[tuple[CameraMove, ...], frozenset[tuple[int, int]]]:
    """Camera moves in the order of the words, without repeats.

    Returns:
        The moves, and the (clause, word) positions that belong to the camera and so to nobody else.
    """
    found: dict[CameraMove, None] = {}
    taken: set[tuple[int, int]] = set()
    other_acts = False
    carried: str | None = None
    for number, clause in enumerate(clauses):
        if not clause.linked:
            other_acts, carried = False, None
        negation: str | None = None
        for at, word in enumerate(clause.words):
            verb = _VERBS.get(word)
            if verb is None:
                continue
            moves = _read(clause.words, at, verb, other_acts=other_acts)
            if not moves:
                continue
            taken.add((number, at))
            is_negated = _is_negated(clause.words, at, word, carried)
            if is_negated:
                negation = word
                if _means_static(clause.words, at, verb):
                    found[CameraMove.STATIC] = None
            elif moves != (_UNNAMED,):
                found.update(dict.fromkeys(move for move in moves if isinstance(move, CameraMove)))
        carried = negation
        other_acts = _subject_is_other(clause.words) or (
            other_acts and not any(word in _CAMERA for word in clause.words)
        )
    return tuple(found), frozenset(taken)


_UNNAMED: Final = "some camera move"


def _read(words: tuple[str, ...], at: int, verb: str, *, other_acts: bool) -> tuple[CameraMove | str, ...]:
    """Moves that the verb at `at` names; `_UNNAMED` for camera motion without a direction."""
    following = words[at + 1] if at + 1 < len(words) else ""
    if following in _ALWAYS_OTHER_AFTER.get(verb, ()):
        return ()
    does = _camera_does(words, at)
    bare = _is_bare(words, at, other_acts)
    if verb in _FIXED:
        return (_FIXED[verb],)
    if verb == "handheld":
        return (CameraMove.SHAKE,) if not following or following in _HANDHELD_NEXT or does else ()
    if verb == "static":
        return _static(words, at, does=does, bare=bare)
    if not does and not bare:
        return ()
    if verb in _NOUNS and at and words[at - 1] in _DETERMINERS and following not in (*_SHOT, *_DIRECTIONS):
        return ()
    near = words[at + 1 : at + 3]
    if verb in _EXPLICIT:
        return _explicit(words, at, verb, does=does)
    if verb in ("orbit", "circle", "rotate"):
        return _orbit(words, at, verb, does=does)
    if verb == "follow":
        is_order = words[at] != "follows" and (following in _DETERMINERS or following in _OTHERS)
        return (CameraMove.FOLLOW,) if does or is_order else ()
    if verb == "dolly" and following == "zoom":
        return CameraMove.PUSH_IN, CameraMove.ZOOM_OUT
    if verb == "track" and near and near[0] in ("alongside", "with", "behind", "shot", "along", "beside"):
        return (CameraMove.FOLLOW,)
    direction = _direction(words, at, _MOVES[verb], window=6 if does else 2)
    if direction is not None:
        return (_MOVES[verb][direction],)
    if verb == "move":
        if does and "circle" in words[at : at + 4]:
            return (CameraMove.ORBIT_RIGHT,)
        return (_UNNAMED,) if does else ()
    if does or (at and words[at - 1] in _SPEED) or negated(words, at) is not None:
        return (_OPEN[verb],) if verb in _OPEN and verb not in ("pull",) else ()
    if verb == "zoom" and len(words) == at + 1:
        return (CameraMove.ZOOM_IN,)
    return ()


def _explicit(words: tuple[str, ...], at: int, verb: str, *, does: bool) -> tuple[CameraMove | str, ...]:
    if verb == "roll" and at and words[at - 1] in ("barrel", "dutch"):
        return (CameraMove.ROLL,)
    if verb == "hold":
        steady = any(
            word in ("still", "steady", "on", "position", "static") for word in words[at + 1 : at + 4]
        )
        return (CameraMove.STATIC,) if does and (steady or at + 1 == len(words)) else ()
    return (_EXPLICIT[verb],) if does else ()


def _orbit(words: tuple[str, ...], at: int, verb: str, *, does: bool) -> tuple[CameraMove | str, ...]:
    window = [_DIRECTIONS.get(word) for word in words[at + 1 : at + 8]]
    side = next((found for found in window if found in (_LEFT, _RIGHT, _CW, _CCW)), None)
    around = _AROUND in window
    if verb == "rotate" and does and not around and side in (_CW, _CCW):
        return (CameraMove.ROLL,)
    following = words[at + 1] if at + 1 < len(words) else ""
    direct = window[:1] != [None] and window[:1] != []
    alone = verb == "orbit" and (
        not following
        or following in _SHOT
        or following in _DETERMINERS
        or following in _OTHERS
        or (at > 0 and words[at - 1] in _SPEED)
    )
    if not (does and (verb != "rotate" or around or side or "camera" in words)) and not (
        verb != "rotate" and (direct or alone)
    ):
        return ()
    return (_ORBITS.get(side or _RIGHT, CameraMove.ORBIT_RIGHT),)


def _static(words: tuple[str, ...], at: int, *, does: bool, bare: bool) -> tuple[CameraMove | str, ...]:
    word = words[at]
    following = words[at + 1] if at + 1 < len(words) else ""
    if word == "lockedoff":
        return (CameraMove.STATIC,)
    if word == "tripod":
        return (CameraMove.STATIC,) if following in _SHOT or (bare and not does) else ()
    if following in ("camera", "shot", "frame", "framing", "hold", "view", "viewpoint", "tripod"):
        return (CameraMove.STATIC,)
    subject = any(other in ("camera", "shot", "frame", "framing", "view") for other in words[:at])
    if subject and does and not following:
        return (CameraMove.STATIC,)
    return (CameraMove.STATIC,) if subject and does and word not in ("still", "locked") else ()


def _camera_does(words: tuple[str, ...], at: int) -> bool:
    """The camera is the subject before the verb, or its object or noun right after it."""
    for index in range(at - 1, max(-1, at - 9), -1):
        if words[index] in _OTHERS:
            break
        if words[index] in _CAMERA:
            # "a shot of a woman rolling dough": what follows "of" is in the shot, not done by it.
            return "of" not in words[index + 1 : at]
    after = words[at + 1 : at + 4]
    if after and after[0] in _SHOT:
        return True
    return "camera" in after[:3] and "of" not in after and "to" not in after[:1]


def _is_bare(words: tuple[str, ...], at: int, other_acts: bool) -> bool:
    """Nothing but modifiers and other moves stands before the verb, and no other subject is carried over."""
    word = words[at]
    inflected = word.endswith(("s", "ing")) and word not in ("pans",)
    if other_acts and inflected:
        return False
    if word.endswith("s") and word not in ("static",) and at == 0 and _VERBS.get(word) in _NOUNS:
        # "pans left" may open a clause about the camera; "trucks on a road" may not.
        return len(words) > 1 and words[1] in _DIRECTIONS
    start = max(0, at - 12)
    return all(other in _MODIFIERS or other in _VERBS or other in _DIRECTIONS for other in words[start:at])


def _subject_is_other(words: tuple[str, ...]) -> bool:
    """The clause is about somebody or something that is not the camera."""
    head = words[:4]
    return not any(word in _CAMERA for word in words) and any(
        word not in _MODIFIERS and word not in _VERBS and word not in _DIRECTIONS for word in head
    )


def _direction(
    words: tuple[str, ...], at: int, known: Mapping[str, CameraMove], *, window: int
) -> str | None:
    """The first direction after the verb that it understands; "from left to right" is the second one."""
    seen: list[str] = []
    came_from = False
    for index in range(at + 1, min(len(words), at + 1 + window)):
        word = words[index]
        if word in _VERBS and word not in ("static", "still"):
            break
        if word == "from":
            came_from = True
        direction = _DIRECTIONS.get(word)
        after = words[index + 1] if index + 1 < len(words) else ""
        if direction == _RIGHT and word == "right" and after in _AFTER_RIGHT:
            continue
        if word == "in" and after in ("a", "an", "slow", "slowmotion", "place", "time", "front"):
            if window <= 2:
                break
            continue
        if direction in known and direction is not None:
            seen.append(direction)
            if not came_from:
                break
    if not seen:
        before = _DIRECTIONS.get(words[at - 1]) if at else None
        follows_noun = words[at] in ("movement", "motion", "move", "pan", "tilt", "dolly", "zoom")
        return before if follows_noun and before in known else None
    if came_from and len(seen) == 1 and seen[0] in _SIDES:
        return _RIGHT if seen[0] == _LEFT else _LEFT
    return seen[-1]


def _is_negated(words: tuple[str, ...], at: int, word: str, carried: str | None) -> bool:
    """Negated here, or by "and" from an equal form before ("without zooming and panning")."""
    if negated(words, at) is not None:
        return True
    return carried is not None and at == 0 and word.endswith("ing") == carried.endswith("ing")


def _means_static(words: tuple[str, ...], at: int, verb: str) -> bool:
    """True for "no camera movement" and "the camera does not move", not for "no sudden camera movement"."""
    start = negated(words, at)
    if verb != "move" or start is None:
        return False
    between = words[start + 1 : at]
    return all(word in _STILL for word in between) and "camera" in (*words[:at], *words[at + 1 : at + 4])
