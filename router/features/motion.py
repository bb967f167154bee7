"""Who or what moves in a prompt besides the camera.

A verb's form says little in English ("waves", "rolls", "drinks" are nouns as well), so each form asks for its
own evidence: a form in -s for somebody before it, a form in -ing that it is no adjective or pose, a base form
for a plural before it or an order. A verb that is in no list still counts where only a verb can stand: after
"she", after "is" in -ing, after "a" and a noun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.features import lexicon as x
from router.features import vocabulary as v
from router.features.clauses import Clause, negated

_PROGRESSIVE: Final = frozenset(
    {
        "is",
        "are",
        "starts",
        "begins",
        "start",
        "begin",
        "keeps",
        "keep",
        "was",
        "were",
        "seen",
        "while",
        "still",
    }
)
_MODALS: Final = frozenset({"will", "should", "must", "can", "could", "may", "might", "to", "would", "let's"})
_CAUSES: Final = frozenset({"let", "lets", "make", "makes", "watch", "see", "help", "helps", "have", "has"})
_PLURALS: Final = frozenset(
    {"people", "men", "women", "children", "kids", "they", "we", "you", "couple", "crowd", "police", "family"}
    | {"team", "sheep", "fish", "geese", "foliage", "cattle", "deer", "curtains"}
)
_SINGULARS: Final = frozenset({"she", "he", "it", "who", "which", "someone", "somebody", "everyone"})
_GLANCES: Final = frozenset(
    {"up", "down", "around", "away", "back", "over", "toward", "towards", "left", "right", "out", "sideways"}
)
_ALONG: Final = v.MOVES_ALONG | v.PREPOSITIONS | v.DETERMINERS | {"", "open", "again", "faster", "twice"}
_ARTICLES: Final = frozenset({"a", "an"})
_DEGREE: Final = (
    frozenset(v.INTENSITIES) | v.SPEED | {"small", "tiny", "light", "big", "natural", "little", "brief"}
)
_STORMS: Final = frozenset({"storm", "thunderstorm", "sandstorm", "snowstorm", "waves", "currents"})
_WEATHERS: Final = frozenset(
    {"gentle", "faint", "heavy", "strong", "violent", "moderate", "subtle", "slow", "slight"}
)
_SOMEWHERE: Final = frozenset(
    {
        "off",
        "up",
        "down",
        "into",
        "onto",
        "across",
        "away",
        "out",
        "through",
        "past",
        "toward",
        "towards",
        "by",
    }
    | {"along", "over", "around", "together"}
)
_NO_VERBS: Final = frozenset(
    {
        "display",
        "show",
        "outdoors",
        "indoors",
        "alone",
        "together",
        "asleep",
        "there",
        "here",
        "full",
        "high",
        "low",
        "deep",
        "far",
    }
    | {
        "right",
        "left",
        "out",
        "up",
        "down",
        "back",
        "home",
        "away",
        "made",
        "set",
        "that",
        "who",
        "which",
        "also",
    }
    | {
        "all",
        "both",
        "are",
        "were",
        "have",
        "seen",
        "near",
        "black",
        "white",
        "red",
        "just",
        "still",
        "visible",
    }
)
_REACH: Final = 9
"""Words before a verb among which its actor is looked for."""


@dataclass(frozen=True, slots=True)
class _Word:
    """A word where it stands."""

    words: tuple[str, ...]
    at: int
    carried: str
    """Who acted in the clause before, when this one goes on about them."""
    told: bool
    """The clause follows "as" or "while"."""
    linked: bool
    """The clause follows "and"."""
    lively: bool
    """The prompt asks for motion anyway (a camera move, a loop), so that "the spinning coin" is more than a
    description."""

    @property
    def text(self) -> str:
        return self.words[self.at]

    @property
    def after(self) -> str:
        return self.words[self.at + 1] if self.at + 1 < len(self.words) else ""

    @property
    def before(self) -> str:
        """The word before, adverbs skipped: "she" in "she slowly turns"."""
        for index in range(self.at - 1, max(-1, self.at - 5), -1):
            word = self.words[index]
            if (not word.endswith("ly") or x.is_someone(word)) and word not in (
                "just",
                "then",
                "all",
                "both",
                "also",
                "barely",
            ):
                return word
        return ""

    @property
    def said_how(self) -> bool:
        return (
            self.at > 0
            and self.words[self.at - 1].endswith("ly")
            and not x.is_someone(self.words[self.at - 1])
        )


def read_motions(
    clauses: Sequence[Clause], taken: frozenset[tuple[int, int]], *, lively: bool, going_on: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Motions of the subject and of the environment, each verb once, in the order of the words.

    Args:
        clauses: the prompt.
        taken: positions (clause, word) that belong to the camera.
        lively: the prompt asks for motion anyway.
        going_on: a loop, a sound or "animate" is asked for, so that what moves by being there (a waterfall)
            is asked to move.
    """
    subject: dict[str, None] = {}
    environment: dict[str, None] = {}
    actor = ""
    sentence = -1
    for number, clause in enumerate(clauses):
        if clause.sentence != sentence:
            actor, sentence = "", clause.sentence
        carried = actor
        for at, text in enumerate(clause.words):
            if (number, at) in taken or negated(clause.words, at) is not None:
                continue
            word = _Word(clause.words, at, carried, clause.told, clause.linked, lively)
            verb = _verb_of(word)
            if verb is None:
                if going_on and text in x.INHERENT and not (at and clause.words[at - 1] in x.INHERENT):
                    environment["flow"] = None
                continue
            does = _actor(word)
            if _is_natural(word, verb, does):
                environment[verb] = None
            else:
                subject[verb] = None
        actor = _first_actor(clause.words) or actor
    return tuple(subject), tuple(environment)


