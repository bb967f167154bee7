"""The words that prompt reading knows, as data: camera verbs and directions, motions, intensity, sound.

The camera vocabulary is that of film sets (dolly, pan, tilt, truck, pedestal, orbit, roll) with the synonyms
that prompts use. Motion words are those that people write for photographs that are to be animated.
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
PEOPLE: Final = _words(
    """she he they her his him them who man woman men women girl girls boy boys child children kid kids people
    person someone dog cat horse bird model subject crowd couple bride groom dancer family friends baby"""
)
SPEED: Final = _words(
    """slow slowly slight slightly gentle gently smooth smoothly subtle subtly steady steadily quick quickly
    fast rapid rapidly dramatic dramatically cinematic soft softly gradual gradually very extremely lazy
    sweeping whip crash continuous long short full half simple constant"""
)

# --- camera ------------------------------------------------------------------------------------------------

CAMERA: Final = _words(
    "camera lens shot view viewpoint perspective frame framing footage pov we cinematography"
)
SHOT: Final = _words("shot movement motion move effect camera view footage hold")
OPENERS: Final = (
    SPEED
    | CAMERA
    | _words(
        """a an the with using use add please make do let's let just only some any more less or in on is are
        to 360 degree degrees wide tight close up low high aerial drone epic perfectly completely it at all
        first next finally now start starts begin begins starting beginning"""
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
            swirls""",
        "truck": "truck trucks trucking",
        "track": "track tracks tracking",
        "follow": "follow follows following",
        "crane": "crane cranes craning pedestal pedestals boom booms booming jib jibs",
        "rise": "rise rises rising ascend ascends ascending lifts lifting climbs climbing",
        "fall": "descend descends descending lowers lowering sinks sinking drops dropping",
        "roll": "roll rolls rolling",
        "shake": "shake shakes shaking shaky jitter jitters jittery wobble wobbles wobbly trembles",
        "handheld": "handheld",
        "move": """move moves moving movement movements motion glide glides gliding drift drifts drifting
            float floats floating fly flies flying travel travels traveling travelling advance advances
            advancing creep creeps creeping slide slides sliding sweep sweeps sweeping swoop swoops swooping
            go goes going inches eases""",
        "retreat": "retreat retreats retreating backs backing",
        "hold": "hold holds holding stays remains",
        "static": "static stationary fixed locked lockedoff motionless unmoving still tripod",
        "kenburns": "kenburns",
        "flythrough": "flythrough flyover",
        "bullettime": "bullettime",
        "focus": "focus focuses refocus refocuses",
    }
)
NEVER_BEFORE: Final[Mapping[str, frozenset[str]]] = {
    "zoom": _words("lens lenses call meeting background h1 recorder"),
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
HANDHELD_NEXT: Final = _words(
    """camera shot footage feel style look movement motion shake cinematography documentary video effect
    aesthetic follow tracking"""
)
NOT_A_SIDE: Final = _words("next beside behind above below now before after side")
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

# --- motion ------------------------------------------------------------------------------------------------

SUBJECT_VERBS: Final = _forms(
    {
        "walk": "walk walks walking stroll strolls strolling stride strides striding",
        "run": "run runs running jog jogs jogging sprint sprints sprinting race races racing",
        "turn": "turn turns turning",
        "smile": "smile smiles smiling grin grins grinning",
        "laugh": "laugh laughs laughing giggle giggles giggling",
        "cry": "cry cries crying weep weeps weeping sob sobs sobbing",
        "scream": "scream screams screaming shout shouts shouting yell yells yelling",
        "frown": "frown frowns frowning grimace grimaces grimacing",
        "yawn": "yawn yawns yawning",
        "blink": "blink blinks blinking wink winks winking",
        "breathe": "breathe breathes breathing inhale inhales inhaling exhale exhales exhaling",
        "nod": "nod nods nodding",
        "wave": "waving waves",
        "dance": "dance dances dancing twirl twirls twirling",
        "spin": "spin spins spinning",
        "jump": "jump jumps jumping leap leaps leaping hop hops hopping",
        "talk": "talk talks talking speak speaks speaking chat chats chatting whisper whispers whispering",
        "sing": "sing sings singing",
        "look": "glance glances glancing gaze gazes",
        "sit": "sits",
        "stretch": "stretch stretches stretching",
        "lean": "lean leans leaning",
        "raise": "raise raises raising lift lifts lifting",
        "reach": "reach reaches reaching",
        "gallop": "gallop gallops galloping trot trots trotting",
        "swim": "swim swims swimming dive dives diving",
        "fly": "fly flies flying soar soars soaring",
        "ride": "ride rides riding",
        "drive": "drive drives driving",
        "throw": "throw throws throwing toss tosses tossing",
        "catch": "catches catching",
        "kick": "kick kicks kicking",
        "eat": "eat eats eating chew chews chewing",
        "drink": "drinks drinking sip sips sipping",
        "pour": "pour pours pouring",
        "hug": "hug hugs hugging embrace embraces embracing",
        "kiss": "kiss kisses kissing",
        "clap": "clap claps clapping",
        "crawl": "crawl crawls crawling",
        "climb": "climb climbs climbing",
        "play": "plays playing",
        "wag": "wag wags wagging",
        "shake": "shakes shaking",
        "open": "opens opening",
        "move": "move moves moving",
        "rotate": "rotate rotates rotating",
        "step": "steps stepping",
        "approach": "approaches approaching",
        "push": "pushes pushing",
        "pull": "pulls pulling",
        "tilt": "tilts tilting",
        "roll": "rolls rolling",
        "tremble": "tremble trembles trembling shiver shivers shivering",
        "rise": "rises",
    }
)
MICRO: Final = _words(
    "smile blink breathe look nod sway flow billow flutter blow ripple shimmer drift rustle settle stir float"
)
"""Small motions that accompany others without competing with them."""
EXPRESSIONS: Final = _words("laugh cry scream frown yawn")
"""Motions that change a whole face."""
POSED: Final = _words("look sit lean hug play open ride drive approach")
"""Verbs whose -ing form describes a pose in a caption ("a man leaning on a wall")."""
ENVIRONMENT_VERBS: Final = _forms(
    {
        "drift": "drift drifts drifting",
        "ripple": "ripple ripples rippling",
        "sway": "sway sways swaying",
        "settle": "settle settles settling",
        "billow": "billow billows billowing",
        "flow": "flow flows flowing",
        "flicker": "flicker flickers flickering",
        "fall": "fall falls falling",
        "rustle": "rustle rustles rustling",
        "swirl": "swirl swirls swirling",
        "blow": "blow blows blowing",
        "crash": "crash crashes crashing",
        "shimmer": "shimmer shimmers shimmering glisten glistens glistening",
        "sparkle": "sparkle sparkles sparkling twinkle twinkles twinkling",
        "burn": "burn burns burning",
        "float": "float floats floating",
        "pulse": "pulse pulses pulsing",
        "flutter": "flutter flutters fluttering",
        "bloom": "blooms blooming",
        "glide": "glide glides gliding",
        "melt": "melt melts melting",
        "drip": "drip drips dripping",
        "splash": "splash splashes splashing",
        "lap": "lap laps lapping",
        "churn": "churn churns churning",
        "bend": "bend bends bending",
        "stir": "stir stirs stirring",
        "pass": "pass passes passing",
        "move": "move moves moving",
        "roll": "rolls rolling",
        "rise": "rise rises rising",
        "shift": "shift shifts shifting",
        "pour": "pours pouring",
        "spin": "spins spinning turns turning",
        "wave": "waving",
        "explode": "explode explodes exploding erupt erupts erupting",
    }
)
ENVIRONMENT_NOUNS: Final = _words(
    """cloud clouds water waters wave waves leaf leaves tree trees branch branches grass grasses reeds smoke
    steam fire fires flame flames candle candles snow snowflakes rain raindrops fog mist haze wind breeze
    dust sand sea ocean river stream waterfall lake surf tide light lights shadow shadows reflection
    reflections sky sun stars petals flower flowers blossoms bubbles sparks embers lava lightning storm
    particles curtain curtains flag flags traffic cars windmill"""
)
WEARABLE: Final = _words(
    "hair strands dress skirt coat scarf veil fabric cloth sleeves cape fur mane robe silk"
)
"""Parts of a subject: what they do is subject motion."""
MOTION_NOUNS: Final = _forms(
    {
        "ripple": "ripple ripples",
        "drift": "drift",
        "sway": "sway",
        "flicker": "flicker",
        "swirl": "swirl",
        "shimmer": "shimmer",
        "flutter": "flutter",
        "splash": "splash",
        "blow": "breeze gust gusts wind",
    }
)
"""Nouns that are motions in themselves ("soft surface ripple", "a light breeze")."""
WINDS: Final = _words("breeze gust gusts wind")
WIND_THINGS: Final = _words("turbine turbines chime chimes farm tunnel instrument instruments jacket")
NEEDS_NATURE: Final = _words(
    "fall roll rise pass move shift pour spin bend lap shake wave float burn stir explode glide"
)
"""Environment verbs that count only when something of the environment (or hair, or cloth) does them."""
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
        Intensity.SUBTLE: "subtle subtly slight slightly barely faint faintly minimal minimally tiny",
        Intensity.GENTLE: """gentle gently soft softly slow slowly calm calmly delicate delicately lazily lazy
            slowmotion leisurely""",
        Intensity.MODERATE: "moderate moderately steady steadily natural naturally medium",
        Intensity.DYNAMIC: """dynamic dynamically energetic energetically lively fast faster quick quickly
            strong strongly vigorous vigorously powerful powerfully rapid rapidly brisk briskly dramatic
            dramatically
            swift swiftly""",
        Intensity.EXTREME: """extreme violent violently explosive explosively intense intensely frantic
            frantically wild wildly chaotic chaotically furious furiously raging whip crash hyper""",
    }.items()
    for form in forms.split()
}
AMPLIFIERS: Final = _words("very extremely really super incredibly ultra so")
STILL_LIFE: Final = _words(
    """light lighting lit focus contrast color colors colour colours background bokeh tones tone shadows
    palette portrait face gaze eyes car cars closeup close sky mood atmosphere skin wood fabric texture
    horse horses cat makeup expression food man woman drink angle food look sunlight glow furniture pillow
    pillows"""
)
"""After an adjective these show that it is not about motion: soft light, fast car, extreme close-up."""

# --- sound and loop ----------------------------------------------------------------------------------------

SOUND: Final = _words(
    "sound sounds audio soundtrack sfx music voiceover narration dialogue dialog lipsync song melody"
)
SAYING: Final = _words("says say saying sings")
SILENT: Final = _words("silent mute muted soundless")
SOUND_THINGS: Final = _words(
    """stand sheet sheets box hall festival room studio engineer system store video bar wave waves equipment
    speaker speakers mixer barrier proof"""
)
"""After a sound word these show a thing: music stand, sound mixer."""
LOOP: Final = _words("loop loops looping looped loopable cinemagraph boomerang")
LOOP_THINGS: Final = _words("belt fruit roller earring wire rope hoop")
LOOP_NOT_AFTER: Final = _words("of earring earrings scarf around through pedal")
ASKS: Final = _words("animate animated animation alive life motion move moving movement video timelapse")
"""They ask for motion without saying which: not a caption."""
FUNCTION_WORDS: Final = _words(
    "a an the in on of with at and is are to from by under over near her his its for"
)
"""Their presence tells that a text is English."""
