"""Whether an input fits its schema: field by field, then what holds together, then the files behind URLs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from models.providers.fake.schema import Condition, FieldSpec, ModelSpec
from models.providers.fake.uploads import Facts

ProblemKind = Literal[
    "unknown", "missing", "type", "one_of", "too_small", "too_large", "too_long", "too_few", "too_many",
    "media",
]  # fmt: skip
Where = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that the schema refuses."""

    where: Where
    """Path of the field inside the input."""
    kind: ProblemKind
    limit: Any = None
    """What would have been accepted."""
    given: str = ""
    """JSON type of what was sent."""

    @property
    def name(self) -> str:
        """The path with dots."""
        return ".".join(map(str, self.where))


@dataclass(slots=True)
class Checked:
    """An input that was looked at."""

    values: dict[str, Any]
    """Of each field: what was sent, or its default."""
    sent: frozenset[str]
    problems: list[Problem] = field(default_factory=list)
    media: dict[str, Facts | None] = field(default_factory=dict)
    """By path: what is known of the file behind each URL; None: it is somewhere else."""


class MediaRefused(Exception):
    """A URL that the provider could not or would not fetch."""


def checked(model: ModelSpec, given: Mapping[str, Any], fetch: Callable[[str], Facts | None]) -> Checked:
    """Look at an input.

    Args:
        model: The schema.
        given: The input as sent.
        fetch: Says what a URL leads to; raises `MediaRefused`.
    """
    defaults = {name: spec.default for name, spec in model.fields.items() if spec.default is not None}
    seen = Checked({**defaults, **given}, frozenset(given))
    _object(model.fields, given, (), seen, fetch)
    return seen


def _object(
    fields: Mapping[str, FieldSpec],
    given: Mapping[str, Any],
    where: Where,
    seen: Checked,
    fetch: Callable[[str], Facts | None],
) -> None:
    for name, spec in fields.items():
        if spec.required and name not in given:
            seen.problems.append(Problem((*where, name), "missing"))
    for name, value in given.items():
        if name not in fields:
            seen.problems.append(Problem((*where, name), "unknown"))
        else:
            _value(fields[name], value, (*where, name), seen, fetch)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "media": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
}


def json_type(value: object) -> str:
    """The JSON name of a value's type."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _value(
    spec: FieldSpec, value: Any, where: Where, seen: Checked, fetch: Callable[[str], Facts | None]
) -> None:
    problem = _typed(spec, value) or _ranged(spec, value)
    if problem is not None:
        kind, limit = problem
        seen.problems.append(Problem(where, kind, limit, json_type(value)))
        return
    if spec.type == "object":
        _object(spec.fields, value, where, seen, fetch)
    elif spec.type == "list" and spec.items is not None:
        for place, item in enumerate(value):
            _value(spec.items, item, (*where, place), seen, fetch)
    elif spec.type == "media":
        try:
            seen.media[".".join(map(str, where))] = fetch(value)
        except MediaRefused as refused:
            seen.problems.append(Problem(where, "media", str(refused), "string"))


def _typed(spec: FieldSpec, value: Any) -> tuple[ProblemKind, Any] | None:
    # A bool is an int to Python, and no number to JSON.
    if not isinstance(value, _TYPES[spec.type]) or (isinstance(value, bool) and spec.type != "boolean"):
        return "type", spec.type
    return None


def _ranged(spec: FieldSpec, value: Any) -> tuple[ProblemKind, Any] | None:
    tests: list[tuple[bool, ProblemKind, Any]] = []
    if spec.enum:
        tests.append((value not in spec.enum, "one_of", list(spec.enum)))
    if spec.min is not None:
        tests.append((value < spec.min, "too_small", spec.min))
    if spec.max is not None:
        tests.append((value > spec.max, "too_large", spec.max))
    if spec.max_chars is not None:
        tests.append((len(value) > spec.max_chars, "too_long", spec.max_chars))
    if spec.type == "list":
        tests.append((len(value) < spec.min_items, "too_few", spec.min_items))
        tests.append((spec.max_items is not None and len(value) > spec.max_items, "too_many", spec.max_items))
    return next(((kind, limit) for failed, kind, limit in tests if failed), None)


# --- what holds together ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a run of a well-formed input fails."""

    reason: str
    """`joint_limit`, or the kind of fault in a file: `image_too_small`, `video_duration_too_long`, …"""
    where: str
    says: str
    limit: float | None = None
    provided: float | None = None


def unfit(model: ModelSpec, seen: Checked) -> Unfit | None:
    """The first joint limit or limit on a file that the input breaks."""
    for rule in model.rules:
        if not all(_holds(seen, name, condition) for name, condition in rule.when.items()):
            continue
        for name, condition in rule.must.items():
            if not _holds(seen, name, condition):
                return Unfit("joint_limit", name, rule.says)
        for name, most in rule.longest.items():
            facts = seen.media.get(name)
            if facts is not None and facts.seconds is not None and facts.seconds > most + 0.1:
                return Unfit("video_duration_too_long", name, rule.says, most, facts.seconds)
    for name, spec in model.fields.items():
        facts = seen.media.get(name)
        broken = None if facts is None else _file(spec, name, facts)
        if broken is not None:
            return broken
    return None


def _holds(seen: Checked, name: str, condition: Condition) -> bool:
    present = name in seen.sent and seen.values.get(name) not in (None, "", [])
    if condition == "present":
        return present
    if condition == "absent":
        return not present
    return seen.values.get(name) in condition


def _file(spec: FieldSpec, name: str, facts: Facts) -> Unfit | None:
    kind = spec.accepts or "image"
    if kind == "image" and facts.width is None:
        return Unfit("image_load_error", name, "the image could not be loaded")
    tests: list[tuple[bool, str, float | None, float | None]] = []
    if facts.width is not None and facts.height is not None:
        short, long = sorted((facts.width, facts.height))
        aspect = facts.width / facts.height
        low_a, high_a = spec.min_aspect, spec.max_aspect
        tests += [
            (spec.min_px is not None and short < spec.min_px, f"{kind}_too_small", spec.min_px, short),
            (spec.max_px is not None and long > spec.max_px, f"{kind}_too_large", spec.max_px, long),
            # Files are scaled to whole pixels, so a shape may be a hair off.
            (low_a is not None and aspect < low_a * 0.99, "aspect", low_a, aspect),
            (high_a is not None and aspect > high_a * 1.01, "aspect", high_a, aspect),
        ]  # fmt: skip
    if facts.seconds is not None:
        long_s, low, high = facts.seconds, spec.min_s, spec.max_s
        tests += [
            (low is not None and long_s < low - 0.1, f"{kind}_duration_too_short", low, long_s),
            (high is not None and long_s > high + 0.1, f"{kind}_duration_too_long", high, long_s),
        ]
    megabytes = facts.bytes / 1e6
    tests.append(
        (spec.max_mb is not None and megabytes > spec.max_mb, "file_too_large", spec.max_mb, megabytes)
    )
    for failed, reason, limit, provided in tests:
        if failed:
            return Unfit(reason, name, reason.replace("_", " "), limit, provided)
    return None
