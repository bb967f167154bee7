"""What the schema of a card cannot see: contradictions between its parts, missing sources, stale figures.

Each check is a function from a card to findings. An error is what would mislead a decision or a person; a
warning is what somebody should look at again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from math import isclose
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from models.card import HOSTED, Sourced
from models.lint_degrees import unshareable
from models.lint_requests import unsayable
from models.types import TaskType

if TYPE_CHECKING:
    from models.card import Card, Mode, Offer
    from models.catalog import Catalog

MAX_AGE_DAYS = 180
"""Days after which a figure counts as stale (our choice): hosts change prices and models twice a year."""
END_IS_NEAR_DAYS = 30
"""Days before its end from which a live card is worth a warning."""
NO_SOURCE = re.compile(r"^(todo|tbd|fixme|unknown|none|n/?a|\?+|x+|-+|source)\.?$", re.IGNORECASE)
"""Words that fill the field and name nothing."""

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at. `field` is a dotted path in the card; empty for the card as a whole."""

    level: Level
    card: str
    field: str
    message: str


def lint(catalog: Catalog, today: date, max_age_days: int = MAX_AGE_DAYS) -> tuple[Finding, ...]:
    """Everything that is wrong or stale in a catalog, card by card.

    Args:
        catalog: Its `problems` are errors, too.
        today: Against which dates are held.
        max_age_days: Age from which a figure is stale.
    """
    found = [Finding("error", "", problem.param or "", problem.message) for problem in catalog.problems]
    for card in catalog:
        for check in _CHECKS:
            found += [Finding(level, card.id, at, told) for level, at, told in check(card)]
        found += [Finding(level, card.id, at, told) for level, at, told in _life(card, catalog, today)]
        found += [Finding(level, card.id, at, told) for level, at, told in _age(card, today, max_age_days)]
    return tuple(found)


_Told = tuple[Level, str, str]
_Check = Callable[["Card"], Iterator[_Told]]

_GIVEN: tuple[tuple[str, str, TaskType], ...] = (
    ("last_image", "last_image", TaskType.FLF2V),
    ("driving_video", "driving_video", TaskType.ANIMATE),
    ("audio_in", "audio", TaskType.A2V),
)
"""Control, name of the input in modes, task that it makes."""


def _life(card: Card, catalog: Catalog, today: date) -> Iterator[_Told]:
    """Status, end and successor agree with each other and with the calendar."""
    ends = card.retires_on
    if ends is not None and ends <= today and card.status != "retired":
        yield "error", "retires_on", f"was {ends}, and the status is still {card.status}"
    elif ends is not None and ends > today and card.status == "retired":
        yield "error", "retires_on", f"is {ends}, which has not come, and the status is retired"
    elif ends is not None and card.status == "live" and (ends - today).days <= END_IS_NEAR_DAYS:
        yield "warning", "retires_on", f"is {ends}; say deprecated and name a replacement"
    if card.status == "retired" and card.replacement is None:
        yield "warning", "replacement", "a retired card names no successor"
    seen = [card.id]
    last = card
    while last.replacement is not None:
        if last.replacement in seen:
            yield "error", "replacement", f"goes round in a circle: {' -> '.join([*seen, last.replacement])}"
            return
        if last.replacement not in catalog:
            return
        last = catalog.get(last.replacement)
        seen.append(last.id)
    if last is not card and last.status == "retired":
        yield "error", "replacement", f"ends in a retired card: {' -> '.join(seen)}"


def _age(card: Card, today: date, max_age_days: int) -> Iterator[_Told]:
    """Dates are not in the future and not too long ago; one finding a card, for its oldest figure."""
    dated = [("", card.checked_at), *((at, block.checked_at) for at, block in _sourced(card))]
    for at, checked in dated:
        if checked > today:
            yield "error", f"{at}.checked_at".lstrip("."), f"is {checked}, which has not come"
    stale = sorted({(c, at) for at, c in dated if (today - c).days > max_age_days})
    if stale:
        oldest, at = stale[0]
        more = f", and {len(stale) - 1} more are as stale" if len(stale) > 1 else ""
        told = f"was checked {(today - oldest).days} days ago, more than {max_age_days}{more}"
        yield "warning", f"{at}.checked_at".lstrip("."), told


def _sources(card: Card) -> Iterator[_Told]:
    for at, block in _sourced(card):
        if NO_SOURCE.match(block.source.strip()):
            yield "error", f"{at}.source", f"{block.source!r} names no source"