def _verb_of(word: _Word) -> str | None:  # noqa: PLR0911 - one rule a line
    """The name of the motion that a word tells of, or None."""
    text = word.text
    if _camera_acts(word):
        return None
    verb = x.VERBS.get(text)
    if verb is not None and _happens(word, verb):
        return verb
    filmed = not v.CAMERA.isdisjoint(word.words) or "handheld" in word.words
    if text in x.MOTION_NOUNS and word.after not in x.WIND_THINGS and not (filmed and text not in x.WINDS):
        return x.MOTION_NOUNS[text]
    if text in x.DEEDS and word.at and _is_deed(word):
        return x.VERBS.get(text, text)
    if text in x.FALLING and word.at and word.words[word.at - 1] in _WEATHERS:
        return "flow"
    if text in ("movement", "movements", "motion") and word.after in ("of", "in"):
        moved = word.words[word.at + 2 : word.at + 9]
        return "move" if any(_can_act(other) or other in x.WEARABLE for other in moved) else None
    if text in _STORMS and any(other in v.INTENSITIES for other in word.words[max(0, word.at - 2) : word.at]):
        return "rage"
    if text == "lipsync":
        return "talk"
    if text in ("walk", "run") and word.after == "cycle":
        return text
    if text == "turn" and word.at and word.words[word.at - 1] in ("head", "body"):
        return "turn"
    return _unlisted(word) if verb is None else None


def _is_deed(word: _Word) -> bool:
    """A noun that ends its clause, with a word of degree: "subtle blink", "energetic tennis serve"."""
    if word.after:
        return False
    return any(other in _DEGREE for other in word.words[max(0, word.at - 2) : word.at])


def _happens(word: _Word, verb: str) -> bool:  # noqa: PLR0911 - one rule a line
    """Tell an action from a noun ("a walk"), an adjective ("a smiling woman") and a pose ("sitting")."""
    text = word.text
    if text in ("come", "go") and word.before in x.NATURE:
        return True
    if verb == "go" and (
        word.after not in v.MOVES_ALONG | {"in"} or (text.endswith("s") and word.before == "it")
    ):
        return False
    if verb in ("play", "move", "talk", "read") and word.before == "it" and not word.carried:
        return False
    if word.before in x.WAYS and verb in ("run", "turn", "climb", "stretch", "fall", "rise", "go"):
        return word.before == "river" and verb in ("run", "rise", "fall")
    if verb in ("talk", "read") and not x.SIGNS.isdisjoint(word.words[max(0, word.at - 3) : word.at]):
        return False
    if verb == "look" and text in ("look", "looks") and word.after not in _GLANCES:
        return False
    if verb == "stand" and word.after != "up":
        return False
    if text.endswith("ing") and text not in x.BASE_IN_ING:
        return _is_going_on(word, verb)
    if text.endswith("s") and not text.endswith("ss"):
        return _is_finite(word)
    return _is_base(word)


