"""Prompt reading, as a table of sentences that people write."""

from __future__ import annotations

import string
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.types import CameraMove as C
from models.types import Intensity
from router.features import lexicon, vocabulary
from router.features.prompt import read_prompt

CAMERA = [
    # dolly, push, pull
    ("slow push in", [C.PUSH_IN]),
    ("push-in on her face", [C.PUSH_IN]),
    ("Slow push toward the window", [C.PUSH_IN]),
    ("The camera slowly pushes in", [C.PUSH_IN]),
    ("camera dollies in", [C.PUSH_IN]),
    ("Dolly in.", [C.PUSH_IN]),
    ("dolly forward through the hall", [C.PUSH_IN]),
    ("a slow dolly shot", [C.PUSH_IN]),
    ("dolly out", [C.PULL_OUT]),
    ("the camera moves closer", [C.PUSH_IN]),
    ("camera glides forward over the lake", [C.PUSH_IN]),
    ("drone shot flying over the valley", [C.PUSH_IN]),
    ("fly-through of the canyon", [C.PUSH_IN]),
    ("pull back", [C.PULL_OUT]),
    ("the shot pulls back to reveal the city", [C.PULL_OUT]),
    ("camera pulls out slowly", [C.PULL_OUT]),
    ("camera retreats", [C.PULL_OUT]),
    ("the camera backs away", [C.PULL_OUT]),
    # zoom
    ("zoom in", [C.ZOOM_IN]),
    ("slow zoom", [C.ZOOM_IN]),
    ("Zoom", [C.ZOOM_IN]),
    ("zooming in on the flower", [C.ZOOM_IN]),
    ("zoom out to reveal the mountain", [C.ZOOM_OUT]),
    ("crash zoom on his eyes", [C.ZOOM_IN]),
    ("Ken Burns drift", [C.ZOOM_IN]),
    ("Ken Burns effect", [C.ZOOM_IN]),
    ("dolly zoom", [C.PUSH_IN, C.ZOOM_OUT]),
    # pan, tilt
    ("pan left", [C.PAN_LEFT]),
    ("the camera pans right across the skyline", [C.PAN_RIGHT]),
    ("pans left", [C.PAN_LEFT]),
    ("pan the camera to the left", [C.PAN_LEFT]),
    ("slow pan from left to right", [C.PAN_RIGHT]),
    ("camera pans from right to left", [C.PAN_LEFT]),
    ("camera panning from the left", [C.PAN_RIGHT]),
    ("a slow pan", [C.PAN_RIGHT]),
    ("whip pan", [C.PAN_RIGHT]),
    ("pan up to the sky", [C.TILT_UP]),
    ("tilt up", [C.TILT_UP]),
    ("Camera tilts down to the shoes", [C.TILT_DOWN]),
    ("slow tilt-up shot", [C.TILT_UP]),
    # truck, pedestal
    ("truck left", [C.TRUCK_LEFT]),
    ("camera trucks right along the shelf", [C.TRUCK_RIGHT]),
    ("camera slides to the left", [C.TRUCK_LEFT]),
    ("the camera moves sideways", [C.TRUCK_RIGHT]),
    ("tracking left along the wall", [C.TRUCK_LEFT]),
    ("pedestal up", [C.PEDESTAL_UP]),
    ("crane down", [C.PEDESTAL_DOWN]),
    ("crane shot", [C.PEDESTAL_UP]),
    ("boom up over the crowd", [C.PEDESTAL_UP]),
    ("the camera rises above the trees", [C.PEDESTAL_UP]),
    ("camera descends to the ground", [C.PEDESTAL_DOWN]),
    # orbit, roll
    ("orbit", [C.ORBIT_RIGHT]),
    ("orbit left", [C.ORBIT_LEFT]),
    ("orbit around the statue", [C.ORBIT_RIGHT]),
    ("the camera orbits clockwise around her", [C.ORBIT_LEFT]),
    ("camera circles around the car counter-clockwise", [C.ORBIT_RIGHT]),
    ("arc around the subject to the left", [C.ORBIT_LEFT]),
    ("arc shot", [C.ORBIT_RIGHT]),
    ("360 degree orbit shot", [C.ORBIT_RIGHT]),
    ("camera rotates around the vase", [C.ORBIT_RIGHT]),
    ("bullet time", [C.ORBIT_RIGHT]),
    ("camera moves in a circle", [C.ORBIT_RIGHT]),
    ("camera rotates clockwise", [C.ROLL]),
    ("camera roll", [C.ROLL]),
    ("barrel roll", [C.ROLL]),
    # shake, follow
    ("handheld camera", [C.SHAKE]),
    ("hand-held", [C.SHAKE]),
    ("handheld documentary feel", [C.SHAKE]),
    ("slight camera shake", [C.SHAKE]),
    ("shaky cam", [C.SHAKE]),
    ("tracking shot", [C.FOLLOW]),
    ("the camera follows her", [C.FOLLOW]),
    ("follow the dog", [C.FOLLOW]),
    ("tracking alongside the runner", [C.FOLLOW]),
    ("camera tracks with the car", [C.FOLLOW]),
    # static
    ("static shot", [C.STATIC]),
    ("static camera, leaves sway", [C.STATIC]),
    ("static hold", [C.STATIC]),
    ("locked-off", [C.STATIC]),
    ("locked off camera", [C.STATIC]),
    ("fixed camera", [C.STATIC]),
    ("the camera is static", [C.STATIC]),
    ("camera holds still", [C.STATIC]),
    ("the camera stays still", [C.STATIC]),
    ("tripod shot", [C.STATIC]),
    ("on a tripod", [C.STATIC]),
    ("no camera movement", [C.STATIC]),
    ("Camera: static. Subject: she blinks.", [C.STATIC]),
    ("without any camera motion", [C.STATIC]),
    ("the camera does not move", [C.STATIC]),
    ("The camera doesn't move.", [C.STATIC]),
    ("don't move the camera", [C.STATIC]),
    # several, in order
    ("camera pushes in and tilts up", [C.PUSH_IN, C.TILT_UP]),
    ("pan left, then zoom out", [C.PAN_LEFT, C.ZOOM_OUT]),
    ("The camera orbits left. It zooms in.", [C.ORBIT_LEFT, C.ZOOM_IN]),
    ("A woman in a field, slow push in, soft light", [C.PUSH_IN]),
    ("hair flows gently and slow push in", [C.PUSH_IN]),
    ("we zoom in on the door", [C.ZOOM_IN]),
    ("Camera movement: slow pan left", [C.PAN_LEFT]),
    ("handheld follow shot through the market", [C.SHAKE, C.FOLLOW]),
    ("a wide shot that slowly pushes in as the fog drifts", [C.PUSH_IN]),
    # negation
    ("no zoom", []),
    ("without zooming", []),
    ("no zoom, no pan, no tilt", []),
    ("no zoom or pan", []),
    ("without zooming and panning", []),
    ("do not zoom in", []),
    ("never pan left", []),
    ("the camera doesn't zoom", []),
    ("no sudden camera movement", []),
    ("push in, no zoom", [C.PUSH_IN]),
    ("push in but do not pan", [C.PUSH_IN]),
    ("pan left instead of zooming", [C.PAN_LEFT]),
    ("the camera not only zooms in", [C.ZOOM_IN]),
    # nouns and other people's doings
    ("a frying pan on the stove", []),
    ("he plays the pan flute", []),
    ("pan flute", []),
    ("a pan on the stove", []),
    ("a pan right next to the sink", []),
    ("zoom lens on the table", []),
    ("a zoom lens on the table", []),
    ("the orbit of a planet", []),
    ("orbit of a planet", []),
    ("a satellite orbits the earth", []),
    ("a roll of film", []),
    ("bread roll", []),
    ("fresh bread rolls in a basket", []),
    ("rolling hills", []),
    ("a pickup truck left of the barn", []),
    ("a truck on the road", []),
    ("the train tracks", []),
    ("a crane lifts a beam", []),
    ("a crane fly on a leaf", []),
    ("she pulls back the curtain", []),
    ("she leans forward and pulls back", []),
    ("he pushes the door in", []),
    ("the crowd pushes forward", []),
    ("she tilts her head up", []),
    ("tilt-shift photograph", []),
    ("he pans for gold", []),
    ("children circle around the tree", []),
    ("a circle of stones", []),
    ("a dog follows a boy", []),
    ("dinner followed by dancing", []),
    ("holding a handheld fan", []),
    ("a child held by the hand", []),
    ("the sun rises", []),
    ("a statue on a pedestal", []),
    ("a shot of a woman rolling dough", []),
    ("a still lake", []),
    ("still life with fruit", []),
    ("static electricity in her hair", []),
    ("Dolly Parton on stage", []),
    ("pull focus to the flower", []),
    ("rack focus from the flowers to the girl", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "moves"), CAMERA, ids=[text or "empty" for text, _ in CAMERA])
