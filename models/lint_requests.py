"""Lint of request maps: can each mode of a hosted offer be asked for everything that the card promises?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from models.card import Card, Mode, Offer
    from models.requests import Number, RequestMap

MAPPED = frozenset({"replicate", "fal"})
"""Backends whose requests are spelled by a map on the card."""

_Told = tuple[Literal["error"], str, str]


def unsayable(card: Card) -> Iterator[_Told]:
    """Errors of all request maps of a card: level, dotted path, message."""
    for offer in card.offers:
        at = f"offers.{offer.id}"
        request = offer.request
        if request is None:
            if offer.backend in MAPPED and card.status != "retired":
                yield (
                    "error",
                    f"{at}.request",
                    f"missing; nothing says how {offer.backend} is asked for a clip",
                )
            continue
        if offer.backend not in MAPPED:
            yield "error", f"{at}.request", f"is for {' and '.join(sorted(MAPPED))}, not for {offer.backend}"
        if request.version is not None and offer.backend != "replicate":
            yield "error", f"{at}.request.version", "only Replicate has versions"
        yield from (("error", f"{at}.request", told) for told in _names(request))
        yield from (("error", f"{at}.request.{field}", told) for field, told in _card(card, request))
        for mode in offer.modes:
            where = f"{at}.modes.{mode.name}"
            yield from (
                ("error", f"{where}.{field}", told) for field, told in _mode(card, offer, mode, request)
            )


def _names(request: RequestMap) -> Iterator[str]:
    """Every parameter is named once, and no path runs through another."""
    names = request.names()
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is named more than once"
    for name in sorted(set(names)):
        through = [other for other in names if other.startswith(f"{name}.")]
        if through:
            yield f"{name} is a value and a path ({through[0]})"


def _card(card: Card, request: RequestMap) -> Iterator[tuple[str, str]]:
    """The map names nothing that the controls refuse, and every move of a real camera interface."""
    controls = card.controls
    for field, promised in (
        ("last_image", controls.last_image != "none"),
        ("driving_video", controls.driving_video != "none"),
        ("audio", controls.audio_in != "none"),
        ("prompt", controls.prompt),
        ("negative_prompt", controls.negative_prompt),
        ("seed", controls.seed),
        ("loop", controls.loop),
        ("sound", controls.audio_out == "native"),
        ("camera", controls.camera.kind == "parameter"),
        ("camera_text", controls.camera.kind == "brackets"),
    ):
        if getattr(request, field) is not None and not promised:
            yield field, "is named, and the card's controls promise nothing of the kind"
    commands = request.camera or request.camera_text
    if commands is None:
        return
    field = "camera" if request.camera else "camera_text"
    told, moves = set(commands.values), set(controls.camera.moves)
    if told != moves:
        yield f"{field}.values", f"are not the moves of the card's camera: {', '.join(sorted(told ^ moves))}"


def _mode(card: Card, offer: Offer, mode: Mode, request: RequestMap) -> Iterator[tuple[str, str]]:
    """What the card promises, the map says or the mode excludes; what varies has a parameter."""
    controls = card.controls
    for what, promised, said in (
        ("last_image", controls.last_image != "none", request.last_image),
        ("driving_video", controls.driving_video != "none", request.driving_video),
        ("audio", controls.audio_in != "none", request.audio),
        ("prompt", controls.prompt, request.prompt),
        ("negative_prompt", controls.negative_prompt, request.negative_prompt),
        ("seed", controls.seed, request.seed),
        ("loop", controls.loop, request.loop),
        ("camera", controls.camera.kind == "parameter", request.camera),
        ("camera", controls.camera.kind == "brackets", request.camera_text),
    ):
        if promised and said is None and what not in mode.excludes:
            yield (
                "excludes",
                f"the controls promise {what}, and {offer.id} has no parameter for it: exclude it",
            )
    if controls.audio_out == "native" and request.sound is None:
        yield "excludes", f"sound is made when asked for, and {offer.id} has no parameter for it"
    if mode.max_segments > 1 or mode.interpolate_to is not None:
        yield "max_segments", "hosts make one shot and no in-between frames"
    for name in sorted(set(mode.sends) & (set(request.names()) - set(request.sends))):
        yield f"sends.{name}", "is a parameter of the map, too"
    yield from _lengths(mode, request)


def _lengths(mode: Mode, request: RequestMap) -> Iterator[tuple[str, str]]:
    length = mode.length
    if length.kind == "lattice":
        if length.min != length.max and request.frames is None and request.seconds is None:
            yield "length", "has several lengths, and the map names neither frames nor seconds"
    elif length.kind == "seconds":
        if len(length.values) > 1 and request.seconds is None:
            yield "length", "has several lengths, and the map names no seconds"
        yield from _whole("length.values", length.values, request.seconds)
    elif length.kind == "range":
        if request.seconds is None:
            yield "length", "has several lengths, and the map names no seconds"
        yield from _whole("length", (length.min, length.step), request.seconds)
    rates = () if mode.fps == "unknown" else mode.fps
    if len(rates) > 1 and request.fps is None:
        yield "fps", "has several rates, and the map names no fps"
    yield from _whole("fps", rates, request.fps)


def _whole(field: str, values: tuple[float, ...], number: Number | None) -> Iterator[tuple[str, str]]:
    broken = [value for value in values if not float(value).is_integer()]
    if number is not None and number.type == "integer" and broken:
        yield field, f"{broken[0]:g} cannot be said in whole numbers, as {number.name} wants"
