"""The words that prompt reading knows, as data: grammar, camera verbs and directions, intensity.

The camera vocabulary is that of film sets (dolly, pan, tilt, truck, pedestal, orbit, roll) with the synonyms
that prompts use. Verbs of motion and who they are said of are in `lexicon`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from models.types import CameraMove, Intensity


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _forms(table: Mapping[str, str]) -> Mapping[str, str]:
    """Map each listed form to its verb."""
    return {form: verb for verb, forms in table.items() for form in forms.split()}


# --- grammar -----------------------------------------------------------------------------------------------

DETERMINERS: Final = _words("a an the his her their its this that my your our some each")
SPEED: Final = _words(
    """slow slowly slight slightly gentle gently smooth smoothly subtle subtly steady steadily quick quickly
    fast rapid rapidly dramatic dramatically cinematic soft softly gradual gradually very extremely lazy
    sweeping whip crash continuous long short full half simple constant"""
)

# --- camera ------------------------------------------------------------------------------------------------

CAMERA: Final = _words(
    "camera lens shot view viewpoint perspective frame framing footage pov we cinematography drone gimbal"
)
CAMERA_ACTORS: Final = _words("camera lens shot view viewpoint perspective frame drone gimbal footage")
"""What moves when the camera does; a motion right after them is the camera's."""
SHOT: Final = _words("shot movement motion move effect camera view footage hold")
LEADING: Final = _words(
    """from to the a all way straight very further go goes going toward towards more bit slowly gently
    smoothly then of side"""
)
"""What may stand between directions in a clause that says nothing but where to."""
OPENERS: Final = (
    SPEED
    | CAMERA
    | _words(
        """a an the with using use add please make do let's let just only some any more less or in on is
        are to degree degrees wide tight close up low high aerial epic perfectly completely it at all
        but first next finally now start starts begin begins starting beginning ideally maybe perhaps
        preferably possibly could can you would should like be nice have must i i'd want wants need
        needs prefer love panoramic exactly precisely strictly absolutely definitely required
        mandatory exact half quarter full one single real true proper physical light small little tiny
        bit moderate moderately natural medium normal even lateral vertical horizontal sideways
        leftward rightward looped looping frantic and simple classic hitchcock style straight calm
        calmly lazily sharp sudden explosive hey hi hello thanks give me us essential imperative
        crucial vital obligatory it's its' certain final video clip violent violently fast quick there
        has so sure that this which if possible also either documentary drone handheld fpv speed pace
        ish rate paced cinematic professional lovely minimal faint extremely ever never always whole
        entire 4k hd 8k 6k dutch barrel when then diagonal vertically horizontally upright"""
    )
)
"""What may stand before a camera move that opens its clause."""