def test_camera_moves(text: str, moves: list[C]) -> None:
    assert list(read_prompt(text).camera) == moves


MOTIONS = [
    ("she walks towards the lake", ["walk"], []),
    ("walk towards the lake", ["walk"], []),
    ("the woman slowly turns her head", ["turn"], []),
    ("she blinks and smiles", ["blink", "smile"], []),
    ("a man laughing", ["laugh"], []),
    ("a girl dancing in the rain", ["dance"], []),
    ("he waves", ["wave"], []),
    ("she smiles, turns, and walks away", ["smile", "turn", "walk"], []),
    ("a dog runs along the beach", ["run"], []),
    ("hair gently flowing, loose strands catching the breeze", ["flow", "catch"], ["blow"]),
    ("her dress billows in the wind", ["billow"], ["blow"]),
    ("soft surface ripple, gentle wave", [], ["ripple"]),
    ("Waves roll", [], ["roll"]),
    ("Waves roll in gently", [], ["roll"]),
    ("the camera follows the child", ["move"], []),
    ("penguins zigzag across the ice", ["zigzag"], []),
    ("a mechanic zips up his overalls", ["zip"], []),
    ("the river winds through the valley", [], []),
    ("the bride and groom cut the cake", ["chop"], []),
    ("clouds drift", [], ["drift"]),
    ("clouds drift slowly over the hills", [], ["drift"]),
    ("waves crashing on the rocks", [], ["crash"]),
    ("leaves sway in the breeze", [], ["sway", "blow"]),
    ("snow falls softly", [], ["fall"]),
    ("falling snow", [], ["fall"]),
    ("rippling water", [], ["ripple"]),
    ("candle flames flicker", [], ["flicker"]),
    ("steam rises from the cup", [], ["rise"]),
    ("the sun rises", [], ["rise"]),
    ("flags waving", [], ["wave"]),
    ("still with reflections shifting", [], ["shift"]),
    ("petals fall", [], ["fall"]),
    ("waves lap at the shore", [], ["lap"]),
    ("seagulls fly past", ["fly"], []),
    # no motion
    ("fall colours in the park", [], []),
    ("a woman in a field", [], []),
    ("a smiling woman in a field", [], []),
    ("a man sitting on a bench", [], []),
    ("woman looking at the camera", [], []),
    ("a wind turbine", [], []),
    ("running shoes on a shelf", [], []),
    ("a walk in the park", [], []),
    ("stone steps", [], []),
    ("a smile on her face", [], []),
    ("no wind", [], []),
    ("without blinking", [], []),
    ("the camera moves left", [], []),
    ("autumn leaves on the ground", [], []),
]