def _sourced(card: Card) -> Iterator[tuple[str, Sourced]]:
    yield from _blocks(card, "")


def _blocks(block: BaseModel, at: str) -> Iterator[tuple[str, Sourced]]:
    if isinstance(block, Sourced):
        yield at, block
    for name in type(block).model_fields:
        value = getattr(block, name)
        if isinstance(value, BaseModel):
            yield from _blocks(value, f"{at}.{name}".lstrip("."))
        elif isinstance(value, tuple):
            for index, part in enumerate(value):
                if isinstance(part, BaseModel):
                    key = (
                        getattr(part, "id", None)
                        or getattr(part, "name", None)
                        or getattr(part, "tag", index)
                    )
                    yield from _blocks(part, f"{at}.{name}.{key}".lstrip("."))


def _key(block: BaseModel, index: int) -> str:
    """How one of several is called: an offer by id, a mode by name, a strength by tag."""
    named = (getattr(block, name, None) for name in ("id", "name", "tag"))
    return next((str(name) for name in named if name), str(index))


def _tasks(card: Card) -> Iterator[_Told]:
    """What is given beside the photograph makes the task; controls and tasks must agree."""
    controls = card.controls
    for control, what, task in _GIVEN:
        need = getattr(controls, control)
        if need == "none" and task in card.tasks:
            yield "error", "tasks", f"{task} needs a {what}, which the controls refuse"
        if need != "none" and task not in card.tasks:
            yield "error", "tasks", f"{control} is {need}, and {task} is not among the tasks"
        if need == "required" and set(card.tasks) != {task}:
            yield "error", "tasks", f"{control} is required, so {task} is the only task"
    if len(set(card.tasks)) != len(card.tasks):
        yield "error", "tasks", "repeat"
    if not controls.prompt:
        if TaskType.TI2V in card.tasks:
            yield "error", "tasks", "ti2v needs a prompt, and the model reads none"
        if controls.prompt_required or controls.negative_prompt:
            yield "error", "controls.prompt", "is false, and another control of the words is set"


def _camera(card: Card) -> Iterator[_Told]:
    camera = card.controls.camera
    if camera.explicit and not camera.moves:
        yield "error", "controls.camera.moves", f"kind {camera.kind} is an interface and lists no moves"
    if camera.kind in {"none", "video"} and camera.moves:
        yield "error", "controls.camera.moves", f"kind {camera.kind} takes no moves"
    if camera.kind == "video" and card.controls.driving_video == "none":
        yield "error", "controls.camera.kind", "the camera follows a driving video that the controls refuse"
    if camera.kind == "prompt" and not card.controls.prompt:
        yield "error", "controls.camera.kind", "words steer the camera of a model that reads none"


def _inputs(card: Card) -> Iterator[_Told]:
    """Every input that the controls take is taken by a mode; one that they require is excluded by none."""
    image = card.input_image
    if image.min_side > image.max_side or image.aspect_min > image.aspect_max:
        yield "error", "input_image", "a least is above its most"
    modes = [(offer, mode) for offer in card.offers for mode in offer.modes]
    for offer, mode in modes:
        if "loop" in mode.excludes and not card.controls.loop:
            yield "warning", f"{_mode_at(offer, mode)}.excludes", "loop is refused by the controls already"
    for control, what, _ in _GIVEN:
        need = getattr(card.controls, control)
        takes = [what not in mode.excludes for _, mode in modes]
        if need != "none" and modes and not any(takes):
            yield "error", f"controls.{control}", f"is {need}, and every mode excludes it"
        for offer, mode in modes:
            at = _mode_at(offer, mode)
            if need == "required" and what in mode.excludes:
                yield "error", f"{at}.excludes", f"{what} is required by the controls; the mode can never run"
            if need == "none" and what in mode.excludes:
                yield "warning", f"{at}.excludes", f"{what} is refused by the controls already"
            follows = mode.length.kind == "follows" and mode.length.of == what
            if follows and need == "optional" and what not in mode.needs:
                yield "error", f"{at}.needs", f"the length follows {what}, which may be missing"


