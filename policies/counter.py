"""Counter-offers: the smallest changes to a request under which something fits.

Each is found by deciding again on a changed request, so that what is offered is what would be chosen. One
change alone is looked for first; only when no single change helps are several combined, as few as will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from math import ceil, exp, floor, log10, sqrt
from typing import TYPE_CHECKING

from models.types import Residency, Size, TaskType
from policies.base import CounterOffer
from policies.durations import default_seconds

if TYPE_CHECKING:
    from models.catalog import Catalog
    from policies.base import Candidate, Decision, RouteRequest

Decide = Callable[["RouteRequest"], "Decision"]
Change = tuple[str, "RouteRequest"]
"""What to change in words, and the changed request."""

SURE = 1.2816
"""90th percentile of a standard normal: an offered deadline is met with 90 % probability."""
LEAST_SECONDS = 1.0
"""No shorter clip is offered."""
DRAFT_PIXELS = 1280 * 720
"""From this area downwards smaller sizes are tried when none was asked."""
LEAST_SIXTEENTHS = 4
"""A smaller size is sought in sixteenths of the asked sides, down to a quarter."""
MOST_TURNS = 4
"""What is offered is asked for again until the choice delivers it; after these
turns the change is not offered."""
SAME = 0.99
"""A clip of this share of the offered duration is the one that was offered (frames are whole)."""


def counter_offers(request: RouteRequest, decide: Decide, catalog: Catalog) -> tuple[CounterOffer, ...]:
    """Changes that really yield a choice, in the order in which a client would rather make them.

    Args:
        request: The request that nothing fits.
        decide: The decision for a changed request, without counter-offers of its own.
        catalog: Names the replacement of a retired model.
    """
    found = []
    for change in _single(request, decide, catalog):
        offer = _offer(change, decide)
        if offer is not None:
            found.append(offer)
    if found:
        return tuple(found)
    combined = _combined(request, decide)
    return (combined,) if combined is not None else ()


def _offer(change: Change, decide: Decide) -> CounterOffer | None:
    told, changed = change
    chosen = decide(changed).chosen
    return CounterOffer(told, chosen) if chosen is not None else None


def _single(request: RouteRequest, decide: Decide, catalog: Catalog) -> Iterator[Change]:
    for seek in (_deadline, _budget, _seconds, _size, _fps):
        change = seek(request, decide)
        if change is not None:
            yield change
    for loosen in _SWITCHES:
        change = loosen(request)
        if change is not None:
            yield change
    yield from _models(request, catalog)


# --- figures: decided with the limit gone, then told as the least that is needed ------------------


def _deadline(request: RouteRequest, decide: Decide) -> Change | None:
    if request.deadline_s is None:
        return None
    free = decide(replace(request, deadline_s=None))
    if free.chosen is None:
        return None
    least = min(_needed_seconds(scored.candidate) for scored in free.candidates)
    return _with_deadline(request, least)


def _with_deadline(request: RouteRequest, seconds: float) -> Change:
    needed = _up(seconds)
    return f"raise --deadline to {needed:g}", replace(request, deadline_s=needed)


def _needed_seconds(candidate: Candidate) -> float:
    prediction = candidate.prediction
    return prediction.wait_seconds + prediction.seconds * exp(SURE * candidate.pool.sigma)


def _budget(request: RouteRequest, decide: Decide) -> Change | None:
    if request.max_cost_usd is None:
        return None
    free = decide(replace(request, max_cost_usd=None))
    known = [s.candidate.prediction.usd for s in free.candidates if s.candidate.prediction.usd is not None]
    return _with_budget(request, min(known)) if known else None


def _with_budget(request: RouteRequest, usd: float) -> Change:
    needed = _up(usd)
    return f"raise --max-cost to ${needed:g}", replace(request, max_cost_usd=needed)


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
    """The longest shorter clip."""
    asked = request.wish.seconds or default_seconds(request)
    # In half seconds.
    steps = ceil(asked * 2) - 1 - round(LEAST_SECONDS * 2)

    def shorter(step: int) -> RouteRequest:
        return _asking_seconds(request, LEAST_SECONDS + step / 2)

    best = _largest(steps, shorter, decide)
    if best is None:
        return None
    longest = max(scored.candidate.plan.effective.seconds for scored in decide(best).candidates)
    for _ in range(MOST_TURNS):
        best = _asking_seconds(request, round(longest, 2))
        chosen = decide(best).chosen
        if chosen is None:
            return None
        seconds = chosen.candidate.plan.effective.seconds
        if seconds >= SAME * longest:
            return f"shorten the clip: --seconds {best.wish.seconds:g}", best
        longest = seconds
    return None


def _asking_seconds(request: RouteRequest, seconds: float) -> RouteRequest:
    return replace(request, wish=replace(request.wish, seconds=seconds))


def _size(request: RouteRequest, decide: Decide) -> Change | None:
    """The largest smaller size of the same shape."""
    asked = request.wish.size or _draft_size(request)

    def smaller(step: int) -> RouteRequest:
        share = (step + LEAST_SIXTEENTHS) / 16
        return _asking_size(request, Size(_even(asked.width * share), _even(asked.height * share)))

    best = _largest(15 - LEAST_SIXTEENTHS, smaller, decide)
    if best is None:
        return None
    sizes = (scored.candidate.plan.effective.size for scored in decide(best).candidates)
    largest = max(sizes, key=lambda size: (size.pixels, size.width))
    for _ in range(MOST_TURNS):
        best = _asking_size(request, largest)
        chosen = decide(best).chosen
        if chosen is None or largest.pixels >= asked.pixels:
            return None
        size = chosen.candidate.plan.effective.size
        if size == largest:
            return f"make it smaller: --size {size}", best
        largest = size
    return None


def _asking_size(request: RouteRequest, size: Size) -> RouteRequest:
    return replace(request, wish=replace(request.wish, size=size))


def _draft_size(request: RouteRequest) -> Size:
    photo = request.features.image.size
    scale = sqrt(DRAFT_PIXELS / photo.pixels)
    return Size(_even(photo.width * scale), _even(photo.height * scale))


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)


def _largest(top: int, changed: Callable[[int], RouteRequest], decide: Decide) -> RouteRequest | None:
    """The request of the largest step in 0..top that yields a choice; smaller steps ask for less."""
    if top < 0 or decide(changed(0)).chosen is None:
        return None
    low, high = 0, top
    while low < high:
        middle = (low + high + 1) // 2
        if decide(changed(middle)).chosen is not None:
            low = middle
        else:
            high = middle - 1
    return changed(low)


def _fps(request: RouteRequest, decide: Decide) -> Change | None:
    asked = request.wish.fps
    if asked is None:
        return None
    free = decide(replace(request, wish=replace(request.wish, fps=None))).chosen
    if free is None or free.candidate.plan.effective.fps >= asked:
        return None
    fps = free.candidate.plan.effective.fps
    return f"lower the frame rate: --fps {fps:g}", replace(request, wish=replace(request.wish, fps=fps))


# --- switches: a requirement given up -------------------------------------------------------------


def _camera(request: RouteRequest) -> Change | None:
    required = [wish.move for wish in request.camera if wish.required]
    if not required:
        return None
    wishes = tuple(replace(wish, required=False) for wish in request.camera)
    told = " ".join(f"--camera {wish.move}" for wish in wishes)
    return f"prefer the camera move instead of requiring it: {told}", replace(request, camera=wishes)


def _sound(request: RouteRequest) -> Change | None:
    if not request.generate_audio:
        return None
    return "leave out the sound (no --generate-audio)", replace(request, generate_audio=False)


def _without(request: RouteRequest, given: str, option: str) -> Change | None:
    if not getattr(request, given):
        return None
    words = request.features.prompt.words > 0
    task = TaskType.TI2V if words else TaskType.I2V
    changed = {
        "has_last_image": replace(request, has_last_image=False, task=task),
        "has_driving_video": replace(request, has_driving_video=False, task=task),
        "has_audio": replace(request, has_audio=False, task=task),
    }[given]
    return f"leave out {option}", changed


def _residency(request: RouteRequest) -> Change | None:
    if request.residency is Residency.ANY:
        return None
    return "let the photograph go to a hosted model: --residency any", replace(
        request, residency=Residency.ANY
    )


def _lists(request: RouteRequest) -> Change | None:
    if not request.allow and not request.deny:
        return None
    return "allow other models (no --allow, no --deny)", replace(request, allow=(), deny=())


_SWITCHES: tuple[Callable[[RouteRequest], Change | None], ...] = (
    _camera,
    _sound,
    partial(_without, given="has_last_image", option="--last-image"),
    partial(_without, given="has_driving_video", option="--driving-video"),
    partial(_without, given="has_audio", option="--audio"),
    _lists,
    _residency,
)


def _models(request: RouteRequest, catalog: Catalog) -> Iterator[Change]:
    if request.model == "auto":
        return
    replacement = catalog.get(request.model).replacement
    if replacement is not None:
        yield f"take its replacement: --model {replacement}", replace(request, model=replacement)
    yield "let the router choose: --model auto", replace(request, model="auto")


# --- several changes ------------------------------------------------------------------------------


def _combined(request: RouteRequest, decide: Decide) -> CounterOffer | None:
    """As few changes as will do: all given up, then each taken back that is not needed."""
    loose = [loosen for loosen in _LOOSE if loosen(request) is not None]
    if decide(_loosened(request, loose)).chosen is None:
        return None
    # Taken back from the front, since what stands first is what a client gives up most easily.
    for loosen in list(reversed(loose)):
        fewer = [other for other in loose if other is not loosen]
        if decide(_loosened(request, fewer)).chosen is not None:
            loose = fewer
    chosen = decide(_loosened(request, loose)).chosen
    if chosen is None:
        return None
    told, changed = _concrete(request, loose, chosen.candidate)
    final = decide(changed).chosen
    return CounterOffer(" and ".join(told), final) if final is not None else None


def _concrete(
    request: RouteRequest, loose: list[Loosen], candidate: Candidate
) -> tuple[list[str], RouteRequest]:
    """The changes with the figures that this candidate needs."""
    told = []
    clip = candidate.plan.effective
    for loosen in loose:
        if loosen is _no_deadline:
            word, request = _with_deadline(request, _needed_seconds(candidate))
        elif loosen is _no_budget:
            word, request = _with_budget(request, candidate.prediction.usd or 0.0)
        elif loosen is _no_seconds:
            word = f"--seconds {round(clip.seconds, 2):g}"
            request = _asking_seconds(request, round(clip.seconds, 2))
        elif loosen is _no_size:
            word, request = (
                f"--size {clip.size}",
                replace(request, wish=replace(request.wish, size=clip.size)),
            )
        elif loosen is _no_fps:
            word, request = f"--fps {clip.fps:g}", replace(request, wish=replace(request.wish, fps=clip.fps))
        else:
            change = loosen(request)
            assert change is not None  # noqa: S101 - it was chosen because it changes this request
            word, request = change
        told.append(word)
    return told, request


def _loosened(request: RouteRequest, loose: list[Loosen]) -> RouteRequest:
    for loosen in loose:
        change = loosen(request)
        if change is not None:
            request = change[1]
    return request


def _no_deadline(request: RouteRequest) -> Change | None:
    return None if request.deadline_s is None else ("", replace(request, deadline_s=None))


def _no_budget(request: RouteRequest) -> Change | None:
    return None if request.max_cost_usd is None else ("", replace(request, max_cost_usd=None))


def _no_seconds(request: RouteRequest) -> Change | None:
    wish = request.wish
    return None if wish.seconds is None else ("", replace(request, wish=replace(wish, seconds=None)))


def _no_size(request: RouteRequest) -> Change | None:
    wish = request.wish
    return None if wish.size is None else ("", replace(request, wish=replace(wish, size=None)))


def _no_fps(request: RouteRequest) -> Change | None:
    wish = request.wish
    return None if wish.fps is None else ("", replace(request, wish=replace(wish, fps=None)))


def _any_model(request: RouteRequest) -> Change | None:
    if request.model == "auto":
        return None
    return "let the router choose: --model auto", replace(request, model="auto")


Loosen = Callable[["RouteRequest"], Change | None]

_LOOSE: tuple[Loosen, ...] = (
    _no_deadline,
    _no_budget,
    _no_seconds,
    _no_size,
    _no_fps,
    *_SWITCHES,
    _any_model,
)
