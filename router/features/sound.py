"""Which sound a prompt wishes: ambient, speech or music; and whether it refuses some.

Somebody who says, tells or sings something is expected to be heard. A thing that merely could be heard
(a dog that barks, a fire that crackles) is no wish for sound.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from policies.base import AudioKind
from router.features.clauses import Clause, negated


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ANY: Final = _words(
    "sound sounds audio noise noises sfx soundscape audible audibly hear heard ambience foley birdsong"
)
"""Sound of whatever kind; alone it is the ambient one."""
_SPEECH: Final = _words(
    """says saying speaks speaking speak talks talking talk tells telling whispers whispering murmurs
    murmuring mutters announces announcing narrates narrated narration narrator voiceover voice voices
    dialogue dialog lipsync recites reciting explains explaining speech aloud conversation interview
    interviewed chats"""
)
_QUOTED: Final = _words(
    "shouts yells asks replies answers screams cries calls exclaims announces whispers tells sings declares"
)
"""Verbs that are speech when words in quotes follow."""
_MUSIC: Final = _words(
    """music song songs melody melodies tune soundtrack lullaby anthem orchestral sings singing sing beat
    beats musical singsong waltz score hum hums humming"""
)
_AMBIENT: Final = _words(
    "ambient ambience foley sfx soundscape nature natural seaside wind rain birdsong cries"
)
_SILENCE: Final = _words("silent mute muted soundless")
_NATURE: Final = _words("stream brook creek river wind breeze sea waves leaves trees forest water rain")
"""Whose murmuring is no speech."""
_KINDS: Final[tuple[AudioKind, ...]] = ("ambient", "speech", "music")
_SIGNS: Final = _words("sign label banner note shirt poster letter text caption billboard card")
_THINGS: Final[dict[str, frozenset[str]]] = {
    "sound": _words(
        "stand box hall festival room studio engineer system store bar wave waves barrier proof mixer"
    ),
    "audio": _words("equipment mixer engineer speaker speakers interface cable cassette tape"),
    "noise": _words("reduction texture grain pattern level barrier"),
    "music": _words(
        "stand sheet sheets box boxes hall festival room studio store teacher video school book note"
    ),
    "score": _words("board sheet"),
    "singing": _words("bowl bowls bird"),
    "song": _words("bird book"),
    "voice": _words("recorder assistant"),
    "talk": _words("show"),
    "beat": _words("up"),
}
"""After a sound word these show a thing: music stand, sound mixer, singing bowl."""
_BEFORE_SCORE: Final = _words("piano orchestral film movie musical epic jazz string cinematic background")
_BEFORE_BEAT: Final = _words("samba techno drum hip hop dance music electronic funky lofi the a fi steady")
_OWN: Final = _words(
    "music song soundtrack sound audio sounds voiceover voice noise narration dialogue speech sfx"
)
_QUOTE: Final = re.compile(
    r"[\"\u201c\u201d\u00ab][^\"\u201c\u201d\u00ab\u00bb]{2,400}[\"\u201c\u201d\u00bb]"
)


def read_audio(text: str, clauses: Sequence[Clause]) -> tuple[AudioKind, ...]:
    """Kinds of sound that are wished, in a fixed order; empty: none is."""
    quoted = _QUOTE.search(text) is not None
    wished: set[AudioKind] = set()
    refused: set[str] = set()
    for clause in clauses:
        here: set[AudioKind] = set()
        plain = False
        words = clause.words
        for at, word in enumerate(words):
            kind = _kind(words, at, quoted=quoted)
            if kind is None:
                if word in _SILENCE and negated(words, at) is None:
                    refused.add("any")
                continue
            if negated(words, at) is not None or _unneeded(words, at):
                refused.add(kind)
            elif kind == "any":
                plain = True
            elif kind in _KINDS:
                here.add(kind)
        if plain and (not here or not _AMBIENT.isdisjoint(words)):
            here = here - {"music"} if "soundtrack" in words else here
            here.add("ambient")
        wished |= here
    if "any" in refused:
        return ()
    return tuple(kind for kind in _KINDS if kind in wished and kind not in refused)


def _kind(words: tuple[str, ...], at: int, *, quoted: bool) -> AudioKind | str | None:  # noqa: PLR0911 - one rule a line
    """What a word speaks of: a kind, "any" sound, or None."""
    word = words[at]
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if after in _THINGS.get(word.removesuffix("s"), ()) or after in _THINGS.get(word, ()):
        return None
    if word in ("says", "saying", "tells") and not _SIGNS.isdisjoint(words[max(0, at - 3) : at]):
        return None
    if word in ("murmurs", "whispers", "murmuring", "whispering") and before in _NATURE:
        return None
    if word == "talking" and before in ("a", "an", "the") and after and after != "head":
        return None
    if word in _MUSIC:
        return _music(word, words, before)
    if word in _SPEECH or (quoted and word in _QUOTED):
        return None if word in ("speech", "voice") and before == "silent" else "speech"
    if word in ("drums", "piano", "guitar", "violin", "band") and not _ANY.isdisjoint(words):
        return "music"
    if word == "soundtrack":
        return "music"
    return "any" if word in _ANY and not (word == "noise" and before in ("film", "image", "grain")) else None


def _music(word: str, words: tuple[str, ...], before: str) -> AudioKind | str | None:
    if word == "score":
        return "music" if before in _BEFORE_SCORE else None
    if word in ("beat", "beats"):
        return "music" if before in _BEFORE_BEAT else None
    if word == "soundtrack" and not {"wind", "rain", "sea", "waves", "howling"}.isdisjoint(words):
        return "any"
    if word == "orchestral" and _OWN.isdisjoint(words):
        return None
    return "music"


def _unneeded(words: tuple[str, ...], at: int) -> bool:
    """True of "audio off", "sound not needed"."""
    following = words[at + 1 : at + 4]
    return following[:1] in (("off",), ("muted",)) or "unnecessary" in following or "not" in following