def _offers(card: Card) -> Iterator[_Told]:
    for offer in card.offers:
        at = f"offers.{offer.id}"
        hosted = offer.backend in HOSTED
        if hosted and not offer.ref:
            yield "error", f"{at}.ref", "a hosted offer names what the provider calls it"
        if hosted and offer.latency is None:
            yield "error", f"{at}.latency", "missing; write what is known, or unknown"
        if hosted and (offer.runner or offer.sampling or offer.adapter or offer.default_gpu):
            yield "error", at, "a hosted offer has no runner, sampling, adapter or default_gpu"
        if not hosted and card.weights.kind == "api":
            yield "error", f"{at}.backend", f"is {offer.backend}, and no weights are published"
        if offer.backend == "engine":
            yield from (("error", told_at, told) for told_at, told in _engine(offer, at))
        if offer.backend == "local" and offer.default_gpu is None:
            yield "warning", f"{at}.default_gpu", "missing; a dry run over every card leaves the offer out"
        yield from (("error", f"{at}.degrees", told) for told in unshareable(card, offer))
        for mode in offer.modes:
            yield from _mode(card, offer, mode)


def _engine(offer: Offer, at: str) -> Iterator[tuple[str, str]]:
    """An engine is sent one request a clip, and makes what that says."""
    if offer.runner or offer.adapter:
        yield at, "an engine runs it: it has no runner and no adapter"
    for mode in offer.modes:
        if mode.max_segments > 1 or mode.stretch is not None or mode.interpolate_to is not None:
            yield (
                f"{at}.modes.{mode.name}",
                "an engine makes one shot: no segments, stretch or interpolate_to",
            )


def _mode(card: Card, offer: Offer, mode: Mode) -> Iterator[_Told]:
    at = _mode_at(offer, mode)
    price = offer.price if mode.price is None else mode.price
    if price is None:
        yield "error", f"{at}.price", "missing, here and in the offer; write what is known, or unknown"
    elif price != "unknown" and price.kind == "gpu":
        if offer.backend in HOSTED:
            yield "error", f"{at}.price", "a hosted offer has no GPU-seconds to bill"
    elif price != "unknown" and price.usd_with_audio is not None:
        if card.controls.audio_out != "native":
            yield "error", f"{at}.price", "has a price with sound, and sound is not made when asked for"
        if price.usd_with_audio < price.usd:
            yield "warning", f"{at}.price", "sound makes the clip cheaper"
    yield from _length(mode, at)
    if mode.sizes.kind == "area":
        if mode.sizes.multiple % 2:
            yield "error", f"{at}.sizes.multiple", "is odd; H.264 in 4:2:0 needs even sides"
    elif len(set(mode.sizes.sizes)) != len(mode.sizes.sizes):
        yield "error", f"{at}.sizes", "a size repeats"
    if mode.fps != "unknown" and len(set(mode.fps)) != len(mode.fps):
        yield "error", f"{at}.fps", "a rate repeats"


def _length(mode: Mode, at: str) -> Iterator[_Told]:
    length = mode.length
    if length.kind == "seconds":
        if list(length.values) != sorted(set(length.values)):
            yield "error", f"{at}.length.values", "repeat or are out of order"
        rates = () if mode.fps == "unknown" else mode.fps
        broken = [s for s in length.values for r in rates if not isclose(s * r, round(s * r), abs_tol=1e-6)]
        if broken:
            yield "warning", f"{at}.length.values", f"{broken[0]:g} s is no whole number of frames"
    elif length.kind == "range":
        steps = (length.max - length.min) / length.step
        if not isclose(steps, round(steps), abs_tol=1e-6):
            told = f"max={length.max:g} is not min={length.min:g} and whole steps of {length.step:g}"
            yield "error", f"{at}.length.max", told


def _claims(card: Card) -> Iterator[_Told]:
    tags = [strength.tag for strength in card.strengths]
    for tag in sorted({tag for tag in tags if tags.count(tag) > 1}):
        yield "error", f"strengths.{tag}", "is claimed more than once"
    for strength in card.strengths:
        if strength.weight == 0:
            yield "error", f"strengths.{strength.tag}.weight", "is 0: no claim at all"
    if card.weights.kind == "open" and card.weights.hub_id is None and card.makes == "generated":
        yield "warning", "weights.hub_id", "open weights without the place where they are"


def _mode_at(offer: Offer, mode: Mode) -> str:
    return f"offers.{offer.id}.modes.{mode.name}"


_CHECKS: tuple[_Check, ...] = (_sources, _tasks, _camera, _inputs, _offers, unsayable, _claims)