@pytest.mark.parametrize(("text", "subject", "environment"), MOTIONS, ids=[row[0] for row in MOTIONS])
def test_motions(text: str, subject: list[str], environment: list[str]) -> None:
    read = read_prompt(text)
    assert (list(read.subject_motion), list(read.environment_motion)) == (subject, environment)


INTENSITIES = [
    ("subtle movement", Intensity.SUBTLE),
    ("barely moving leaves", Intensity.SUBTLE),
    ("slow push in", Intensity.GENTLE),
    ("her hair sways gently", Intensity.GENTLE),
    ("very gentle sway", Intensity.SUBTLE),
    ("very gentle", Intensity.SUBTLE),
    ("in slow motion she turns", Intensity.GENTLE),
    ("natural movement", Intensity.MODERATE),
    ("she runs fast", Intensity.DYNAMIC),
    ("dynamic camera movement", Intensity.DYNAMIC),
    ("strong wind", Intensity.DYNAMIC),
    ("waves crash violently", Intensity.EXTREME),
    ("very fast pan left", Intensity.EXTREME),
    ("whip pan", Intensity.EXTREME),
    ("not too fast, she walks", None),
    ("she walks, not too fast", None),
    ("walking not too fast", Intensity.MODERATE),
    ("gentle sway, explosive waves crash", Intensity.EXTREME),
    ("soft light", None),
    ("a fast car on a road", None),
    ("extreme close-up of an eye", None),
    ("dramatic portrait", None),
    ("natural skin texture, soft focus", None),
    ("softly lit room", None),
    ("she walks", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "level"), INTENSITIES, ids=[row[0] or "empty" for row in INTENSITIES])
def test_intensity(text: str, level: Intensity | None) -> None:
    assert read_prompt(text).intensity == level