LEFT, RIGHT, UP, DOWN, IN, OUT, AROUND = "left", "right", "up", "down", "in", "out", "around"
CLOCKWISE, COUNTERCLOCKWISE = "clockwise", "counterclockwise"
DIRECTIONS: Final = _forms(
    {
        LEFT: "left leftward leftwards",
        RIGHT: "right rightward rightwards sideways laterally across",
        UP: "up upward upwards skyward skywards",
        DOWN: "down downward downwards",
        IN: """in into inward inwards forward forwards closer nearer toward towards ahead through over""",
        OUT: "out outward outwards back backward backwards away wider",
        AROUND: "around round",
        CLOCKWISE: "clockwise",
        COUNTERCLOCKWISE: "counterclockwise",
    }
)
CAMERA_VERBS: Final = _forms(
    {
        "zoom": "zoom zooms zooming",
        "dolly": "dolly dollies dollying",
        "push": "push pushes pushing",
        "pull": "pull pulls pulling",
        "pan": "pan pans panning",
        "tilt": "tilt tilts tilting",
        "orbit": "orbit orbits orbiting",
        "circle": "circle circles circling arc arcs arcing",
        "rotate": """rotate rotates rotating revolve revolves revolving spin spins spinning rotation swirl
            swirls turntable""",
        "truck": "truck trucks trucking",
        "track": "track tracks tracking",
        "follow": "follow follows following",
        "crane": "crane cranes craning pedestal pedestals boom booms booming jib jibs",
        "rise": """rise rises rising ascend ascends ascending lift lifts lifting raise raises
            raising climbs climbing shoots soars elevates""",
        "swing": "swing swings swinging turns turning whips whipping",
        "look": "look looks looking tips tipping",
        "approach": "approach approaches approaching nears closes gets comes punch punches",
        "fall": "descend descends descending lower lowers lowering sinks sinking drops dropping",
        "roll": "roll rolls rolling",
        "shake": """shake shakes shaking shaky jitter jitters jittery wobble wobbles wobbly wobbling trembles
            trembling shakiness""",
        "chase": "chase chases chasing trail trails trailing pursue pursues pursuing",
        "keep": "keep keeps keeping",
        "handheld": "handheld",
        "move": """move moves moving movement movements motion glide glides gliding drift drifts drifting
            float floats floating fly flies flying travel travels traveling travelling advance advances
            advancing creep creeps creeping slide slides sliding sweep sweeps sweeping swoop swoops swooping
            go goes going inch inches inching ease eases easing rush rushes rushing walk walks walking""",
        "retreat": "retreat retreats retreating backs backing widen widens widening",
        "hold": "hold holds holding stay stays remain remains stands",
        "static": """static stationary fixed locked lockedoff motionless unmoving still tripod frozen
            immobile nailed bolted immovable""",
        "kenburns": "kenburns",
        "flythrough": "flythrough flyover",
        "bullettime": "bullettime",
        "focus": "focus focuses refocus refocuses",
    }
)
NEVER_BEFORE: Final[Mapping[str, frozenset[str]]] = {
    "zoom": _words("lens lenses call meeting background h1 recorder past by"),
    "pan": _words("flute flutes pipe pipes of fried pizza seared handle lid"),
    "push": _words("button up ups pin cart"),
    "pull": _words("focus up ups over request"),
    "tilt": _words("shift"),
    "orbit": _words("of"),
    "circle": _words("of"),
    "roll": _words("of call on"),
    "track": _words("suit record field"),
    "follow": _words("by up"),
    "truck": _words("driver bed stop"),
    "crane": _words("bird operator fly"),
    "dolly": _words("parton"),
    "move": _words("blur"),
}
"""Words that, right after the verb's form, show a noun: zoom lens, pan flute, roll of film."""
THINGS: Final = _words("truck crane track dolly pan")
"""Verbs whose form after an article is a thing unless a direction or "shot" follows."""
HELD_THINGS: Final = _words(
    """fan fans console consoles device devices radio mirror vacuum drill lantern game games mixer blender
    torch flashlight microphone sparkler sparklers bell scanner phone-case computer weapon weapons fans-of
    shower"""
)
"""After "handheld" these are what a hand holds."""
SHAKEN_NEXT: Final = _words(
    "camera footage video vlog feel look style aesthetic shot handheld phone cinematography"
)
"""After "shaky" these are filmed so."""
NOT_A_SIDE: Final = _words("off of next beside behind above below now before after side")
"""After "right" these show that no side is meant: right next to."""
NOT_INWARD: Final = _words("a an slow slowmotion place time front")
"""After "in" these show that no direction is meant: in slow motion, in front."""
DIRECTED: Final[Mapping[str, Mapping[str, CameraMove]]] = {
    "zoom": {IN: CameraMove.ZOOM_IN, OUT: CameraMove.ZOOM_OUT},
    "dolly": {
        IN: CameraMove.PUSH_IN,
        OUT: CameraMove.PULL_OUT,
        LEFT: CameraMove.TRUCK_LEFT,
        RIGHT: CameraMove.TRUCK_RIGHT,
    },
    "push": {IN: CameraMove.PUSH_IN, LEFT: CameraMove.TRUCK_LEFT, RIGHT: CameraMove.TRUCK_RIGHT},
    "pull": {OUT: CameraMove.PULL_OUT},
    "pan": {
        LEFT: CameraMove.PAN_LEFT,
        RIGHT: CameraMove.PAN_RIGHT,
        UP: CameraMove.TILT_UP,
        DOWN: CameraMove.TILT_DOWN,
    },
    "tilt": {UP: CameraMove.TILT_UP, DOWN: CameraMove.TILT_DOWN},
    "truck": {LEFT: CameraMove.TRUCK_LEFT, RIGHT: CameraMove.TRUCK_RIGHT},
    "track": {
        LEFT: CameraMove.TRUCK_LEFT,
        RIGHT: CameraMove.TRUCK_RIGHT,
        IN: CameraMove.PUSH_IN,
        OUT: CameraMove.PULL_OUT,
    },
    "crane": {UP: CameraMove.PEDESTAL_UP, DOWN: CameraMove.PEDESTAL_DOWN},
    "swing": {LEFT: CameraMove.PAN_LEFT, RIGHT: CameraMove.PAN_RIGHT, AROUND: CameraMove.PAN_RIGHT},
    "look": {
        LEFT: CameraMove.PAN_LEFT,
        RIGHT: CameraMove.PAN_RIGHT,
        UP: CameraMove.TILT_UP,
        DOWN: CameraMove.TILT_DOWN,
    },
    "move": {
        IN: CameraMove.PUSH_IN,
        OUT: CameraMove.PULL_OUT,
        LEFT: CameraMove.TRUCK_LEFT,
        RIGHT: CameraMove.TRUCK_RIGHT,
        UP: CameraMove.PEDESTAL_UP,
        DOWN: CameraMove.PEDESTAL_DOWN,
        AROUND: CameraMove.ORBIT_RIGHT,
        CLOCKWISE: CameraMove.ORBIT_LEFT,
        COUNTERCLOCKWISE: CameraMove.ORBIT_RIGHT,
    },
}
"""Directions that a verb understands, and the move that each means."""
UNDIRECTED: Final[Mapping[str, CameraMove]] = {
    "zoom": CameraMove.ZOOM_IN,
    "dolly": CameraMove.PUSH_IN,
    "push": CameraMove.PUSH_IN,
    "pan": CameraMove.PAN_RIGHT,
    "tilt": CameraMove.TILT_UP,
    "truck": CameraMove.TRUCK_RIGHT,
    "track": CameraMove.FOLLOW,
    "crane": CameraMove.PEDESTAL_UP,
}
"""What a verb means when no direction is named."""
CAMERA_ONLY: Final[Mapping[str, CameraMove]] = {
    "rise": CameraMove.PEDESTAL_UP,
    "fall": CameraMove.PEDESTAL_DOWN,
    "shake": CameraMove.SHAKE,
    "retreat": CameraMove.PULL_OUT,
}
"""Verbs that count only when the camera is named: a bare "rises" is the subject's."""
NAMED: Final[Mapping[str, CameraMove]] = {
    "kenburns": CameraMove.ZOOM_IN,
    "flythrough": CameraMove.PUSH_IN,
    "bullettime": CameraMove.ORBIT_RIGHT,
}
"""Names of moves that mean nothing else."""
REFUSED: Final[Mapping[str, tuple[CameraMove, ...]]] = {
    "zoom": (CameraMove.ZOOM_IN, CameraMove.ZOOM_OUT),
    "dolly": (CameraMove.PUSH_IN, CameraMove.PULL_OUT),
    "push": (CameraMove.PUSH_IN,),
    "pull": (CameraMove.PULL_OUT,),
    "pan": (CameraMove.PAN_LEFT, CameraMove.PAN_RIGHT),
    "tilt": (CameraMove.TILT_UP, CameraMove.TILT_DOWN),
    "truck": (CameraMove.TRUCK_LEFT, CameraMove.TRUCK_RIGHT),
    "crane": (CameraMove.PEDESTAL_UP, CameraMove.PEDESTAL_DOWN),
    "orbit": (CameraMove.ORBIT_LEFT, CameraMove.ORBIT_RIGHT),
    "circle": (CameraMove.ORBIT_LEFT, CameraMove.ORBIT_RIGHT),
    "roll": (CameraMove.ROLL,),
    "shake": (CameraMove.SHAKE,),
    "handheld": (CameraMove.SHAKE,),
    "follow": (CameraMove.FOLLOW,),
    "track": (CameraMove.FOLLOW,),
}
"""What a verb rules out when it is denied without a direction."""
SHEER: Final = frozenset({"roll", "zoom", "pan", "tilt", "orbit", "dolly", "crane", "shake", "handheld"})
"""Verbs that, denied, are the camera's wherever they stand ("avoid zooming and shaking")."""