def _is_going_on(word: _Word, verb: str) -> bool:  # noqa: PLR0911 - one rule a line
    before = word.words[word.at - 1] if word.at else ""
    after = word.after
    if before in _PROGRESSIVE:
        return verb not in x.POSED or before not in ("is", "are") or word.lively
    if after in x.COMPOUND_AFTER or after in v.CAMERA or after == "handheld":
        return False
    if word.text in x.ART and not x.is_someone(before):
        return False
    nature = after in x.NATURE or after in x.WEARABLE
    if before in v.DETERMINERS and after and after not in v.MOVES_ALONG | v.PREPOSITIONS:
        thing = word.lively and verb not in x.POSED and verb not in x.MICRO
        return thing or (before == "the" and nature)
    if verb in x.POSED:
        travels = verb in ("ride", "drive", "play", "carry", "approach") and word.lively and _can_act(before)
        return word.said_how or travels
    if after in x.STILL_NATURE:
        return False
    if not before or before in _DEGREE:
        return nature or after in _ALONG or after.endswith("ly") or word.lively
    return after in _ALONG or nature or after.endswith("ly") or _can_act(before)


def _is_finite(word: _Word) -> bool:
    """A form in -s with somebody before it."""
    before = word.before
    if not before:
        # "smiles softly" goes on about somebody; "waves" alone is a thing.
        return bool(word.carried) and (not word.at or word.said_how)
    if before in v.DETERMINERS | v.PREPOSITIONS | _DEGREE:
        return word.said_how and before in v.SPEED and bool(word.carried)
    if x.VERBS[word.text] not in x.NOUNS_TOO and word.text[:-1] not in x.NOUNS_TOO:
        return True
    beside = word.at > 0 and word.words[word.at - 1] == before
    if word.told and beside and not before.endswith("s") and word.text not in x.NATURE:
        return True
    if _can_act(before):
        return not (before in x.NATURE and before.endswith("s") and not before.endswith("ss"))
    # "the boy bites into": an article before the noun and no noun after the verb.
    governed = not v.DETERMINERS.isdisjoint(word.words[max(0, word.at - 4) : word.at - 1])
    return (governed or word.words[0] == "another") and (word.after in _ALONG or word.after.endswith("ly"))


def _is_base(word: _Word) -> bool:  # noqa: PLR0911 - one rule a line
    """A base form: an order, after a plural, or after "will" or "let"."""
    words, at, before = word.words, word.at, word.before
    opens = all(
        other in v.SPEED or other in ("let", "make", "please") for other in words[max(0, at - 8) : at]
    )
    adjective = at > 0 and words[at - 1] in v.INTENSITIES and not words[at - 1].endswith("ly")
    if opens and not (adjective and word.text in x.NOUNS_TOO):
        along = word.after in v.MOVES_ALONG and word.after not in ("in", "back", "forward")
        return word.text not in ("close", "open", "fall", "still", "whip") and (
            along or not word.after or word.said_how
        )
    just_before = words[at - 1] if at else ""
    if word.text in x.NOUNS_TOO and just_before in v.INTENSITIES and not just_before.endswith("ly"):
        return False
    if before in v.DETERMINERS | v.PREPOSITIONS:
        return before == "to" and word.text not in x.NOUNS_TOO
    if before in _MODALS:
        # "The orbit must go left" speaks of the camera.
        led = words[max(0, at - 3) : at]
        return v.CAMERA.isdisjoint(led) and not any(other in v.DIRECTED for other in led)
    if word.linked and at in (1, 2) and _can_act(before):
        # "The bride and groom cut the cake": two are a plural.
        return True
    if before in _PLURALS:
        return True
    if word.told and before.endswith("s") and not before.endswith("ss"):
        return True
    plural = len(before) > 3 and before.endswith("s") and not before.endswith(("ss", "'s"))
    if plural:
        return word.text not in x.NOUNS_TOO or _can_act(before) or word.after in _ALONG
    caused = not _CAUSES.isdisjoint(words[max(0, at - 6) : at])
    return caused and (_can_act(before) or before in ("her", "him", "them"))