@pytest.mark.parametrize(
    ("text", "sound", "loop"),
    [
        ("waves crash, with the sound of the sea", True, False),
        ("ambient audio", True, False),
        ('she says "hello"', True, False),
        ("upbeat music", True, False),
        ("lip-sync to the song", True, False),
        ("no sound", False, False),
        ("without music", False, False),
        ("silent, no audio", False, False),
        ("a music stand", False, False),
        ("a sound mixer on a desk", False, False),
        ("seamless loop", False, True),
        ("a looping cinemagraph of the lake", False, True),
        ("do not loop", False, False),
        ("a loop of rope", False, False),
        ("a belt loop", False, False),
        ("she loops around the tree", False, False),
    ],
)
def test_sound_and_loop_wishes(text: str, sound: bool, loop: bool) -> None:
    read = read_prompt(text)
    assert (read.wants_audio, read.wants_loop) == (sound, loop)


REQUIRED = [
    ("the camera must push in", [C.PUSH_IN]),
    ("exactly a 90 degree pan to the right", [C.PAN_RIGHT]),
    ("a static camera is required", [C.STATIC]),
    ("Required: truck left", [C.TRUCK_LEFT]),
    ("pan left, no exceptions", [C.PAN_LEFT]),
    ("orbit right. It is mandatory.", []),
    ("make sure the camera tilts up", [C.TILT_UP]),
    ("the camera has to follow the dog", [C.FOLLOW]),
    ("push in, zoom out is a must", [C.ZOOM_OUT]),
    ("she must smile while the camera pans left", []),
    ("she must smile; pan left", []),
    ("a push in is not required", []),
    ("maybe push in exactly there", []),
    ("slow push in", []),
]


@pytest.mark.parametrize(("text", "moves"), REQUIRED, ids=[row[0] for row in REQUIRED])
def test_required_moves(text: str, moves: list[C]) -> None:
    read = read_prompt(text)
    assert list(read.camera_required) == moves
    assert set(read.camera_required) <= set(read.camera)


REFUSED = [
    ("no zoom", [C.ZOOM_IN, C.ZOOM_OUT]),
    ("do not zoom in", [C.ZOOM_IN]),
    ("without panning", [C.PAN_LEFT, C.PAN_RIGHT]),
    ("no pan, tilt or zoom", [C.PAN_LEFT, C.PAN_RIGHT, C.TILT_UP, C.TILT_DOWN, C.ZOOM_IN, C.ZOOM_OUT]),
    ("zooming is forbidden", [C.ZOOM_IN, C.ZOOM_OUT]),
    ("avoid zooming and shaking", [C.ZOOM_IN, C.ZOOM_OUT, C.SHAKE]),
    ("push in, no zoom", [C.ZOOM_IN, C.ZOOM_OUT]),
    ("no camera movement", []),
    ("no sudden camera movement", []),
    ("no smoke", []),
]


@pytest.mark.parametrize(("text", "moves"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused_moves(text: str, moves: list[C]) -> None:
    read = read_prompt(text)
    assert list(read.camera_refused) == moves
    assert not set(read.camera) & set(moves)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("with ambient sound", ("ambient",)),
        ('he says: "now"', ("speech",)),
        ("upbeat music, waves audible", ("ambient", "music")),
        ("she sings", ("music",)),
        ("a voiceover in German", ("speech",)),
        ("no music, only natural sound", ("ambient",)),
        ('a sign that says "open"', ()),
        ("silent clip, she talks", ()),
        ("a singing bowl", ()),
        ("the dog barks", ()),
    ],
)
def test_kinds_of_sound(text: str, kinds: tuple[str, ...]) -> None:
    read = read_prompt(text)
    assert read.audio == kinds
    assert read.wants_audio is bool(kinds)


@pytest.mark.parametrize(
    ("text", "fabric", "historic"),
    [
        ("her silk dress billows", True, False),
        ("fashion editorial", True, False),
        ("a woman in a red coat", False, False),
        ("sepia portrait", False, True),
        ("photograph from 1911", False, True),
        ("my ancestors in front of their house", False, True),
        ("a vintage car", False, False),
        ("an old man feeds pigeons", False, False),
        ("photograph from 2021", False, False),
    ],
)
def test_cues(text: str, fabric: bool, historic: bool) -> None:
    read = read_prompt(text)
    assert (read.fabric, read.historic) == (fabric, historic)


@pytest.mark.parametrize(
    "text",
    [
        "Il gatto salta sul tavolo",
        "La mujer camina por la playa con su perro",
        "Die Kamera f\u00e4hrt langsam nach links",
        "\u0441\u0434\u0435\u043b\u0430\u0439 \u0442\u0430\u043a",
        "\U0001f525\U0001f525",
    ],
)
def test_other_languages_claim_nothing(text: str) -> None:
    read = read_prompt(text)
    assert (read.camera, read.subject_motion, read.environment_motion) == ((), (), ())
    assert not read.is_caption