# --- motion ------------------------------------------------------------------------------------------------

MOVES_ALONG: Final = _words(
    """toward towards to along across through away up down into around forward forwards back slowly gently
    softly quickly past out off over closer left right together"""
)
"""After a verb at the start of a clause these show an order: walk towards the lake."""
PREPOSITIONS: Final = _words("in on of with at from by under over near for into onto and or")


# --- intensity ---------------------------------------------------------------------------------------------

INTENSITIES: Final[Mapping[str, Intensity]] = {
    form: level
    for level, forms in {
        Intensity.SUBTLE: """subtle subtly slight slightly barely faint faintly minimal minimally tiny
            imperceptible imperceptibly""",
        Intensity.GENTLE: """gentle gently soft softly slow slowly calm calmly gradual gradually creep inch
            delicate delicately lazily lazy slowmotion leisurely""",
        Intensity.MODERATE: "moderate moderately steady steadily natural naturally medium",
        Intensity.DYNAMIC: """dynamic dynamically energetic energetically lively fast faster quick quickly
            strong strongly fullspeed vigorous vigorously powerful powerfully rapid rapidly
            brisk briskly dramatic dramatically swift swiftly""",
        Intensity.EXTREME: """extreme violent violently explosive explosively intense intensely frantic
            frantically wild wildly chaotic chaotically furious furiously raging whip crash hyper""",
    }.items()
    for form in forms.split()
}
AMPLIFIERS: Final = _words(
    "perceptible noticeable visible visibly very extremely really super incredibly ultra so"
)
STILL_LIFE: Final = _words(
    """light lighting lit focus contrast color colors colour colours background bokeh tones tone shadows
    palette portrait face gaze eyes car cars closeup close sky mood atmosphere skin wood fabric texture
    horse horses cat makeup expression food man woman drink angle food look sunlight glow furniture pillow
    pillows"""
)
"""After an adjective these show that it is not about motion: soft light, fast car, extreme close-up."""

# --- captions ----------------------------------------------------------------------------------------------

ASKS: Final = _words("animate animated animation alive move movement timelapse parallax")
"""They ask for motion without saying which: not a caption."""
ENGLISH: Final = _words(
    """old young night street city house room park forest beach mountain portrait photograph view interior
    close vintage abandoned moody cosy cozy warm cold dark bright colorful lights tones sky light white
    black red blue green wooden golden hour shot style art with bokeh market studio lighting records record
    player wedding"""
)
"""Words of descriptions that tell that a text without function words is English."""
FOREIGN: Final = _words(
    """le la les un une des du et dans sur avec sans est der die das ein eine einen und im auf mit ist den dem
    el los las una con por en il lo gli che di della sul uma um com na no os het een van op de och som"""
)
"""Function words of other languages; two of them tell that a text is not English."""
FUNCTION_WORDS: Final = _words(
    "a an the in on of with at and is are to from by under over near her his its for"
)
"""Their presence tells that a text is English."""