def _unlisted(word: _Word) -> str | None:  # noqa: PLR0911 - one rule a line
    """A verb that no list has, where only a verb can stand."""
    words, at, text = word.words, word.at, word.text
    if len(text) < 4 or not at or not text.isalpha():
        return None
    before = words[at - 1]
    if text.endswith("ing"):
        moves = before in ("is", "are", "starts", "begins", "keeps") and text not in x.STATE_ING
        return text[:-3] if moves and at > 1 else None
    if not text.endswith("s"):
        return text if _is_unlisted_plural(word) else None
    if text.endswith(("ss", "us", "is")) or text in x.STATES:
        return None
    if (text in v.CAMERA_VERBS or text in x.NATURE) and before in ("she", "he"):
        return text[:-1]
    if text in v.CAMERA_VERBS or text in v.DIRECTIONS or text in x.NATURE or text in x.PEOPLE:
        return None
    if before in _SINGULARS or (word.said_how and word.before in _SINGULARS):
        return text[:-1]
    if at < 2 or before in v.DETERMINERS | v.PREPOSITIONS:
        return None
    follows = word.after in v.MOVES_ALONG | v.DETERMINERS | {"into", "onto", "off", "at", "through"}
    article = words[at - 2] in v.DETERMINERS
    single = not before.endswith("s") and before not in v.INTENSITIES
    if single and word.told and article:
        return text[:-1]
    if single and article and x.is_someone(before) and word.after not in ("of", "and"):
        return text[:-1]
    if (
        single
        and article
        and before not in x.WAYS
        and (words[at - 2] in _ARTICLES or word.after in _SOMEWHERE)
    ):
        return text[:-1] if follows or word.after in _SOMEWHERE else None
    compound = at > 2 and words[at - 3] in v.DETERMINERS and x.is_someone(words[at - 2])
    return text[:-1] if single and compound and word.after in v.DETERMINERS else None


def _is_unlisted_plural(word: _Word) -> bool:
    """A base form that no list has: "penguins waddle toward", "waves pound the lighthouse"."""
    before, text = word.words[word.at - 1], word.text
    acts = before.endswith("s") and not before.endswith("ss") and (x.is_someone(before) or before in x.NATURE)
    if not acts or text in _NO_VERBS or text.endswith(("ed", "ly")) or text in v.CAMERA_VERBS:
        return False
    if text in v.PREPOSITIONS | v.DETERMINERS | v.DIRECTIONS.keys() | v.MOVES_ALONG | x.NATURE | x.PEOPLE:
        return False
    return word.after in _SOMEWHERE or word.after in ("the", "a", "an", "his", "her", "their", "its")


def _can_act(word: str) -> bool:
    return x.is_someone(word) or word in x.NATURE or word in x.PRONOUNS


def _camera_acts(word: _Word) -> bool:
    """The nearest actor before is the camera, so that the motion is none of the subject's."""
    for index in range(word.at - 1, max(-1, word.at - _REACH), -1):
        other = word.words[index]
        if other in v.CAMERA_ACTORS:
            return "of" not in word.words[index : word.at]
        if _can_act(other) or other in v.DETERMINERS:
            return False
    return False


def _actor(word: _Word) -> str:  # noqa: PLR0911 - one rule a line
    """The nearest known actor before the verb that no preposition governs, else the noun after it."""
    governed = ""
    for index in range(word.at - 1, max(-1, word.at - _REACH), -1):
        other = word.words[index]
        if not (_can_act(other) or other in x.WEARABLE):
            continue
        if other in ("they", "them") and word.carried in x.NATURE:
            return word.carried
        if other in ("it", "its", "which") and word.carried and index == 0:
            return word.carried
        if other in ("her", "his", "their", "its", "who") and index + 1 < word.at:
            return _noun_between(word.words, index, word.at) or other
        lead = word.words[max(0, index - 2) : index]
        beside = index == word.at - 1 and word.text.endswith("ing")
        if not governed and not beside and not v.PREPOSITIONS.isdisjoint(lead):
            governed = other
            continue
        return other
    if governed:
        return governed
    if word.carried and word.words[: word.at] == word.words[:0]:
        return word.carried
    return word.after if word.after in x.NATURE or word.after in x.WEARABLE else ""


def _noun_between(words: tuple[str, ...], start: int, end: int) -> str:
    return next((other for other in words[start + 1 : end] if other in x.NATURE or other in x.WEARABLE), "")


def _first_actor(words: tuple[str, ...]) -> str:
    """Who a clause is about: its first actor, so that the next may go on about them."""
    start = 1 if words[0] in x.VERBS else 0
    return next((word for word in words[start:] if _can_act(word) or word in x.WEARABLE), "")


def _is_natural(word: _Word, verb: str, actor: str) -> bool:
    """Whether a motion is the environment's."""
    if word.text in x.WINDS or verb == "rage" or (verb == "flow" and word.text in x.FALLING):
        return True
    if actor in x.WEARABLE:
        return False
    if actor in x.NATURE and actor not in x.PEOPLE:
        return True
    if actor:
        return False
    return word.text in x.NATURE_VERBS or word.text in x.MOTION_NOUNS or verb in ("explode", "fall")