@pytest.mark.parametrize(
    ("base", "forms"),
    [
        ("run", ("runs", "running")),
        ("race", ("races", "racing")),
        ("carry", ("carries", "carrying")),
        ("splash", ("splashes", "splashing")),
        ("flicker", ("flickers", "flickering")),
        ("rain", ("rains", "raining")),
        ("blow", ("blows", "blowing")),
        ("tie", ("ties", "tying")),
        ("flee", ("flees", "fleeing")),
    ],
)
def test_forms_of_verbs(base: str, forms: tuple[str, str]) -> None:
    assert (lexicon.s_form(base), lexicon.ing_form(base)) == forms


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("a woman in a field", 0),
        ("static shot", 0),
        ("slow push in", 1),
        ("hair sways gently, leaves rustle, slow push in, subtle", 1),
        ("she blinks and smiles", 1),
        ("she turns, jumps and dances", 3),
        ("pan left, zoom in, orbit right", 3),
        ("pan left, then pan right", 3),
        ("push in while she runs and jumps", 2),
        ("handheld tracking shot", 1),
    ],
)
def test_competing_motions(text: str, count: int) -> None:
    assert read_prompt(text).motion_count == count


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("a woman in a field", True),
        ("Portrait of an old man with a beard, soft light, 85mm", True),
        ("red bowl", True),
        ("a smiling woman in a field", True),
        ("a woman walks through a field", False),
        ("a woman in a field, slow push in", False),
        ("static shot of a woman", False),
        ("no camera movement", False),
        ("no motion", False),
        ("add subtle motion", False),
        ("with sound", False),
        ("bustling night market, neon lights, cyberpunk city", True),
        ("", False),
        ("   ,,, ", False),
        ("bring the photo to life", False),
        ("rack focus from the flowers to the girl", False),
        ("une femme marche dans un champ", False),
        ("一个女人在田野里", False),
    ],
)
def test_caption(text: str, caption: bool) -> None:
    assert read_prompt(text).is_caption is caption


def test_words_are_counted() -> None:
    assert read_prompt("A slow push-in, then: a pan.").words == 6
    assert read_prompt("\u2026 !?").words == 0


def test_typographic_apostrophe_negates() -> None:
    assert read_prompt("don\u2019t zoom in").camera == ()


VOCABULARY = sorted(
    {
        *vocabulary.CAMERA_VERBS,
        *vocabulary.DIRECTIONS,
        *lexicon.VERBS,
        *vocabulary.INTENSITIES,
        *vocabulary.CAMERA,
        *vocabulary.OPENERS,
        *lexicon.NATURE,
        *lexicon.PEOPLE,
        "no", "not", "without", "and", "then", "as", ",", ".", ":", "from", "of", "or", "must", "exactly",
        "required", "loop", "sound", "music", "says", "optional", "never",
    }
)  # fmt: skip


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    read = read_prompt(text)
    assert read.words >= 0
    assert len(set(read.camera)) == len(read.camera)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(VOCABULARY), max_size=40))
def test_any_order_of_known_words_is_read(words: list[str]) -> None:
    read = read_prompt(" ".join(words))
    assert read.motion_count >= (1 if read.subject_motion or read.environment_motion else 0)
    if read.is_caption:
        assert not read.camera
        assert not read.subject_motion
        assert not read.environment_motion


@given(st.sampled_from([text for text, moves in CAMERA if moves]))
def test_case_and_space_do_not_matter(text: str) -> None:
    expected = read_prompt(text).camera
    assert read_prompt(text.upper()).camera == expected
    assert read_prompt("  " + text.replace(" ", "   ") + " \n").camera == expected


@pytest.mark.parametrize(
    "unit",
    [
        "static ",
        "no ",
        "push ",
        "camera ",
        "slowly ",
        "a",
        " ",
        "-",
        "'",
        "zoom in, ",
        "pan from left to ",
        "(",
        "don't ",
    ],
)
def test_long_texts_cost_in_proportion(unit: str) -> None:
    """Ten times the text makes at most about ten times the calls, Python's and the interpreter's own."""

    def calls(length: int) -> int:
        text = (unit * (length // len(unit) + 1))[:length]
        count = 0

        def tally(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(tally)
        try:
            read_prompt(text)
        finally:
            sys.setprofile(None)
        return count

    assert calls(40_000) <= 12 * calls(4_000) + 100


def test_printable_noise_is_no_motion() -> None:
    assert read_prompt(string.punctuation * 50).motion_count == 0
