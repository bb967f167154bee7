"""Counter-offers: the smallest changes to a request under which something fits.

Each is found by deciding again on a changed request, so that what is offered is what would be chosen. One
change alone is looked for first; only when no single change helps are several combined, as few as will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import ceil, exp, floor, log10
from typing import TYPE_CHECKING

from policies.base import CounterOffer, Saves
from policies.candidates import total_sigma
from policies.nearest import generated_first, highest_rate, largest_size, longest
from policies.wishes import AUTO, present, without
from policies.wishes import patch as patch_of

if TYPE_CHECKING:
    from models.catalog import Catalog
    from policies.base import Candidate, Decision, RouteRequest, Scored
    from policies.wishes import Wish

Decide = Callable[["RouteRequest"], "Decision"]
Change = tuple[str, "RouteRequest"]
"""What to change in words, and the changed request."""

SURE = 1.2816
"""90th percentile of a standard normal: an offered deadline is met with 90 % probability."""
MOST_COMBINED = 3
"""Combinations of changes that are offered when no single one helps."""


def counter_offers(request: RouteRequest, decide: Decide, catalog: Catalog) -> tuple[CounterOffer, ...]:
    """Changes that really yield a choice, in the order in which a client would rather make them.

    Args:
        request: The request that nothing fits.
        decide: The decision for a changed request, without counter-offers of its own.
        catalog: Names the replacement of a retired model.
    """
    unlimited = decide(without(request, "deadline_s", "max_cost_usd")).chosen
    found: list[CounterOffer] = []
    for change in _single(request, decide, catalog):
        _add(found, request, change, decide, unlimited)
    if not found:
        for change in _combined(request, decide):
            _add(found, request, change, decide, unlimited)
            if len(found) == MOST_COMBINED:
                break
    return tuple(found)


def _add(
    found: list[CounterOffer],
    request: RouteRequest,
    change: Change,
    decide: Decide,
    unlimited: Scored | None,
) -> None:
    """Append the offer of this change, unless it yields nothing or was made already."""
    told, changed = change
    patch = patch_of(request, changed)
    if not patch or any(offer.patch == patch for offer in found):
        return
    chosen = decide(changed).chosen
    if chosen is not None:
        found.append(CounterOffer(told, chosen, patch, _saves(unlimited, chosen)))


def _saves(unlimited: Scored | None, chosen: Scored) -> Saves:
    if unlimited is None:
        return Saves()
    before, after = unlimited.candidate.prediction, chosen.candidate.prediction
    return Saves(
        seconds=max(0.0, before.total_seconds - after.total_seconds),
        usd=None if before.usd is None or after.usd is None else before.usd - after.usd,
    )


def _single(request: RouteRequest, decide: Decide, catalog: Catalog) -> Iterator[Change]:
    for seek in (_deadline, _budget, _seconds, _size, _fps):
        change = seek(request, decide)
        if change is not None:
            yield change
    for wish in present(request):
        if wish.field in GIVEN_UP:
            yield _given_up(wish, request)
    yield from _models(request, decide, catalog)


# --- figures: decided with the limit gone, then told as the least that is needed ------------------


def _deadline(request: RouteRequest, decide: Decide) -> Change | None:
    if request.deadline_s is None:
        return None
    free = decide(replace(request, deadline_s=None))
    if free.chosen is None:
        return None
    return _with_deadline(request, min(map(_needed_seconds, generated_first(free.candidates))))


def _with_deadline(request: RouteRequest, seconds: float) -> Change:
    needed = _up(seconds)
    return f"allow {needed:g} s until it is there", replace(request, deadline_s=needed)


def _needed_seconds(candidate: Candidate) -> float:
    prediction = candidate.prediction
    sigma = total_sigma(prediction.wait_seconds, prediction.seconds, candidate.pool.sigma)
    return prediction.total_seconds * exp(SURE * sigma)


def _budget(request: RouteRequest, decide: Decide) -> Change | None:
    if request.max_cost_usd is None:
        return None
    free = decide(replace(request, max_cost_usd=None))
    priced = [scored for scored in free.candidates if scored.candidate.prediction.usd is not None]
    usd = [candidate.prediction.usd or 0.0 for candidate in generated_first(priced)]
    return _with_budget(request, min(usd)) if usd else None


def _with_budget(request: RouteRequest, usd: float) -> Change:
    needed = _up(usd)
    return f"raise the budget to ${needed:g}", replace(request, max_cost_usd=needed)


def _up(value: float) -> float:
    """Rounded up to two significant figures: what is offered is never less than what is needed."""
    if value <= 0:
        return 0.0
    digits = 1 - floor(log10(value))
    unit = 10.0**-digits
    # The inner rounding keeps 0.21 / 0.01 = 21.000000000000004 from becoming 22.
    rounded = round(ceil(round(value / unit, 6)) * unit, max(digits, 0))
    return rounded if rounded >= value else rounded + unit


def _seconds(request: RouteRequest, decide: Decide) -> Change | None:
    changed = longest(request, decide)
    return None if changed is None else (_told(request, changed), changed)


def _size(request: RouteRequest, decide: Decide) -> Change | None:
    changed = largest_size(request, decide)
    return None if changed is None else (_told(request, changed), changed)


def _fps(request: RouteRequest, decide: Decide) -> Change | None:
    changed = highest_rate(request, decide)
    return None if changed is None else (_told(request, changed), changed)


def _told(request: RouteRequest, changed: RouteRequest) -> str:
    """A change of the clip's shape in words, with what makes sure that it is delivered."""
    was, now = request.wish, changed.wish
    told = []
    if now.seconds != was.seconds:
        told.append(f"shorten the clip to {now.seconds:g} s")
    if now.size != was.size:
        told.append(f"make it smaller: {now.size}")
    if now.fps != was.fps:
        told.append(f"lower the frame rate to {now.fps:g} fps")
    if now.prefer is not was.prefer:
        told.append(f"prefer {now.prefer}")
    if changed.model != request.model:
        told.append(f"take {changed.model}")
    return " and ".join(told)


