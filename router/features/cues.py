"""What the words call the photograph or its subject: an old picture, clothes and cloth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.features import lexicon as x
from router.features.clauses import Clause


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PICTURES: Final = _words(
    """photo photos photograph photographs picture pictures snapshot portrait postcard image negative print
    scan still plate"""
)
_OLD: Final = _words(
    """old vintage antique historic historical faded scanned restored archival archive wartime victorian
    edwardian ancient retro colorized colourised colourized colorised century wwi wwii ww1 ww2 scratched
    aged yellowed monochrome"""
)
_PROCESSES: Final = _words(
    """sepia daguerreotype daguerreotypes tintype tintypes ambrotype ambrotypes newsreel polaroid cyanotype
    albumen calotype carte"""
)
_KIN: Final = _words("ancestor ancestors forefathers")
_BYGONE: Final = _words("victorian edwardian")
_REACH: Final = 6
"""Words between an age and a picture."""

_FASHION: Final = _words(
    """fashion runway catwalk lookbook couture gown gowns chiffon tulle satin fabric garment garments textile
    embroidery pleats ruffles kimono saree sari organza brocade"""
)
_GARMENTS: Final = _words(
    """dress dresses skirt skirts coats jackets shirts scarves sweaters coat cape cloak scarf shawl veil
    sweater jacket shirt silk velvet linen leather lace wool cashmere denim sleeves robe hem knitted
    knitwear"""
)


def names_old_picture(clauses: Sequence[Clause]) -> bool:
    """True of "sepia", "an old photo", "photograph from 1911"; not of "a vintage car", "an old man"."""
    sentences: dict[int, list[str]] = {}
    for clause in clauses:
        sentences.setdefault(clause.sentence, []).extend(clause.words)
    return any(_is_old(words) for words in sentences.values())


def names_fabric(clauses: Sequence[Clause], *, camera: bool) -> bool:
    """Fashion words, two garments, or one that moves or is filmed; a coat that is merely worn is none."""
    for clause in clauses:
        words = clause.words
        if not _FASHION.isdisjoint(words):
            return True
        garments = [at for at, word in enumerate(words) if word in _GARMENTS]
        if not garments:
            continue
        moves = any(word in x.VERBS and not word.endswith("ed") for word in words[garments[0] :])
        if len(garments) > 1 or moves or camera:
            return True
    return False


def _is_old(words: Sequence[str]) -> bool:
    if not (_PROCESSES | _KIN).isdisjoint(words):
        return True
    if {"black", "white"} <= set(words) and not {"old", "wedding"}.isdisjoint(words):
        return not _PICTURES.isdisjoint(words)
    pictures = [at for at, word in enumerate(words) if word in _PICTURES]
    for at in pictures:
        near = words[max(0, at - _REACH) : at + _REACH + 1]
        if not _OLD.isdisjoint(words[max(0, at - 4) : at + 1]) or any(_is_year(word) for word in near):
            return True
    return bool(pictures) and not _BYGONE.isdisjoint(words)


def _is_year(word: str) -> bool:
    """1826 (the first photograph) to 1979, or such a decade."""
    digits = word.removesuffix("s")
    return len(digits) == 4 and digits.isdigit() and 1826 <= int(digits) <= 1979
