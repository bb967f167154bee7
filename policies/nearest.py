"""The longest, largest or smoothest clip that can still be had, when what was asked cannot.

What counts is what really fits, not what would be chosen of it: a smaller ask is decided, and among all its
candidates the one that comes nearest to the wish is taken, be it plain or dear. Then it is made sure that
asking for that very clip delivers it: as it is, else by naming the model, else by preferring that corner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING

from models.types import Prefer, Size
from policies.durations import default_seconds
from policies.wishes import AUTO

if TYPE_CHECKING:
    from models.types import ClipWish
    from policies.base import Candidate, Decision, RouteRequest, Scored

Decide = Callable[["RouteRequest"], "Decision"]

LEAST_SECONDS = 1.0
"""No shorter clip is offered."""
STEP_SECONDS = 0.5
"""Shorter clips are sought in half seconds,"""
MOST_STEPS = 24
"""but in no more steps than that: a minute is sought in steps of two and a half seconds."""
DRAFT_PIXELS = 1280 * 720
"""From this area downwards smaller sizes are tried when none was asked."""
SIXTEENTHS = range(15, 3, -1)
"""A smaller size is sought in sixteenths of the asked sides, down to a quarter."""
RATES = (120.0, 60.0, 50.0, 48.0, 30.0, 25.0, 24.0, 16.0, 12.0, 8.0)
"""Frame rates that are tried: those of screens, television, film and open models."""
SAME = 0.99
"""A clip of this share of what was offered is the one that was offered (frames are whole)."""


def longest(request: RouteRequest, decide: Decide) -> RouteRequest | None:
    """The request for the longest shorter clip that can be had; None when there is none."""
    asked = request.wish.seconds or default_seconds(request)
    step = max(STEP_SECONDS, asked / MOST_STEPS)
    count = int((asked - LEAST_SECONDS) / step + 1e-9)
    asks = (asked - step * taken for taken in range(1, count + 1))

    def asking(seconds: float) -> ClipWish:
        return replace(request.wish, seconds=round(seconds, 2))

    def reached(candidate: Candidate) -> float:
        return candidate.plan.effective.seconds / asked

    found = _furthest(request, ((asking(s), s / asked) for s in asks), reached, decide)
    if found is None:
        return None
    return _delivered(request, asking(found.plan.effective.seconds), Prefer.DURATION, found, reached, decide)


def largest_size(request: RouteRequest, decide: Decide) -> RouteRequest | None:
    """The request for the largest smaller frame that can be had; None when there is none."""
    asked = request.wish.size or _draft_size(request)

    def asking(size: Size) -> ClipWish:
        return replace(request.wish, size=size)

    def reached(candidate: Candidate) -> float:
        # The share of the asked frame's sides that both sides reach: another shape is no gain.
        size = candidate.plan.effective.size
        return min(size.width / asked.width, size.height / asked.height)

    asks = (
        (asking(Size(_even(asked.width * share / 16), _even(asked.height * share / 16))), share / 16)
        for share in SIXTEENTHS
    )
    found = _furthest(request, asks, reached, decide)
    if found is None:
        return None
    return _delivered(request, asking(found.plan.effective.size), Prefer.RESOLUTION, found, reached, decide)


def highest_rate(request: RouteRequest, decide: Decide) -> RouteRequest | None:
    """The request for the highest lower frame rate that can be had; None when there is none."""
    asked = request.wish.fps
    if asked is None:
        return None

    def asking(fps: float) -> ClipWish:
        return replace(request.wish, fps=fps)

    def reached(candidate: Candidate) -> float:
        return candidate.plan.effective.fps / asked

    asks = ((asking(rate), rate / asked) for rate in RATES if rate < asked)
    found = _furthest(request, asks, reached, decide)
    if found is None:
        return None
    return _delivered(request, asking(found.plan.effective.fps), Prefer.FPS, found, reached, decide)


def _furthest(
    request: RouteRequest,
    asks: Iterable[tuple[ClipWish, float]],
    reached: Callable[[Candidate], float],
    decide: Decide,
) -> Candidate | None:
    """Of all that smaller and smaller asks yield, the candidate that comes nearest to the original one.

    A large ask may yield small clips only, and a smaller one larger clips of another model; so the search
    goes on until no smaller ask can yield more than what was found. A rendered clip stands in for a generated
    one only where no generated one is to be had.
    """
    best: Candidate | None = None
    most = (False, 0.0)
    for wish, share in asks:
        if best is not None and most >= (True, SAME * share):
            break
        for scored in decide(replace(request, wish=wish)).candidates:
            candidate = scored.candidate
            come = (candidate.card.makes == "generated", reached(candidate))
            if come[1] < 1.0 and come > most:
                best, most = candidate, come
    return best


def generated_first(candidates: Iterable[Scored]) -> list[Candidate]:
    """The generated clips among them; the rendered ones where there is no other."""
    every = [scored.candidate for scored in candidates]
    return [candidate for candidate in every if candidate.card.makes == "generated"] or every


def _delivered(
    request: RouteRequest,
    wish: ClipWish,
    corner: Prefer,
    found: Candidate,
    reached: Callable[[Candidate], float],
    decide: Decide,
) -> RouteRequest | None:
    """The request with this wish whose choice really comes that far."""
    plain = replace(request, wish=_rounded(wish))
    held = replace(request, wish=replace(plain.wish, prefer=corner))
    named = replace(plain, model=found.card.id)
    for changed in (plain, named, held) if request.model == AUTO else (plain, held):
        chosen = decide(changed).chosen
        if chosen is not None and reached(chosen.candidate) >= SAME * reached(found):
            return changed
    return None


def _rounded(wish: ClipWish) -> ClipWish:
    return wish if wish.fps is None else replace(wish, fps=round(wish.fps, 4))


def _draft_size(request: RouteRequest) -> Size:
    photo = request.features.image.size
    scale = sqrt(DRAFT_PIXELS / photo.pixels)
    return Size(_even(photo.width * scale), _even(photo.height * scale))


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)