# --- switches: a requirement given up -------------------------------------------------------------

GIVEN_UP = {
    "camera": "prefer the camera moves instead of requiring them",
    "generate_audio": "leave out the sound",
    "last_image": "leave out the last image",
    "driving_video": "leave out the driving video",
    "audio": "leave out the audio file",
    "allow": "allow other models",
    "deny": "let denied models be taken",
    "residency": "let the photograph go to a hosted model",
}
"""Wishes that are given up whole, and what that is called."""


def _given_up(wish: Wish, request: RouteRequest) -> Change:
    return _named(wish, request), wish.dropped(request)


def _named(wish: Wish, request: RouteRequest) -> str:
    if wish.field != "camera":
        return GIVEN_UP[wish.field]
    moves = [camera.move.value for camera in request.camera if camera.required]
    return f"prefer {', '.join(moves)} instead of requiring it"


def _models(request: RouteRequest, decide: Decide, catalog: Catalog) -> Iterator[Change]:
    if request.model == AUTO:
        return
    successor = _successor(request.model, catalog)
    if successor is not None:
        yield f"take its successor {successor}", replace(request, model=successor)
    free = replace(request, model=AUTO)
    fit = decide(free)
    if fit.chosen is None:
        return
    yield f"let the router choose: it takes {fit.chosen.candidate.card.id}", free
    if request.deadline_s is not None:
        fast = min(generated_first(fit.candidates), key=lambda made: made.prediction.total_seconds)
        card = fast.card.id
        if card != fit.chosen.candidate.card.id:
            yield f"take the fastest model, {card}", replace(request, model=card)


def _successor(model: str, catalog: Catalog) -> str | None:
    """The first of its replacements that is not retired itself."""
    seen = {model}
    successor = catalog.get(model).replacement
    while successor is not None and catalog.get(successor).status == "retired" and successor not in seen:
        seen.add(successor)
        successor = catalog.get(successor).replacement
    return None if successor is None or successor in seen else successor


# --- several changes ------------------------------------------------------------------------------


def _combined(request: RouteRequest, decide: Decide) -> Iterator[Change]:
    """As few changes as will do: all given up, then each taken back that is not needed.

    What is taken back first is kept if it can be had at all, so each wish has a turn at being first.
    """
    wishes = present(request)
    known: dict[frozenset[str], bool] = {}

    def fits(given_up: Iterable[Wish]) -> bool:
        fields = frozenset(wish.field for wish in given_up)
        if fields not in known:
            known[fields] = decide(without(request, *fields)).chosen is not None
        return known[fields]

    if not fits(wishes):
        return
    seen = set()
    # What stands last is what a client gives up least easily.
    for first in (None, *reversed(wishes)):
        loose = list(wishes)
        others = [wish for wish in reversed(wishes) if wish is not first]
        for wish in ([first] if first is not None else []) + others:
            fewer = [other for other in loose if other is not wish]
            if fits(fewer):
                loose = fewer
        fields = frozenset(wish.field for wish in loose)
        if fields not in seen:
            seen.add(fields)
            yield _concrete(request, loose, decide)


def _concrete(request: RouteRequest, loose: list[Wish], decide: Decide) -> Change:
    """The changes with the figures that they need: the nearest to the wish that can be had, one by one."""
    told, changed = [], without(request, *(wish.field for wish in loose))
    for wish in loose:
        word, changed = _nearest(wish, request, changed, decide)
        told.append(word)
    return " and ".join(told), changed


def _nearest(wish: Wish, request: RouteRequest, changed: RouteRequest, decide: Decide) -> Change:
    """The wish back in `changed`, as near to what was asked as can be had."""
    if wish.field == "deadline_s":
        return _deadline(replace(changed, deadline_s=0.0), decide) or (_dropped(wish), changed)
    if wish.field == "max_cost_usd":
        return _budget(replace(changed, max_cost_usd=0.0), decide) or (_dropped(wish), changed)
    if wish.field in SHAPES:
        value = getattr(request.wish, wish.field)
        asked = replace(changed, wish=replace(changed.wish, **{wish.field: value}))
        if decide(asked).chosen is not None:
            return f"keep {wish.told(request)}", asked
        near = SHAPES[wish.field](asked, decide)
        return (_dropped(wish), changed) if near is None else (_told(asked, near), near)
    if wish.field in GIVEN_UP:
        return _named(wish, request), changed
    return "let the router choose the model", changed


def _dropped(wish: Wish) -> str:
    return f"leave out {wish.field}"


SHAPES: dict[str, Callable[[RouteRequest, Decide], RouteRequest | None]] = {
    "seconds": longest,
    "size": largest_size,
    "fps": highest_rate,
}
